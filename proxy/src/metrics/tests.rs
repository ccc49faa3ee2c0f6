use std::{collections::BTreeSet, time::Duration};

use crucible_config::checked::{Device, EngineKind};
use crucible_router::{
    catalog::{ModelInfo, ModelKind, ResidentInfo},
    event::{Event, EvictionReason, LoadOutcome, LoadTrigger, Observer as _},
    plan::Reason,
    view::{Breaker, EngineView, Health, ResidentView, View},
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
    let (kind, body) = metrics.encode().unwrap();
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    String::from_utf8(body).unwrap()
}

fn series(metrics: &Metrics) -> Vec<String> {
    text(metrics)
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

fn value(metrics: &Metrics, series_name: &str) -> Option<f64> {
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
        overhead: Duration::from_micros(300),
        first_token: Some(Duration::from_millis(400)),
        predicted: None,
        output_time: Some(Duration::from_secs(2)),
        content_events: 10,
        usage: Some(Usage {
            prompt: 100,
            completion: 11,
            cached: Some(40),
            reasoning: None,
            timing: Timing::default(),
        }),
        stream_bytes: 2048,
        stream_flushes: 2,
        reason: Some(Reason::Exact),
        defaults: &["temperature"],
    }
}

fn engine(name: &str, models: &[String], loaded: &[String]) -> EngineView {
    let resident = |model: &String| ResidentView {
        info: ResidentInfo {
            bytes: Some(1_000),
            ..ResidentInfo::named(model.as_str().into(), ModelKind::Generation)
        },
        tuple: None,
        active: 0,
        idle: Duration::ZERO,
        pinned: false,
        owned: true,
    };
    let model = |id: &String| ModelInfo {
        id: id.as_str().into(),
        runner: id.as_str().into(),
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
    };
    EngineView {
        name: name.into(),
        kind: EngineKind::Ollama,
        device: Device::Cpu,
        pool: "cpu".into(),
        url: String::new(),
        health: Health::Up,
        breaker: Breaker::HalfOpen,
        left_alone: None,
        error: None,
        refused_access: false,
        version: Some("0.33".into()),
        advice: Arc::default(),
        conflicts: Vec::new(),
        load_control: true,
        discovered: false,
        wedged: false,
        budget: None,
        others: None,
        used: 0,
        peak: 0,
        ttl: None,
        limit: None,
        models: Arc::new(models.iter().map(model).collect()),
        residents: loaded.iter().map(resident).collect(),
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

#[test]
fn exported_families_are_the_table() {
    let metrics = metrics();
    metrics.update_view(&view("ollama", &names("m", 1), &names("m", 1)));
    let exported: BTreeSet<(String, String)> = text(&metrics)
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect();
    let table = FAMILIES
        .iter()
        .filter(|f| cfg!(target_os = "linux") || !f.is_process())
        .map(|f| (f.name.to_owned(), f.kind.as_str().to_owned()))
        .collect();
    assert_eq!(exported, table);
}

#[test]
fn table_follows_naming_rules() {
    let mut seen = BTreeSet::new();
    for family in FAMILIES {
        let name = family.name;
        assert!(seen.insert(name), "{name} twice");
        assert!(
            name.starts_with("crucible_") || family.is_process(),
            "{name}"
        );
        assert_eq!(
            name.ends_with("_total"),
            family.kind == FamilyType::Counter,
            "{name}"
        );
        assert_eq!(
            !family.buckets.is_empty(),
            family.kind == FamilyType::Histogram,
            "{name}"
        );
        assert!(family.buckets.is_sorted(), "{name}");
        assert!(
            !family.help.is_empty() && family.help.ends_with('.'),
            "{name}"
        );
        for wrong in ["_ms", "_milliseconds", "_count", "_sum", "_bucket"] {
            assert!(!name.ends_with(wrong), "{name}");
        }
        for label in family.labels {
            assert!(
                ![
                    "le", "quantile", "id", "path", "key", "user", "job", "instance"
                ]
                .contains(label),
                "{name}: {label}"
            );
        }
    }
}

#[test]
fn finished_request_is_counted_once_in_each_family() {
    let metrics = metrics();
    metrics.known_models([&Arc::from("llama")].into_iter());
    metrics.request(&record("llama"));
    for (name, expected) in [
        (
            r#"crucible_requests_total{code="200",endpoint="chat",engine="ollama",model="llama",stream="true"}"#,
            1.0,
        ),
        (
            r#"crucible_request_duration_seconds_sum{endpoint="chat",engine="ollama",stream="true"}"#,
            3.0,
        ),
        (
            r#"crucible_time_to_first_token_seconds_count{engine="ollama",model="llama"}"#,
            1.0,
        ),
        (
            r#"crucible_output_tokens_per_second_sum{engine="ollama",model="llama"}"#,
            5.0,
        ),
        (
            r#"crucible_tokens_total{engine="ollama",model="llama",type="prompt"}"#,
            100.0,
        ),
        (
            r#"crucible_tokens_total{engine="ollama",model="llama",type="cached"}"#,
            40.0,
        ),
        (r#"crucible_stream_bytes_total{engine="ollama"}"#, 2048.0),
        (
            r#"crucible_tokens_estimated_total{engine="ollama",model="other"}"#,
            0.0,
        ),
    ] {
        assert_eq!(value(&metrics, name), Some(expected), "{name}");
    }
}

#[test]
fn answer_without_usage_counts_as_estimate_only() {
    let metrics = metrics();
    metrics.request(&RequestRecord {
        usage: None,
        ..record("x")
    });
    let estimated = r#"crucible_tokens_estimated_total{engine="ollama",model="other"}"#;
    let told = r#"crucible_tokens_total{engine="ollama",model="other",type="completion"}"#;
    assert_eq!(value(&metrics, estimated), Some(10.0));
    assert_eq!(value(&metrics, told), Some(0.0));
}

#[test]
fn requests_of_other_kinds_in_between_count_in_their_own_series() {
    let metrics = metrics();
    let whole = RequestRecord {
        stream: false,
        ..record("x")
    };
    let failed = RequestRecord {
        code: StatusCode::BAD_GATEWAY,
        reason: Some(Reason::Alias),
        ..record("x")
    };
    let nowhere = RequestRecord {
        engine: None,
        ..record("x")
    };
    for record in [
        &record("x"),
        &whole,
        &failed,
        &nowhere,
        &record("x"),
        &whole,
    ] {
        metrics.request(record);
    }
    let count = |engine: &str, stream: &str, code: &str| {
        value(
            &metrics,
            &format!(
                "crucible_requests_total{{code=\"{code}\",endpoint=\"chat\",engine=\"{engine}\",\
                 model=\"other\",stream=\"{stream}\"}}"
            ),
        )
    };
    assert_eq!(count("ollama", "true", "200"), Some(2.0));
    assert_eq!(count("ollama", "false", "200"), Some(2.0));
    assert_eq!(count("ollama", "true", "502"), Some(1.0));
    assert_eq!(count("none", "true", "200"), Some(1.0));
    for (reason, times) in [("exact", 4.0), ("alias", 1.0)] {
        let name = format!("crucible_routed_total{{engine=\"ollama\",reason=\"{reason}\"}}");
        assert_eq!(value(&metrics, &name), Some(times), "{name}");
    }
    let name = r#"crucible_defaults_injected_total{engine="ollama",param="temperature"}"#;
    assert_eq!(value(&metrics, name), Some(5.0));
}

#[test]
fn junk_model_names_add_no_series() {
    let metrics = metrics();
    metrics.request(&record("junk"));
    let before = series(&metrics).len();
    for i in 0..10_000 {
        metrics.request(&record(&format!("junk-{i}")));
    }
    assert_eq!(series(&metrics).len(), before);
}

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
fn gaps_leave_out_the_first_token_and_are_published_on_drop() {
    let metrics = metrics();
    let count = r#"crucible_inter_token_seconds_count{engine="ollama"}"#;
    let mut clock = metrics.stream_clock("ollama");
    let start = Instant::now();
    for millis in [0, 20, 40] {
        clock.content(start + Duration::from_millis(millis));
    }
    assert_eq!(clock.span(), Some(Duration::from_millis(40)));
    assert_eq!((clock.first(), clock.events()), (Some(start), 3));
    assert_eq!(value(&metrics, count), Some(0.0));
    drop(clock);
    assert_eq!(value(&metrics, count), Some(2.0));
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

#[test]
fn series_and_size_stay_within_the_bars() {
    let metrics = metrics();
    for name in ENGINES {
        let models = names(name, 10);
        metrics.update_view(&view(name, &models, &models));
        for model in &models {
            metrics.request(&RequestRecord {
                engine: Some(name),
                ..record(model)
            });
        }
    }
    let count = series(&metrics).len();
    let size = text(&metrics).len();
    assert!(count <= 2_500, "{count} series");
    assert!(size <= 200_000, "{size} bytes");
}

#[test]
fn unregistered_status_is_folded_into_its_class() {
    for (code, label) in [
        (200, "200"),
        (499, "499"),
        (599, "5xx"),
        (287, "2xx"),
        (999, "other"),
    ] {
        assert_eq!(status(&StatusCode::from_u16(code).unwrap()), label);
    }
}
