//! Puts the revision into release builds, for `crucible_build_info`.
//!
//! `CRUCIBLE_REVISION` names it where it is set. Builds for development have none, so that a commit does
//! not compile the program anew.

#[path = "build/git.rs"]
mod git;

use std::{env, path::Path};

fn main() {
    println!("cargo:rerun-if-env-changed=CRUCIBLE_REVISION");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=build/git.rs");
    let release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    if env::var_os("CRUCIBLE_REVISION").is_some() || !release {
        return;
    }
    let revision = git::revision(Path::new(".."));
    for file in revision.files.iter().filter(|file| file.exists()) {
        println!("cargo:rerun-if-changed={}", file.display());
    }
    if let Some(commit) = revision.commit {
        println!("cargo:rustc-env=CRUCIBLE_REVISION={commit}");
    }
}
