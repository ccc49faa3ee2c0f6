//! The engine and the model block that the tests of this room share.

use std::sync::Arc;

use crucible_config::checked::{Config, Device, EngineKind, Manage};

use crate::{
    fleet::EngineStatus,
    view::{BreakerState, Health},
};

pub(crate) fn status(config: &Config, manage: Manage) -> EngineStatus {
    let url = "http://127.0.0.1:11434".parse().unwrap();
    let mut engine = config.discovered(EngineKind::Ollama, "o", url);
    engine.manage = manage;
    EngineStatus {
        config: Arc::new(engine),
        device: Device::Cpu,
        pool: "cpu".into(),
        url: String::new(),
        health: Health::Up,
        breaker: BreakerState::Closed,
        left_alone: None,
        wedged: false,
        error: None,
        refused_access: false,
        version: None,
        advice: Arc::default(),
        load_control: true,
        max_loaded: None,
        limit: None,
        discovered: false,
        models: Arc::default(),
        residents: Arc::default(),
        polls: 1,
        listed: 1,
    }
}

pub(crate) fn pinned(name: &str) -> crucible_config::checked::ModelSettings {
    crucible_config::checked::ModelSettings {
        name: name.to_owned(),
        engine: None,
        aliases: Vec::new(),
        context: Some(16_384),
        fit: None,
        pin: true,
        spill: false,
        fallback: Vec::new(),
        defaults: crucible_config::checked::ModelDefaults::Inherit,
        modelfile_context: true,
    }
}
