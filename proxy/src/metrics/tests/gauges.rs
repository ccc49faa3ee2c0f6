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
fn a_view_sets_pools_limits_and_what_each_request_waits_for() {
    let metrics = metrics();
    let models = names("m", 1);
    let mut view = view("ollama", &models, &models);
    for reason in ["slot", "slot", "swap"] {
        view.queue.push(QueuedView {
            request_id: "r".into(),
            client: ClientId::default(),
            engine: "ollama".into(),
            model: "m0".into(),
            position: 1,
            waiting: Duration::ZERO,
            reason,
        });
    }
    let mut other = engine("second", &[], &[]);
    other.loading = Some(LoadingView {
        model: "m0".into(),
        since: Duration::ZERO,
        expected: None,
    });
    other.limit = None;
    view.engines.push(other);
    metrics.update_view(&view);
    for (name, expected) in [
        (
            r#"crucible_queue_waiting{engine="ollama",reason="slot"}"#,
            Some(2.0),
        ),
        (
            r#"crucible_queue_waiting{engine="ollama",reason="swap"}"#,
            Some(1.0),
        ),
        (
            r#"crucible_queue_waiting{engine="second",reason="slot"}"#,
            Some(0.0),
        ),
        (r#"crucible_pool_budget_bytes{pool="cpu"}"#, Some(5_000.0)),
        (r#"crucible_pool_used_bytes{pool="cpu"}"#, Some(2_000.0)),
        (r#"crucible_pool_loading{pool="cpu"}"#, Some(1.0)),
        (
            r#"crucible_models_loaded_limit{engine="ollama"}"#,
            Some(2.0),
        ),
        (
            r#"crucible_engine_memory_limit_bytes{engine="ollama"}"#,
            Some(8_000.0),
        ),
        (
            r#"crucible_engine_memory_limit_bytes{engine="second"}"#,
            None,
        ),
        (
            r#"crucible_model_expires_timestamp_seconds{engine="ollama",model="m0"}"#,
            Some(900.0),
        ),
    ] {
        assert_eq!(value(&metrics, name), expected, "{name}");
    }
    view.engines.truncate(1);
    view.engines[0].pool = "gpu".into();
    view.engines[0].budget = None;
    let resident = &mut view.engines[0].residents[0].info;
    resident.expires_at = Some(SystemTime::now() + Duration::from_hours(300 * 365 * 24));
    metrics.update_view(&view);
    for name in [
        r#"crucible_pool_used_bytes{pool="cpu"}"#,
        r#"crucible_pool_budget_bytes{pool="gpu"}"#,
        r#"crucible_queue_waiting{engine="second",reason="slot"}"#,
        r#"crucible_model_expires_timestamp_seconds{engine="ollama",model="m0"}"#,
    ] {
        assert_eq!(value(&metrics, name), None, "{name}");
    }
}

#[test]
fn gauges_of_models_and_engines_that_are_gone_leave() {
    let metrics = metrics();
    let models = names("m", 2);
    metrics.update_view(&view("ollama", &models, &models));
    // Unloaded, and still listed.
    metrics.update_view(&view("ollama", &models, &[]));
    let loaded = |model: &str| {
        let name = format!(r#"crucible_model_loaded{{engine="ollama",model="{model}"}}"#);
        value(&metrics, &name)
    };
    assert_eq!((loaded("m0"), loaded("m1")), (Some(0.0), Some(0.0)));
    // One of them was deleted on the engine.
    metrics.update_view(&view("ollama", &models[..1], &[]));
    assert_eq!((loaded("m0"), loaded("m1")), (Some(0.0), None));
    metrics.update_view(&View::default());
    let gauges: Vec<_> = FAMILIES
        .iter()
        .filter(|family| family.kind == FamilyType::Gauge)
        .map(|family| format!("{}{{", family.name))
        .collect();
    let left: Vec<_> = series(&metrics)
        .into_iter()
        .filter(|line| line.contains(r#"engine="ollama""#))
        .filter(|line| gauges.iter().any(|name| line.starts_with(name)))
        .collect();
    assert_eq!(left, Vec::<String>::new());
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
        lists_residents: true,
    });
    metrics.observe(&Event::HealthCheck {
        engine: "lmstudio".into(),
        ok: false,
        lists_residents: false,
    });
    // The model has its name from its first load on, although no view was looked at.
    for (name, expected) in [
        (
            r#"crucible_model_loads_total{engine="ollama",model="x",outcome="ok",trigger="warmup"}"#,
            1.0,
        ),
        (
            r#"crucible_model_load_duration_seconds_sum{engine="ollama",model="x"}"#,
            4.0,
        ),
        (
            r#"crucible_model_evictions_total{engine="ollama",model="x",reason="grow"}"#,
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
        (
            r#"crucible_residency_polls_total{engine="ollama",outcome="error"}"#,
            1.0,
        ),
        (
            r#"crucible_residency_polls_total{engine="lmstudio",outcome="error"}"#,
            0.0,
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
