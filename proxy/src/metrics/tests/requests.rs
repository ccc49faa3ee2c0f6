//! Finished requests and streams in their families.

use super::*;

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
fn estimated_cached_tokens_are_counted_apart() {
    let metrics = metrics();
    metrics.known_models([&Arc::from("llama")].into_iter());
    let mut record = record("llama");
    record.usage.as_mut().unwrap().cached_is_estimated = true;
    metrics.request(&record);
    for (kind, expected) in [("cached", None), ("cached_estimated", Some(40.0))] {
        let name =
            format!(r#"crucible_tokens_total{{engine="ollama",model="llama",type="{kind}"}}"#);
        assert_eq!(value(&metrics, &name), expected, "{name}");
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
fn gaps_leave_out_the_first_token_and_are_published_on_drop() {
    let metrics = metrics();
    let count = r#"crucible_inter_token_seconds_count{engine="ollama"}"#;
    let mut clock = metrics.stream_clock("ollama");
    let start = Instant::now();
    for millis in [0, 20, 60] {
        clock.content(start + Duration::from_millis(millis));
    }
    assert_eq!(clock.span(), Some(Duration::from_millis(60)));
    assert_eq!((clock.first(), clock.events()), (Some(start), 3));
    assert_eq!(value(&metrics, count), Some(0.0));
    drop(clock);
    assert_eq!(value(&metrics, count), Some(2.0));
}

#[test]
fn a_tool_call_that_comes_at_once_has_no_rate() {
    let metrics = metrics();
    let mut clock = metrics.stream_clock("ollama");
    let start = Instant::now();
    clock.content(start);
    assert_eq!(clock.span(), None);
    for millis in [1, 2, 49] {
        clock.content(start + Duration::from_millis(millis));
        assert_eq!(clock.span(), None);
    }
    clock.content(start + Duration::from_millis(50));
    assert_eq!(clock.span(), Some(Duration::from_millis(50)));
}
