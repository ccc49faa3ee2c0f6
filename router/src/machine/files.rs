//! Small files of the system that hold one value.

use std::{fs, path::Path, str::FromStr};

/// Reads a file that holds one number; `None` where there is no such file, or it holds something else.
pub(super) fn number<T: FromStr>(path: &Path) -> Option<T> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Writes a file below `root`, with its folders.
#[cfg(test)]
pub(super) fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}
