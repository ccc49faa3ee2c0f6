//! llama.cpp's server, attached or run as a child (read from b11549).

use super::{
    EngineAdvice, EngineProfile, EngineWire, LoadOptions, ManagementPath, PassedPath,
    ResidentProfile, SlotContext, SpawnProfile, TuningSection,
};
use crate::checked::{Device, Manage};

/// The profile of llama.cpp's server, which Crucible uses where it runs or starts as a child.
pub(super) const PROFILE: EngineProfile = EngineProfile {
    word: "llamacpp",
    product: "llama.cpp's server",
    title: "llama.cpp",
    wire: EngineWire::OpenAi,
    default_url: Some("http://127.0.0.1:8080"),
    // 9931 is its default since 2026.
    search_ports: &[8080, 9931, 8081],
    // llama-server itself reads it.
    token_variable: Some("LLAMA_API_KEY"),
    device: Device::Cpu,
    permits: 2,
    queue: 64,
    permits_from_tuning: false,
    // Only its router mode has models to load.
    manage: Manage::Models,
    spawn: Some(SpawnProfile {
        program: "llama-server",
        needs_model_file: true,
    }),
    section: TuningSection::Lmstudio,
    takes_environment: false,
    modelfile_context: false,
    tells_model_kinds: false,
    cloud_models: false,
    websocket_driver: false,
    options: LoadOptions {
        context: true,
        batch: false,
        threads: true,
        gpu_layers: false,
        mmap: false,
        flash_attention: false,
    },
    options_on_requests: false,
    slots: SlotContext::Divided,
    prefill_stops_on_cancel: true,
    residents: ResidentProfile {
        listed: false,
        complete: false,
        identifiers: false,
        named_by_load: false,
        sized: false,
        reloaded_by_engine: false,
        renewed: false,
    },
    names_answerer: false,
    silent_overflow: false,
    has_runners: false,
    weights_format: Some("gguf"),
    runs_locally: true,
    blames_requests: false,
    busy_retry_after: 5,
    management: &[
        ManagementPath::any("/models/load"),
        ManagementPath::any("/models/unload"),
        ManagementPath::any("/slots"),
        ManagementPath::any("/lora-adapters"),
        ManagementPath::only("POST", "/props"),
        ManagementPath::only("DELETE", "/models"),
    ],
    // `tools/server/server.cpp` of b11434.
    passed: &[
        PassedPath::prompt("/completion"),
        PassedPath::prompt("/infill"),
        PassedPath::prompt("/embedding"),
        PassedPath::question("POST", "/tokenize"),
        PassedPath::question("POST", "/detokenize"),
        PassedPath::question("POST", "/apply-template"),
        PassedPath::question("GET", "/props"),
    ],
    advice: EngineAdvice {
        start: "start it: `llama-server -m MODEL.gguf`",
        unload: "unload '{instance}' there",
        reload: "unload '{instance}' there",
        more_context: "cannot change it; start its server with a larger `-c`, or give the model's \
                       preset one",
        never_cut: "start the server without --context-shift",
    },
};
