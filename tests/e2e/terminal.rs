//! The terminal that Crucible was started from is closed, or there never was one.

use std::{
    io::Write as _,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crucible_sim::{Options, Sim};
use crucible_tests::{
    binary,
    engines::{client, start},
    process::free_port,
    rest::eventually,
};
use tempfile::TempDir;

const HOLD: &str = include_str!("terminal/hold.py");

/// In the place of an engine's program; the simulator answers at its address.
const ENGINE: &str = "echo $$ > \"$(dirname \"$0\")/engine\"\nexec sleep 1000\n";

/// A Crucible that a terminal runs, and an engine that Crucible runs.
struct Held {
    folder: TempDir,
    port: u16,
    terminal: Child,
    _sim: Sim,
}

// === impl Held ===

impl Held {
    /// `line` has `RUN` where Crucible is to be started.
    async fn start(how: &str, line: &str) -> Self {
        let sim = start(Options::ollama(&["llama=1GB"])).await;
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().display();
        let port = free_port();
        let toml = format!(
            "listen = \"127.0.0.1:{port}\"\nstate_dir = \"{path}/state\"\n\
             [[engine]]\nname = \"own\"\nkind = \"ollama\"\nmanage = \"spawn\"\ndevice = \"cpu\"\n\
             url = \"{}\"\ncommand = [\"sh\", \"{path}/engine.sh\"]\n",
            sim.url()
        );
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("written");
        };
        write("crucible.toml", &toml);
        write("engine.sh", ENGINE);
        write("hold.py", HOLD);
        write(
            "run.sh",
            &format!(
                "echo $$ > '{path}/pid'\nexec '{}' serve --config '{path}/crucible.toml'\n",
                binary::crucible().display()
            ),
        );
        let line = line
            .replace("RUN", &format!("sh '{path}/run.sh'"))
            .replace("LOG", &format!("'{path}/log'"));
        let python = std::env::var("TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let terminal = Command::new(python)
            .arg(folder.path().join("hold.py"))
            .args([how, &line])
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("python starts");
        let held = Self {
            folder,
            port,
            terminal,
            _sim: sim,
        };
        eventually("it is up, and its engine too", || async {
            held.pid("engine")?;
            held.answers().await.then_some(())
        })
        .await;
        held
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn pid(&self, name: &str) -> Option<u32> {
        let text = std::fs::read_to_string(self.file(name)).ok()?;
        text.trim().parse().ok()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    async fn answers(&self) -> bool {
        let url = format!("http://127.0.0.1:{}/healthz", self.port);
        client()
            .get(url)
            .send()
            .await
            .is_ok_and(|a| a.status() == 200)
    }

    /// Closes the terminal; returns once what it ran first has ended.
    async fn close(&mut self) {
        let mut stdin = self.terminal.stdin.take().expect("a pipe");
        stdin.write_all(b"x").expect("it reads");
        eventually("the terminal is gone", || {
            let gone = self.terminal.try_wait().expect("a child").is_some();
            async move { gone.then_some(()) }
        })
        .await;
    }

    /// Crucible and its engine have ended, and the port is free.
    async fn ended(&self, what: &str) {
        let pids = ["pid", "engine"].map(|name| self.pid(name).expect("it was started"));
        eventually(what, || async {
            (!pids.iter().any(|pid| lives(*pid))).then_some(())
        })
        .await;
        assert!(
            TcpListener::bind(("127.0.0.1", self.port)).is_ok(),
            "{what}"
        );
    }

    fn signal(&self, name: &str) {
        let pid = self.pid("pid").expect("it was started").to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(sent.expect("kill runs").success());
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for name in ["pid", "engine"] {
            if let Some(pid) = self.pid(name) {
                let _ = Command::new("kill")
                    .args(["-9", &pid.to_string()])
                    .stderr(Stdio::null())
                    .status();
            }
        }
        let _ = self.terminal.kill();
        let _ = self.terminal.wait();
    }
}

/// It runs; one that has ended and was not waited for does not.
fn lives(pid: u32) -> bool {
    let stat = Path::new("/proc").join(pid.to_string()).join("stat");
    let stat = std::fs::read_to_string(stat).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_ends_with_its_terminal_and_so_does_its_engine() {
    for (what, how, line) in [
        ("the first process", "exec", "RUN"),
        ("a command in the foreground", "type", "RUN"),
        ("one whose output goes to a file", "type", "RUN > LOG 2>&1"),
        ("one in the background", "type", "RUN &"),
        ("one of a pipe", "type", "RUN 2>&1 | cat > LOG"),
    ] {
        let mut held = Held::start(how, line).await;
        held.close().await;
        held.ended(what).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_meant_to_outlive_its_terminal_does_and_is_reloaded_by_sighup() {
    for line in [
        "nohup RUN > LOG 2>&1 &",
        "nohup RUN 2> LOG",
        "setsid RUN > LOG 2>&1 &",
        "(setsid nohup RUN > LOG 2>&1 &)",
    ] {
        let mut held = Held::start("type", line).await;
        held.close().await;
        let before = held.log().matches("configuration reloaded").count();
        held.signal("HUP");
        eventually(line, || async {
            let reloads = held.log().matches("configuration reloaded").count();
            (reloads > before).then_some(())
        })
        .await;
        assert!(held.answers().await, "{line}: {}", held.log());
        held.signal("TERM");
        held.ended(line).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_reloads_as_long_as_the_terminal_is_there() {
    let mut held = Held::start("type", "RUN > LOG 2>&1").await;
    for reloads in 1..=3 {
        held.signal("HUP");
        eventually("a reload", || async {
            (held.log().matches("configuration reloaded").count() == reloads).then_some(())
        })
        .await;
    }
    assert!(held.answers().await);
    held.close().await;
    held.ended("then it ends with it").await;
    assert!(
        held.log().contains("the terminal was closed"),
        "{}",
        held.log()
    );
}
