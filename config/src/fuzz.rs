//! The entry point of the fuzz target `config_file` in `fuzz/`, which the tests below run over its corpus.

use std::path::Path;

use crate::{ConfigFlags, LoadedConfig, Problems, Severity, layers::load_text};

/// Asserts that any file is read, always in the same way, or refused with what is wrong and where.
///
/// # Panics
///
/// Where one of these does not hold.
pub fn config_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match (load(text), load(text)) {
        (Ok(once), Ok(twice)) => {
            assert_eq!(once.shown, twice.shown);
            assert!(
                once.warnings
                    .0
                    .iter()
                    .all(|p| p.severity != Severity::Error)
            );
            named(&once.warnings);
        }
        (Err(once), Err(twice)) => {
            assert_eq!(once, twice);
            assert!(once.has_errors(), "refused without an error: {once}");
            named(&once);
        }
        (once, twice) => assert_eq!(once.is_ok(), twice.is_ok(), "once so, once otherwise"),
    }
}

fn load(text: &str) -> Result<LoadedConfig, Problems> {
    let file = Path::new("crucible.toml");
    load_text(
        Some((file, Ok(text.to_owned()))),
        &[],
        &ConfigFlags::default(),
    )
}

/// Each problem names a path or the line of the file, says what was found and expected, and shows no
/// control character of the file to a terminal.
fn named(problems: &Problems) {
    for problem in &problems.0 {
        let is_placed = !problem.path.is_empty() || problem.source.starts_with("crucible.toml");
        assert!(is_placed, "no place: {problem}");
        assert!(
            !problem.found.is_empty() && !problem.expected.is_empty(),
            "{problem}"
        );
        assert!(
            !problem.to_string().chars().any(char::is_control),
            "{problem:?}"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_corpus_of_config_file_holds() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/config_file");
        let mut cases = 0;
        for file in fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            println!("{}", path.display());
            let data = fs::read(&path).unwrap();
            config_file(&data);
            for end in (0..data.len()).step_by(data.len().div_ceil(16).max(1)) {
                config_file(&data[..end]);
            }
            cases += 1;
        }
        assert!(cases >= 15, "the corpus has {cases} cases only");
    }
}
