//! What a simulated engine is told at its start: models, speeds, memory, switches.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use serde_json::Value;

use crate::faults::Fault;

/// Which engine is imitated.
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

/// How a simulated LM Studio answers on its WebSocket API.
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

/// How a simulated LM Studio refuses a prompt that is longer than its context.
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

/// One downloaded model. The name decides what it can do: `think`, `gpt-oss` and `r1` think,
/// `vision`, `llava` and `-vl` see, `notools` takes no tools, `alternate` wants user and assistant in
/// turns, `embed` and `nomic` embed, `mlx` is in MLX's format.
///
/// Ollama: another name of a model (`ollama cp`) is `NAME~BASE`; one that a Modelfile derived from it
/// is `NAME~BASE+` with what its lines say, `NAME~BASE+num_ctx=8192+adapter=lora`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelSpec {
    /// The engine's name for it.
    pub name: String,
    /// Bytes of its weights.
    pub bytes: u64,
    /// Whether it embeds instead of generating.
    pub embedding: bool,
    /// The longest context it was trained for, in tokens.
    pub max_context: u64,
    /// LM Studio: quantizations that are downloaded, the selected one first (`q4_k_m`).
    pub variants: Vec<String>,
    /// Ollama: the model whose weights it has.
    pub base: Option<String>,
    /// Ollama: what its Modelfile says beside `FROM`; `None` is a plain copy.
    pub modelfile: Option<BTreeMap<String, String>>,
}

/// How to start a [`crate::Sim`]. All fields are open; [`Options::new`] has the defaults.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches of the imitated engines"
)]
pub struct Options {
    /// The engine to imitate.
    pub kind: EngineKind,
    /// Port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// Downloaded models.
    pub models: Vec<ModelSpec>,
    /// How long a load takes. For `openai`: how long the server says "Loading model".
    pub load_time: Duration,
    /// Generated tokens per second; 0 makes no pauses.
    pub rate: u32,
    /// Ollama: `rate` holds per `num_thread` (absent: 1), as on a processor with cores to spare.
    /// Default false.
    pub rate_per_thread: bool,
    /// Prompt tokens per second; 0 makes no pauses.
    pub prefill: u32,
    /// openai: tokens of a prompt that are read at once, after which progress is told. Default 512.
    pub batch: u64,
    /// openai: tokens of a prompt after which it reads no further. Default: none.
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
    /// Faults armed at the start.
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
    /// Ollama: `OLLAMA_MAX_QUEUE`. Default 512.
    pub max_queue: usize,
    /// Ollama: `OLLAMA_MAX_LOADED_MODELS`. Default 3.
    pub max_loaded: usize,
    /// Ollama: `OLLAMA_KEEP_ALIVE`; `None` is forever. Default 5 min.
    pub keep_alive: Option<Duration>,
}

/// A model description that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadModel(String);

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

// === impl ModelSpec ===

impl ModelSpec {
    /// A model of 4 GB (200 MB if its name says that it embeds).
    pub fn named(name: &str) -> Self {
        let embedding = name.contains("embed") || name.contains("nomic");
        Self {
            name: name.to_owned(),
            bytes: if embedding {
                200_000_000
            } else {
                4_000_000_000
            },
            embedding,
            max_context: if embedding { 2048 } else { 131_072 },
            variants: Vec::new(),
            base: None,
            modelfile: None,
        }
    }

    /// `key@variant` of each.
    pub(crate) fn variant_keys(&self) -> Vec<String> {
        let keys = self.variants.iter();
        keys.map(|variant| format!("{}@{variant}", self.name))
            .collect()
    }

    /// The name of the model whose weights it has.
    pub(crate) fn weights(&self) -> &str {
        self.base.as_deref().unwrap_or(&self.name)
    }

    /// Takes the weights of its base.
    pub(crate) fn settle(&mut self, others: &[Self]) {
        let named = |name: &str| others.iter().find(|model| model.name == name);
        let Some(mut base) = self.base.as_deref().and_then(named) else {
            return;
        };
        let mut inherited = self.modelfile.clone().unwrap_or_default();
        for _ in others {
            for (key, value) in base.modelfile.iter().flatten() {
                inherited.entry(key.clone()).or_insert(value.clone());
            }
            match base.base.as_deref().and_then(named) {
                Some(next) => base = next,
                None => break,
            }
        }
        self.modelfile = (self.modelfile.is_some() || !inherited.is_empty()).then_some(inherited);
        self.base = Some(base.name.clone());
        self.bytes = base.bytes;
        self.embedding = base.embedding;
        self.max_context = base.max_context;
    }

    fn says(&self, marks: &[&str]) -> bool {
        let names = [&self.name, self.weights()].map(str::to_ascii_lowercase);
        let said = |mark: &&str| names.iter().any(|name| name.contains(*mark));
        marks.iter().any(said)
    }

    /// Its template has a place for a suffix.
    pub(crate) fn inserts(&self) -> bool {
        self.says(&["coder"])
    }

    pub(crate) fn thinks(&self) -> bool {
        self.says(&["think", "gpt-oss", "r1"])
    }

    pub(crate) fn sees(&self) -> bool {
        self.says(&["vision", "llava", "-vl"])
    }

    /// Its template refuses two messages of one role in a row.
    pub(crate) fn alternates(&self) -> bool {
        self.says(&["alternate"])
    }

    pub(crate) fn takes_tools(&self) -> bool {
        !self.embedding && !self.says(&["notools"])
    }

    pub(crate) fn is_mlx(&self) -> bool {
        self.says(&["mlx"])
    }

    pub(crate) fn is_gpt_oss(&self) -> bool {
        self.says(&["gpt-oss"])
    }

    /// `sim-c500` in the name makes every answer 500 tokens long.
    pub(crate) fn fixed_length(&self) -> Option<u64> {
        let (_, rest) = self.name.split_once("sim-c")?;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    }
}

impl FromStr for ModelSpec {
    type Err = BadModel;

    fn from_str(text: &str) -> Result<Self, BadModel> {
        let bad = || BadModel(text.to_owned());
        if let Some((name, base)) = text.split_once('~') {
            let mut parts = base.split('+');
            let base = parts.next().unwrap_or_default().trim();
            if name.trim().is_empty() || base.is_empty() {
                return Err(bad());
            }
            let lines = parts.filter(|line| !line.is_empty()).map(|line| {
                let (key, value) = line.split_once('=').ok_or_else(bad)?;
                Ok((key.to_owned(), value.to_owned()))
            });
            let lines: BTreeMap<String, String> = lines.collect::<Result<_, BadModel>>()?;
            return Ok(Self {
                base: Some(base.to_owned()),
                modelfile: text.contains('+').then_some(lines),
                ..Self::named(name.trim())
            });
        }
        let (name, rest) = match text.split_once('=') {
            Some((name, rest)) => (name, Some(rest)),
            None => match text.strip_suffix(":embedding") {
                Some(name) => (name, Some("200MB:embedding")),
                None => (text, None),
            },
        };
        if name.trim().is_empty() {
            return Err(bad());
        }
        let mut model = Self::named(name.trim());
        for part in rest.into_iter().flat_map(|rest| rest.split(':')) {
            if let Some(variants) = part.strip_prefix('@') {
                model.variants = variants.split('+').map(str::to_owned).collect();
                continue;
            }
            match part.strip_prefix("ctx") {
                Some(context) => model.max_context = context.parse().map_err(|_| bad())?,
                None if part == "embedding" => {
                    model.embedding = true;
                    model.max_context = model.max_context.min(2048);
                }
                None => model.bytes = part.parse::<ByteSize>().map_err(|_| bad())?.as_u64(),
            }
        }
        Ok(model)
    }
}

impl std::fmt::Display for BadModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "`{}` is not NAME, NAME=8GB, NAME=200MB:embedding, NAME=8GB:ctx8192 or NAME=8GB:@q4_k_m+q8_0, NAME~BASE",
            self.0
        )
    }
}

impl std::error::Error for BadModel {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_and_what_is_derived_have_the_weights_of_their_base() {
        let options = Options::ollama(&["b:1=2GB:ctx8192", "c~b:1", "d~c+num_ctx=1+adapter=x"]);
        let mut models = options.models.clone();
        for model in &mut models {
            model.settle(&options.models);
        }
        assert!(models.iter().all(|m| m.weights() == "b:1"));
        assert!(models.iter().all(|m| m.max_context == 8192));
        assert_eq!(models[1].modelfile, None);
        let lines = models[2].modelfile.clone().unwrap();
        assert_eq!((&*lines["num_ctx"], &*lines["adapter"]), ("1", "x"));
        assert!("c~".parse::<ModelSpec>().is_err());
        assert!("c~b+x".parse::<ModelSpec>().is_err());
    }

    #[test]
    fn a_tag_stays_in_the_name_and_a_size_is_read() {
        let model: ModelSpec = "llama3.2:3b=2GB:ctx8192".parse().unwrap();
        assert_eq!(model.name, "llama3.2:3b");
        assert_eq!((model.bytes, model.max_context), (2_000_000_000, 8192));
        assert!(
            "nomic=200MB:embedding"
                .parse::<ModelSpec>()
                .unwrap()
                .embedding
        );
        let model: ModelSpec = "q=2GB:@q4_k_m+q8_0:ctx8192".parse().unwrap();
        assert_eq!(model.variant_keys(), ["q@q4_k_m", "q@q8_0"]);
        assert!("a=lots".parse::<ModelSpec>().is_err());
        assert!("=1GB".parse::<ModelSpec>().is_err());
    }
}
