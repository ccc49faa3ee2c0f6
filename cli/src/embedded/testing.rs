//! Scripts that tests execute in place of real programs.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Writes an executable script and returns its path.
///
/// A shell writes the file. If the test wrote it itself, a child that another test starts at that
/// moment would inherit the open file, and the script could not be executed (`ETXTBSY`).
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
