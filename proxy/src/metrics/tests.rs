mod gauges;
mod requests;
mod table;

use std::{collections::BTreeSet, time::Duration};

use crucible_config::checked::{Device, EngineKind};
use crucible_router::{
    catalog::{ModelInfo, ModelKind, ResidentInfo},
    client::ClientId,
    event::{Event, EventObserver as _, EvictionReason, LoadOutcome, LoadTrigger},
    plan::Reason,
    view::{BreakerState, EngineView, Health, LoadingView, QueuedView, ResidentView, View},
};

use super::*;
use crate::{
    endpoint::Endpoint,
    usage::{Timing, Usage},
};

const ENGINES: [&str; 2] = ["lmstudio", "ollama"];

fn metrics() -> Metrics {
    let metrics = Metrics::new().unwrap();
    metrics.engines(&ENGINES);
    metrics
}

fn text(metrics: &Metrics) -> String {
    metrics.encode(ExpositionFormat::Text).unwrap()
}

fn series(metrics: &Metrics) -> Vec<String> {
    text(metrics)
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

pub(super) fn value(metrics: &Metrics, series_name: &str) -> Option<f64> {
    series(metrics).iter().find_map(|line| {
        let (name, value) = line.rsplit_once(' ')?;
        (name == series_name).then(|| value.parse().unwrap())
    })
}

fn record(model: &str) -> RequestRecord<'_> {
    RequestRecord {
        endpoint: Endpoint::Chat,
        engine: Some("ollama"),
        model,
        stream: true,
        code: StatusCode::OK,
        duration: Duration::from_secs(3),
        phases: PhaseTimes {
            failed: Duration::ZERO,
            receive: Duration::ZERO,
            queue: Duration::from_secs(1),
            load: Duration::ZERO,
            prefill: Duration::from_millis(400),
            generate: Duration::from_millis(1600),
            own: Duration::from_micros(300),
        },
        prefill: Some(Duration::from_millis(400)),
        first_token: Some(Duration::from_millis(400)),
        predicted: None,
        output_time: Some(Duration::from_secs(2)),
        content_events: 10,
        usage: Some(Usage {
            prompt: 100,
            completion: 11,
            cached: Some(40),
            cached_is_estimated: false,
            reasoning: None,
            timing: Timing::default(),
        }),
        stream_bytes: 2048,
        stream_flushes: 2,
        reason: Some(Reason::Exact),
        defaults: &["temperature"],
    }
}

fn resident(model: &str) -> ResidentView {
    ResidentView {
        info: ResidentInfo {
            bytes: Some(1_000),
            expires_at: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(900)),
            ..ResidentInfo::named(model.into(), ModelKind::Generation)
        },
        tuple: None,
        active: 0,
        idle: Duration::ZERO,
        pinned: false,
        owned: true,
    }
}

fn model(id: &str) -> ModelInfo {
    ModelInfo {
        id: id.into(),
        runner: id.into(),
        load: Arc::default(),
        via: Arc::default(),
        names: Arc::default(),
        kind: ModelKind::Generation,
        capabilities: crucible_router::catalog::Capabilities::default(),
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

fn engine(name: &str, models: &[String], loaded: &[String]) -> EngineView {
    EngineView {
        name: name.into(),
        kind: EngineKind::Ollama,
        device: Device::Cpu,
        pool: "cpu".into(),
        url: String::new(),
        health: Health::Up,
        breaker: BreakerState::HalfOpen,
        left_alone: None,
        error: None,
        refused_access: false,
        version: Some("0.33".into()),
        advice: Arc::default(),
        conflicts: Vec::new(),
        load_control: true,
        discovered: false,
        wedged: false,
        budget: Some(5_000),
        others: None,
        used: 1_000,
        peak: 0,
        models_limit: Some(2),
        ttl: None,
        limit: Some(Ok(8_000)),
        models: Arc::new(models.iter().map(|name| model(name)).collect()),
        residents: loaded.iter().map(|name| resident(name)).collect(),
        permits: 2,
        queue_limit: 10,
        queued: 3,
        active: 1,
        loading: None,
    }
}

fn view(name: &str, models: &[String], loaded: &[String]) -> View {
    View {
        engines: vec![engine(name, models, loaded)],
        ..View::default()
    }
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{prefix}{i}")).collect()
}
