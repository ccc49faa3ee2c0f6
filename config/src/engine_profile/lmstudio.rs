//! LM Studio (read from 0.3 and 0.4.25).

use super::{
    EngineAdvice, EngineProfile, EngineWire, LoadOptions, ManagementPath, ResidentProfile,
    SlotContext, TuningSection,
};
use crate::checked::{Device, Manage};

/// The profile of LM Studio, which loads models over its own HTTP and WebSocket APIs.
pub(super) const PROFILE: EngineProfile = EngineProfile {
    word: "lmstudio",
    product: "LM Studio",
    title: "LM Studio",
    wire: EngineWire::OpenAi,
    default_url: Some("http://127.0.0.1:1234"),
    search_ports: &[1234, 1235],
    // LM Studio's own clients read it.
    token_variable: Some("LM_API_TOKEN"),
    device: Device::Gpu,
    permits: 2,
    queue: 64,
    permits_from_tuning: false,
    manage: Manage::Models,
    spawn: None,
    section: TuningSection::Lmstudio,
    takes_environment: false,
    modelfile_context: false,
    tells_model_kinds: true,
    cloud_models: false,
    websocket_driver: true,
    options: LoadOptions {
        context: true,
        batch: true,
        threads: false,
        gpu_layers: false,
        mmap: false,
        flash_attention: true,
    },
    options_on_requests: false,
    slots: SlotContext::Shared,
    prefill_stops_on_cancel: false,
    residents: ResidentProfile {
        listed: true,
        complete: true,
        identifiers: true,
        named_by_load: false,
        sized: false,
        reloaded_by_engine: true,
        renewed: false,
    },
    // 0.4: it answers for a model that is not loaded by one that is, where loads on request are off.
    names_answerer: true,
    // 0.3, and 0.4 on GGUF.
    silent_overflow: true,
    has_runners: false,
    weights_format: None,
    runs_locally: true,
    blames_requests: true,
    busy_retry_after: 5,
    // REST v1 of 0.4.
    management: &[
        ManagementPath::any("/api/v1/models/load"),
        ManagementPath::any("/api/v1/models/unload"),
        ManagementPath::any("/api/v1/models/download"),
    ],
    passed: &[],
    advice: EngineAdvice {
        start: "start its server: `lms server start`",
        unload: "eject it in LM Studio (`lms unload {instance}`)",
        reload: "lms unload {instance}; Crucible loads it with this value on the next request",
        more_context: "loads nothing there; load the model there with more context",
        never_cut: "choose \"Stop at Limit\" as context overflow in the model's settings in LM \
                    Studio's window",
    },
};
