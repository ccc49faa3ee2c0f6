//! A file of the user's: read with care, and written whole or not at all.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

/// The longest settings file that is read.
const MAX_LENGTH: u64 = 4 << 20;

/// The text of a file at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UserFile {
    /// The path of the file, with links followed.
    pub(super) path: PathBuf,
    /// The text of the file; `None` where it does not exist.
    pub(super) text: Option<String>,
    /// The permissions of the file, on Unix.
    pub(super) mode: Option<u32>,
}

/// The permissions that a file gets when it is written; a new one is readable by its user alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileMode {
    /// Those that it has.
    Kept,
    /// Those that it has, without what they let others do.
    Private,
    /// These.
    As(u32),
}

/// The permissions without what they let others do.
pub(super) const fn private(mode: u32) -> u32 {
    mode & !0o077
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "other systems have none")]
fn mode_of(permissions: &fs::Permissions) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;

    Some(permissions.mode() & 0o7777)
}

#[cfg(not(unix))]
fn mode_of(_: &fs::Permissions) -> Option<u32> {
    None
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "other systems have none")]
fn permissions_of(mode: u32) -> Option<fs::Permissions> {
    use std::os::unix::fs::PermissionsExt as _;

    Some(fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn permissions_of(_: u32) -> Option<fs::Permissions> {
    None
}

// === impl UserFile ===

impl UserFile {
    /// Reads the file that a path leads to.
    ///
    /// # Errors
    /// Why it cannot be read as a text, in a sentence that begins with its path.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let named = |words: &dyn std::fmt::Display| format!("{}: {words}", path.display());
        match fs::canonicalize(path) {
            Ok(real) => {
                let about = fs::metadata(&real).map_err(|e| named(&e))?;
                if !about.is_file() {
                    return Err(named(&"is no file"));
                }
                if about.len() > MAX_LENGTH {
                    return Err(named(&"is longer than any settings file"));
                }
                let bytes = fs::read(&real).map_err(|e| named(&e))?;
                let text = String::from_utf8(bytes).map_err(|_| named(&"is not UTF-8"))?;
                Ok(Self {
                    path: real,
                    text: Some(text),
                    mode: mode_of(&about.permissions()),
                })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if path.is_symlink() {
                    return Err(named(&"is a link to a file that does not exist"));
                }
                Ok(Self {
                    path: path.to_owned(),
                    text: None,
                    mode: None,
                })
            }
            Err(error) => Err(named(&error)),
        }
    }

    /// The text, empty where there is no file.
    pub(super) fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    /// Whether others than its user may read or write the file.
    pub(super) fn is_open_to_others(&self) -> bool {
        self.mode.is_some_and(|mode| private(mode) != mode)
    }

    /// Writes another text in place of the one that was read, with these permissions. Returns the folders that had to be made, the outermost first.
    ///
    /// # Errors
    /// It cannot be written, is marked as read-only, or was changed since it was read.
    pub(super) fn write(&self, text: &str, wanted: FileMode) -> Result<Vec<PathBuf>, String> {
        let named = |words: &dyn std::fmt::Display| format!("{}: {words}", self.path.display());
        let folder = self.path.parent().ok_or_else(|| named(&"has no folder"))?;
        let made = missing_folders(folder);
        fs::create_dir_all(folder).map_err(|e| named(&e))?;
        let permissions = match fs::metadata(&self.path) {
            Ok(about) if about.permissions().readonly() => {
                return Err(named(
                    &"is read-only; another program may manage it, so put the settings in there",
                ));
            }
            Ok(about) => Some(about.permissions()),
            Err(_) => None,
        };
        let permissions = match (wanted, &permissions) {
            (FileMode::Kept, _) | (FileMode::Private, None) => permissions,
            (FileMode::Private, Some(now)) => {
                let alone = mode_of(now).and_then(|mode| permissions_of(private(mode)));
                alone.or(permissions)
            }
            (FileMode::As(bits), _) => permissions_of(bits).or(permissions),
        };
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|e| named(&e))?;
        file.write_all(text.as_bytes()).map_err(|e| named(&e))?;
        if let Some(permissions) = permissions {
            file.as_file()
                .set_permissions(permissions)
                .map_err(|e| named(&e))?;
        }
        file.as_file().sync_all().map_err(|e| named(&e))?;
        if Self::read(&self.path)?.text != self.text {
            return Err(named(
                &"was changed by another program just now; run this again",
            ));
        }
        file.persist(&self.path).map_err(|e| named(&e.error))?;
        Ok(made)
    }

    /// Removes the file and those of these folders that are empty then.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(super) fn remove(&self, made: &[PathBuf]) -> Result<(), String> {
        fs::remove_file(&self.path).map_err(|e| format!("{}: {e}", self.path.display()))?;
        for folder in made.iter().rev() {
            // One that holds other files by now stays.
            let _ = fs::remove_dir(folder);
        }
        Ok(())
    }
}

/// The folders on the way to this one that do not exist, the outermost first.
fn missing_folders(folder: &Path) -> Vec<PathBuf> {
    let missing = folder
        .ancestors()
        .take_while(|at| !at.as_os_str().is_empty() && !at.exists());
    let mut missing: Vec<PathBuf> = missing.map(Path::to_path_buf).collect();
    missing.reverse();
    missing
}
