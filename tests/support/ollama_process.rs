//! A simulated Ollama that is a process of its own with the name of the real one, so that Crucible finds it among the
//! machine's processes.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::binary;

/// A running `ollama serve`, whose runners are children named `llama-server`. It ends when it is dropped.
#[derive(Debug)]
pub struct OllamaProcess {
    child: Child,
    url: String,
    _folder: TempDir,
}

// === impl OllamaProcess ===

impl OllamaProcess {
    /// Starts one with these arguments of the simulator.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(arguments: &[&str]) -> Self {
        let sim = binary::sim();
        let beside = sim.parent().expect("a folder with the programs");
        let folder = tempfile::tempdir_in(beside).expect("a folder");
        // A copy cannot be started while another thread forks, which has the file open for writing then.
        let program = |name: &str| {
            let path = folder.path().join(name);
            fs::hard_link(sim, &path).expect("another name of the program");
            path
        };
        program("llama-server");
        let mut child = Command::new(program("ollama"))
            .arg("serve")
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("stdout is piped");
        BufReader::new(out).read_line(&mut line).expect("a line");
        let url = line.trim().trim_start_matches("listening on ").to_owned();
        Self {
            child,
            url,
            _folder: folder,
        }
    }

    /// The address at which it answers.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The id of the server's process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for OllamaProcess {
    fn drop(&mut self) {
        // It may be gone.
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}
