//! Programs for tests.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// An executable script.
///
/// A shell writes it: where a test writes it itself, a child that another test starts at that
/// moment has the file open for writing too, and it cannot be executed (`ETXTBSY`).
pub(super) fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
    let file = folder.join(name);
    let write = "printf %s \"$1\" > \"$2\" && chmod 755 \"$2\"";
    let written = Command::new("sh")
        .args(["-c", write, "sh", text])
        .arg(&file)
        .status();
    assert!(written.is_ok_and(|status| status.success()), "{name}");
    file
}
