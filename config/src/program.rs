//! The search for a program in the folders of `PATH`.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
};

/// Every file of that name in the folders of `path` that may be started, in the order of the
/// folders. The system's suffix of programs (`.exe`) need not be written.
///
/// ```
/// use std::ffi::OsStr;
///
/// let nowhere = crucible_config::program::in_folders(OsStr::new("/nowhere"), "llama-server");
/// assert_eq!(nowhere.count(), 0);
/// ```
pub fn in_folders<'a>(path: &'a OsStr, name: &'a str) -> impl Iterator<Item = PathBuf> + 'a {
    let with_suffix = format!("{name}{}", env::consts::EXE_SUFFIX);
    env::split_paths(path).filter_map(move |folder| {
        let mut spellings = [folder.join(&with_suffix), folder.join(name)].into_iter();
        spellings.find(|file| is_executable(file))
    })
}

/// Whether a path is a file that may be started.
#[cfg(unix)]
pub fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata()
        .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// Whether a path is a file that may be started.
#[cfg(not(unix))]
pub fn is_executable(file: &Path) -> bool {
    file.is_file()
}
