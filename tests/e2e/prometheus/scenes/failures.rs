//! Engines that fail in every way, and clients that do not read: how it is counted, and how a stream ends.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crucible_sim::{Fault, FaultKind, Options, Sim};
use crucible_tests::{
    chat::{body, open, post},
    clean::Metrics,
    engines::{engine, start},
    keeping::{ConnectionEnd, KeepingEngine},
    rest::{eventually, ready},
    scripted::{Leave, Script, Scripted},
    unread::never_reading,
};
use futures_util::{
    StreamExt as _,
    future::{join, join_all},
};

use super::super::every_word::{Kept, LabelWords, Scene, Stage};

/// Clocks that run out within a test, and a status that goes out before they do.
const TOML: &str = "[timeouts]\ncommit = \"200ms\"\nfirst_token = \"3s\"\nidle = \"1s\"\nload = \"3s\"\n\
                    response = \"4s\"\n[limits]\nevent = \"200KB\"\n";

/// One engine for each failure.
pub(super) const ENGINES_THAT_FAIL: Scene = Scene {
    name: "engines that fail, streams that break off",
    words: &[
        LabelWords::of(
            "crucible_upstream_errors_total",
            "kind",
            &[
                "connect",
                "first_token_timeout",
                "idle_timeout",
                "response_timeout",
                "reset",
                "truncated",
                "http_5xx",
                "http_429",
                "bad_http",
                "bad_json",
                "bad_sse",
                "oversize",
            ],
        ),
        LabelWords::of(
            "crucible_stream_aborted_total",
            "cause",
            &[
                "client_gone",
                "first_token_timeout",
                "idle_timeout",
                "load_timeout",
                "upstream_cut",
                "upstream_bad_data",
            ],
        ),
    ],
    play: |stage| Box::pin(engines_that_fail(stage)),
};

/// An engine whose only model has its name, and its block of the configuration.
async fn failing(name: &str, kind: &str, fault: Option<Fault>) -> (Sim, String) {
    let models = [name];
    let mut options = match kind {
        "ollama" => Options::ollama(&models),
        "lmstudio" => Options::lmstudio(&models),
        _ => Options::openai(&models),
    };
    // Slow enough that the endless one does not end.
    options.rate = if name == "endless" { 20 } else { 0 };
    options.script.extend(fault);
    let sim = start(options).await;
    let block = engine(name, kind, &sim.url());
    (sim, block)
}

/// An OpenAI server with the model `reset`, whose answers break off with a RST before their first event.
async fn resetting() -> Scripted {
    let list = r#"{"object":"list","data":[{"id":"reset","object":"model"}]}"#;
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    Scripted::start(move |path| match path {
        "/v1/models" => Script::json("200 OK", "", list),
        "/v1/chat/completions" => Script::raw(head, Leave::Reset),
        _ => Script::json("404 Not Found", "", "{}"),
    })
    .await
}

async fn engines_that_fail(stage: Stage) -> Kept {
    let three = |kind| Fault::new(kind).after_events(3);
    let cases = [
        ("http-5xx", "openai", Some(Fault::new(FaultKind::Http500))),
        ("http-429", "openai", Some(Fault::new(FaultKind::Http429))),
        ("redirect", "openai", Some(Fault::new(FaultKind::Redirect))),
        (
            "empty",
            "lmstudio",
            Some(Fault::new(FaultKind::EmptyStream)),
        ),
        ("silent", "openai", Some(Fault::new(FaultKind::NoHeaders))),
        ("cut", "openai", Some(three(FaultKind::Cut))),
        ("garbage", "ollama", Some(three(FaultKind::Garbage))),
        ("stalled", "openai", Some(three(FaultKind::Stall))),
        (
            "large",
            "openai",
            Some(three(FaultKind::BigEvent).after_bytes(1_000_000)),
        ),
        ("loading", "lmstudio", Some(Fault::new(FaultKind::LoadHang))),
        ("late", "openai", Some(Fault::new(FaultKind::NoHeaders))),
        ("endless", "openai", None),
        ("gone", "openai", None),
    ];
    let mut sims = Vec::new();
    let mut toml = TOML.to_owned();
    for (name, kind, fault) in cases {
        let (sim, block) = failing(name, kind, fault).await;
        toml += &block;
        sims.push((name, sim));
    }
    let reset = resetting().await;
    toml += &engine("reset", "openai", &reset.url());
    let crucible = stage.start(&toml).await;
    ready(&crucible).await;
    let streams = sims.iter().map(|(name, _)| *name).chain(["reset"]);
    let streams = streams.filter(|name| !["endless", "gone", "late"].contains(name));
    let streams = streams.map(|name| {
        let crucible = &crucible;
        async move {
            let answer = open(crucible, &body(name, "repeat 40")).await;
            let _ = answer.text().await;
        }
    });
    let late = body("late", "repeat 1");
    let (late, _) = join(post(&crucible, &late), join_all(streams)).await;
    assert_eq!(late.code(), "response_timeout", "{}", late.text);
    let mut left = open(&crucible, &body("endless", "repeat 100000"))
        .await
        .bytes_stream();
    left.next().await.expect("an event").expect("bytes");
    drop(left);
    // Nobody listens there any more, which Crucible learns from the request.
    let (_, gone) = sims.pop().expect("the last engine");
    gone.stop().await;
    let answer = post(&crucible, &body("gone", "repeat 1")).await;
    assert_eq!(answer.status, 502, "{}", answer.text);
    Box::new((crucible, sims, reset))
}

/// A client that takes nothing of its answer.
pub(super) const SLOW_READERS: Scene = Scene {
    name: "a client that does not read",
    words: &[LabelWords::of(
        "crucible_stream_aborted_total",
        "cause",
        &["client_slow"],
    )],
    play: |stage| Box::pin(slow_readers(stage)),
};

async fn slow_readers(stage: Stage) -> Kept {
    let (sim, block) = failing("unread", "openai", None).await;
    let toml = format!("[timeouts]\nclient_stall = \"1s\"\n{block}");
    let crucible = stage.start(&toml).await;
    ready(&crucible).await;
    let slow = never_reading(&crucible, "unread").await;
    Box::new((crucible, sim, slow))
}

/// An engine that ends an idle connection at the moment of the next request.
pub(super) const STALE_CONNECTIONS: Scene = Scene {
    name: "idle connections that an engine has closed",
    words: &[
        LabelWords::of("crucible_retries_total", "reason", &["stale_connection"]),
        LabelWords::of(
            "crucible_retries_total",
            "outcome",
            &["ok", "error", "over_budget"],
        ),
    ],
    play: |stage| Box::pin(stale_connections(stage)),
};

async fn stale_connections(stage: Stage) -> Kept {
    // Each connection ends at its second prompt; while `closed` holds, at every one.
    let closed = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&closed);
    let engine_ends = KeepingEngine::start("m", move |answered| {
        let ends = answered > 0 || ends.load(Ordering::Relaxed);
        ends.then_some(ConnectionEnd::Closed)
    })
    .await;
    let crucible = stage
        .start(&engine("stale", "openai", &engine_ends.url()))
        .await;
    ready(&crucible).await;
    // Where the end comes too late for it, a request is not sent twice: then once more.
    let want = body("m", "hi");
    for (ends_at_once, outcome) in [(false, "ok"), (true, "error"), (false, "over_budget")] {
        eventually(outcome, || async {
            if ends_at_once {
                // On a connection that is kept, and an engine that is not left alone.
                eventually("an answer", || async {
                    (post(&crucible, &want).await.status == 200).then_some(())
                })
                .await;
            }
            closed.store(ends_at_once, Ordering::Relaxed);
            post(&crucible, &want).await;
            closed.store(false, Ordering::Relaxed);
            let counts = Metrics::of(&crucible).await;
            let counted = counts.sum("crucible_retries_total", &[("outcome", outcome)]);
            (counted > 0.0).then_some(())
        })
        .await;
    }
    Box::new((crucible, engine_ends))
}
