//! `/metrics`: what is counted, in which formats, and within which bounds, whatever is sent.

mod bounds;
#[cfg(target_os = "linux")]
mod cards;
mod counted_log;
mod machine;
mod open_metrics;
mod words;

use std::time::Duration;

use crucible_sim::{Fault, FaultKind, Options};
use crucible_tests::{
    Crucible,
    chat::{Whole, body, get, open, post, stream, whole},
    clean::{Metrics, settled},
    engines::{client, engine, start},
    rest::{eventually, logged, ready},
};
use futures_util::StreamExt as _;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::sleep,
};

use self::open_metrics::{Samples, parse};

/// The header by which Prometheus asks for `OpenMetrics`.
const OPEN: &str = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";

async fn scrape(crucible: &Crucible, accept: &str) -> Whole {
    let request = client().get(crucible.at("/metrics"));
    let answer = request.header("accept", accept).send().await;
    whole(answer.expect("an answer")).await
}

/// A scrape as `OpenMetrics`, read strictly.
async fn samples(crucible: &Crucible) -> Samples {
    let answer = scrape(crucible, OPEN).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    parse(&answer.text).unwrap_or_else(|why| panic!("{why}"))
}

/// The names of the series of a scrape in the text format, without those of buckets.
fn series(text: &str) -> usize {
    text.lines().filter(|line| !line.starts_with('#')).count()
}

#[tokio::test]
async fn both_formats_have_the_same_series_and_the_better_one_wins() {
    let sim = start(Options::lmstudio(&["qwen=1GB"])).await;
    let crucible = Crucible::start(&engine("lmstudio", "lmstudio", &sim.url()));
    ready(&crucible).await;
    let answer = post(&crucible, &body("qwen", "repeat 2")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let text = scrape(&crucible, "*/*").await;
    let plain = "text/plain; version=0.0.4; charset=utf-8";
    assert_eq!(text.header("content-type"), plain);
    assert!(!text.text.contains("# EOF") && !text.text.contains("# UNIT"));
    let open = scrape(&crucible, OPEN).await;
    assert_eq!(
        open.header("content-type"),
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert_eq!(open.header("vary"), "accept");
    let read = parse(&open.text).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(read.len(), series(&text.text));
    let chats = r#"crucible_requests_total{code="200",endpoint="chat",engine="lmstudio",model="qwen",stream="false"}"#;
    assert_eq!(read.get(chats), Some(&1.0), "{}", open.text);
    for accept in [
        "text/plain",
        "application/openmetrics-text;q=0.1,text/plain",
        "x",
    ] {
        assert_eq!(
            scrape(&crucible, accept).await.header("content-type"),
            plain
        );
    }
}

#[tokio::test]
async fn scrapes_probes_pages_and_preflights_are_no_requests_of_clients() {
    let sim = start(Options::lmstudio(&["qwen=1GB"])).await;
    let crucible = Crucible::start(&format!(
        "allowed_origins = [\"http://page.example\"]\n{}",
        engine("lmstudio", "lmstudio", &sim.url())
    ));
    ready(&crucible).await;
    for path in [
        "/",
        "/healthz",
        "/health",
        "/readyz",
        "/metrics",
        "/crucible/state",
        "/crucible/tunings",
    ] {
        get(&crucible, path).await;
    }
    let explained = client()
        .post(crucible.at("/crucible/explain"))
        .json(&body("qwen", "repeat 1"))
        .send();
    assert_eq!(explained.await.expect("an answer").status(), 200);
    let preflight = client()
        .request(
            reqwest::Method::OPTIONS,
            crucible.at("/v1/chat/completions"),
        )
        .header("origin", "http://page.example")
        .header("access-control-request-method", "POST")
        .send();
    assert_eq!(preflight.await.expect("an answer").status(), 200);
    let before = Metrics::of(&crucible).await;
    assert_eq!(before.sum("crucible_requests_total", &[]), 0.0);
    assert_eq!(before.sum("crucible_overhead_seconds_count", &[]), 0.0);
    get(&crucible, "/v1/models").await;
    let refused = post(&crucible, &json!({"model": "qwen"})).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    let after = settled(&crucible, &before, 1).await;
    assert_eq!(after.sum("crucible_requests_total", &[]), 2.0);
    let refusals = after.sum("crucible_requests_total", &[("code", "400")]);
    assert_eq!(refusals, 1.0);
}

#[tokio::test]
async fn a_stream_that_its_client_left_is_counted_and_logged_as_499() {
    let sim = start(Options {
        rate: 50,
        ..Options::lmstudio(&["qwen=1GB"])
    })
    .await;
    let crucible = Crucible::start(&engine("lmstudio", "lmstudio", &sim.url()));
    ready(&crucible).await;
    let before = Metrics::of(&crucible).await;
    let mut events = open(&crucible, &body("qwen", "repeat 100000"))
        .await
        .bytes_stream();
    events.next().await.expect("an event").expect("bytes");
    drop(events);
    let after = settled(&crucible, &before, 1).await;
    let count = |code| after.sum("crucible_requests_total", &[("code", code)]);
    assert_eq!((count("499"), count("200")), (1.0, 0.0));
    let gone = [("cause", "client_gone")];
    assert_eq!(after.sum("crucible_stream_aborted_total", &gone), 1.0);
    logged(&crucible, "status=499").await;
}

#[tokio::test]
async fn the_limit_of_loaded_models_and_new_connections_are_shown() {
    let sim = start(Options::lmstudio(&["qwen=1GB"])).await;
    let crucible = Crucible::start(&format!(
        "[tuning.lmstudio]\nmax_loaded_models = 3\n{}",
        engine("lmstudio", "lmstudio", &sim.url())
    ));
    ready(&crucible).await;
    let (_, answer) = stream(&crucible, &body("qwen", "repeat 2")).await;
    assert!(answer.done, "{}", answer.text);
    let read = samples(&crucible).await;
    for (name, least, most) in [
        (
            r#"crucible_models_loaded_limit{engine="lmstudio"}"#,
            3.0,
            3.0,
        ),
        (
            r#"crucible_upstream_connect_duration_seconds_count{engine="lmstudio"}"#,
            1.0,
            1.0,
        ),
        (
            r#"crucible_retry_budget_remaining{engine="lmstudio"}"#,
            10.0,
            10.0,
        ),
        (
            r#"crucible_residency_polls_total{engine="lmstudio",outcome="ok"}"#,
            1.0,
            1e3,
        ),
        (r#"crucible_pool_used_bytes{pool="gpu"}"#, 1e9, 1e10),
        (
            r#"crucible_prefill_seconds_count{engine="lmstudio",model="qwen"}"#,
            1.0,
            1.0,
        ),
    ] {
        let value = read.get(name).copied();
        let within = value.is_some_and(|value| (least..=most).contains(&value));
        assert!(within, "{name}: {value:?}");
    }
    let spent = |phase: &str| {
        let name =
            format!(r#"crucible_request_phase_seconds_total{{engine="lmstudio",phase="{phase}"}}"#);
        read.get(&name).copied().expect(phase)
    };
    // The model was loaded for it, and of the wait only what was before and after the load counts as one.
    assert!(spent("load") > 0.0 && spent("own") > 0.0 && spent("generate") > 0.0);
    assert!(spent("queue") < spent("load"), "{read:?}");
}

/// An engine that is down may come up at any moment, so that its list is asked for before it is refused.
#[tokio::test]
async fn a_wait_for_the_list_of_an_engine_is_no_time_of_crucibles_own() {
    let sim = start(Options::openai(&["plain"])).await;
    let late = start(Options::openai(&["late"])).await;
    late.arm(
        Fault::new(FaultKind::NoHeaders)
            .on_path("/v1/models")
            .times(1000),
    );
    let crucible = Crucible::start(&format!(
        "{}{}",
        engine("here", "openai", &sim.url()),
        engine("late", "openai", &late.url())
    ));
    ready(&crucible).await;
    let before = Metrics::of(&crucible).await;
    let answer = post(&crucible, &body("late", "repeat 1")).await;
    assert!(matches!(answer.status, 404 | 503), "{}", answer.text);
    let after = settled(&crucible, &before, 1).await;
    let spent = |family: &str, labels: &[(&str, &str)]| {
        after.sum(family, labels) - before.sum(family, labels)
    };
    let phases = "crucible_request_phase_seconds_total";
    let waited = spent(phases, &[("engine", "none"), ("phase", "queue")]);
    assert!(waited > 0.4, "{waited} s");
    let own = spent("crucible_overhead_seconds_sum", &[("endpoint", "chat")]);
    assert!(own < waited / 2.0, "{own} s of {waited} s");
    let whole = spent("crucible_request_duration_seconds_sum", &[]);
    let parts = spent(phases, &[]);
    assert!((whole - parts).abs() < 0.001, "{whole} s are {parts} s");
    logged(&crucible, "queue_s=").await;
}

/// A body that comes slowly is waited for, also by one who leaves before it is whole.
#[tokio::test]
async fn the_time_in_which_a_client_sends_is_no_time_of_crucibles_own() {
    let sim = start(Options::openai(&["m"])).await;
    let crucible = Crucible::start(&engine("e", "openai", &sim.url()));
    ready(&crucible).await;
    let mut long = body("m", "repeat 1");
    long["metadata"] = json!({"padding": "x".repeat(1_000_000)});
    let long = long.to_string().into_bytes();
    let before = Metrics::of(&crucible).await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        crucible.addr(),
        long.len()
    );
    for whole in [true, false] {
        let stream = TcpStream::connect(crucible.addr()).await;
        let mut stream = stream.expect("a connection");
        stream.write_all(head.as_bytes()).await.expect("a head");
        let parts: Vec<&[u8]> = long.chunks(long.len() / 5 + 1).collect();
        let sent = if whole { &parts[..] } else { &parts[..4] };
        for part in sent {
            sleep(Duration::from_millis(250)).await;
            stream.write_all(part).await.expect("a part of the body");
        }
        if whole {
            let mut answer = String::new();
            let read = stream.read_to_string(&mut answer).await;
            read.expect("an answer");
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        } else {
            sleep(Duration::from_millis(250)).await;
        }
    }
    let after = settled(&crucible, &before, 2).await;
    let spent = |family: &str, labels: &[(&str, &str)]| {
        after.sum(family, labels) - before.sum(family, labels)
    };
    let phases = "crucible_request_phase_seconds_total";
    for engine in ["e", "none"] {
        let waited = spent(phases, &[("engine", engine), ("phase", "receive")]);
        assert!(waited > 0.95, "{engine}: {waited} s");
    }
    // The time in which either of them sent would make it more; the rest is a busy machine's.
    let own = spent("crucible_overhead_seconds_sum", &[("endpoint", "chat")]);
    assert!(own < 0.95, "{own} s");
    let whole = spent("crucible_request_duration_seconds_sum", &[]);
    let parts = spent(phases, &[]);
    assert!((whole - parts).abs() < 0.001, "{whole} s are {parts} s");
    logged(&crucible, "receive_s=").await;
}

#[tokio::test]
async fn cpu_time_counts_in_fractions_of_a_second() {
    let crucible = Crucible::start("");
    eventually("a fraction of a second", || async {
        let cpu = samples(&crucible)
            .await
            .get("process_cpu_seconds_total")
            .copied();
        (cpu?.fract() > 0.0).then_some(())
    })
    .await;
}
