//! Files and folders that are completed in a temporary folder beside their destination and then
//! renamed into it.

use std::{io, path::Path};

use tempfile::TempDir;
use tokio::fs;

use super::{error::EmbeddedError, lookup::python_in};

/// Makes a temporary folder in `root`, which is deleted when the result is dropped.
pub(super) fn temporary_in(root: &Path) -> Result<TempDir, EmbeddedError> {
    tempfile::Builder::new()
        .prefix(".fetching-")
        .tempdir_in(root)
        .map_err(|e| failed_io("cannot write in", root, e))
}

/// Moves a finished environment to `place`. A broken one there, such as one whose interpreter was
/// upgraded away, is replaced. A working one, which another run has just put there, is kept.
pub(super) async fn move_folder(from: &Path, place: &Path) -> Result<(), EmbeddedError> {
    if fs::try_exists(python_in(place)).await.unwrap_or(false) {
        return Ok(());
    }
    match fs::remove_dir_all(place).await {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(failed_io("cannot replace", place, e));
        }
        _ => {}
    }
    fs::rename(from, place)
        .await
        .map_err(|e| failed_io("cannot write", place, e))
}

/// Writes a file at once, so that no reader ever finds half of it.
pub(super) async fn write_whole(place: &Path, content: &str) -> Result<(), EmbeddedError> {
    let parent = place.parent().unwrap_or(Path::new("."));
    let folder = temporary_in(parent)?;
    let draft = folder.path().join("draft");
    fs::write(&draft, content)
        .await
        .map_err(|e| failed_io("cannot write", &draft, e))?;
    fs::rename(&draft, place)
        .await
        .map_err(|e| failed_io("cannot write", place, e))
}

/// Returns an I/O error with the path that it is about.
pub(super) fn failed_io(what: &str, path: &Path, source: io::Error) -> EmbeddedError {
    EmbeddedError::Io {
        what: format!("{what} {}", path.display()),
        source,
    }
}
