//! The fields of a profile, and the types of their values.

use super::section::TuningSection;
use crate::checked::{Device, Manage};

/// The facts about one kind of engine.
///
/// Numbers are defaults that the configuration overrides per engine. Facts about a product name the
/// version that they were read from beside the constant.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and any combination is possible"
)]
pub struct EngineProfile {
    /// The word for the kind in the configuration, in JSON and in metric labels; also the name of an
    /// engine that was found and not configured.
    pub word: &'static str,
    /// The name of the product in sentences for people, such as `llama.cpp's server`.
    pub product: &'static str,
    /// The name of the product as a title, such as `llama.cpp`.
    pub title: &'static str,
    /// The wire format of its prompts and answers.
    pub wire: EngineWire,
    /// The address of a configured engine that names none; `None` where one has to be named.
    pub default_url: Option<&'static str>,
    /// The ports of this machine on which it is looked for where no engine is configured: its default
    /// first, then the next ones that people take.
    pub search_ports: &'static [u16],
    /// The environment variable that holds its token by its maker's convention.
    pub token_variable: Option<&'static str>,
    /// The device that it computes on unless the configuration says otherwise.
    pub device: Device,
    /// Requests at a time that one resident gets.
    pub permits: u32,
    /// Waiting requests before the next one is refused with 429.
    pub queue: u32,
    /// Whether `num_parallel` and `max_queue` of its tuning section are the defaults of permits and
    /// queue, because the server itself is started with them.
    pub permits_from_tuning: bool,
    /// The degree to which Crucible manages the engine unless the configuration says otherwise.
    pub manage: Manage,
    /// The way to start the engine as a child process; `None` where Crucible cannot.
    pub spawn: Option<SpawnProfile>,
    /// The section of the tuning settings that holds its context and its number of models.
    pub section: TuningSection,
    /// Whether the settings of `[tuning.environment]` reach its process.
    pub takes_environment: bool,
    /// Whether a model's own description may ask for a context (a Modelfile's `num_ctx`).
    pub modelfile_context: bool,
    /// Whether its list says of each model whether it generates or embeds. Where it does not, kinds are
    /// guessed from names.
    pub tells_model_kinds: bool,
    /// Whether it lists models that run in its maker's cloud.
    pub cloud_models: bool,
    /// Whether it has a WebSocket API, which `websocket = true` turns on.
    pub websocket_driver: bool,
    /// The load options that it takes from its section.
    pub options: LoadOptions,
    /// Whether every request repeats the load options, because another choice loads the model anew.
    pub options_on_requests: bool,
    /// The relation between the context of a load and that of one request.
    pub slots: SlotContext,
    /// Whether a cancelled request stops while its prompt is still read. Where it does not, its permit
    /// is kept until the prompt has been read.
    pub prefill_stops_on_cancel: bool,
    /// The properties of its list of residents.
    pub residents: ResidentProfile,
    /// Whether an answer names the instance that gave it, so that the answer of another model than the
    /// one that was asked is noticed.
    pub names_answerer: bool,
    /// Whether an answer that ends without a word may mean that the prompt is longer than the context.
    pub silent_overflow: bool,
    /// Whether the reading of a prompt is told by a runner, a process of the engine's for one model,
    /// instead of the engine itself.
    pub has_runners: bool,
    /// The one format of weights that it reads, in LM Studio's words; `None` where it reads several or
    /// none is known.
    pub weights_format: Option<&'static str>,
    /// Whether it always computes on hardware of the user. Another server may charge for each request.
    pub runs_locally: bool,
    /// Whether it blames the request (400) for faults of its own.
    pub blames_requests: bool,
    /// The seconds after which a client may ask again where the engine answers 503.
    pub busy_retry_after: u64,
    /// The paths by which it is managed, closed to clients unless `guard.open` names them.
    pub management: &'static [ManagementPath],
    /// The paths of its own API that no other kind has: requests for them are passed on to it as they are.
    pub passed: &'static [PassedPath],
    /// The advice to people who use the engine.
    pub advice: EngineAdvice,
}

/// The wire format of an engine's prompts and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineWire {
    /// OpenAI's chat completions as server-sent events.
    OpenAi,
    /// Ollama's native API as lines of JSON.
    OllamaNative,
}

/// The way to start an engine as a child process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpawnProfile {
    /// The program that is started where `command` names none.
    pub program: &'static str,
    /// Whether one child serves one model file, which `model_path` names.
    pub needs_model_file: bool,
}

/// The load options that an engine takes; `false` where the engine has none of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and any combination is possible"
)]
pub struct LoadOptions {
    /// The context of one request in tokens.
    pub context: bool,
    /// The batch size of the prompt.
    pub batch: bool,
    /// The number of threads.
    pub threads: bool,
    /// The number of layers on the GPU, which keeps it off the GPU where that is 0.
    pub gpu_layers: bool,
    /// Whether the model file is mapped into memory.
    pub mmap: bool,
    /// Whether flash attention is used.
    pub flash_attention: bool,
}

/// The relation between the context that an instance is loaded with and that of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotContext {
    /// A load names the context of one request, and the engine multiplies it by its slots.
    PerRequest,
    /// All slots share the context of the load; one request may use all of it while the others are idle.
    Shared,
    /// The engine divides the context of the load among its slots.
    Divided,
    /// The engine decides by itself and reports nothing.
    Unknown,
}

/// The properties of an engine's list of residents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and any combination is possible"
)]
pub struct ResidentProfile {
    /// Whether the engine tells what it holds loaded, beside what it could load.
    pub listed: bool,
    /// Whether the list is complete and names every instance as requests name it, so that an instance
    /// that is missing works for nobody.
    pub complete: bool,
    /// Whether instances have identifiers of their own beside the model's name, several per model.
    pub identifiers: bool,
    /// Whether a resident is shown under the name that it was loaded by instead of its model's.
    pub named_by_load: bool,
    /// Whether its bytes include the context, not only the weights.
    pub sized: bool,
    /// Whether the engine loads a model that is gone by itself when a request names it, with less
    /// context than Crucible asked for.
    pub reloaded_by_engine: bool,
    /// Whether the engine's own clock unloads what is idle, so that a pinned model has to be renewed.
    pub renewed: bool,
}

/// A path of one kind of engine whose requests and answers are passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassedPath {
    /// The HTTP method.
    pub method: &'static str,
    /// The path, here and on the engine.
    pub path: &'static str,
    /// Whether the request occupies the model, so that it needs a permit; else it asks about the model and
    /// loads nothing.
    pub is_prompt: bool,
}

/// A path by which an engine is managed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManagementPath {
    /// The HTTP method, or `*` for any.
    pub method: &'static str,
    /// The path; all below it is meant too.
    pub path: &'static str,
}

/// Sentences about what a person does with an engine. `{instance}` stands for the instance's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineAdvice {
    /// The words that say how the engine is started.
    pub start: &'static str,
    /// The words that say how an instance is unloaded.
    pub unload: &'static str,
    /// The words that say how an instance is loaded anew with the configured context.
    pub reload: &'static str,
    /// The words that say why Crucible cannot give a model more context there, and what can.
    pub more_context: &'static str,
    /// The words that say how the engine is kept from cutting a prompt that does not fit.
    pub never_cut: &'static str,
}

// === impl EngineProfile ===

impl EngineProfile {
    /// Reports whether Crucible can load and unload models there.
    pub fn loads(&self) -> bool {
        self.manage != Manage::Observe
    }
}

// === impl PassedPath ===

impl PassedPath {
    /// A path whose requests occupy the model.
    pub(super) const fn prompt(path: &'static str) -> Self {
        Self {
            method: "POST",
            path,
            is_prompt: true,
        }
    }

    /// A path that asks about the model.
    pub(super) const fn question(method: &'static str, path: &'static str) -> Self {
        Self {
            method,
            path,
            is_prompt: false,
        }
    }
}

// === impl ManagementPath ===

impl ManagementPath {
    /// A path that any method manages.
    pub(super) const fn any(path: &'static str) -> Self {
        Self { method: "*", path }
    }

    /// A path that one method manages.
    pub(super) const fn only(method: &'static str, path: &'static str) -> Self {
        Self { method, path }
    }
}
