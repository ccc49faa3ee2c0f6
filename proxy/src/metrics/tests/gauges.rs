//! Gauges of guards and of the view, events of the router, reloads.

use super::*;

#[test]
fn models_beyond_the_bound_are_other_and_counted_once() {
    let metrics = metrics();
    let models = names("m", 250);
    for _ in 0..3 {
        metrics.update_view(&view("ollama", &models, &[]));
    }
    let overflow = r#"crucible_label_overflow_total{label="model"}"#;
    assert_eq!(value(&metrics, overflow), Some(50.0));
    assert_eq!(metrics.inner.models.label("m0"), "m0");
    assert_eq!(metrics.inner.models.label("m249"), "other");
}

#[test]
fn gauges_return_to_zero_when_guards_drop() {
    let metrics = metrics();
    let in_flight = r#"crucible_requests_in_flight{engine="ollama"}"#;
    let guards = (metrics.in_flight("ollama"), metrics.connection());
    assert_eq!(value(&metrics, in_flight), Some(1.0));
    assert_eq!(value(&metrics, "crucible_connections_open"), Some(1.0));
    drop(guards);
    assert_eq!(value(&metrics, in_flight), Some(0.0));
    assert_eq!(value(&metrics, "crucible_connections_open"), Some(0.0));
    assert_eq!(
        metrics.inner.starts.oldest("ollama", Instant::now()),
        Duration::ZERO
    );
}

#[test]
fn oldest_in_flight_is_the_engines_first() {
    let starts = Arc::new(Starts::default());
    let gauge = || prometheus::Gauge::new("g", "g").unwrap();
    let start = Instant::now();
    let later = start + Duration::from_secs(5);
    let first = InFlightGuard::new(gauge(), Arc::clone(&starts), "a", start);
    let _second = InFlightGuard::new(gauge(), Arc::clone(&starts), "a", later);
    let now = start + Duration::from_secs(9);
    assert_eq!(starts.oldest("a", now), Duration::from_secs(9));
    assert_eq!(starts.oldest("b", now), Duration::ZERO);
    drop(first);
    assert_eq!(starts.oldest("a", now), Duration::from_secs(4));
}

#[test]
fn view_sets_gauges_and_clears_what_is_gone() {
    let metrics = metrics();
    let models = names("m", 2);
    metrics.update_view(&view("ollama", &models, &models));
    let loaded = r#"crucible_model_loaded{engine="ollama",model="m1"}"#;
    let memory = r#"crucible_model_memory_bytes{engine="ollama",model="m1"}"#;
    for (name, expected) in [
        (r#"crucible_engine_up{engine="ollama"}"#, 1.0),
        (r#"crucible_engine_breaker_state{engine="ollama"}"#, 2.0),
        (r#"crucible_queue_depth{engine="ollama"}"#, 3.0),
        (r#"crucible_in_flight_limit{engine="ollama"}"#, 4.0),
        (
            r#"crucible_engine_info{engine="ollama",kind="ollama",version="0.33"}"#,
            1.0,
        ),
        (loaded, 1.0),
        (memory, 1000.0),
    ] {
        assert_eq!(value(&metrics, name), Some(expected), "{name}");
    }
    let mut next = view("ollama", &models, &models[..1]);
    next.engines[0].version = Some("0.34".into());
    metrics.update_view(&next);
    assert_eq!(value(&metrics, loaded), Some(0.0));
    assert_eq!(value(&metrics, memory), Some(0.0));
    let infos = series(&metrics)
        .iter()
        .filter(|s| s.starts_with("crucible_engine_info"))
        .count();
    assert_eq!(infos, 1);
}

#[test]
fn events_of_the_router_are_counted() {
    let metrics = metrics();
    metrics.observe(&Event::Load {
        engine: "ollama".into(),
        model: "x".into(),
        outcome: LoadOutcome::Ok,
        trigger: LoadTrigger::Warmup,
        took: Duration::from_secs(4),
    });
    metrics.observe(&Event::Evicted {
        engine: "ollama".into(),
        model: "x".into(),
        reason: EvictionReason::Resize,
    });
    metrics.observe(&Event::Granted {
        engine: "ollama".into(),
        waited: Duration::ZERO,
        loaded: false,
    });
    metrics.observe(&Event::HealthCheck {
        engine: "ollama".into(),
        ok: false,
    });
    for (name, expected) in [
        (
            r#"crucible_model_loads_total{engine="ollama",model="other",outcome="ok",trigger="warmup"}"#,
            1.0,
        ),
        (
            r#"crucible_model_load_duration_seconds_sum{engine="ollama",model="other"}"#,
            4.0,
        ),
        (
            r#"crucible_model_evictions_total{engine="ollama",model="other",reason="grow"}"#,
            1.0,
        ),
        (
            r#"crucible_queue_wait_seconds_count{engine="ollama",reason="slot"}"#,
            1.0,
        ),
        (
            r#"crucible_engine_health_checks_total{engine="ollama",outcome="error"}"#,
            1.0,
        ),
    ] {
        assert_eq!(value(&metrics, name), Some(expected), "{name}");
    }
}

#[test]
fn failed_reload_keeps_the_timestamp() {
    let metrics = metrics();
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
    metrics.config_loaded(at);
    metrics.config_reloaded(Outcome::Error, at + Duration::from_secs(50));
    assert_eq!(
        value(&metrics, "crucible_config_last_reload_success"),
        Some(0.0)
    );
    assert_eq!(
        value(&metrics, "crucible_config_last_reload_timestamp_seconds"),
        Some(100.0)
    );
}
