//! `GET /crucible/state`: what happens now.

use std::time::{Duration, SystemTime};

use axum::{extract::State, response::Response};
use crucible_config::checked::{Device, EngineKind};
use crucible_router::view::{Breaker, EngineView, Health, View};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{endpoint::Endpoint, reply, request::ActiveRequest, state::AppState};

pub(super) async fn state(State(app): State<AppState>) -> Response {
    let view = app.router.fresh_view();
    let now = Instant::now();
    let in_flight: Vec<Value> = app
        .active
        .all()
        .iter()
        .filter(|active| active.endpoint != Endpoint::Admin)
        .map(|active| in_flight(active, now))
        .collect();
    let mut state = describe(&view);
    state["in_flight"] = in_flight.into();
    reply::json(&state)
}

/// Everything but the requests in flight.
pub(crate) fn describe(view: &View) -> Value {
    let engines: Vec<Value> = view.engines.iter().map(engine).collect();
    let queue: Vec<Value> = view
        .queue
        .iter()
        .map(|waiter| {
            json!({
                "request_id": waiter.request_id,
                "engine": waiter.engine,
                "model": waiter.model,
                "position": waiter.position,
                "waiting_s": seconds(waiter.waiting),
                "reason": waiter.reason,
            })
        })
        .collect();
    json!({
        "owns_state": view.owns_state,
        "engines": engines,
        "pools": pools(view),
        "queue": queue,
    })
}

fn engine(view: &EngineView) -> Value {
    let models: Vec<&str> = view.models.iter().map(|m| &*m.id).collect();
    json!({
        "name": view.name,
        "kind": kind_word(view.kind),
        "device": device_word(view.device),
        "pool": view.pool,
        "url": view.url,
        "state": health_word(view.health),
        "breaker": breaker_word(view.breaker),
        "error": view.error,
        "version": view.version,
        "advice": advice(view),
        "discovered": view.discovered,
        "load_control": view.load_control,
        "wedged": view.wedged,
        "models": models,
        "permits": { "limit": view.permits, "active": view.active },
        "queue": { "limit": view.queue_limit, "waiting": view.queued },
    })
}

/// What a person should know of it, a sentence each.
fn advice(view: &EngineView) -> Vec<String> {
    let conflicts = view.conflicts.iter();
    let conflicts = conflicts.map(|c| format!("{}; {}", c.found, c.fix));
    view.advice.iter().cloned().chain(conflicts).collect()
}

fn pools(view: &View) -> Vec<Value> {
    let mut names: Vec<&str> = Vec::new();
    for engine in &view.engines {
        if !names.contains(&&*engine.pool) {
            names.push(&engine.pool);
        }
    }
    names.into_iter().map(|name| pool(view, name)).collect()
}

fn pool(view: &View, name: &str) -> Value {
    let members = || view.engines.iter().filter(|e| &*e.pool == name);
    let residents: Vec<Value> = members()
        .flat_map(|e| e.residents.iter().map(move |r| (e, r)))
        .map(|(engine, resident)| {
            json!({
                "engine": engine.name,
                "model": resident.info.name(engine.kind),
                "names": engine.names(&resident.info),
                "instance": resident.info.instance,
                "context": resident.info.context,
                "bytes": resident.info.bytes,
                "vram_bytes": resident.info.vram_bytes,
                "active": resident.active,
                "idle_s": seconds(resident.idle),
                "pinned": resident.pinned,
                "owned": resident.owned,
                "expires_unix": resident.info.expires_at.and_then(unix),
            })
        })
        .collect();
    let used = members().map(|e| e.used).fold(0, u64::saturating_add);
    let budget = members().filter_map(|e| e.budget).min();
    let loading = members().find_map(|e| e.loading.as_ref()).map(|loading| {
        json!({
            "model": loading.model,
            "since": seconds(loading.since),
            "expected_s": loading.expected.map(seconds),
        })
    });
    json!({
        "name": name,
        "budget_bytes": budget,
        "used_bytes": used,
        "others_bytes": members().find_map(|e| e.others),
        "peak_bytes": members().map(|e| e.peak).fold(used, u64::max),
        "loading": loading,
        "residents": residents,
    })
}

fn in_flight(active: &ActiveRequest, now: Instant) -> Value {
    let record = active.record();
    json!({
        "request_id": active.id,
        "engine": record.engine,
        "model": record.model,
        "reason": record.reason.map(crucible_router::plan::Reason::as_str),
        "phase": record.phase.as_str(),
        "since_s": seconds(now - active.started),
        "tokens": active.tokens(),
    })
}

/// Seconds with milliseconds.
pub(crate) fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

fn unix(time: SystemTime) -> Option<u64> {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .map(|d| d.as_secs())
}

/// The configuration's word for an engine kind.
pub(crate) const fn kind_word(kind: EngineKind) -> &'static str {
    match kind {
        EngineKind::Lmstudio => "lmstudio",
        EngineKind::Ollama => "ollama",
        EngineKind::Llamacpp => "llamacpp",
        EngineKind::Openai => "openai",
    }
}

/// The configuration's word for a device.
pub(crate) const fn device_word(device: Device) -> &'static str {
    match device {
        Device::Gpu => "gpu",
        Device::Cpu => "cpu",
        Device::Auto => "auto",
    }
}

/// One word for a health.
pub(crate) const fn health_word(health: Health) -> &'static str {
    match health {
        Health::Unknown => "unknown",
        Health::Up => "up",
        Health::Degraded => "degraded",
        Health::Down => "down",
    }
}

const fn breaker_word(breaker: Breaker) -> &'static str {
    match breaker {
        Breaker::Closed => "closed",
        Breaker::Open => "open",
        Breaker::HalfOpen => "half_open",
    }
}
