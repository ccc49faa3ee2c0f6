//! Everything that Crucible refuses itself, but what only a full or ending instance refuses.

use std::time::Duration;

use crucible_sim::{Fault, FaultKind, Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{body, open, post, post_raw, post_to, whole},
    clean::queued,
    engines::{client, engine, start},
    raw::talk,
    rest::{eventually, ready, state},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::super::{
    every_word::{Kept, LabelWords, Scene, Stage},
    server::HASH,
};

/// A wrong request of each kind.
pub(super) const REFUSALS: Scene = Scene {
    name: "each refusal",
    words: &[LabelWords::of(
        "crucible_rejected_total",
        "reason",
        &[
            "invalid_json",
            "invalid_type",
            "duplicate_key",
            "missing_field",
            "unsupported_value",
            "bad_request",
            "request_timeout",
            "context_length_exceeded",
            "host_not_allowed",
            "origin_not_allowed",
            "endpoint_closed",
            "model_not_found",
            "unknown_endpoint",
            "body_too_large",
            "headers_too_large",
            "unsupported_media_type",
            "queue_full",
            "superseded",
            "engine_rejected",
            "queue_timeout",
            "no_engine",
        ],
    )],
    play: |stage| Box::pin(refusals(stage)),
};

const TOML: &str = r#"
[timeouts]
header = "3s"
queue = "6s"
[limits]
body = "64KB"
[scheduler]
supersede = true
"#;

/// Bodies that are refused, with the code.
fn bodies() -> [(Value, &'static str); 5] {
    let mut two = body("busy", "hi");
    two["n"] = 2.into();
    [
        (json!({ "model": 1, "messages": [] }), "invalid_type"),
        (json!({ "messages": [] }), "missing_field"),
        (two, "unsupported_value"),
        (body("nothing-of-this-name", "hi"), "model_not_found"),
        (
            body("tiny", &"word ".repeat(4000)),
            "context_length_exceeded",
        ),
    ]
}

async fn with_header(crucible: &Crucible, name: &str, value: &str, code: &str) {
    let request = client()
        .post(crucible.at("/v1/chat/completions"))
        .header(name, value)
        .json(&body("plain", "hi"));
    let answer = whole(request.send().await.expect("an answer")).await;
    assert_eq!(answer.code(), code, "{name}: {}", answer.text);
}

/// Requests that are none, or whose head is too large or does not end.
async fn heads(crucible: &Crucible) {
    let many = "X-Many: 1\r\n".repeat(200);
    let many = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{many}\r\n");
    for (bytes, status) in [
        ("BROKEN\r\n\r\n".to_owned(), 400),
        ("GET /healthz HTTP/1.1\r\nHost: loc".to_owned(), 408),
        (many, 431),
    ] {
        let answer = talk(crucible.addr(), bytes.as_bytes(), Duration::from_secs(20)).await;
        assert_eq!(answer.status(), status, "{}", answer.text);
    }
}

/// A completion of an editor that waits.
fn completing(crucible: &Crucible, session: &str) -> JoinHandle<u16> {
    let mut want = body("busy", "repeat 1");
    want["max_tokens"] = 64.into();
    let send = client()
        .post(crucible.at("/v1/chat/completions"))
        .header("x-session-id", session)
        .json(&want);
    tokio::spawn(async move { send.send().await.expect("an answer").status().as_u16() })
}

/// A queue with two places at an engine that is busy.
async fn queue(crucible: &Crucible) -> reqwest::Response {
    let busy = open(crucible, &body("busy", "repeat 100000")).await;
    let older = completing(crucible, "editor");
    queued(crucible, 1).await;
    let newer = completing(crucible, "editor");
    assert_eq!(older.await.expect("a task"), 409);
    let other = completing(crucible, "another");
    queued(crucible, 2).await;
    let full = post(crucible, &body("busy", "repeat 1")).await;
    assert_eq!(full.code(), "queue_full", "{}", full.text);
    for late in [newer, other] {
        assert_eq!(late.await.expect("a task"), 503);
    }
    busy
}

/// Bodies, headers and paths that are refused before they wait, and one that the engine refuses.
async fn refused_for_what_they_ask(crucible: &Crucible, plain: &Sim) {
    for (want, code) in bodies() {
        let answer = post(crucible, &want).await;
        assert_eq!(answer.code(), code, "{}", answer.text);
    }
    for (text, code) in [
        ("{\"model\": ", "invalid_json"),
        (
            r#"{"model":"a","model":"b","messages":[]}"#,
            "duplicate_key",
        ),
    ] {
        let answer = post_raw(crucible, text).await;
        assert_eq!(answer.code(), code, "{}", answer.text);
    }
    let large = post_raw(crucible, "x".repeat(100_000)).await;
    assert_eq!(large.code(), "body_too_large", "{}", large.text);
    with_header(crucible, "host", "evil.example", "host_not_allowed").await;
    with_header(
        crucible,
        "origin",
        "http://evil.example",
        "origin_not_allowed",
    )
    .await;
    with_header(crucible, "content-encoding", "br", "unsupported_media_type").await;
    for (path, code) in [
        ("/api/create", "endpoint_closed"),
        ("/no/such/path", "unknown_endpoint"),
    ] {
        let answer = post_to(crucible, path, &json!({})).await;
        assert_eq!(answer.status / 100, 4, "{code}: {}", answer.text);
    }
    let words = "invalid format: expected \"json\" or a schema";
    plain.arm(Fault::new(FaultKind::Http500).saying(words));
    let rejected = post(crucible, &body("plain", "hi")).await;
    assert_eq!(rejected.code(), "engine_rejected", "{}", rejected.text);
}

async fn refusals(stage: Stage) -> Kept {
    let plain = start(Options::openai(&["plain"])).await;
    let tiny = start(Options::openai(&["tiny=1GB:ctx1024"])).await;
    let mut options = Options::ollama(&["busy=1GB"]);
    options.rate = 50;
    let busy = start(options).await;
    let gone = start(Options::openai(&["gone"])).await;
    let crucible = stage
        .start(&format!(
            "{TOML}{}{}{}permits = 1\nqueue = 2\n{}",
            engine("plain", "openai", &plain.url()),
            engine("tiny", "llamacpp", &tiny.url()),
            engine("busy", "ollama", &busy.url()),
            engine("gone", "openai", &gone.url()),
        ))
        .await;
    ready(&crucible).await;
    gone.stop().await;
    refused_for_what_they_ask(&crucible, &plain).await;
    heads(&crucible).await;
    let holder = queue(&crucible).await;
    eventually("the engine is known to be down", || async {
        let now = state(&crucible).await;
        let gone = now.engines.iter().find(|engine| &*engine.name == "gone")?;
        (format!("{:?}", gone.state).to_lowercase() == "down").then_some(())
    })
    .await;
    let down = post(&crucible, &body("gone", "hi")).await;
    assert_eq!(down.code(), "no_engine", "{}", down.text);
    Box::new((crucible, plain, tiny, busy, holder))
}

/// A key that is wrong, and one that asks too often.
pub(super) const KEYS: Scene = Scene {
    name: "keys",
    words: &[LabelWords::of(
        "crucible_rejected_total",
        "reason",
        &["invalid_api_key", "rate_limited"],
    )],
    play: |stage| Box::pin(keys(stage)),
};

async fn keys(stage: Stage) -> Kept {
    let (code, out, err) = Crucible::command(&["key", "new", "--name", "laptop"], "");
    assert_eq!(code, 0, "{err}");
    let words = out.split_whitespace();
    let secret = words.clone().find(|word| word.starts_with("crk-"));
    let secret = secret.expect("a secret").to_owned();
    let block = &out[out.find("[[key]]").expect("a block")..];
    let crucible = stage
        .start(&format!(
            "{block}\nrate = \"1/hour\"\n[[key]]\nname = \"prometheus\"\nhash = \"{HASH}\"\n"
        ))
        .await;
    let asked = async |key: &str| {
        let request = client().get(crucible.at("/v1/models")).bearer_auth(key);
        request.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(asked("wrong").await, 401);
    assert_eq!(asked(&secret).await, 200);
    assert_eq!(asked(&secret).await, 429);
    Box::new(crucible)
}
