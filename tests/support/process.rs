//! A running Crucible, ended when it is dropped.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    net::TcpListener,
    ops::Range,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU16, Ordering},
        mpsc::{Receiver, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tempfile::TempDir;

use crate::binary;

/// Longest wait for anything that a test waits for; generous, since the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The ports that tests hand out by themselves: below those that Linux, macOS and Windows give to sockets which
/// name none, so that no other test's socket takes one of them while nobody listens there. Each run of the tests
/// on a machine has a block of them.
const PORTS: Range<u16> = 20_000..32_000;
const BLOCK: u16 = 4_000;

/// The first port of a block that no other run has, and the lock of that block, which is kept to the end.
fn claimed() -> (u16, Option<File>) {
    let claim = |first: u16| {
        let path = std::env::temp_dir().join(format!("crucible-tests-{first}.lock"));
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path);
        let file = file.ok().filter(|file| file.try_lock().is_ok());
        file.map(|file| (first, Some(file)))
    };
    let mut blocks = PORTS.step_by(usize::from(BLOCK));
    blocks.find_map(claim).unwrap_or((PORTS.start, None))
}

/// The next port of this run's block.
fn next_port() -> u16 {
    static CLAIMED: LazyLock<(u16, Option<File>)> = LazyLock::new(claimed);
    static NEXT: AtomicU16 = AtomicU16::new(0);
    CLAIMED.0 + NEXT.fetch_add(1, Ordering::Relaxed) % BLOCK
}

/// Sends a signal by name to the process of this number; whether there was one.
///
/// # Panics
/// If there is no program `kill`.
pub fn send_signal(name: &str, pid: u32) -> bool {
    let sent = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .stderr(Stdio::null())
        .status();
    sent.expect("the program `kill`").success()
}

/// A configuration with a listen address on port 0 and this folder of state, where it names none.
fn configuration(toml: &str, state: &Path) -> String {
    let names = |key: &str| toml.lines().any(|line| line.starts_with(key));
    let listen = if names("listen =") {
        ""
    } else {
        "listen = \"127.0.0.1:0\"\n"
    };
    let state = if names("state_dir =") {
        String::new()
    } else {
        format!("state_dir = {:?}\n", state.display().to_string())
    };
    format!("{listen}{state}{toml}\n")
}

/// Listens on a port that is free, and that is given to nobody else soon: once the server has ended, a connection to
/// it is refused.
///
/// # Panics
/// If there is none.
pub async fn listen() -> tokio::net::TcpListener {
    for _ in 0..BLOCK {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", next_port())).await;
        if let Ok(listener) = listener {
            return listener;
        }
    }
    panic!("no port is free")
}

/// A port that is free, for a server that binds it by itself and can end and start again on it. It may be taken for a
/// moment yet: a child that another test starts has a copy of every listener until it runs its program.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn free_port() -> u16 {
    std::iter::repeat_with(next_port)
        .take(usize::from(BLOCK))
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}

/// A `crucible serve` with a configuration of its own.
pub struct Crucible {
    child: Child,
    url: String,
    metrics_url: Option<String>,
    folder: TempDir,
    log: Arc<Mutex<String>>,
    /// Reads the log to its end.
    logging: JoinHandle<()>,
    lines: Mutex<Receiver<String>>,
    // Dropped last, when the process has ended.
    guard: Mutex<Option<Box<dyn Send>>>,
}

impl Crucible {
    /// Starts it with this configuration (a listen address on port 0 and a state folder are added where
    /// it names none)
    /// and returns once it listens.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(toml: &str) -> Self {
        Self::start_with(toml, &[], &[])
    }

    /// The same with further arguments and environment variables.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_with(toml: &str, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut command = Command::new(binary::crucible());
        command.envs(env.iter().copied());
        Self::spawn(command, toml, args)
    }

    /// Starts it from a shell that first runs `setup`, and with `redirect` as its redirections.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_in_shell(toml: &str, setup: &str, redirect: &str) -> Self {
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(format!("{setup}\nexec \"$0\" \"$@\" {redirect}"))
            .arg(binary::crucible());
        Self::spawn(command, toml, &[])
    }

    fn spawn(mut command: Command, toml: &str, args: &[&str]) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let config = folder.path().join("crucible.toml");
        let text = configuration(toml, &folder.path().join("state"));
        std::fs::write(&config, text).expect("the configuration is written");
        command
            .arg("serve")
            .arg("--config")
            .arg(&config)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("crucible starts");
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = child.stderr.take().expect("stderr is piped");
        let sink = Arc::clone(&log);
        let logging = thread::spawn(move || {
            let mut stderr = BufReader::new(stderr);
            let mut line = Vec::new();
            // Whole lines, so that who finds a word of one finds all of it.
            while let Ok(1..) = stderr.read_until(b'\n', &mut line) {
                sink.lock().push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        let stdout = child.stdout.take().expect("stdout is piped");
        let (send, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        let mut this = Self {
            child,
            url: String::new(),
            metrics_url: None,
            folder,
            log,
            logging,
            lines: Mutex::new(lines),
            guard: Mutex::default(),
        };
        this.url = this.listening();
        if toml.contains("metrics_listen") {
            this.metrics_url = Some(this.listening());
        }
        this
    }

    /// Keeps `guard` until the process has ended.
    #[must_use]
    pub fn keeping(mut self, guard: impl Send + 'static) -> Self {
        self.guard = Mutex::new(Some(Box::new(guard)));
        self
    }

    fn listening(&mut self) -> String {
        match self.line_with("listening on ") {
            Some(line) => line
                .split_whitespace()
                .last()
                .expect("an address")
                .trim_end_matches('/')
                .to_owned(),
            None => panic!("crucible does not listen; its log:\n{}", self.log()),
        }
    }

    /// The next line of its output that contains `text`.
    pub fn line_with(&mut self, text: &str) -> Option<String> {
        let until = Instant::now() + PATIENCE;
        let lines = self.lines.get_mut();
        while let Ok(line) = lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            if line.contains(text) {
                return Some(line);
            }
        }
        None
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The URL of a path.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Address for raw sockets.
    pub fn addr(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// URL of `metrics_listen`, where it is configured.
    pub fn metrics_url(&self) -> Option<&str> {
        self.metrics_url.as_deref()
    }

    /// Everything that it wrote to stderr so far.
    ///
    /// # Panics
    /// Never in practice.
    pub fn log(&self) -> String {
        self.log.lock().clone()
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("crucible.toml")
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name, `TERM`, `HUP`, ...
    ///
    /// # Panics
    /// If the process is gone.
    pub fn signal(&self, name: &str) {
        assert!(send_signal(name, self.pid()), "the process takes SIG{name}");
    }

    /// Waits for its end, and until what it logged before is read.
    ///
    /// # Panics
    /// If it does not end.
    pub fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                // A child of its own that outlives it may hold its stderr.
                let until = Instant::now() + PATIENCE / 12;
                while !self.logging.is_finished() && Instant::now() < until {
                    thread::sleep(Duration::from_millis(1));
                }
                return status;
            }
            assert!(
                Instant::now() < until,
                "crucible ends; its log:\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Runs `crucible` with arguments to its end: exit code, stdout, stderr.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn command(args: &[&str], stdin: &str) -> (i32, String, String) {
        use std::io::Write;
        let mut child = Command::new(binary::crucible())
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("crucible starts");
        child
            .stdin
            .take()
            .expect("stdin is piped")
            .write_all(stdin.as_bytes())
            .expect("stdin is read");
        let out = child.wait_with_output().expect("it ends");
        (
            out.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&out.stdout).into_owned(),
            String::from_utf8_lossy(&out.stderr).into_owned(),
        )
    }
}

impl Drop for Crucible {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- log of crucible ---\n{}", self.log());
        }
    }
}
