//! What engines can run and what they hold, as they told it last.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use crucible_config::checked::EngineKind;
use serde::{Deserialize, Serialize};

/// What a model is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    /// Answers prompts.
    #[default]
    Generation,
    /// Makes vectors; counts against memory only.
    Embedding,
}

/// What a model is known to be able to do; `None` is unknown and never a reason to refuse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Takes `tools`.
    pub tools: Option<bool>,
    /// Was trained to call `tools`; one that was not may still do so, only not as well.
    pub trained_for_tools: Option<bool>,
    /// Takes images.
    pub vision: Option<bool>,
    /// Can think before it answers.
    pub thinking: Option<bool>,
    /// Can be told how much to think, and not only whether.
    pub thinking_levels: Option<bool>,
}

/// One model of one engine.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelInfo {
    /// The engine's exact name for it.
    pub id: Arc<str>,
    /// What stands for it in memory: the same for all names that one runner of the engine answers
    /// to (Ollama, names over the same weights), else its own name.
    pub runner: Arc<str>,
    /// What its load is told beside the options of the request: files that go with the weights, and
    /// options of its description (Ollama). Another name of the same runner may have others.
    pub load: Arc<BTreeMap<String, String>>,
    /// Other names that its engine serves it under, exactly as they are written.
    pub names: Arc<[Arc<str>]>,
    /// The Crucibles through which it is reached, by their numbers; empty where the engine is none.
    pub via: Arc<[Arc<str>]>,
    /// Generation or embedding.
    pub kind: ModelKind,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Longest context in tokens that it was trained for.
    pub max_context: Option<u64>,
    /// Weights in bytes.
    pub size_bytes: Option<u64>,
    /// Bytes of memory for each token of context (caches of all layers, in f16).
    pub context_bytes: Option<u64>,
    /// `Q4_K_M` and so on.
    pub quantization: Option<String>,
    /// `gguf`, `mlx`, ...
    pub format: Option<String>,
    /// Runs on somebody else's machine (Ollama's `:cloud`).
    pub cloud: bool,
    /// When the engine says that it was made or changed, unix seconds.
    pub created: Option<i64>,
}

/// One loaded instance of a model, as the engine reports it.
#[derive(Clone, Debug, PartialEq)]
pub struct ResidentInfo {
    /// What stands for the model in memory, [`ModelInfo::runner`]; mostly the engine's name of it.
    pub model: Arc<str>,
    /// The name of the instance (LM Studio `key:2`), else the name that the model was loaded under.
    pub instance: Arc<str>,
    /// Generation or embedding.
    pub kind: ModelKind,
    /// Context in tokens that is in effect (of the whole instance, all slots together).
    pub context: Option<u64>,
    /// Slots that share `context`, where the engine says so.
    pub parallel: Option<u32>,
    /// Memory in bytes, all devices.
    pub bytes: Option<u64>,
    /// Of these on a GPU.
    pub vram_bytes: Option<u64>,
    /// When the engine will unload it by itself.
    pub expires_at: Option<SystemTime>,
    /// `eval_batch_size` of the load, where told.
    pub batch_size: Option<u32>,
    /// Flash attention of the load, where told.
    pub flash_attention: Option<bool>,
}

// === impl ModelKind ===

impl ModelKind {
    /// The word for it in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Generation => "generation",
            Self::Embedding => "embedding",
        }
    }
}

// === impl ModelInfo ===

impl ModelInfo {
    /// A model of which nothing but its name and kind is known.
    pub fn named(id: &str, kind: ModelKind) -> Self {
        Self {
            id: Arc::from(id),
            runner: Arc::from(id),
            load: Arc::default(),
            via: Arc::default(),
            names: Arc::default(),
            kind,
            capabilities: Capabilities::default(),
            max_context: None,
            size_bytes: None,
            context_bytes: None,
            quantization: None,
            format: None,
            cloud: false,
            created: None,
        }
    }

    /// The context that its own description asks for (`PARAMETER num_ctx` of a Modelfile).
    pub fn described_context(&self) -> Option<u64> {
        let told = self.load.get("num_ctx")?.trim().parse().ok()?;
        (told > 0).then_some(told)
    }
}

// === impl ResidentInfo ===

impl ResidentInfo {
    /// The name of the model as people know it: its own, or the one that it was loaded by.
    pub fn name(&self, engine: EngineKind) -> &Arc<str> {
        if engine.profile().residents.named_by_load {
            &self.instance
        } else {
            &self.model
        }
    }

    /// An instance of which nothing but the name is known, which is its model's.
    pub fn named(model: Arc<str>, kind: ModelKind) -> Self {
        Self {
            instance: Arc::clone(&model),
            model,
            kind,
            context: None,
            parallel: None,
            bytes: None,
            vram_bytes: None,
            expires_at: None,
            batch_size: None,
            flash_attention: None,
        }
    }
}
