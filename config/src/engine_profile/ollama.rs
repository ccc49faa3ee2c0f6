//! Ollama (read from 0.33).

use super::{
    EngineAdvice, EngineProfile, EngineWire, LoadOptions, ManagementPath, ResidentProfile,
    SlotContext, SpawnProfile, TuningSection,
};
use crate::checked::{Device, Manage};

/// The profile of Ollama, which Crucible asks over its native API and may start as a child.
pub(super) const PROFILE: EngineProfile = EngineProfile {
    word: "ollama",
    product: "Ollama",
    title: "Ollama",
    wire: EngineWire::OllamaNative,
    default_url: Some("http://127.0.0.1:11434"),
    search_ports: &[11434, 11435, 11436],
    token_variable: None,
    device: Device::Auto,
    permits: 2,
    queue: 10,
    permits_from_tuning: true,
    manage: Manage::Models,
    spawn: Some(SpawnProfile {
        program: "ollama",
        needs_model_file: false,
    }),
    section: TuningSection::Ollama,
    takes_environment: true,
    modelfile_context: true,
    tells_model_kinds: true,
    cloud_models: true,
    websocket_driver: false,
    options: LoadOptions {
        context: true,
        batch: true,
        threads: true,
        gpu_layers: true,
        mmap: true,
        flash_attention: false,
    },
    options_on_requests: true,
    slots: SlotContext::PerRequest,
    prefill_stops_on_cancel: true,
    residents: ResidentProfile {
        listed: true,
        complete: false,
        identifiers: false,
        named_by_load: true,
        sized: true,
        reloaded_by_engine: false,
        renewed: true,
    },
    names_answerer: false,
    silent_overflow: false,
    has_runners: true,
    weights_format: None,
    runs_locally: true,
    blames_requests: false,
    // 503 "server busy" of 0.33: its queue is full, and moves with every answer.
    busy_retry_after: 2,
    // `server/routes.go`.
    management: &[
        ManagementPath::any("/api/create"),
        ManagementPath::any("/api/pull"),
        ManagementPath::any("/api/push"),
        ManagementPath::any("/api/copy"),
        ManagementPath::any("/api/delete"),
        ManagementPath::any("/api/blobs"),
        ManagementPath::any("/api/me"),
        ManagementPath::any("/api/signout"),
        ManagementPath::any("/api/experimental"),
    ],
    passed: &[],
    advice: EngineAdvice {
        start: "start it: `ollama serve`",
        unload: "unload it (`ollama stop {instance}`)",
        reload: "ollama stop {instance}; Crucible loads it with its own options on the next request",
        more_context: "loads nothing there; load the model there with more context",
        never_cut: "update Ollama: it does not honour `truncate: false`",
    },
};
