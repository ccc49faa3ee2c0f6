//! A person at a command line: a home folder of their own, and no variables but a few.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::binary;

/// A home folder, a folder of programs and a configuration of Crucible.
pub struct Person {
    folder: TempDir,
    variables: Vec<(String, String)>,
}

/// What a command printed, and its exit code.
#[derive(Debug)]
pub struct Printed {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

// === impl Person ===

impl Person {
    /// A person whose Crucible listens at this address, if it runs.
    ///
    /// # Panics
    /// If the disk is full.
    pub fn new(listen: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        for name in ["home", "bin", "state"] {
            std::fs::create_dir(folder.path().join(name)).expect("made");
        }
        let state = folder.path().join("state").display().to_string();
        let config = format!("listen = {listen:?}\nstate_dir = {state:?}\n");
        std::fs::write(folder.path().join("crucible.toml"), config).expect("written");
        Self {
            folder,
            variables: Vec::new(),
        }
    }

    /// Sets a variable of the environment.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// The home folder.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// The folder of state.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Writes a file below the home folder.
    ///
    /// # Panics
    /// If the disk is full.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, text).expect("written");
        path
    }

    /// Puts a shell script into `PATH`.
    ///
    /// # Panics
    /// If the disk is full.
    #[cfg(unix)]
    pub fn install(&self, name: &str, script: &str) -> PathBuf {
        let path = self.folder.path().join("bin").join(name);
        // By a process of its own: a child that another test starts meanwhile would inherit the open file, and a
        // file that somebody may write cannot be run (ETXTBSY).
        let written = Command::new("sh")
            .args([
                "-c",
                r#"printf '#!/bin/sh\n%s\n' "$2" >"$1" && chmod 755 "$1""#,
                "sh",
            ])
            .arg(&path)
            .arg(script)
            .status();
        assert!(
            written.is_ok_and(|status| status.success()),
            "{}",
            path.display()
        );
        path
    }

    /// Runs `crucible` with these arguments, off the test's runtime.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn run(&self, args: &[&str]) -> Printed {
        let bin = self.folder.path().join("bin");
        let mut command = Command::new(binary::crucible());
        command
            .env_clear()
            .env("HOME", self.home())
            .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
            .env("CRUCIBLE_CONFIG", self.folder.path().join("crucible.toml"))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path())
            .args(args);
        let run = tokio::task::spawn_blocking(move || command.output());
        let output = run.await.expect("it ran").expect("crucible starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Printed {
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    /// All files and folders below the home folder, with the bytes of files.
    pub fn everything(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut all = Vec::new();
        walk(&self.home(), &mut all);
        all.sort();
        all
    }
}

fn walk(folder: &Path, all: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        all.push((path.clone(), std::fs::read(&path).unwrap_or_default()));
        if path.is_dir() && !path.is_symlink() {
            walk(&path, all);
        }
    }
}
