//! The failures of engines, each of which is counted under the word for it. Every other word has a scene in
//! `prometheus::every_word`.

use crucible::error::{AbortCause, UpstreamError};
use crucible_sim::{Fault, FaultKind, Options};
use crucible_tests::{
    Crucible,
    chat::{body, open},
    clean::Metrics,
    engines::{engine, start},
    rest::{eventually, ready},
};

/// Clocks that run out within a test.
const SHORT: &str = "[timeouts]\nfirst_token = \"1s\"\nidle = \"500ms\"\n";

/// An engine's fault in a stream, and the words that it is counted under.
struct Counted {
    fault: Fault,
    upstream: UpstreamError,
    /// Why the stream ended early, where it had begun.
    abort: Option<AbortCause>,
}

fn counted(fault: Fault, upstream: UpstreamError, abort: Option<AbortCause>) -> Counted {
    Counted {
        fault,
        upstream,
        abort,
    }
}

fn after_three(kind: FaultKind) -> Fault {
    Fault {
        after_events: Some(3),
        ..Fault::new(kind)
    }
}

#[tokio::test]
async fn each_failure_of_an_engine_is_counted_under_its_word() {
    let cut = Some(AbortCause::UpstreamCut);
    for case in [
        counted(Fault::new(FaultKind::Http500), UpstreamError::Http5xx, None),
        counted(Fault::new(FaultKind::Http429), UpstreamError::Http429, None),
        counted(
            Fault::new(FaultKind::Redirect),
            UpstreamError::BadHttp,
            None,
        ),
        counted(
            Fault::new(FaultKind::EmptyStream),
            UpstreamError::BadSse,
            None,
        ),
        counted(
            Fault::new(FaultKind::NoHeaders),
            UpstreamError::FirstTokenTimeout,
            None,
        ),
        counted(after_three(FaultKind::Cut), UpstreamError::Truncated, cut),
        counted(
            after_three(FaultKind::Garbage),
            UpstreamError::BadJson,
            Some(AbortCause::UpstreamBadData),
        ),
        counted(
            after_three(FaultKind::Stall),
            UpstreamError::IdleTimeout,
            Some(AbortCause::IdleTimeout),
        ),
    ] {
        // What OpenAI's clients get of an engine of their format passes unread.
        let (kind, options) = if case.upstream == UpstreamError::BadJson {
            ("ollama", Options::ollama(&["qwen=1GB"]))
        } else {
            ("lmstudio", Options::lmstudio(&["qwen=1GB"]))
        };
        let sim = start(options).await;
        let toml = engine(kind, kind, &sim.url());
        let crucible = Crucible::start(&format!("{SHORT}{toml}"));
        ready(&crucible).await;
        sim.arm(case.fault.clone());
        let answer = open(&crucible, &body("qwen", "repeat 20")).await;
        let _ = answer.text().await;
        let what = format!("{:?}", case.fault.kind);
        eventually(&what, || async {
            let now = Metrics::of(&crucible).await;
            let kind = [("kind", case.upstream.as_str())];
            let failed = now.sum("crucible_upstream_errors_total", &kind);
            let cause = case.abort.map_or("client_gone", AbortCause::as_str);
            let aborted = now.sum("crucible_stream_aborted_total", &[("cause", cause)]);
            let expected = f64::from(u8::from(case.abort.is_some()));
            (failed == 1.0 && aborted == expected).then_some(())
        })
        .await;
    }
}
