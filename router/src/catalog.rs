//! The catalog: the models that engines can run and those that they hold loaded, from their last
//! answers.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use crucible_config::checked::EngineKind;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The purpose of a model, by which the plan chooses the models that can do a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    /// The model answers prompts.
    #[default]
    Generation,
    /// The model makes vectors. It counts against memory, and not against the number of loaded
    /// models.
    Embedding,
}

/// The capabilities of a model. `None` is unknown, which is never a reason to refuse a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether the model takes `tools`.
    pub tools: Option<bool>,
    /// Whether the model was trained to call tools; one that was not may still do so, only not as
    /// well.
    pub trained_for_tools: Option<bool>,
    /// Whether the model takes images.
    pub vision: Option<bool>,
    /// Whether the model can think before it answers.
    pub thinking: Option<bool>,
    /// Whether the model writes before a given text: its template has a place for a `suffix`.
    pub insert: Option<bool>,
    /// Whether a request can say how much the model thinks, and not only whether it does.
    pub thinking_levels: Option<bool>,
}

/// One model as its engine lists it, with what the engine tells of its size, context and capabilities.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelInfo {
    /// The engine's exact name for it.
    pub id: Arc<str>,
    /// The runner that stands for the model in memory. Names of an Ollama over the same weights
    /// have the same runner; else it is the model's own name.
    pub runner: Arc<str>,
    /// The options that the model's description adds to its load (Ollama): files that go with the
    /// weights, and parameters. Another name of the same runner may have others.
    pub load: Arc<BTreeMap<String, String>>,
    /// The other names under which its engine serves it, exactly as they are written.
    pub names: Arc<[Arc<str>]>,
    /// The Crucibles through which it is reached, by their numbers; empty where the engine is none.
    pub via: Arc<[Arc<str>]>,
    /// The purpose of the model.
    pub kind: ModelKind,
    /// The capabilities that are known of it.
    pub capabilities: Capabilities,
    /// The longest context that it was trained for, in tokens.
    pub max_context: Option<u64>,
    /// The size of the weights, in bytes.
    pub size_bytes: Option<u64>,
    /// The bytes of memory for each token of context: the caches of all layers, in f16.
    pub context_bytes: Option<u64>,
    /// The quantization of the weights, such as `Q4_K_M`.
    pub quantization: Option<String>,
    /// The file format of the weights, such as `gguf` or `mlx`.
    pub format: Option<String>,
    /// Whether it runs on somebody else's machine (Ollama's `:cloud`).
    pub cloud: bool,
    /// The time when it was made or changed, in Unix seconds, where the engine reports it.
    pub created: Option<i64>,
    /// The facts that nothing is planned by, for the lists that clients read.
    pub metadata: Arc<ModelMetadata>,
}

/// The facts that an engine reports of a model and by which no request is planned; lists in the
/// engines' own formats repeat them to clients.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelMetadata {
    /// The digest of the model's manifest as 64 hexadecimal digits (Ollama).
    pub digest: Option<String>,
    /// The architecture, such as `llama` or `qwen2`.
    pub architecture: Option<String>,
    /// The architectures of all parts of the model; a model with an image encoder has two (Ollama).
    pub families: Vec<String>,
    /// The number of parameters in words, such as `8.0B`.
    pub parameter_size: Option<String>,
    /// The name of the model that this one was made from (Ollama).
    pub parent: Option<String>,
    /// The account or company that published the model (LM Studio).
    pub publisher: Option<String>,
    /// The name of the model for people (LM Studio).
    pub display_name: Option<String>,
    /// The members of the engine's own description of the model: of `/api/show` where the engine is an
    /// Ollama, of the entry in `/api/v1/models` where it is an LM Studio. Long lists are left out.
    pub description: Option<Arc<Map<String, Value>>>,
}

/// One loaded instance of a model, as the engine reports it.
#[derive(Clone, Debug, PartialEq)]
pub struct ResidentInfo {
    /// The runner of the model, [`ModelInfo::runner`], which is mostly the engine's name of it.
    pub model: Arc<str>,
    /// The name of the instance (LM Studio `key:2`), else the name that the model was loaded under.
    pub instance: Arc<str>,
    /// The purpose of the model.
    pub kind: ModelKind,
    /// The context in effect, in tokens, of the whole instance with all its slots.
    pub context: Option<u64>,
    /// The number of slots that share `context`, where the engine reports it.
    pub parallel: Option<u32>,
    /// The memory that it uses on all devices, in bytes.
    pub bytes: Option<u64>,
    /// The part of `bytes` that is on a GPU.
    pub vram_bytes: Option<u64>,
    /// The time when the engine will unload it by itself.
    pub expires_at: Option<SystemTime>,
    /// The `eval_batch_size` of the load, where the engine reports it.
    pub batch_size: Option<u32>,
    /// Whether it was loaded with flash attention, where the engine reports it.
    pub flash_attention: Option<bool>,
}

// === impl ModelKind ===

impl ModelKind {
    /// The word for the kind in documents.
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
            metadata: Arc::default(),
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
