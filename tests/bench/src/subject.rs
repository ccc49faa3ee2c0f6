//! What is measured: the upstream itself, nginx, Crucible, Crucible translating.

use std::{
    fmt::Write,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use clap::ValueEnum;
use serde::Serialize;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStdout},
    time::{sleep, timeout},
};

use crate::{
    format::Format,
    process::{family, on_path, pinned, start_listening},
};

/// The core of upstream and load.
pub(crate) const LOAD_CORE: usize = 0;
/// The core of the subject.
pub(crate) const SUBJECT_CORE: usize = 1;

/// What stands between load and upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BenchSubject {
    /// Nothing; the CPU is the upstream's own.
    Direct,
    /// nginx as a reverse proxy.
    Nginx,
    /// Crucible in front of an OpenAI-compatible engine.
    Crucible,
    /// Crucible in front of Ollama's native API.
    Translated,
    /// Crucible in front of an OpenAI-compatible engine, asked in OpenAI's Responses format.
    Responses,
    /// Crucible in front of an OpenAI-compatible engine, asked in Anthropic's Messages format.
    Messages,
}

/// A running subject.
pub(crate) struct Subject {
    pub(crate) kind: BenchSubject,
    pub(crate) address: String,
    pub(crate) pids: Vec<u32>,
    /// From the start of its process to its first good answer.
    pub(crate) ready: Duration,
    _child: Option<Child>,
    _stdout: Option<Lines<BufReader<ChildStdout>>>,
    _folder: Option<TempDir>,
}

/// Longest wait for a first good answer.
const START: Duration = Duration::from_secs(30);

// === impl BenchSubject ===

impl BenchSubject {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Nginx => "nginx",
            Self::Crucible => "Crucible",
            Self::Translated => "Crucible, translating",
            Self::Responses => "Crucible, Responses",
            Self::Messages => "Crucible, Messages",
        }
    }

    /// Reports whether the subject is Crucible.
    pub(crate) const fn is_crucible(self) -> bool {
        match self {
            Self::Direct | Self::Nginx => false,
            Self::Crucible | Self::Translated | Self::Responses | Self::Messages => true,
        }
    }

    /// Returns the format in which the load asks.
    pub(crate) const fn format(self) -> Format {
        match self {
            Self::Direct | Self::Nginx | Self::Crucible | Self::Translated => Format::Chat,
            Self::Responses => Format::Responses,
            Self::Messages => Format::Messages,
        }
    }
}

// === impl Subject ===

impl Drop for Subject {
    /// Asks every process of it to end: nginx's worker would outlive a killed master.
    fn drop(&mut self) {
        if self.kind != BenchSubject::Direct {
            let pids = self.pids.iter().map(ToString::to_string);
            let _ = std::process::Command::new("kill")
                .args(pids)
                .stderr(std::process::Stdio::null())
                .status();
        }
    }
}

impl Subject {
    /// Starts it on its core and waits until it answers.
    pub(crate) async fn start(
        kind: BenchSubject,
        upstream: &str,
        upstream_pid: u32,
        crucible: Option<&Path>,
    ) -> anyhow::Result<Self> {
        match kind {
            BenchSubject::Direct => Ok(Self {
                kind,
                address: upstream.to_owned(),
                pids: vec![upstream_pid],
                ready: Duration::ZERO,
                _child: None,
                _stdout: None,
                _folder: None,
            }),
            BenchSubject::Nginx => Self::nginx(upstream).await,
            BenchSubject::Crucible
            | BenchSubject::Translated
            | BenchSubject::Responses
            | BenchSubject::Messages => {
                let program = crucible.context("no crucible binary")?;
                Self::crucible(kind, upstream, program).await
            }
        }
    }

    async fn nginx(upstream: &str) -> anyhow::Result<Self> {
        let program = [
            "/usr/sbin/nginx",
            "/usr/local/sbin/nginx",
            "/opt/homebrew/bin/nginx",
        ]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.is_file())
        .or_else(|| on_path("nginx").then(|| PathBuf::from("nginx")))
        .context("nginx is missing (Debian: apt install nginx-light)")?;
        let folder = tempfile::tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let config = folder.path().join("nginx.conf");
        fs::write(&config, nginx_config(folder.path(), port, upstream)?)?;
        let mut command = pinned(SUBJECT_CORE, &program);
        command.arg("-c").arg(&config).arg("-p").arg(folder.path());
        command.stderr(fs::File::create(folder.path().join("stderr"))?);
        let started = Instant::now();
        let child = command.spawn().context("cannot start nginx")?;
        let address = format!("127.0.0.1:{port}");
        let ready = match ready(&address, "/health", started).await {
            Ok(ready) => ready,
            Err(error) => {
                let said = fs::read_to_string(folder.path().join("stderr")).unwrap_or_default();
                return Err(error.context(format!("nginx: {said}")));
            }
        };
        Ok(Self {
            kind: BenchSubject::Nginx,
            address,
            pids: family(child.id().context("nginx ended")?),
            ready,
            _child: Some(child),
            _stdout: None,
            _folder: Some(folder),
        })
    }

    async fn crucible(kind: BenchSubject, upstream: &str, program: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        // In a folder of its own, which is watched: log lines beside it would wake the watcher.
        let config = folder.path().join("config/crucible.toml");
        fs::create_dir(folder.path().join("config"))?;
        fs::write(&config, crucible_config(kind, folder.path(), upstream))?;
        let log = folder.path().join("stderr");
        let mut command = pinned(SUBJECT_CORE, program);
        command
            .args(["serve", "--config"])
            .arg(&config)
            .stderr(fs::File::create(&log)?);
        let started = Instant::now();
        let start = async {
            let (child, address, stdout) = start_listening(command).await?;
            let ready = ready(&address, "/readyz", started).await?;
            Ok::<_, anyhow::Error>((child, address, stdout, ready))
        };
        let (child, address, stdout, ready) = match start.await {
            Ok(started) => started,
            Err(error) => {
                let said = fs::read_to_string(&log).unwrap_or_default();
                return Err(error.context(format!("{}: {said}", program.display())));
            }
        };
        Ok(Self {
            kind,
            address,
            pids: family(child.id().context("crucible ended")?),
            ready,
            _child: Some(child),
            _stdout: Some(stdout),
            _folder: Some(folder),
        })
    }
}

/// One worker, no logs, nothing buffered, connections kept to both sides.
fn nginx_config(folder: &Path, port: u16, upstream: &str) -> anyhow::Result<String> {
    // A master that is root would give its worker another user, who may not enter our folder.
    let user = if is_root()? { "user root;\n" } else { "" };
    let mut temporary = String::new();
    for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        writeln!(temporary, "  {name}_temp_path {}/{name};", folder.display())?;
    }
    Ok(format!(
        "{user}worker_processes 1;\ndaemon off;\npid {folder}/pid;\nerror_log stderr crit;\n\
         events {{ worker_connections 8192; }}\n\
         http {{\n  access_log off;\n  keepalive_requests 1000000;\n\
         \x20 client_max_body_size 32m;\n  client_body_buffer_size 128k;\n{temporary}\
         \x20 upstream engine {{ server {upstream}; keepalive 512; keepalive_requests 1000000; }}\n\
         \x20 server {{\n    listen 127.0.0.1:{port} backlog=4096;\n    location / {{\n\
         \x20     proxy_pass http://engine;\n      proxy_http_version 1.1;\n\
         \x20     proxy_set_header Connection \"\";\n      proxy_buffering off;\n\
         \x20     proxy_read_timeout 700s;\n    }}\n  }}\n}}\n",
        folder = folder.display(),
    ))
}

fn is_root() -> anyhow::Result<bool> {
    let output = std::process::Command::new("id")
        .arg("-u")
        .output()
        .context("id")?;
    Ok(output.stdout.trim_ascii() == b"0")
}

/// Everything on as it comes; only the numbers that bound a load test are raised.
fn crucible_config(kind: BenchSubject, folder: &Path, upstream: &str) -> String {
    let engine = if kind == BenchSubject::Translated {
        "ollama"
    } else {
        "openai"
    };
    format!(
        "listen = \"127.0.0.1:0\"\nstate_dir = '{folder}/state'\n\
         [limits]\nconnections = 4096\n\
         [[engine]]\nname = \"bench\"\nkind = \"{engine}\"\nurl = \"http://{upstream}\"\n\
         permits = 4096\nqueue = 4096\n",
        folder = folder.display(),
    )
}

/// Asks until the answer is 200; the time since the start.
async fn ready(address: &str, path: &str, started: Instant) -> anyhow::Result<Duration> {
    let asking = async {
        loop {
            if status(address, path)
                .await
                .is_ok_and(|status| status == "200")
            {
                return started.elapsed();
            }
            sleep(Duration::from_millis(1)).await;
        }
    };
    match timeout(START, asking).await {
        Ok(ready) => Ok(ready),
        Err(_) => bail!("no good answer from http://{address}{path} in {START:?}"),
    }
}

async fn status(address: &str, path: &str) -> anyhow::Result<String> {
    let mut socket = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    Ok(answer
        .split_whitespace()
        .nth(1)
        .unwrap_or_default()
        .to_owned())
}
