//! The runner of a loaded model: a child process of Ollama that is a whole `llama-server` of its own, at the
//! port of its command line. Ollama 0.33.0-rc2, `llm/llama_server.go`.
//!
//! An Ollama that is a process named `ollama` starts one for each load where a program `llama-server` lies
//! beside its own. The real runner reads the prompts and Ollama passes them on; here Ollama keeps the time and
//! tells its runner over standard input what it reads, so that `GET /slots` there shows it.

use std::collections::HashMap;
use std::io::{self, BufRead as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::ollama::tuple::Tuple;
use crate::options::Options;
use crate::sim::Sim;

/// The variable that has the tokens of a prompt that a runner reads per second.
const RATE: &str = "SIM_PREFILL";

/// The variable that has the tokens of a prompt after which a runner reads no further, where there are such.
const STOPS_AT: &str = "SIM_PREFILL_STOPS_AT";

/// A runner that lives until this is dropped.
#[derive(Debug)]
pub(crate) struct RunnerProcess {
    child: Mutex<Child>,
    input: Mutex<ChildStdin>,
    tasks: AtomicU64,
}

/// A prompt that the runner shows in its slots until this is dropped.
pub(crate) struct ShownPrompt {
    runner: Arc<RunnerProcess>,
    task: u64,
}

/// A line for a runner: the prompt of a task begins, or with no tokens its answer is over.
#[derive(Serialize, Deserialize)]
struct PromptLine {
    task: u64,
    tokens: Option<u64>,
}

// === impl RunnerProcess ===

impl RunnerProcess {
    /// Starts `program` for a model with these options in effect.
    pub(crate) fn start(
        program: &Path,
        options: &Options,
        tuple: &Tuple,
        slots: u64,
    ) -> io::Result<Arc<Self>> {
        // Ollama too asks the system for a port that is free, and gives it back for the runner.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let context = tuple.num_ctx.saturating_mul(slots);
        let batch = options.batch.to_string();
        let stops_at = options.prefill_stops_at.map(|tokens| tokens.to_string());
        let mut child = Command::new(program)
            .args(["--model", "/models/blobs/sha256-simulated"])
            .args(["--port", &port.to_string(), "--host", "127.0.0.1"])
            .args(["--no-webui", "--offline", "-c", &context.to_string()])
            .args(["-np", &slots.to_string(), "-b", &batch, "-ub", &batch])
            .env(RATE, options.prefill.to_string())
            .envs(stops_at.map(|tokens| (STOPS_AT, tokens)))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        let input = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Arc::new(Self {
            child: Mutex::new(child),
            input: Mutex::new(input),
            tasks: AtomicU64::new(0),
        }))
    }

    /// Shows that the runner reads a prompt of so many tokens from now on.
    pub(crate) fn shows(self: &Arc<Self>, tokens: u64) -> ShownPrompt {
        let task = self.tasks.fetch_add(1, Ordering::Relaxed);
        self.say(&PromptLine {
            task,
            tokens: Some(tokens),
        });
        ShownPrompt {
            runner: Arc::clone(self),
            task,
        }
    }

    fn say(&self, line: &PromptLine) {
        // A runner that died shows nothing, as a real one.
        if let Ok(mut text) = serde_json::to_vec(line) {
            text.push(b'\n');
            let mut input = self.input.lock();
            let _ = input.write_all(&text).and_then(|()| input.flush());
        }
    }
}

impl Drop for RunnerProcess {
    fn drop(&mut self) {
        let mut child = self.child.lock();
        let _ = child.kill().and_then(|()| child.wait());
    }
}

impl Drop for ShownPrompt {
    fn drop(&mut self) {
        let task = self.task;
        self.runner.say(&PromptLine { task, tokens: None });
    }
}

/// Is the runner of these arguments, until its Ollama is gone.
///
/// # Errors
/// An argument or a line that no Ollama writes, or a port that is taken.
pub async fn run_as_runner(arguments: &[String]) -> io::Result<()> {
    let value = |flag: &str| {
        let at = arguments.iter().position(|argument| argument == flag)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    let odd = || io::Error::from(io::ErrorKind::InvalidInput);
    let number = |flag: &str| value(flag).ok_or_else(odd);
    let mut options = Options::openai(&["runner"]);
    options.port = u16::try_from(number("--port")?).map_err(|_| odd())?;
    options.parallel = usize::try_from(number("-np")?).map_err(|_| odd())?;
    options.context = number("-c")?;
    options.batch = number("-b")?;
    let rate = std::env::var(RATE).ok().and_then(|rate| rate.parse().ok());
    options.prefill = rate.unwrap_or_default();
    let stops_at = std::env::var(STOPS_AT).ok();
    options.prefill_stops_at = stops_at.and_then(|tokens| tokens.parse().ok());
    let server = Sim::start(options).await?;
    let reading = tokio::task::spawn_blocking(move || {
        let mut shown = HashMap::new();
        for line in io::stdin().lock().lines() {
            let line: PromptLine = serde_json::from_str(&line?)?;
            match line
                .tokens
                .and_then(|tokens| server.holds(line.task, tokens))
            {
                Some(prompt) => drop(shown.insert(line.task, prompt)),
                None => drop(shown.remove(&line.task)),
            }
        }
        io::Result::Ok(server)
    });
    reading.await.map_err(io::Error::other)??.stop().await;
    Ok(())
}
