//! The search for `llama-server`, for a Python that runs, and for the contents of the cache folder.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use crucible_config::program;
use directories::ProjectDirs;
use tokio::{process::Command, time::timeout};

use super::{
    error::EmbeddedError,
    package::SERVER_PACKAGE,
    plan::{CacheState, EmbeddedPlan, FoundPrograms, decide},
};

/// The longest time that an interpreter may take to start; a slower one is not used.
const PYTHON_START: Duration = Duration::from_secs(20);

/// A program that fails on a Python that is too old for the wheel (abi3 from 3.10).
const VERSION_CHECK: &str = "import sys; sys.exit(sys.version_info < (3, 10))";

/// Searches the PATH and the cache folder and decides what must be installed. `model` is the file
/// of `--model`; without it the small model is used. Nothing is fetched or written.
///
/// # Errors
/// [`EmbeddedError::NoPython`], [`EmbeddedError::NoModelFile`], [`EmbeddedError::NoCacheFolder`].
pub async fn plan(model: Option<&Path>) -> Result<EmbeddedPlan, EmbeddedError> {
    if let Some(file) = model
        && !file.is_file()
    {
        return Err(EmbeddedError::NoModelFile(file.display().to_string()));
    }
    decide(&look().await?, model)
}

/// Searches this machine without changing anything.
async fn look() -> Result<FoundPrograms, EmbeddedError> {
    let path = env::var_os("PATH").unwrap_or_default();
    let cache = ProjectDirs::from("", "", "crucible").ok_or(EmbeddedError::NoCacheFolder)?;
    Ok(FoundPrograms {
        llama_server: programs(&path, &["llama-server"]).into_iter().next(),
        python: python(&path).await,
        cache: cache_state(cache.cache_dir().join("engine")),
    })
}

/// Returns which parts in `root` are complete. Both are moved into place as the last act, so a part
/// that exists is complete.
fn cache_state(root: PathBuf) -> CacheState {
    CacheState {
        server: python_in(&environment_in(&root)).exists(),
        model: model_in(&root).is_file(),
        root,
    }
}

/// Returns the folder of the virtual environment with the pinned wheel.
pub(super) fn environment_in(root: &Path) -> PathBuf {
    root.join(format!(
        "{}-{}",
        SERVER_PACKAGE.name, SERVER_PACKAGE.version
    ))
}

/// Returns the path of a virtual environment's interpreter.
pub(super) fn python_in(environment: &Path) -> PathBuf {
    if cfg!(windows) {
        environment.join("Scripts").join("python.exe")
    } else {
        environment.join("bin").join("python")
    }
}

/// Returns the path of the small model's file; its stem is the model's name.
pub(super) fn model_in(root: &Path) -> PathBuf {
    root.join("smollm2-135m-instruct.gguf")
}

/// Returns the first Python on the PATH that starts and is new enough. Its existence is not enough:
/// on Windows `python.exe` may be a stub that opens the Store.
async fn python(path: &OsStr) -> Option<PathBuf> {
    for candidate in programs(path, &["python3", "python", "py"]) {
        let run = Command::new(&candidate)
            .args(["-c", VERSION_CHECK])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .status();
        if matches!(timeout(PYTHON_START, run).await, Ok(Ok(status)) if status.success()) {
            return Some(candidate);
        }
    }
    None
}

/// Returns every executable of these names, by name first, then in the order of `path`.
fn programs(path: &OsStr, names: &[&str]) -> Vec<PathBuf> {
    let found = names.iter().map(|name| program::in_folders(path, name));
    found.flatten().collect()
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::fs;

    use super::*;
    use crate::embedded::testing::script;

    #[test]
    fn a_program_is_an_executable_file_in_path_order() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(a.path().join("llama-server"), "not executable").unwrap();
        fs::create_dir(b.path().join("python3")).unwrap();
        let wanted = script(b.path(), "llama-server", "#!/bin/sh\n");
        let path = env::join_paths([a.path(), b.path()]).unwrap();
        assert_eq!(programs(&path, &["llama-server"]), [wanted]);
        assert_eq!(programs(&path, &["python3"]), Vec::<PathBuf>::new());
    }

    #[tokio::test]
    async fn a_python_that_does_not_run_is_passed_over() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        script(a.path(), "python3", "#!/bin/sh\nexit 1\n");
        let works = script(b.path(), "python3", "#!/bin/sh\nexit 0\n");
        let path = env::join_paths([a.path(), b.path()]).unwrap();
        assert_eq!(python(&path).await, Some(works));
    }

    #[test]
    fn a_cache_whose_interpreter_is_gone_is_not_complete() {
        let root = tempfile::tempdir().unwrap();
        let python = python_in(&environment_in(root.path()));
        fs::create_dir_all(python.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink("/nonexistent/python3", &python).unwrap();
        fs::write(model_in(root.path()), "GGUF").unwrap();
        let state = cache_state(root.path().to_path_buf());
        assert!(!state.server && state.model);
    }
}
