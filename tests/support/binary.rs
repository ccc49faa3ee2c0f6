//! The programs under test, built once for the whole test run.
//!
//! `TEST_PROGRAMS` names a folder in which both were built already, as `.ci/run` does in one command with the
//! tests: cargo builds a package alone with fewer features of its dependencies than the workspace, so that it
//! would compile most of them once more for each program.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Path of `crucible`, in the same profile and target folder as the tests.
///
/// # Panics
/// If it does not build.
pub fn crucible() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("crucible"))
}

/// Path of `crucible-sim`: an engine that is a process of its own.
///
/// # Panics
/// If it does not build.
pub fn sim() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("crucible-sim"))
}

/// Builds a package whose program has its name, where `TEST_PROGRAMS` does not name it.
fn build(package: &str) -> PathBuf {
    let program = format!("{package}{}", std::env::consts::EXE_SUFFIX);
    if let Some(folder) = std::env::var_os("TEST_PROGRAMS") {
        let path = root().join(folder).join(program);
        assert!(path.is_file(), "{} was built", path.display());
        return path;
    }
    let test = std::env::current_exe().expect("the test has a path");
    // target/debug/deps/e2e-<hash>
    let profile = test
        .parent()
        .and_then(Path::parent)
        .expect("the test lies in target/<profile>/deps");
    let target = profile.parent().expect("the profile lies in target");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--quiet", "--package", package, "--target-dir"])
        .arg(target)
        .current_dir(root());
    if profile.file_name().is_some_and(|name| name == "release") {
        cargo.arg("--release");
    }
    assert!(
        cargo.status().expect("cargo runs").success(),
        "{package} builds"
    );
    let path = profile.join(program);
    assert!(path.is_file(), "{} was built", path.display());
    path
}

/// Top of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
