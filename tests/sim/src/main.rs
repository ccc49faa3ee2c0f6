//! The program `crucible-sim`: a simulated engine on a port, for tests in any language.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use bytesize::ByteSize;
use clap::Parser;
use crucible_sim::{EngineKind, Fault, ModelSpec, Options, Sim, run_as_runner};

/// The name by which this program is the runner of an Ollama.
const RUNNER: &str = "llama-server";

const FAULTS: &str = "\
Prints `listening on http://127.0.0.1:PORT`. GET /sim/log tells what happened; POST /sim/fault
arms {\"kind\", \"after_bytes\", \"after_events\", \"delay_ms\", \"count\", \"text\", \"path\",
\"body\"}; POST /sim/converse takes a list of conversations {\"when\", \"turns\"
[{\"text\", \"calls\" {TOOL: ARGUMENTS}}]}: a chat with `when` in a user message is answered by
the turn of its number of tool results, `{result}` in a text being the last of them;
POST /sim/reset clears all three; POST /sim/crash drops all residents, /sim/eject
{\"instance\"} one of them; /sim/delete {\"model\"} deletes a model, and /sim/pull
{\"model\"} brings it back.

Fault kinds:
  no_headers, slow_headers, http_500, http_503, http_429, redirect, html, bare_error, error_200,
  json_200, bare_200, empty_stream                         instead of the engine's answer
  load_fail, load_hang, load_oom, wrong_context                         on the next load
  stall, cut, eof, error_event, crash, comments_only    in an answer, after_events (default 1)
  garbage, big_event, split, crlf                            in an answer, also with the above
  alias                              the answer names `text` as the model that gave it (LM Studio)";

/// A simulated LM Studio, Ollama or llama-server.
#[derive(Debug, Parser)]
#[command(name = "crucible-sim", after_help = FAULTS)]
struct Cli {
    /// The engine to imitate.
    kind: EngineKind,
    /// Port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Downloaded models: NAME, NAME=8GB, NAME=200MB:embedding, NAME=8GB:ctx8192,
    /// `NAME=8GB:@q4_k_m+q8_0` (variants of an LM Studio); Ollama also NAME~BASE (a copy) and
    /// `NAME~BASE+num_ctx=8192` (derived by a Modelfile).
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "sim-model,sim-other,nomic-embed"
    )]
    models: Vec<ModelSpec>,
    /// How long a load takes.
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    load_time: Duration,
    /// Tokens per second; 0 makes no pauses.
    #[arg(long, default_value_t = 0)]
    rate: u32,
    /// Prompt tokens per second; 0 makes no pauses.
    #[arg(long, default_value_t = 0)]
    prefill: u32,
    /// Memory for residents (12GB); endless without it.
    #[arg(long)]
    memory: Option<ByteSize>,
    /// Requests at once per resident.
    #[arg(long)]
    parallel: Option<usize>,
    /// Context of a load that names none.
    #[arg(long, default_value_t = 4096)]
    context: u64,
    /// A JSON list of faults to arm at the start.
    #[arg(long)]
    script: Option<PathBuf>,
    /// The version to report.
    #[arg(long)]
    version: Option<String>,
    /// LM Studio: do not load on request.
    #[arg(long)]
    no_jit: bool,
    /// LM Studio: keep all models loaded on request.
    #[arg(long)]
    no_auto_evict: bool,
    /// LM Studio: no `/api/v1`, as before 0.4.0.
    #[arg(long)]
    no_v1: bool,
    /// LM Studio: idle time after which a model loaded on request goes.
    #[arg(long, default_value = "60m", value_parser = humantime::parse_duration)]
    ttl: Duration,
    /// openai: router mode with this `--models-max`.
    #[arg(long)]
    router: Option<usize>,
    /// LM Studio, openai: the token that requests must carry.
    #[arg(long)]
    token: Option<String>,
    /// Tokens of a prompt that are read at once.
    #[arg(long, default_value_t = 512)]
    batch: u64,
    /// openai, Ollama: tokens of a prompt after which it reads no further.
    #[arg(long)]
    prefill_stops_at: Option<u64>,
    /// Ollama: `OLLAMA_MAX_QUEUE`.
    #[arg(long, default_value_t = 512)]
    max_queue: usize,
    /// Ollama: `OLLAMA_MAX_LOADED_MODELS`.
    #[arg(long, default_value_t = 3)]
    max_loaded: usize,
}

fn options(cli: Cli) -> anyhow::Result<Options> {
    let script: Vec<Fault> = match &cli.script {
        Some(path) => {
            let text = std::fs::read(path).with_context(|| path.display().to_string())?;
            serde_json::from_slice(&text).with_context(|| path.display().to_string())?
        }
        None => Vec::new(),
    };
    let mut options = Options::new(cli.kind, &[]);
    options.port = cli.port;
    options.models = cli.models;
    options.load_time = cli.load_time;
    options.rate = cli.rate;
    options.prefill = cli.prefill;
    options.memory = cli.memory.map(|size| size.as_u64());
    options.parallel = cli.parallel.unwrap_or(options.parallel).max(1);
    options.context = cli.context;
    options.script = script;
    options.version = cli.version.unwrap_or(options.version);
    options.jit = !cli.no_jit;
    options.auto_evict = !cli.no_auto_evict;
    options.v1 = !cli.no_v1;
    options.jit_ttl = cli.ttl;
    options.token = cli.token;
    options.router = cli.router;
    options.batch = cli.batch;
    options.prefill_stops_at = cli.prefill_stops_at;
    options.max_queue = cli.max_queue;
    options.max_loaded = cli.max_loaded;
    Ok(options)
}

/// Whether this program has the given name, as the system knows it.
fn is_named(name: &str) -> bool {
    let program = std::env::current_exe();
    program.is_ok_and(|path| path.file_stem().is_some_and(|stem| stem == name))
}

/// The program of runners beside this one, where there is one.
fn runner() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok()?.with_file_name(RUNNER);
    beside.is_file().then_some(beside)
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    use std::io::Write as _;

    let mut options = options(cli)?;
    options.runner = runner();
    let sim = Sim::start(options).await?;
    let mut out = std::io::stdout();
    // Who started it may have closed the pipe; it serves all the same.
    let _ = writeln!(out, "listening on {}", sim.url()).and_then(|()| out.flush());
    tokio::signal::ctrl_c().await?;
    sim.stop().await;
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    use std::io::Write as _;

    let mut words: Vec<String> = std::env::args().collect();
    let ended = if is_named(RUNNER) {
        run_as_runner(&words).await.map_err(Into::into)
    } else {
        // `ollama serve` is an Ollama, as the real program.
        if is_named("ollama") && words.get(1).is_some_and(|word| word == "serve") {
            "ollama".clone_into(&mut words[1]);
        }
        run(Cli::parse_from(words)).await
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "crucible-sim: {error:#}");
            ExitCode::from(2)
        }
    }
}
