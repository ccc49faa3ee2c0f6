//! Rows 1-20: LM Studio.

use super::{Group, Mechanism, Row};
use crate::kind::Kind;

/// LM Studio's REST v1 exists since 0.4.0.
const REST: &str = "LM Studio 0.4 and newer (REST v1)";
const ANY: &str = "any (Crucible's own behaviour)";
const CACHE_TYPES: Kind = Kind::OneOf(&[
    "f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl",
]);

const fn row(number: u8, id: &'static str, kind: Kind, value: &'static str) -> Row {
    Row {
        number,
        id,
        group: Group::Lmstudio,
        kind,
        value,
        mechanism: Mechanism::Policy,
        short: "",
        meaning: "",
        verified: "",
        engines: ANY,
        superseded_by: None,
    }
}

pub(super) const ROWS: [Row; 20] = [
    Row {
        short: "Share of the GPU pool's memory that models may use together.",
        meaning: "A budget, weights plus context memory, for all models that share the GPU pool. \
                  A load that does not fit evicts idle models first, then waits for busy ones; a \
                  model that alone exceeds the budget is loaded alone, with a warning. The total \
                  comes from the GPU library or from `[pool.gpu] memory`; where it is unknown, \
                  only the count limits.",
        verified: "The scheduler's account of the pool: budget in force, used, largest seen; the \
                   GPU's total as kernel or driver tell it.",
        ..row(
            1,
            "lmstudio.gpu_memory_fraction",
            Kind::Number { min: 0.0, max: 1.0 },
            "0.8",
        )
    },
    Row {
        mechanism: Mechanism::Websocket,
        short: "Layers on the GPU; -1 is all.",
        meaning: "A model goes wholly to the GPU; only `[[model]] spill = true` permits partial \
                  offload. LM Studio's REST load has no such field, its automatic choice is left \
                  alone; with `websocket = true` it is sent as the ratio `max` or `off` \
                  (a count of layers is not sent).",
        verified: "`getLoadConfig` of the WebSocket API; not visible over REST.",
        engines: REST,
        ..row(
            2,
            "lmstudio.gpu_layers",
            Kind::Integer {
                min: -1,
                max: 100_000,
            },
            "-1",
        )
    },
    Row {
        short: "Generation models resident at once.",
        meaning: "Crucible counts the residents and evicts the least recently used idle one, \
                  after draining. Embedding models count against memory only. A model loaded by \
                  hand is never evicted unless `[scheduler] evict_foreign = true`.",
        verified: "Number of `loaded_instances` in `GET /api/v1/models`.",
        ..row(
            3,
            "lmstudio.max_loaded_models",
            Kind::Integer { min: 1, max: 1000 },
            "2",
        )
    },
    Row {
        mechanism: Mechanism::LmstudioInterface,
        short: "LM Studio's own just-in-time loading, a backstop.",
        meaning: "Crucible loads explicitly, with the right context, before it dispatches; the \
                  engine's JIT is only a backstop. The switch is in LM Studio's developer window.",
        verified: "`GET /v1/models` lists models that are not loaded while it is on.",
        engines: "LM Studio 0.3 and newer",
        ..row(4, "lmstudio.jit_loading", Kind::Boolean, "true")
    },
    Row {
        short: "Idle time after which a model is unloaded.",
        meaning: "Crucible owns the clock: a model idle for this long is unloaded. What it loaded \
                  is written to a small ownership file, adopted at the next start and released at \
                   a graceful end (`on_exit`), because an explicit load has no expiry of its own. With \
                   `websocket = true` LM Studio itself is given this time and 60 s more, a net for \
                   the case that Crucible is gone; pinned models get none.",
        verified: "The scheduler's clock, how many models it unloaded, and the residents' idle \
                   times; `ttlMs` of `listLoaded` with the WebSocket driver.",
        ..row(
            5,
            "lmstudio.model_ttl",
            Kind::Duration { min_ms: 1000 },
            "300s",
        )
    },
    Row {
        mechanism: Mechanism::LmstudioInterface,
        short: "LM Studio's eviction of models that it loaded by JIT.",
        meaning: "Touches only JIT-loaded models. Crucible loads explicitly, so the switch is \
                  harmless; a warning is due only when a served instance is JIT-loaded.",
        verified: "Not told over HTTP; `doctor` names models that Crucible did not load.",
        engines: "LM Studio 0.3 and newer",
        ..row(6, "lmstudio.auto_evict", Kind::Boolean, "true")
    },
    Row {
        mechanism: Mechanism::LmstudioLoad,
        short: "Tokens evaluated per batch.",
        meaning: "Sent as `eval_batch_size` at load time (llama.cpp runtime only).",
        verified: "`loaded_instances[].config.eval_batch_size`.",
        engines: REST,
        ..row(
            7,
            "lmstudio.batch_size",
            Kind::Integer {
                min: 1,
                max: 65_536,
            },
            "512",
        )
    },
    Row {
        mechanism: Mechanism::LmstudioLoad,
        short: "Flash attention.",
        meaning: "Sent as `flash_attention` at load time (llama.cpp runtime only).",
        verified: "`loaded_instances[].config.flash_attention`.",
        engines: REST,
        ..row(8, "lmstudio.flash_attention", Kind::Boolean, "true")
    },
    Row {
        mechanism: Mechanism::Websocket,
        short: "Precision of the key cache.",
        meaning: "`f16` is LM Studio's default and saves nothing; `q8_0` halves the key cache. \
                  Only the WebSocket API can set it (`websocket = true`).",
        verified: "`getLoadConfig` of the WebSocket API.",
        engines: REST,
        ..row(9, "lmstudio.key_cache_quantization", CACHE_TYPES, "f16")
    },
    Row {
        mechanism: Mechanism::Websocket,
        short: "Precision of the value cache.",
        meaning: "As row 9. A quantized value cache needs flash attention.",
        verified: "`getLoadConfig` of the WebSocket API.",
        engines: REST,
        ..row(10, "lmstudio.value_cache_quantization", CACHE_TYPES, "f16")
    },
    Row {
        short: "Most bytes of a stream that are coalesced into one write.",
        meaning: "Nothing is delayed to fill it: every complete event is flushed at once, and a \
                  frame as read from the engine is never split. Besides that at most one upstream \
                  frame (16 KiB) is held per stream.",
        verified: "Metric of flush sizes.",
        ..row(
            11,
            "lmstudio.stream_buffer_size",
            Kind::Size {
                min: 1,
                max: 1 << 20,
            },
            "1024",
        )
    },
    Row {
        short: "Longest gap between an engine's bytes after the first token.",
        meaning: "The same value as `[timeouts] idle`. A request with tools has \
                  `[timeouts] tool_call` instead, as long as the engine, asked after each `idle` \
                  of silence, is well and, where it tells, at work. The clock pauses \
                  while another request on the same instance is in prefill. Queue, load, first \
                  token and the whole response have budgets of their own.",
        verified: "Metric of timeouts by kind.",
        ..row(
            12,
            "lmstudio.stream_timeout",
            Kind::Duration { min_ms: 1 },
            "30s",
        )
    },
    Row {
        mechanism: Mechanism::LmstudioLoad,
        short: "Context per request, of a model that nothing else configures.",
        meaning: "Sent as `context_length` at load time, times the permits where slots share it, \
                  capped at the model's maximum. A prompt that does not fit is never cut in \
                  silence: `[context] fit` grows the context or refuses.",
        verified: "`loaded_instances[].config.context_length`; a prompt that is to fit and one \
                   that is not, of `doctor --probe`.",
        engines: REST,
        ..row(
            13,
            "lmstudio.context_length",
            Kind::Integer {
                min: 1,
                max: 1 << 30,
            },
            "4096",
        )
    },
    Row {
        mechanism: Mechanism::RequestBody,
        short: "Sampling temperature where the request has none.",
        meaning: "Injected only where the client's key is absent; 0 is a value, `null` is absent. \
                  Off per model or engine with `defaults = false`.",
        verified: "`x-crucible-defaults` and the metric of injected names.",
        engines: "every engine",
        ..row(
            14,
            "lmstudio.temperature",
            Kind::Number { min: 0.0, max: 2.0 },
            "0.3",
        )
    },
    Row {
        mechanism: Mechanism::RequestBody,
        short: "Nucleus sampling where the request has none.",
        meaning: "As row 14.",
        verified: "As row 14.",
        engines: "every engine",
        ..row(
            15,
            "lmstudio.top_p",
            Kind::Number { min: 0.0, max: 1.0 },
            "0.8",
        )
    },
    Row {
        mechanism: Mechanism::RequestBody,
        short: "Frequency penalty where a chat request has none.",
        meaning: "As row 14, on chat completions only (native options on Ollama) and only where \
                  the engine and the model's format honour it. On LM Studio it is suspected to be \
                  an alias of the repeat penalty, with which 0.1 would reward repetition: \
                  `doctor --probe` finds out.",
        verified: "Two short seeded generations of `doctor --probe`.",
        engines: "LM Studio 0.4, Ollama 0.33",
        ..row(
            16,
            "lmstudio.frequency_penalty",
            Kind::Number {
                min: -2.0,
                max: 2.0,
            },
            "0.1",
        )
    },
    Row {
        mechanism: Mechanism::RequestBody,
        short: "Presence penalty where a chat request has none.",
        meaning: "As row 16.",
        verified: "As row 14.",
        engines: "LM Studio 0.4, Ollama 0.33",
        ..row(
            17,
            "lmstudio.presence_penalty",
            Kind::Number {
                min: -2.0,
                max: 2.0,
            },
            "0.1",
        )
    },
    Row {
        short: "How often the engine's residents are read.",
        meaning: "A residency heartbeat: it reads the engine's state and reconciles. It never \
                  generates tokens and renews nothing by itself.",
        verified: "Counter of polls.",
        ..row(
            18,
            "lmstudio.keep_alive_interval",
            Kind::Duration { min_ms: 100 },
            "30s",
        )
    },
    Row {
        short: "Whether the residency heartbeat runs.",
        meaning: "See row 18. Renewing or loading again is a scheduler's action, only for pinned \
                  models, so that row 5 keeps its meaning.",
        verified: "Counter of polls.",
        ..row(19, "lmstudio.keep_alive_enabled", Kind::Boolean, "true")
    },
    Row {
        short: "Load pinned and listed models at start.",
        meaning: "The models with `pin = true` and those in `[startup] warm`, through the same \
                  scheduler and with the same options as a real request.",
        verified: "The models are resident after the start.",
        ..row(20, "lmstudio.model_warmup", Kind::Boolean, "true")
    },
];
