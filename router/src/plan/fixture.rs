//! Views and configurations for the tests of the plan.

use std::{io::Write, sync::Arc, time::Duration};

use crucible_config::{
    Config, ConfigSources,
    checked::{Device, EngineKind},
    load,
};

use crate::{
    catalog::{Capabilities, ModelInfo, ModelKind, ResidentInfo},
    demand::Demand,
    plan::{Plan, Reason},
    view::{BreakerState, EngineView, Health, ResidentView, View},
};

pub(crate) fn generation(id: &str) -> ModelInfo {
    ModelInfo {
        id: id.into(),
        runner: id.into(),
        load: Arc::default(),
        via: Arc::default(),
        names: Arc::default(),
        kind: ModelKind::Generation,
        capabilities: Capabilities::default(),
        max_context: None,
        size_bytes: None,
        context_bytes: None,
        quantization: None,
        format: None,
        cloud: false,
        created: None,
        metadata: Arc::default(),
    }
}

pub(crate) fn engine(name: &str, device: Device, models: &[&str]) -> EngineView {
    EngineView {
        name: name.into(),
        kind: EngineKind::Ollama,
        device,
        pool: if device == Device::Cpu { "cpu" } else { "gpu" }.into(),
        url: String::new(),
        health: Health::Up,
        breaker: BreakerState::Closed,
        left_alone: None,
        error: None,
        refused_access: false,
        version: None,
        advice: Arc::default(),
        conflicts: Vec::new(),
        load_control: true,
        discovered: false,
        wedged: false,
        budget: None,
        others: None,
        used: 0,
        peak: 0,
        models_limit: None,
        ttl: None,
        limit: None,
        models: Arc::new(models.iter().map(|id| generation(id)).collect()),
        residents: Vec::new(),
        permits: 2,
        queue_limit: 10,
        queued: 0,
        active: 0,
        loading: None,
    }
}

impl EngineView {
    pub(crate) fn holding(mut self, model: &str) -> Self {
        self.residents.push(ResidentView {
            info: ResidentInfo::named(model.into(), ModelKind::Generation),
            tuple: None,
            active: 0,
            idle: Duration::ZERO,
            pinned: false,
            owned: true,
        });
        self
    }

    pub(crate) fn down(mut self) -> Self {
        self.health = Health::Down;
        self
    }

    pub(crate) fn with(mut self, change: impl Fn(&mut ModelInfo)) -> Self {
        let mut models = self.models.to_vec();
        models.iter_mut().for_each(change);
        self.models = Arc::new(models);
        self
    }
}

pub(crate) fn view(engines: impl IntoIterator<Item = EngineView>) -> View {
    View {
        engines: engines.into_iter().collect(),
        settled: true,
        ..View::default()
    }
}

/// Engines `gpu` and `cpu` are configured; `text` follows.
pub(crate) fn config(text: &str) -> Config {
    let engines = r#"
        [[engine]]
        name = "gpu"
        kind = "lmstudio"
        url = "http://127.0.0.1:1"
        [[engine]]
        name = "cpu"
        kind = "ollama"
        url = "http://127.0.0.1:2"
        device = "cpu"
    "#;
    // Keys of the top table must stand before the first header.
    let (top, tables) = match text.find('[') {
        Some(at) if text[..at].trim().is_empty() => ("", text),
        _ => text.split_once("\n\n").unwrap_or((text, "")),
    };
    let text = format!("{top}\n{engines}\n{tables}");
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let sources = ConfigSources {
        file: Some(file.path().to_owned()),
        ..ConfigSources::default()
    };
    load(&sources)
        .unwrap_or_else(|problems| panic!("{problems}"))
        .config
}

pub(crate) fn demand(model: &str) -> Demand {
    Demand {
        model: model.into(),
        ..Demand::default()
    }
}

/// `engine/model reason` of every candidate.
pub(crate) fn places(plan: &Plan) -> Vec<String> {
    plan.candidates
        .iter()
        .map(|c| format!("{}/{} {}", c.engine, c.model, c.reason))
        .collect()
}

pub(crate) fn first(plan: &Plan) -> (&str, &str, Reason) {
    let c = &plan.candidates[0];
    (&c.engine, &c.model, c.reason)
}
