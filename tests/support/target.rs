//! An engine that the conformance tests run against: a simulator, or a real one that the
//! environment names.
//!
//! Real ones: llama.cpp by `TEST_LLAMA_COMMAND` and `TEST_MODEL_PATH` (`.ci/run` exports them),
//! Ollama by `TEST_OLLAMA_URL` and `TEST_OLLAMA_MODEL`, LM Studio by `CRUCIBLE_LIVE_LMSTUDIO`
//! (its URL). A target whose variables are not set is `None`; tests against real engines run
//! one at a time, since they share the engine and the processor.

#![expect(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "test support: it fails loudly and says what it does not run"
)]

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use crucible_config::{Config, ConfigSources, checked::EngineKind, load};
use crucible_router::{
    catalog::ModelKind,
    engine::{self, Engine, LoadOrder, LoadTuple, tuple_for},
    machine::physical_cores,
};
use crucible_sim::{Options, Sim};
use tempfile::TempDir;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::{engines, process::Crucible, rest::ready};

/// How long engines are told to keep an idle model: unlike every engine's own default, so that a
/// model which the engine loaded anew by itself can be told from the one that Crucible loaded.
pub const KEEP: Duration = Duration::from_secs(47 * 60);

/// Context per request that the targets are configured with.
pub const CONTEXT: u64 = 2048;

static ALONE: LazyLock<Arc<Mutex<()>>> = LazyLock::new(Arc::default);

/// Waits until no other test has a real engine, which would take the processor from this one; until the guard
/// is dropped no other gets one.
pub async fn alone() -> OwnedMutexGuard<()> {
    Arc::clone(&ALONE).lock_owned().await
}

/// An engine under test.
pub struct Target {
    /// What it speaks.
    pub kind: EngineKind,
    /// The model to use.
    pub model: String,
    /// Its URL; `None` where Crucible spawns it.
    pub url: Option<String>,
    /// The simulator, where it is one.
    pub sim: Option<Sim>,
    block: String,
    _alone: Option<OwnedMutexGuard<()>>,
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The device is fixed, since it decides about `num_gpu`.
fn block(kind: &str, url: &str) -> String {
    let mut block = engines::engine(kind, kind, url);
    if kind == "ollama" {
        block.push_str("device = \"cpu\"\n");
    }
    block
}

// === impl Target ===

impl Target {
    /// The simulated Ollama.
    pub async fn simulated_ollama() -> Option<Self> {
        let options = Options::ollama(&["smol-notools=1GB:ctx8192"]);
        Some(Self::simulated(EngineKind::Ollama, "ollama", options).await)
    }

    /// The simulated LM Studio.
    pub async fn simulated_lmstudio() -> Option<Self> {
        let options = Options::lmstudio(&["smol-notools=1GB:ctx8192"]);
        Some(Self::simulated(EngineKind::Lmstudio, "lmstudio", options).await)
    }

    /// The simulated OpenAI-compatible server.
    pub async fn simulated_openai() -> Option<Self> {
        let mut options = Options::openai(&["smol-notools=1GB:ctx8192"]);
        options.context = CONTEXT;
        Some(Self::simulated(EngineKind::Openai, "openai", options).await)
    }

    async fn simulated(kind: EngineKind, word: &str, mut options: Options) -> Self {
        options.rate = 500;
        options.prefill = 100_000;
        let model = options.models[0].name.clone();
        let sim = engines::start(options).await;
        Self {
            kind,
            block: block(word, &sim.url()),
            url: Some(sim.url()),
            model,
            sim: Some(sim),
            _alone: None,
        }
    }

    /// A real llama.cpp server that Crucible starts.
    pub async fn real_llamacpp() -> Option<Self> {
        let command = variable("TEST_LLAMA_COMMAND");
        let Some((command, path)) = command.zip(variable("TEST_MODEL_PATH")) else {
            eprintln!("not run: TEST_LLAMA_COMMAND and TEST_MODEL_PATH are not set");
            return None;
        };
        let words: Vec<&str> = command.split_whitespace().collect();
        let stem = std::path::Path::new(&path).file_stem();
        let model = stem.map(|stem| stem.to_string_lossy().into_owned());
        Some(Self {
            kind: EngineKind::Llamacpp,
            model: model.unwrap_or_default(),
            url: None,
            sim: None,
            block: format!(
                "[[engine]]\nname = \"llamacpp\"\nkind = \"llamacpp\"\nmanage = \"spawn\"\n\
                 command = {words:?}\nmodel_path = {path:?}\npermits = 1\n"
            ),
            _alone: Some(alone().await),
        })
    }

    /// A real Ollama that somebody started.
    pub async fn real_ollama() -> Option<Self> {
        let url = variable("TEST_OLLAMA_URL");
        let Some((url, model)) = url.zip(variable("TEST_OLLAMA_MODEL")) else {
            eprintln!("not run: TEST_OLLAMA_URL and TEST_OLLAMA_MODEL are not set");
            return None;
        };
        let alone = alone().await;
        let this = Self {
            kind: EngineKind::Ollama,
            model,
            block: block("ollama", &url),
            url: Some(url),
            sim: None,
            _alone: Some(alone),
        };
        this.clear().await;
        Some(this)
    }

    /// A real LM Studio that somebody started; the model is its smallest.
    ///
    /// # Panics
    /// If the engine does not answer as it should.
    pub async fn real_lmstudio() -> Option<Self> {
        let Some(url) = variable("CRUCIBLE_LIVE_LMSTUDIO") else {
            eprintln!("not run: CRUCIBLE_LIVE_LMSTUDIO is not set");
            return None;
        };
        let alone = alone().await;
        let mut this = Self {
            kind: EngineKind::Lmstudio,
            model: String::new(),
            block: block("lmstudio", &url),
            url: Some(url),
            sim: None,
            _alone: Some(alone),
        };
        let listing = this.driver().list().await.expect("LM Studio lists models");
        let smallest = listing
            .models
            .iter()
            .filter(|model| model.kind == ModelKind::Generation)
            .min_by_key(|model| model.size_bytes.unwrap_or(u64::MAX));
        this.model = smallest.expect("a generation model").id.to_string();
        this.clear().await;
        Some(this)
    }

    /// Whether it is a real engine.
    pub fn real(&self) -> bool {
        self.sim.is_none()
    }

    /// The configuration of its Crucible. On Ollama the context counts for whatever other names its weights
    /// have, too: a Modelfile of theirs may say more.
    pub fn toml(&self, context: u64) -> String {
        format!(
            "{}[[model]]\nname = {:?}\ncontext = {context}\nfit = \"reject\"\n\
             [tuning.lmstudio]\nmodel_ttl = \"{}s\"\n\
             [tuning.ollama]\ncontext_size = {context}\n",
            self.block,
            self.model,
            KEEP.as_secs(),
        )
    }

    /// A Crucible in front of it.
    pub async fn crucible(&self) -> Crucible {
        self.crucible_with(CONTEXT).await
    }

    /// The same with another context.
    pub async fn crucible_with(&self, context: u64) -> Crucible {
        let crucible = Crucible::start(&self.toml(context));
        ready(&crucible).await;
        crucible
    }

    fn config(&self) -> Config {
        let folder = TempDir::new().expect("a temporary folder");
        let file = folder.path().join("crucible.toml");
        std::fs::write(&file, self.toml(CONTEXT)).expect("the configuration is written");
        let sources = ConfigSources {
            file: Some(file),
            ..ConfigSources::default()
        };
        load(&sources).expect("a valid configuration").config
    }

    /// Crucible's own control side of it.
    ///
    /// # Panics
    /// If it cannot be built.
    pub fn driver(&self) -> Arc<dyn Engine> {
        let config = self.config();
        let client = engine::client(config.timeouts.connect);
        engine::build(
            &client,
            &config.engines[0],
            None,
            KEEP,
            None,
            None,
            &Arc::default(),
        )
        .expect("a control side")
    }

    /// The runner options that Crucible uses for its model.
    ///
    /// # Panics
    /// If the engine does not answer as it should.
    pub async fn tuple(&self) -> LoadTuple {
        let listing = self.driver().list().await.expect("a listing");
        let model = listing.models.iter().find(|m| self.is(&m.id));
        tuple_for(
            self.kind,
            &self.config().tuning,
            CONTEXT,
            ModelKind::Generation,
            self.kind == EngineKind::Ollama,
            physical_cores(),
            model.and_then(|m| m.max_context),
        )
    }

    /// An order to load its model with these options.
    pub fn order(&self, tuple: LoadTuple) -> LoadOrder {
        LoadOrder {
            model: self.model.as_str().into(),
            kind: ModelKind::Generation,
            tuple,
            permits: 1,
            pinned: false,
        }
    }

    /// Whether the engine means its model by this name.
    pub fn is(&self, id: &str) -> bool {
        let stem = |name: &str| name.trim_end_matches(":latest").to_owned();
        stem(id) == stem(&self.model)
    }

    /// Unloads everything that a test before this one left.
    async fn clear(&self) {
        let driver = self.driver();
        let listing = driver.list().await.expect("a listing");
        for resident in &listing.residents {
            driver.unload(resident).await.expect("an unload");
        }
    }
}
