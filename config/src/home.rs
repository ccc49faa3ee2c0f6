//! `~` in paths: no shell expands it in a file, a variable or behind an equals sign.

use std::path::{Path, PathBuf};

/// Replaces a leading `~` by the home folder; gives every other path as it is.
pub fn expand(path: &Path) -> PathBuf {
    let home = directories::BaseDirs::new();
    expand_in(path, home.as_ref().map(directories::BaseDirs::home_dir))
}

fn expand_in(path: &Path, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(below), Some(home)) if below.as_os_str().is_empty() => home.to_path_buf(),
        (Ok(below), Some(home)) => home.join(below),
        _ => path.to_path_buf(),
    }
}

/// Whether a path names somebody's home folder, `~name`, which is not looked up.
pub(crate) fn is_of_somebody(path: &Path) -> bool {
    let first = path.components().next();
    first.is_some_and(|part| {
        let part = part.as_os_str().to_string_lossy();
        part.len() > 1 && part.starts_with('~')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_tilde_that_stands_alone_is_the_home_folder() {
        for (path, expected) in [
            ("~", "/home/u"),
            ("~/", "/home/u"),
            ("~/models/a.gguf", "/home/u/models/a.gguf"),
            ("~//a", "/home/u/a"),
            ("~bob/a", "~bob/a"),
            ("a/~/b", "a/~/b"),
            ("./~/b", "./~/b"),
            ("/~", "/~"),
            ("a~", "a~"),
            ("", ""),
        ] {
            let home = Some(Path::new("/home/u"));
            assert_eq!(
                expand_in(Path::new(path), home),
                Path::new(expected),
                "{path}"
            );
        }
        assert_eq!(expand_in(Path::new("~/a"), None), Path::new("~/a"));
    }

    #[test]
    fn somebodys_home_is_told_from_a_file_with_a_tilde() {
        for (path, expected) in [
            ("~bob/a", true),
            ("~bob", true),
            ("~", false),
            ("~/a", false),
            ("a~", false),
            ("/~a", false),
        ] {
            assert_eq!(is_of_somebody(Path::new(path)), expected, "{path}");
        }
    }
}
