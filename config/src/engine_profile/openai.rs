//! Any other OpenAI-compatible server: it is listed and asked, never managed.

use super::{
    EngineAdvice, EngineProfile, EngineWire, LoadOptions, ResidentProfile, SlotContext,
    TuningSection,
};
use crate::checked::{Device, Manage};

/// The profile of any other OpenAI-compatible server, whose models Crucible never loads or unloads.
pub(super) const PROFILE: EngineProfile = EngineProfile {
    word: "openai",
    product: "an OpenAI-compatible server",
    title: "OpenAI-compatible server",
    wire: EngineWire::OpenAi,
    default_url: None,
    search_ports: &[],
    token_variable: None,
    device: Device::Gpu,
    // Such servers batch many requests.
    permits: 32,
    queue: 256,
    permits_from_tuning: false,
    manage: Manage::Observe,
    spawn: None,
    section: TuningSection::Lmstudio,
    takes_environment: false,
    modelfile_context: false,
    tells_model_kinds: false,
    cloud_models: false,
    websocket_driver: false,
    options: LoadOptions {
        context: false,
        batch: false,
        threads: false,
        gpu_layers: false,
        mmap: false,
        flash_attention: false,
    },
    options_on_requests: false,
    slots: SlotContext::Unknown,
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
    weights_format: None,
    runs_locally: false,
    blames_requests: false,
    busy_retry_after: 5,
    management: &[],
    passed: &[],
    advice: EngineAdvice {
        start: "start the server",
        unload: "unload '{instance}' there",
        reload: "unload '{instance}' there",
        more_context: "loads nothing there; start it with more context",
        never_cut: "start the server without --context-shift",
    },
};
