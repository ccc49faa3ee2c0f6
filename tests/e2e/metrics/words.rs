//! Every word of a label is counted by something: requests and failures that make the binary count them, and
//! for those that take a whole scene of their own a look at the code that says them.

use std::{
    fmt::Debug,
    fs,
    path::{Path, PathBuf},
};

use crucible::{
    endpoint::Endpoint,
    error::{AbortCause, ErrorKind, FallbackReason, UpstreamError},
    metrics::{DisconnectPhase, DroppedParam, RetryOutcome, RetryReason, TokenType},
};
use crucible_router::{
    event::{EvictionReason, LoadOutcome, LoadTrigger},
    plan::Reason,
};
use crucible_sim::{Fault, FaultKind, Options};
use crucible_tests::{
    Crucible,
    chat::{body, get, open, post_raw},
    clean::Metrics,
    engines::{client, engine, start},
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

#[tokio::test]
async fn each_endpoint_of_clients_is_counted_under_its_word() {
    let crucible = Crucible::start("");
    for path in [
        "/v1/completions",
        "/v1/embeddings",
        "/v1/rerank",
        "/v1/responses",
        "/v1/messages",
        "/tokenize",
        "/nowhere",
    ] {
        let request = client().post(crucible.at(path)).body("{}");
        request.send().await.expect("an answer");
    }
    get(&crucible, "/v1/models").await;
    post_raw(&crucible, "{}").await;
    eventually("each of them", || async {
        let now = Metrics::of(&crucible).await;
        let of = |endpoint: &Endpoint| {
            now.sum(
                "crucible_requests_total",
                &[("endpoint", endpoint.as_str())],
            )
        };
        Endpoint::OF_CLIENTS
            .iter()
            .all(|endpoint| of(endpoint) == 1.0)
            .then_some(())
    })
    .await;
}

/// The files of a folder of the product, without their tests.
fn sources(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    let names = [
        "tests",
        "tests.rs",
        "testing.rs",
        "fuzz",
        "replay",
        "properties",
        "fixture.rs",
    ];
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if names.contains(&&*name) {
            continue;
        }
        if path.is_dir() {
            sources(&path, found);
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(&path).expect("a source");
            let product = text.split("\nmod tests {").next().unwrap_or_default();
            found.push((path, product.to_owned()));
        }
    }
}

/// The values of an enum that no code beside `unless` names.
fn unsaid<T: Debug>(
    sources: &[(PathBuf, String)],
    name: &str,
    values: &[T],
    unless: &[&str],
) -> Vec<String> {
    let names = values.iter().map(|value| format!("{name}::{value:?}"));
    let said = |wanted: &String| {
        let all = sources.iter();
        all.filter(|(path, _)| !unless.iter().any(|file| path.ends_with(file)))
            .flat_map(|(_, text)| text.split(wanted.as_str()).skip(1))
            .any(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    };
    names.filter(|wanted| !said(wanted)).collect()
}

#[test]
fn no_word_stands_in_a_table_that_no_code_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut all = Vec::new();
    for folder in ["proxy/src", "router/src"] {
        sources(&root.join(folder), &mut all);
    }
    let tables: &[&str] = &[
        "metrics/labels.rs",
        "metrics/prepare.rs",
        "metrics/label_sets.rs",
    ];
    let evictions = [
        EvictionReason::Limit,
        EvictionReason::Conflict,
        EvictionReason::Resize,
        EvictionReason::External,
        EvictionReason::Exit,
        EvictionReason::Ttl,
        EvictionReason::Duplicate,
    ];
    let outcomes = [
        LoadOutcome::Ok,
        LoadOutcome::Error,
        LoadOutcome::Timeout,
        LoadOutcome::Oom,
    ];
    let triggers = [LoadTrigger::Request, LoadTrigger::Warmup, LoadTrigger::Pin];
    let dead = [
        unsaid(&all, "ErrorKind", &ErrorKind::ALL, &["proxy/src/error.rs"]),
        unsaid(&all, "UpstreamError", UpstreamError::ALL, tables),
        unsaid(&all, "AbortCause", AbortCause::ALL, tables),
        unsaid(&all, "FallbackReason", FallbackReason::ALL, tables),
        unsaid(&all, "DisconnectPhase", DisconnectPhase::ALL, tables),
        unsaid(&all, "DroppedParam", DroppedParam::ALL, tables),
        unsaid(&all, "TokenType", TokenType::ALL, tables),
        unsaid(&all, "RetryReason", RetryReason::ALL, tables),
        unsaid(&all, "RetryOutcome", RetryOutcome::ALL, tables),
        unsaid(
            &all,
            "Endpoint",
            Endpoint::OF_CLIENTS,
            &["proxy/src/endpoint.rs"],
        ),
        unsaid(&all, "Reason", &Reason::ALL, &["router/src/plan/mod.rs"]),
        unsaid(&all, "EvictionReason", &evictions, tables),
        unsaid(&all, "LoadOutcome", &outcomes, tables),
        unsaid(&all, "LoadTrigger", &triggers, tables),
    ]
    .concat();
    assert_eq!(dead, Vec::<String>::new());
}
