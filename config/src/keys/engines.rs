//! Keys of engines, models and memory pools.

use super::{
    shape::{
        BOOLEAN, BYTES, GROW_OR_REJECT, KeyShape, TEXT, TEXTS, TOKENS, integer, number, one_of,
    },
    typed::{SubTable, TableKey},
};
use crate::checked::{Device, Fit, Manage};

keys! {
    /// Keys of `[[engine]]`: one engine.
    TableKey engine at "engine" = ENGINE_KEYS;

    /// Required. Its name in `engine/model`, headers and labels; without a slash.
    NAME "name": Option<String> = TEXT;

    /// Required. What it speaks.
    KIND "kind": Option<String> = one_of(&["lmstudio", "ollama", "llamacpp", "openai"]);

    /// Its address, `http` or `https`, without a path; required for `openai`.
    URL "url": Option<String> = TEXT, "the kind's default port on this machine";

    /// For an `https` url: file of certificates (PEM) of the authorities that may have signed the
    /// engine's, beside the system's own; relative to the configuration file, or `~/...`.
    CA_FILE "ca_file": Option<String> = TEXT;

    /// The device on which the engine computes.
    DEVICE "device": Option<Device> = one_of(&["gpu", "cpu", "auto"]),
        "gpu for lmstudio and openai, auto for ollama, cpu for llamacpp";

    /// The memory that it shares with others.
    POOL "pool": Option<String> = TEXT, "its device on its host";

    /// Name of the environment variable with the engine's own token.
    API_KEY_ENV "api_key_env": Option<String> = TEXT,
        "LM_API_TOKEN for lmstudio, LLAMA_API_KEY for llamacpp";

    /// The part of the engine that Crucible manages; `spawn` starts llama.cpp's server or `ollama serve` as a
    /// child. Of a llama.cpp that runs, only router mode has models to load.
    MANAGE "manage": Option<Manage> = one_of(&["observe", "models", "spawn"]),
        "spawn for llamacpp with a model_path, observe for openai, else models";

    /// Requests at once per resident model.
    PERMITS "permits": Option<u32> = integer(1, 1_000_000), "2; openai 32";

    /// Requests that may wait.
    QUEUE "queue": Option<u32> = integer(0, 1_000_000),
        "10 for ollama, 64 for lmstudio and llamacpp, 256 for openai";

    /// Whether sampling defaults are injected here.
    DEFAULTS "defaults": bool = BOOLEAN, "true";

    /// Whether Ollama's `:cloud` models may be used.
    ALLOW_CLOUD "allow_cloud": bool = BOOLEAN, "false";

    /// Dialects that pass through untranslated: `responses`, `messages`.
    PASSTHROUGH "passthrough": Vec<String> = TEXTS, "[]";

    /// LM Studio: generation models are loaded over its WebSocket API, which alone takes and shows
    /// rows 2, 9 and 10, and gives LM Studio an idle clock of its own behind row 5 (none for pinned
    /// models); REST where no socket can be had. A found engine has none: name it in a block; `url`
    /// is needed only beyond the default port.
    WEBSOCKET "websocket": bool = BOOLEAN, "false";

    /// Command of a spawned engine; Crucible adds the flags, for ollama `serve`.
    COMMAND "command": Vec<String> = TEXTS, "[\"llama-server\"]; for ollama [\"ollama\"]";

    /// Model file of a spawned llama.cpp engine; relative to the configuration file, or `~/...`.
    MODEL_PATH "model_path": Option<String> = TEXT;
}

keys! {
    /// Keys of `[[model]]`: settings of the models whose name matches.
    TableKey model at "model" = MODEL_KEYS;

    /// Required. Exact name or glob, any case.
    NAME "name": Option<String> = TEXT;

    /// Pins the model to one engine.
    ENGINE "engine": Option<String> = TEXT;

    /// Other names; may be globs.
    ALIASES "aliases": Vec<String> = TEXTS, "[]";

    /// Context per request in tokens.
    CONTEXT "context": Option<u64> = TOKENS;

    /// The treatment of a prompt that does not fit into the context.
    FIT "fit": Option<Fit> = GROW_OR_REJECT, "that of [context]";

    /// Loaded at start and never unloaded.
    PIN "pin": bool = BOOLEAN, "false";

    /// May be offloaded partially.
    SPILL "spill": bool = BOOLEAN, "false";

    /// Names that may answer instead, in order.
    FALLBACK "fallback": Vec<String> = TEXTS, "[]";

    /// Sampling defaults of this model, or `false`.
    DEFAULTS "defaults": SubTable = KeyShape::OffOr(SAMPLING_KEYS);

    /// Ollama: `PARAMETER num_ctx` of the model's Modelfile counts as its context. It stands above
    /// the built-in profile and below whatever a file, a variable or a flag says.
    MODELFILE_CONTEXT "modelfile_context": bool = BOOLEAN, "true";
}

keys! {
    /// Keys of `defaults` in `[[model]]` and `[[key]]`.
    TableKey sampling at "defaults" = SAMPLING_KEYS;

    /// The temperature of sampling where a request names none.
    TEMPERATURE "temperature": Option<f64> = number(0.0, 2.0);

    /// The share of probability for nucleus sampling where a request names none.
    TOP_P "top_p": Option<f64> = number(0.0, 1.0);

    /// The frequency penalty where a request names none.
    FREQUENCY_PENALTY "frequency_penalty": Option<f64> = number(-2.0, 2.0);

    /// The presence penalty where a request names none.
    PRESENCE_PENALTY "presence_penalty": Option<f64> = number(-2.0, 2.0);
}

keys! {
    /// Keys of `[pool.NAME]`: memory that models compete for.
    TableKey pool at "pool" = POOL_KEYS;

    /// Total, where it cannot be read.
    MEMORY "memory": Option<u64> = BYTES;

    /// The bytes that the models of the pool may use together.
    BUDGET "budget": Option<u64> = BYTES,
        "gpu: gpu_memory_fraction x memory; cpu: the smaller of memory_limit and 0.8 x memory";

    /// Never load here while another pool loads.
    EXCLUSIVE "exclusive": bool = BOOLEAN, "false";
}
