//! A simulated Ollama that is a process of its own with the name of the real one, so that Crucible finds it among the
//! machine's processes.

use std::{fs, process::Command};

use tempfile::TempDir;

use crate::{binary, sim_process::SimProcess};

/// A running `ollama serve`, whose runners are children named `llama-server`. It ends when it is dropped.
#[derive(Debug)]
pub struct OllamaProcess {
    server: SimProcess,
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
        let mut command = Command::new(program("ollama"));
        command.arg("serve").args(arguments);
        Self {
            server: SimProcess::spawn(command),
            _folder: folder,
        }
    }

    /// The address at which it answers.
    #[must_use]
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// The id of the server's process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }
}
