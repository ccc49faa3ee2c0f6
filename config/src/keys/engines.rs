//! Keys of engines, models and memory pools.

use super::{BYTES, FIT, Key, Shape, TOKENS, key, part};
use crate::kind::Kind;

pub(super) const ENGINE: &[Key] = &[
    key(
        "name",
        Kind::Text,
        "",
        "Required. Its name in `engine/model`, headers and labels; without a slash.",
    ),
    key(
        "kind",
        Kind::OneOf(&["lmstudio", "ollama", "llamacpp", "openai"]),
        "",
        "Required. What it speaks.",
    ),
    key(
        "url",
        Kind::Text,
        "the kind's default port on this machine",
        "Its address, without a path; required for `openai`.",
    ),
    key(
        "device",
        Kind::OneOf(&["gpu", "cpu", "auto"]),
        "gpu for lmstudio and openai, auto for ollama, cpu for llamacpp",
        "Where it computes.",
    ),
    key(
        "pool",
        Kind::Text,
        "its device on its host",
        "The memory that it shares with others.",
    ),
    key(
        "api_key_env",
        Kind::Text,
        "LM_API_TOKEN for lmstudio, LLAMA_API_KEY for llamacpp",
        "Name of the environment variable with the engine's own token.",
    ),
    key(
        "manage",
        Kind::OneOf(&["observe", "models", "spawn"]),
        "spawn for llamacpp with a model_path, observe for openai, else models",
        "How much of it Crucible manages; `spawn` starts llama.cpp's server or `ollama serve` as a child. Of a llama.cpp that runs, only router mode has models to load.",
    ),
    key(
        "permits",
        Kind::Integer {
            min: 1,
            max: 1_000_000,
        },
        "2; openai 32",
        "Requests at once per resident model.",
    ),
    key(
        "queue",
        Kind::Integer {
            min: 0,
            max: 1_000_000,
        },
        "10 for ollama, 64 for lmstudio and llamacpp, 256 for openai",
        "Requests that may wait.",
    ),
    key(
        "defaults",
        Kind::Boolean,
        "true",
        "Whether sampling defaults are injected here.",
    ),
    key(
        "allow_cloud",
        Kind::Boolean,
        "false",
        "Whether Ollama's `:cloud` models may be used.",
    ),
    key(
        "passthrough",
        Kind::Texts,
        "[]",
        "Dialects that pass through untranslated: `responses`, `messages`.",
    ),
    key(
        "websocket",
        Kind::Boolean,
        "false",
        "LM Studio: generation models are loaded over its WebSocket API, which alone takes and shows rows 2, 9 and 10, and gives LM Studio an idle clock of its own behind row 5 (none for pinned models); REST where no socket can be had. A found engine has none: name it in a block; `url` is needed only beyond the default port.",
    ),
    key(
        "command",
        Kind::Texts,
        "[\"llama-server\"]; for ollama [\"ollama\"]",
        "Command of a spawned engine; Crucible adds the flags, for ollama `serve`.",
    ),
    key(
        "model_path",
        Kind::Text,
        "",
        "Model file of a spawned llama.cpp engine; relative to the configuration file, or `~/...`.",
    ),
];

pub(super) const MODEL: &[Key] = &[
    key(
        "name",
        Kind::Text,
        "",
        "Required. Exact name or glob, any case.",
    ),
    key("engine", Kind::Text, "", "Pins the model to one engine."),
    key("aliases", Kind::Texts, "[]", "Other names; may be globs."),
    key("context", TOKENS, "", "Context per request in tokens."),
    key(
        "fit",
        FIT,
        "that of [context]",
        "What to do when a prompt does not fit.",
    ),
    key(
        "pin",
        Kind::Boolean,
        "false",
        "Loaded at start and never unloaded.",
    ),
    key(
        "spill",
        Kind::Boolean,
        "false",
        "May be offloaded partially.",
    ),
    key(
        "fallback",
        Kind::Texts,
        "[]",
        "Names that may answer instead, in order.",
    ),
    part(
        "defaults",
        Shape::OffOr(SAMPLING),
        "Sampling defaults of this model, or `false`.",
    ),
    key(
        "modelfile_context",
        Kind::Boolean,
        "true",
        "Ollama: `PARAMETER num_ctx` of the model's Modelfile counts as its context. It stands above the built-in profile and below whatever a file, a variable or a flag says.",
    ),
];

pub(super) const SAMPLING: &[Key] = &[
    key(
        "temperature",
        Kind::Number { min: 0.0, max: 2.0 },
        "",
        "Sampling temperature.",
    ),
    key(
        "top_p",
        Kind::Number { min: 0.0, max: 1.0 },
        "",
        "Nucleus sampling.",
    ),
    key(
        "frequency_penalty",
        Kind::Number {
            min: -2.0,
            max: 2.0,
        },
        "",
        "Frequency penalty.",
    ),
    key(
        "presence_penalty",
        Kind::Number {
            min: -2.0,
            max: 2.0,
        },
        "",
        "Presence penalty.",
    ),
];

pub(super) const POOL: &[Key] = &[
    key("memory", BYTES, "", "Total, where it cannot be read."),
    key(
        "budget",
        BYTES,
        "gpu: gpu_memory_fraction x memory; cpu: the smaller of memory_limit and 0.8 x memory",
        "What models may use together.",
    ),
    key(
        "exclusive",
        Kind::Boolean,
        "false",
        "Never load here while another pool loads.",
    ),
];
