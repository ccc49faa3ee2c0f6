//! The one table of the 39 settings of the hybrid profile.
//!
//! An entry is written as a field of a structure is. Read this one aloud as an example:
//!
//! ```text
//! /// Idle time after which a model is unloaded.           one line: rustdoc, schema, pages
//! [5] LmstudioModelTtl => model_ttl: Duration {            number, identifier, key, Rust type
//!     takes: SettingKind::Duration { min_ms: 1000 },              what a file may hold
//!     hybrid: "300s",                                      value of both profiles
//!     mechanism: Policy,                                   how it reaches the engine
//!     meaning: "Crucible owns the clock: ...",             the page docs/tunings.md
//!     verified: "The scheduler's clock, ...",              how it is proved
//!     engines: ANY_ENGINE,                                 versions that were tried
//! }
//! ```
//!
//! From it come [`TuningId::LmstudioModelTtl`], the field `config.tuning.lmstudio.model_ttl`, the
//! key `tuning.lmstudio.model_ttl` with its environment variable, the reader, the value in reports,
//! the JSON schema and the reference page. Where the profile `agent` has another value, `agent:
//! Some("...")` says so, and `agent: None` says that this profile sets nothing. An entry whose named
//! knob does not exist in the engine names the real one in `superseded_by`.
//!
//! A new entry compiles only when `crucible_router::verify` has a check for its identifier.

use std::time::Duration;

use super::shown::ShownInReport as _;
use crate::kind::SettingKind;

/// LM Studio's REST v1 exists since 0.4.0.
const LMSTUDIO_REST: &str = "LM Studio 0.4 and newer (REST v1)";
const ANY_ENGINE: &str = "any (Crucible's own behaviour)";
const OLLAMA: &str = "Ollama 0.33";
/// The types of llama.cpp's key and value caches that LM Studio takes.
const CACHE_TYPES: SettingKind = SettingKind::OneOf(&[
    "f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl",
]);
const NUMA: SettingKind = SettingKind::OneOf(&["spread", "none"]);
const OLLAMA_OFF_THE_GPU: &str = "Ollama must not touch a GPU that another engine owns. Applies \
    while an engine with `device = \"gpu\"` is configured or found; where Ollama is the only engine \
    it gets the GPU.";

/// Variables of a process are texts, also where they hold numbers.
const fn integer_text(min: i64) -> SettingKind {
    SettingKind::IntegerText {
        min,
        max: 1_000_000,
    }
}

tunings! {
    group Lmstudio, lmstudio: LmstudioTuning = "The values of the 20 settings of LM Studio.";

    /// Share of the GPU pool's memory that models may use together.
    [1] LmstudioGpuMemoryFraction => gpu_memory_fraction: f64 {
        takes: SettingKind::Number { min: 0.0, max: 1.0 }, hybrid: "0.8", mechanism: Policy,
        meaning: "A budget, weights plus context memory, for all models that share the GPU pool. A \
            load that does not fit evicts idle models first, then waits for busy ones; a model \
            that alone exceeds the budget is loaded alone, with a warning. The total comes from \
            the GPU library or from `[pool.gpu] memory`; where it is unknown, only the count \
            limits.",
        verified: "The scheduler's account of the pool: budget in force, used, largest seen; the \
            GPU's total as kernel or driver tell it.", engines: ANY_ENGINE,
    }

    /// Layers on the GPU; -1 is all.
    [2] LmstudioGpuLayers => gpu_layers: i64 {
        takes: SettingKind::Integer { min: -1, max: 100_000 }, hybrid: "-1", mechanism: Websocket,
        meaning: "A model goes wholly to the GPU; only `[[model]] spill = true` permits partial \
            offload. LM Studio's REST load has no such field, its automatic choice is left alone; \
            with `websocket = true` it is sent as the ratio `max` or `off` (a count of layers is \
            not sent).",
        verified: "`getLoadConfig` of the WebSocket API; not visible over REST.",
        engines: LMSTUDIO_REST,
    }

    /// Generation models resident at once.
    [3] LmstudioMaxLoadedModels => max_loaded_models: u32 {
        takes: SettingKind::Integer { min: 1, max: 1000 }, hybrid: "2", mechanism: Policy,
        meaning: "Crucible counts the residents and evicts the least recently used idle one, after \
            draining. Embedding models count against memory only. A model loaded by hand is never \
            evicted unless `[scheduler] evict_foreign = true`.",
        verified: "Number of `loaded_instances` in `GET /api/v1/models`.", engines: ANY_ENGINE,
    }

    /// LM Studio's own just-in-time loading, a backstop.
    [4] LmstudioJitLoading => jit_loading: bool {
        takes: SettingKind::Boolean, hybrid: "true", mechanism: LmstudioInterface,
        meaning: "Crucible loads explicitly, with the right context, before it dispatches; the \
            engine's JIT is only a backstop. The switch is in LM Studio's developer window.",
        verified: "`GET /v1/models` lists models that are not loaded while it is on.",
        engines: "LM Studio 0.3 and newer",
    }

    /// Idle time after which a model is unloaded.
    [5] LmstudioModelTtl => model_ttl: Duration {
        takes: SettingKind::Duration { min_ms: 1000 }, hybrid: "300s", mechanism: Policy,
        meaning: "Crucible owns the clock: a model idle for this long is unloaded. What it loaded \
            is written to a small ownership file, adopted at the next start and released at a \
            graceful end (`on_exit`), because an explicit load has no expiry of its own. With \
            `websocket = true` LM Studio itself is given this time and 60 s more, a net for the \
            case that Crucible is gone; pinned models get none.",
        verified: "The scheduler's clock, how many models it unloaded, and the residents' idle \
            times; `ttlMs` of `listLoaded` with the WebSocket driver.", engines: ANY_ENGINE,
    }

    /// LM Studio's eviction of models that it loaded by JIT.
    [6] LmstudioAutoEvict => auto_evict: bool {
        takes: SettingKind::Boolean, hybrid: "true", mechanism: LmstudioInterface,
        meaning: "Touches only JIT-loaded models. Crucible loads explicitly, so the switch is \
            harmless; a warning is due only when a served instance is JIT-loaded.",
        verified: "Not told over HTTP; `doctor` names models that Crucible did not load.",
        engines: "LM Studio 0.3 and newer",
    }

    /// Tokens evaluated per batch.
    [7] LmstudioBatchSize => batch_size: u32 {
        takes: SettingKind::Integer { min: 1, max: 65_536 }, hybrid: "512", mechanism: LmstudioLoad,
        meaning: "Sent as `eval_batch_size` at load time (llama.cpp runtime only).",
        verified: "`loaded_instances[].config.eval_batch_size`.", engines: LMSTUDIO_REST,
    }

    /// Flash attention.
    [8] LmstudioFlashAttention => flash_attention: bool {
        takes: SettingKind::Boolean, hybrid: "true", mechanism: LmstudioLoad,
        meaning: "Sent as `flash_attention` at load time (llama.cpp runtime only).",
        verified: "`loaded_instances[].config.flash_attention`.", engines: LMSTUDIO_REST,
    }

    /// Precision of the key cache.
    [9] LmstudioKeyCacheQuantization => key_cache_quantization: String {
        takes: CACHE_TYPES, hybrid: "f16", mechanism: Websocket,
        meaning: "`f16` is LM Studio's default and saves nothing; `q8_0` halves the key cache. \
            Only the WebSocket API can set it (`websocket = true`).",
        verified: "`getLoadConfig` of the WebSocket API.", engines: LMSTUDIO_REST,
    }

    /// Precision of the value cache.
    [10] LmstudioValueCacheQuantization => value_cache_quantization: String {
        takes: CACHE_TYPES, hybrid: "f16", mechanism: Websocket,
        meaning: "As row 9. A quantized value cache needs flash attention.",
        verified: "`getLoadConfig` of the WebSocket API.", engines: LMSTUDIO_REST,
    }

    /// Most bytes of a stream that are coalesced into one write.
    [11] LmstudioStreamBufferSize => stream_buffer_size: usize {
        takes: SettingKind::Size { min: 1, max: 1 << 20 }, hybrid: "1024", mechanism: Policy,
        meaning: "Nothing is delayed to fill it: every complete event is flushed at once, and a \
            frame as read from the engine is never split. Besides that at most one upstream frame \
            (16 KiB) is held per stream.",
        verified: "Metric of flush sizes.", engines: ANY_ENGINE,
    }

    /// Longest gap between an engine's bytes after the first token.
    [12] LmstudioStreamTimeout => stream_timeout: Duration {
        takes: SettingKind::Duration { min_ms: 1 }, hybrid: "30s", mechanism: Policy,
        meaning: "The same value as `[timeouts] idle`. A request with tools has `[timeouts] \
            tool_call` instead, as long as the engine, asked after each `idle` of silence, is well \
            and, where it tells, at work. The clock pauses while another request on the same \
            instance is in prefill. Queue, load, first token and the whole response have budgets \
            of their own.",
        verified: "Metric of timeouts by kind.", engines: ANY_ENGINE,
    }

    /// Context per request, of a model that nothing else configures.
    [13] LmstudioContextLength => context_length: u64 {
        takes: SettingKind::Integer { min: 1, max: 1 << 30 },
        hybrid: "4096", agent: Some("32768"), mechanism: LmstudioLoad,
        meaning: "Sent as `context_length` at load time, times the permits where slots share it, \
            capped at the model's maximum. A prompt that does not fit is never cut in silence: \
            `[context] fit` grows the context or refuses.",
        verified: "`loaded_instances[].config.context_length`; a prompt that is to fit and one \
            that is not, of `doctor --probe`.", engines: LMSTUDIO_REST,
    }

    /// Sampling temperature where the request has none.
    [14] LmstudioTemperature => temperature: Option<f64> {
        takes: SettingKind::Number { min: 0.0, max: 2.0 },
        hybrid: "0.3", agent: None, mechanism: RequestBody,
        meaning: "Injected only where the client's key is absent; 0 is a value, `null` is absent. \
            Off per model or engine with `defaults = false`.",
        verified: "`x-crucible-defaults` and the metric of injected names.",
        engines: "every engine",
    }

    /// Nucleus sampling where the request has none.
    [15] LmstudioTopP => top_p: Option<f64> {
        takes: SettingKind::Number { min: 0.0, max: 1.0 },
        hybrid: "0.8", agent: None, mechanism: RequestBody,
        meaning: "As row 14.",
        verified: "As row 14.", engines: "every engine",
    }

    /// Frequency penalty where a chat request has none.
    [16] LmstudioFrequencyPenalty => frequency_penalty: Option<f64> {
        takes: SettingKind::Number { min: -2.0, max: 2.0 },
        hybrid: "0.1", agent: None, mechanism: RequestBody,
        meaning: "As row 14, on chat completions only (native options on Ollama) and only where \
            the engine and the model's format honour it. On LM Studio it is suspected to be an \
            alias of the repeat penalty, with which 0.1 would reward repetition: `doctor --probe` \
            finds out.",
        verified: "Two short seeded generations of `doctor --probe`.",
        engines: "LM Studio 0.4, Ollama 0.33",
    }

    /// Presence penalty where a chat request has none.
    [17] LmstudioPresencePenalty => presence_penalty: Option<f64> {
        takes: SettingKind::Number { min: -2.0, max: 2.0 },
        hybrid: "0.1", agent: None, mechanism: RequestBody,
        meaning: "As row 16.",
        verified: "As row 14.", engines: "LM Studio 0.4, Ollama 0.33",
    }

    /// How often the engine's residents are read.
    [18] LmstudioKeepAliveInterval => keep_alive_interval: Duration {
        takes: SettingKind::Duration { min_ms: 100 }, hybrid: "30s", mechanism: Policy,
        meaning: "A residency heartbeat: it reads the engine's state and reconciles. It never \
            generates tokens and renews nothing by itself.",
        verified: "Counter of polls.", engines: ANY_ENGINE,
    }

    /// Whether the residency heartbeat runs.
    [19] LmstudioKeepAliveEnabled => keep_alive_enabled: bool {
        takes: SettingKind::Boolean, hybrid: "true", mechanism: Policy,
        meaning: "See row 18. Renewing or loading again is a scheduler's action, only for pinned \
            models, so that row 5 keeps its meaning.",
        verified: "Counter of polls.", engines: ANY_ENGINE,
    }

    /// Load pinned and listed models at start.
    [20] LmstudioModelWarmup => model_warmup: bool {
        takes: SettingKind::Boolean, hybrid: "true", mechanism: Policy,
        meaning: "The models with `pin = true` and those in `[startup] warm`, through the same \
            scheduler and with the same options as a real request.",
        verified: "The models are resident after the start.", engines: ANY_ENGINE,
    }

    group Ollama, ollama: OllamaTuning = "The values of the 11 settings of Ollama.";

    /// Generation models resident at once.
    [21] OllamaMaxLoadedModels => max_loaded_models: u32 {
        takes: SettingKind::Integer { min: 1, max: 1000 }, hybrid: "2", mechanism: Policy,
        meaning: "Enforced by Crucible, besides being put into Ollama's environment (row 35). \
            Where an embedding model is configured, the rendered variable is one higher.",
        verified: "Length of `/api/ps`.", engines: OLLAMA,
    }

    /// Requests that may wait for an Ollama engine.
    [22] OllamaMaxQueue => max_queue: u32 {
        takes: SettingKind::Integer { min: 0, max: 1_000_000 }, hybrid: "10", mechanism: Policy,
        meaning: "Ollama's own limit does not bound the backlog of a loaded model, so Crucible \
            keeps the queue: one more is 429 `queue_full`.",
        verified: "Crucible's queue counters.", engines: OLLAMA,
    }

    /// Requests answered at once by one resident.
    [23] OllamaNumParallel => num_parallel: u32 {
        takes: SettingKind::Integer { min: 1, max: 4096 }, hybrid: "2", mechanism: Policy,
        meaning: "The permits of an Ollama engine that sets none itself, and the value of row 37.",
        verified: "Crucible's permit counters; `-np` on the runner's command line.",
        engines: OLLAMA,
    }

    /// Main memory that Ollama's models may use together.
    [24] OllamaMemoryLimit => memory_limit: u64 {
        takes: SettingKind::Size { min: 1, max: i64::MAX as u64 }, hybrid: "16GB", mechanism: Policy,
        meaning: "The budget of the main-memory pool is the smaller of this and 0.8 of the \
            machine's memory, enforced when a model is loaded; for a supervised Ollama on Linux \
            also a cgroup limit.",
        verified: "The scheduler's account of the pool: budget in force, used, largest seen; \
            `memory.max` of the cgroup.", engines: OLLAMA,
    }

    /// Threads of a CPU model.
    [25] OllamaNumThreads => num_threads: u32 {
        takes: SettingKind::Integer { min: 1, max: 4096 }, hybrid: "8", mechanism: OllamaOptions,
        meaning: "Sent as `num_thread`, the smaller of this and the number of physical cores: one \
            thread too many costs a factor of ten and more.",
        verified: "`-t` on the runner's command line.", engines: OLLAMA,
    }

    /// Memory placement on machines with several NUMA nodes.
    [26] OllamaNumaPolicy => numa_policy: String {
        takes: NUMA, hybrid: "spread", mechanism: OperatingSystem,
        meaning: "Where there is more than one node: interleave (numactl or systemd `NUMAPolicy`). \
            On one node it does not apply.",
        verified: "`/proc/PID/numa_maps`.", engines: OLLAMA,
    }

    /// Context per request, of a model that nothing else configures.
    [27] OllamaContextSize => context_size: u64 {
        takes: SettingKind::Integer { min: 1, max: 1 << 30 },
        hybrid: "4096", agent: Some("32768"), mechanism: OllamaOptions,
        meaning: "Sent as `num_ctx` in every request and preload of the model, the same each time. \
            As row 13 otherwise.",
        verified: "`context_length` in `/api/ps`; a prompt that is to fit and one that is not, of \
            `doctor --probe`.", engines: OLLAMA,
    }

    /// Preferred quantization of models.
    [28] OllamaQuantization => quantization: String {
        takes: SettingKind::Text, hybrid: "q4_0", mechanism: ModelChoice,
        meaning: "Where several quantizations of one model are there, this one is preferred when \
            the name leaves it open; otherwise a check with a warning.",
        verified: "Where Crucible sends a name that leaves it open; `details.quantization_level` \
            in `/api/tags`, of what is loaded.", engines: OLLAMA,
    }

    /// Tokens evaluated per batch.
    [29] OllamaBatchSize => batch_size: u32 {
        takes: SettingKind::Integer { min: 1, max: 65_536 }, hybrid: "512", mechanism: OllamaOptions,
        meaning: "Sent as `num_batch`; left out for embedding models, which would refuse long \
            inputs.",
        verified: "`-b` on the runner's command line.", engines: OLLAMA,
    }

    /// Map the model file instead of reading it.
    [30] OllamaUseMmap => use_mmap: bool {
        takes: SettingKind::Boolean, hybrid: "true", mechanism: OllamaOptions,
        meaning: "Sent as `use_mmap`, explicitly: Ollama's own default on a CPU is off.",
        verified: "No `--load-mode none` on the runner's command line, the model's blob in \
            `/proc/PID/maps`.", engines: OLLAMA,
    }

    /// Lock the model in memory.
    [31] OllamaUseMlock => use_mlock: bool {
        takes: SettingKind::Boolean, hybrid: "false", mechanism: None,
        meaning: "The option was removed from Ollama; off is its only state, and nothing is sent.",
        verified: "`VmLck: 0` in `/proc/PID/status`.", engines: OLLAMA,
        superseded_by: "Ollama's load mode, in which locking is off",
    }

    group Environment, environment: EnvironmentTuning =
        "The values of the 8 environment variables of the Ollama process.",
        #[expect(non_snake_case, reason = "the fields are named as the variables that they hold")];

    /// Layers of Ollama's models on a GPU.
    [32] EnvironmentOllamaNumGpu => OLLAMA_NUM_GPU: String {
        takes: integer_text(-1), hybrid: "0", mechanism: OllamaOptions,
        meaning: OLLAMA_OFF_THE_GPU,
        verified: "`size_vram` 0 in `/api/ps`.", engines: OLLAMA,
        superseded_by: "`num_gpu: 0` in every request and preload",
    }

    /// Ollama computes on the CPU.
    [33] EnvironmentOllamaCpuTarget => OLLAMA_CPU_TARGET: String {
        takes: SettingKind::Text, hybrid: "cpu", mechanism: OllamaOptions,
        meaning: OLLAMA_OFF_THE_GPU,
        verified: "`size_vram` 0 in `/api/ps`.", engines: OLLAMA,
        superseded_by: "`num_gpu: 0` in every request and preload, and `OLLAMA_LLM_LIBRARY=cpu` \
            for a supervised Ollama",
    }

    /// No NVIDIA GPU is visible to Ollama.
    [34] EnvironmentCudaVisibleDevices => CUDA_VISIBLE_DEVICES: String {
        takes: SettingKind::Text, hybrid: "", mechanism: ProcessEnvironment,
        meaning: "Ollama must not touch a GPU that another engine owns. An empty value is lost on \
            Windows and counts as unset in Ollama itself, so `crucible env` renders -1 and \
            switches Vulkan and ROCm off too.",
        verified: "`/proc/PID/environ`; `size_vram` 0 in `/api/ps`.", engines: OLLAMA,
    }

    /// The same intent as row 21.
    [35] EnvironmentOllamaMaxLoadedModels => OLLAMA_MAX_LOADED_MODELS: String {
        takes: integer_text(1), hybrid: "2", mechanism: ProcessEnvironment,
        meaning: "`[tuning.ollama] max_loaded_models` wins where one layer sets both.",
        verified: "As row 21; `/proc/PID/environ`.", engines: OLLAMA,
    }

    /// The same intent as row 22.
    [36] EnvironmentOllamaMaxQueue => OLLAMA_MAX_QUEUE: String {
        takes: integer_text(0), hybrid: "10", mechanism: ProcessEnvironment,
        meaning: "`[tuning.ollama] max_queue` wins where one layer sets both.",
        verified: "As row 22; `/proc/PID/environ`.", engines: OLLAMA,
    }

    /// The same intent as row 23.
    [37] EnvironmentOllamaNumParallel => OLLAMA_NUM_PARALLEL: String {
        takes: integer_text(1), hybrid: "2", mechanism: ProcessEnvironment,
        meaning: "`[tuning.ollama] num_parallel` wins where one layer sets both.",
        verified: "As row 23; `/proc/PID/environ`.", engines: OLLAMA,
    }

    /// The same intent as row 25.
    [38] EnvironmentOllamaNumThreads => OLLAMA_NUM_THREADS: String {
        takes: integer_text(1), hybrid: "8", mechanism: OllamaOptions,
        meaning: "`[tuning.ollama] num_threads` wins where one layer sets both.",
        verified: "As row 25.", engines: OLLAMA,
        superseded_by: "`num_thread` in every request and preload",
    }

    /// The same intent as row 26.
    [39] EnvironmentOllamaNumaPolicy => OLLAMA_NUMA_POLICY: String {
        takes: NUMA, hybrid: "spread", mechanism: OperatingSystem,
        meaning: "`[tuning.ollama] numa_policy` wins where one layer sets both.",
        verified: "As row 26.", engines: OLLAMA,
        superseded_by: "numactl or systemd `NUMAPolicy`",
    }
}
