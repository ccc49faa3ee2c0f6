//! A simulated engine that is a process of its own, so that it can be stopped, go on and be killed.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use crate::{binary, process::send_signal};

/// A simulated engine as a process, killed when this is dropped.
#[derive(Debug)]
pub struct SimProcess {
    child: Child,
    url: String,
}

// === impl SimProcess ===

impl SimProcess {
    /// Starts one of this kind with these arguments, and returns once it listens.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(kind: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(binary::sim());
        command.arg(kind).args(arguments);
        Self::spawn(command)
    }

    /// The same for a command that runs the program by another name.
    ///
    /// # Panics
    /// If it does not start.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("stdout is piped");
        BufReader::new(out).read_line(&mut line).expect("a line");
        let url = line.trim().trim_start_matches("listening on ").to_owned();
        Self { child, url }
    }

    /// Returns the address that it listens at, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the number of the process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name, `STOP`, `CONT`, ...
    ///
    /// # Panics
    /// If the process is gone.
    pub fn signal(&self, name: &str) {
        assert!(send_signal(name, self.pid()), "the engine takes SIG{name}");
    }

    /// Kills it and waits for its end.
    ///
    /// # Panics
    /// If it is gone already.
    pub fn kill(&mut self) {
        self.child.kill().expect("it is there");
        self.child.wait().expect("it ends");
    }
}

impl Drop for SimProcess {
    fn drop(&mut self) {
        // It may be gone.
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}
