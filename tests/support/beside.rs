//! A command of Crucible that runs beside an instance, and what it has written so far.

use std::{
    io::Read,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread::{self, JoinHandle},
};

use parking_lot::Mutex;
use tempfile::TempDir;

use crate::{binary, process::Crucible, rest::eventually};

/// A `crucible` with a file of its own that names an instance's state folder; it ends when this is dropped.
pub struct Beside {
    child: Child,
    out: Written,
    err: Written,
    _folder: TempDir,
}

/// What a pipe has brought so far, and the thread that reads it.
struct Written {
    text: Arc<Mutex<String>>,
    reading: Option<JoinHandle<()>>,
}

// === impl Crucible ===

impl Crucible {
    /// Starts `crucible` beside this instance, with its own file, so that both have one state folder.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn starts_beside(&self, args: &[&str]) -> Beside {
        let text = std::fs::read_to_string(self.config()).expect("readable");
        let listen = format!("listen = \"{}\"", self.addr());
        let text = text.replace("listen = \"127.0.0.1:0\"", &listen);
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("crucible.toml");
        std::fs::write(&path, text).expect("written");
        let mut child = Command::new(binary::crucible())
            .args(args)
            .arg("--config")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("crucible starts");
        Beside {
            out: Written::by(child.stdout.take().expect("stdout is piped")),
            err: Written::by(child.stderr.take().expect("stderr is piped")),
            child,
            _folder: folder,
        }
    }

    /// Runs `crucible` beside this instance to its end: exit code, stdout, stderr.
    ///
    /// # Panics
    /// If it cannot be started.
    pub async fn beside(&self, args: &[&str]) -> (i32, String, String) {
        self.starts_beside(args).ended().await
    }
}

// === impl Beside ===

impl Beside {
    /// What it wrote to stdout so far.
    pub fn out(&self) -> String {
        self.out.text.lock().clone()
    }

    /// Waits until it has written this to stdout.
    ///
    /// # Panics
    /// If it never does.
    pub async fn says(&self, text: &str) {
        eventually(text, || async { self.out().contains(text).then_some(()) }).await;
    }

    /// Waits for its end: exit code, stdout, stderr.
    ///
    /// # Panics
    /// If it does not end.
    pub async fn ended(mut self) -> (i32, String, String) {
        let status = eventually("the command ends", || {
            let status = self.child.try_wait().expect("it can be waited for");
            async move { status }
        })
        .await;
        let (out, err) = (self.out.whole(), self.err.whole());
        (status.code().unwrap_or(-1), out, err)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// === impl Written ===

impl Written {
    fn by(mut pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::<Mutex<String>>::default();
        let sink = Arc::clone(&text);
        let reading = thread::spawn(move || {
            let mut all = Vec::new();
            let mut piece = [0_u8; 4096];
            while let Ok(n @ 1..) = pipe.read(&mut piece) {
                all.extend_from_slice(&piece[..n]);
                *sink.lock() = String::from_utf8_lossy(&all).into_owned();
            }
        });
        Self {
            text,
            reading: Some(reading),
        }
    }

    /// All of it, once the process has ended.
    fn whole(&mut self) -> String {
        if let Some(reading) = self.reading.take() {
            reading.join().expect("it was read");
        }
        self.text.lock().clone()
    }
}
