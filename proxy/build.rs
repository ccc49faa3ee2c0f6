//! Puts the revision into release builds, for `crucible_build_info`.
//!
//! `CRUCIBLE_REVISION` names it where it is set. Builds for development have none, so that a commit does
//! not compile the program anew. The program finds it as `BUILD_REVISION`: `cargo run` hands such a variable on to what
//! it runs, where one that begins with `CRUCIBLE_` would be taken for a key of the configuration.

#[path = "build/git.rs"]
mod git;

use std::{env, path::Path};

fn main() {
    println!("cargo:rerun-if-env-changed=CRUCIBLE_REVISION");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=build/git.rs");
    let release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    if let Ok(revision) = env::var("CRUCIBLE_REVISION") {
        println!("cargo:rustc-env=BUILD_REVISION={revision}");
        return;
    }
    if !release {
        return;
    }
    let revision = git::revision(Path::new(".."));
    for file in revision.files.iter().filter(|file| file.exists()) {
        println!("cargo:rerun-if-changed={}", file.display());
    }
    if let Some(commit) = revision.commit {
        println!("cargo:rustc-env=BUILD_REVISION={commit}");
    }
}
