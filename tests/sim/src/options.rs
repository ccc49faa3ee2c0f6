//! What a simulated engine is told at its start: models, speeds, memory, switches.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::faults::Fault;
use crate::model_spec::ModelSpec;

/// The engine that is imitated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum EngineKind {
    /// LM Studio 0.4.25 (recorded answers and the vendor's documentation).
    #[value(name = "lmstudio")]
    LmStudio,
    /// Ollama 0.33.0-rc2 (its source).
    Ollama,
    /// A plain OpenAI-compatible server: llama.cpp's `llama-server`, b10488.
    #[value(name = "openai")]
    OpenAi,
}

/// The way in which a simulated LM Studio answers on its WebSocket API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebSocket {
    /// It loads as it was asked to.
    Right,
    /// It loads with half of the layers, caches of `q4_0` and an idle clock of one minute, whatever
    /// it was asked for.
    Wrong,
    /// As right, but it refuses `listLoaded`: the protocol names no version, so a call may be gone.
    Unlisted,
    /// The path is unknown to it.
    Missing,
}

/// The way in which a simulated LM Studio refuses a prompt that is longer than its context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// 400, llama.cpp's words as a bare string.
    Bare,
    /// 400, LM Studio's own words as a bare string: "Trying to keep the first N tokens".
    KeepFirst,
    /// 400, an object that speaks of `n_keep` and `n_ctx`.
    NKeep,
    /// 200 and `application/json` with an error object, streamed or not.
    Json200,
    /// An error as the first event of a 200 stream.
    Event,
    /// A 200 stream without a word.
    Empty,
}

/// The options with which a [`crate::Sim`] starts. All fields are open; [`Options::new`] has the defaults.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches of the imitated engines"
)]
pub struct Options {
    /// The engine to imitate.
    pub kind: EngineKind,
    /// The port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// The models that are downloaded, in the order in which they are listed.
    pub models: Vec<ModelSpec>,
    /// The time that a load takes. For `openai`: how long the server says "Loading model".
    pub load_time: Duration,
    /// The number of generated tokens per second; 0 makes no pauses.
    pub rate: u32,
    /// Ollama: `rate` holds per `num_thread` (absent: 1), as on a processor with cores to spare.
    /// Default false.
    pub rate_per_thread: bool,
    /// The number of tokens of a prompt that are read per second; 0 makes no pauses.
    pub prefill: u32,
    /// openai, and runners of Ollama: tokens of a prompt that are read at once, after which progress is told. Default 512.
    pub batch: u64,
    /// openai, Ollama: tokens of a prompt after which it reads no further. Default: none.
    pub prefill_stops_at: Option<u64>,
    /// Memory for residents in bytes; `None` is endless.
    pub memory: Option<u64>,
    /// Requests at once per resident. Default: LM Studio 4, Ollama 1, openai 1.
    pub parallel: usize,
    /// Context of a load that names none: LM Studio's JIT, Ollama's automatic choice, and the
    /// whole context of `openai` (divided by `parallel` there). Default 4096.
    pub context: u64,
    /// Context that is really in effect, where it is less than what is stated. Default: none.
    pub effective: Option<u64>,
    /// Cuts a prompt that does not fit without a word, also where the request forbids it: LM Studio
    /// with the overflow policy `truncateMiddle`, an Ollama that knows no `truncate`, llama-server
    /// with a context shift. Default false.
    pub cuts: bool,
    /// The faults that are armed at the start.
    pub script: Vec<Fault>,
    /// The version that the engine reports.
    pub version: String,
    /// LM Studio: load on request. Default true.
    pub jit: bool,
    /// LM Studio: keep only the last model that was loaded on request. Default true.
    pub auto_evict: bool,
    /// LM Studio: idle time after which a model loaded on request goes. Default 60 min.
    pub jit_ttl: Duration,
    /// LM Studio: takes `frequency_penalty` for its repeat penalty, so that values below 1 reward
    /// repetition (suspected of 0.4, whose `/v1/responses` echoes it so). Default false.
    pub penalty_alias: bool,
    /// LM Studio: its form of "the prompt does not fit". Default: bare.
    pub overflow: Overflow,
    /// LM Studio: keys of a load that its version does not know, refused as 0.4.25 refuses unknown
    /// ones. Default none.
    pub unknown_keys: Vec<String>,
    /// LM Studio: whether `/api/v1` exists (since 0.4.0). Default true.
    pub v1: bool,
    /// LM Studio: its WebSocket API. Default: right.
    pub websocket: WebSocket,
    /// openai: whether it tells what its slots do (`--no-slots` closes it). Default true.
    pub slots: bool,
    /// openai: router mode with this `--models-max` (0: endless). Default: none.
    pub router: Option<usize>,
    /// LM Studio, openai: the token that requests must carry.
    pub token: Option<String>,
    /// Ollama: the program `llama-server` that it starts for each load. Default: none.
    pub runner: Option<PathBuf>,
    /// Ollama: `OLLAMA_MAX_QUEUE`. Default 512.
    pub max_queue: usize,
    /// Ollama: `OLLAMA_MAX_LOADED_MODELS`. Default 3.
    pub max_loaded: usize,
    /// Ollama: `OLLAMA_KEEP_ALIVE`; `None` is forever. Default 5 min.
    pub keep_alive: Option<Duration>,
}

// === impl Options ===

impl Options {
    /// The defaults of an engine with the given models (`name`, `name=8GB`, `name=200MB:embedding`,
    /// `name=8GB:@q4_k_m+q8_0`); text that is no model description is taken as a name.
    pub fn new(kind: EngineKind, models: &[&str]) -> Self {
        let models = models
            .iter()
            .map(|text| text.parse().unwrap_or_else(|_| ModelSpec::named(text)))
            .collect();
        let (parallel, version) = match kind {
            EngineKind::LmStudio => (4, "0.4.25"),
            EngineKind::Ollama => (1, "0.33.0-rc2"),
            EngineKind::OpenAi => (1, "b10488"),
        };
        Self {
            kind,
            port: 0,
            models,
            load_time: Duration::ZERO,
            rate: 0,
            rate_per_thread: false,
            prefill: 0,
            batch: 512,
            prefill_stops_at: None,
            memory: None,
            parallel,
            context: 4096,
            effective: None,
            cuts: false,
            script: Vec::new(),
            version: version.to_owned(),
            jit: true,
            auto_evict: true,
            jit_ttl: Duration::from_hours(1),
            penalty_alias: false,
            overflow: Overflow::Bare,
            unknown_keys: Vec::new(),
            v1: true,
            websocket: WebSocket::Right,
            slots: true,
            router: None,
            token: None,
            runner: None,
            max_queue: 512,
            max_loaded: 3,
            keep_alive: Some(Duration::from_mins(5)),
        }
    }

    /// An LM Studio with these models.
    pub fn lmstudio(models: &[&str]) -> Self {
        Self::new(EngineKind::LmStudio, models)
    }

    /// An Ollama with these models.
    pub fn ollama(models: &[&str]) -> Self {
        Self::new(EngineKind::Ollama, models)
    }

    /// A `llama-server` with these models.
    pub fn openai(models: &[&str]) -> Self {
        Self::new(EngineKind::OpenAi, models)
    }

    /// Pause between two generated tokens of an answer with these runner options.
    pub(crate) fn pace(&self, runner: &Value) -> Duration {
        let threads = runner["num_thread"].as_u64().unwrap_or(1).max(1);
        let factor = if self.rate_per_thread { threads } else { 1 };
        per_second(1, self.rate) / u32::try_from(factor).unwrap_or(u32::MAX)
    }

    /// What is in effect of a stated context.
    pub(crate) fn in_effect(&self, stated: u64) -> u64 {
        self.effective
            .map_or(stated, |effective| effective.min(stated))
    }

    /// Time to read a prompt.
    pub(crate) fn prefill_time(&self, prompt_tokens: u64) -> Duration {
        per_second(prompt_tokens, self.prefill)
    }
}

fn per_second(tokens: u64, rate: u32) -> Duration {
    if rate == 0 {
        return Duration::ZERO;
    }
    Duration::from_micros(tokens.saturating_mul(1_000_000) / u64::from(rate))
}
