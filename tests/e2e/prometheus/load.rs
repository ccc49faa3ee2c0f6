//! The load: what people do with local models and what goes wrong with these, with a log of its own that the
//! metrics are compared with.

use std::collections::BTreeMap;

use crucible_sim::{Fault, FaultKind};
use crucible_tests::{
    chat::{Whole, body, get, open, post, post_raw, stream},
    clean::queued,
    engines::{Both, client, until},
};
use futures_util::{StreamExt as _, future::join_all};
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

/// What was sent so far and what came back, as the load saw it.
#[derive(Debug, Default)]
pub(super) struct LoadLog {
    /// Chat requests.
    pub(super) chats: u32,
    /// Those that were sent to an engine.
    pub(super) routed: u32,
    /// Tokens by type, as the answers counted them.
    pub(super) tokens: BTreeMap<&'static str, u64>,
    /// Chat requests that Crucible itself refused, by status.
    pub(super) refused: BTreeMap<u16, u32>,
    /// Requests to any endpoint that Crucible itself refused, by status.
    pub(super) rejected: BTreeMap<u16, u32>,
    /// Requests that were answered 502, because their engine failed and there was no other.
    pub(super) failed: u32,
    /// Streams that ended with an error.
    pub(super) cut: u32,
    /// Requests that were left, by phase.
    pub(super) left: BTreeMap<&'static str, u32>,
    /// Answers that came from an engine which was not the first choice.
    pub(super) fallbacks: u32,
}

// === impl LoadLog ===

impl LoadLog {
    fn routed(&mut self, requests: u32) {
        self.chats += requests;
        self.routed += requests;
    }

    /// An answer of an engine, with its counts.
    fn answered(&mut self, usage: &Value) {
        self.routed(1);
        for (kind, pointer) in [
            ("prompt", "/prompt_tokens"),
            ("completion", "/completion_tokens"),
            ("cached", "/prompt_tokens_details/cached_tokens"),
        ] {
            let count = usage.pointer(pointer).and_then(Value::as_u64);
            *self.tokens.entry(kind).or_default() += count.unwrap_or_default();
        }
    }

    fn whole(&mut self, answer: &Whole) {
        assert_eq!(answer.status, 200, "{}", answer.text);
        self.answered(&answer.json["usage"]);
    }

    fn refused(&mut self, answer: &Whole, status: u16) {
        assert_eq!(answer.status, status, "{}", answer.text);
        self.chats += 1;
        *self.refused.entry(status).or_default() += 1;
        *self.rejected.entry(status).or_default() += 1;
    }

    fn left(&mut self, phase: &'static str, requests: u32) {
        self.routed(requests);
        *self.left.entry(phase).or_default() += requests;
    }
}

/// One round of everything.
pub(super) async fn round(both: &Both, log: &mut LoadLog) {
    answers(both, log).await;
    evictions(both, log).await;
    refusals(both, log).await;
    failures(both, log).await;
    other_endpoints(both, log).await;
    leavers(both, log).await;
    assert_eq!(get(&both.crucible, "/v1/models").await.status, 200);
    both.crucible.signal("HUP");
}

/// Answers of both kinds from both engines, some of them after a wait for a permit.
async fn answers(both: &Both, log: &mut LoadLog) {
    for model in ["qwen", "llama3.2:3b"] {
        let mut want = body(model, "repeat 12");
        log.whole(&post(&both.crucible, &want).await);
        want["stream_options"] = json!({ "include_usage": true });
        let (_, events) = stream(&both.crucible, &want).await;
        assert!(events.done, "{}", events.text);
        let usage = events
            .events
            .iter()
            .rev()
            .find_map(|event| event.get("usage"));
        log.answered(usage.expect("counts"));
    }
    log.whole(&post(&both.crucible, &body("caching/m", "hi")).await);
    let crowd =
        (0..4).map(|_| async { post(&both.crucible, &body("llama3.2:3b", "repeat 12")).await });
    for answer in join_all(crowd).await {
        log.whole(&answer);
    }
    let mut strange = body("llama3.2:3b", "repeat 2");
    for (name, value) in [
        ("logit_bias", json!({ "50256": -100 })),
        ("parallel_tool_calls", json!(true)),
        ("service_tier", json!("auto")),
        ("store", json!(false)),
        ("user", json!("someone")),
        ("metadata", json!({})),
    ] {
        strange[name] = value;
    }
    log.whole(&post(&both.crucible, &strange).await);
}

/// Models that take turns in the memory of one engine.
async fn evictions(both: &Both, log: &mut LoadLog) {
    for model in ["lmstudio/shared", "thinker-think", "qwen"] {
        log.whole(&post(&both.crucible, &body(model, "repeat 6")).await);
    }
}

/// Requests that no engine sees.
async fn refusals(both: &Both, log: &mut LoadLog) {
    let answer = post(&both.crucible, &body("unheard-of", "repeat 1")).await;
    log.refused(&answer, 404);
    let answer = post_raw(&both.crucible, "{\"model\": ").await;
    log.refused(&answer, 400);
}

/// Requests to all other endpoints, most of them of a form that is refused.
async fn other_endpoints(both: &Both, log: &mut LoadLog) {
    let crucible = &both.crucible;
    for path in [
        "/v1/completions",
        "/v1/embeddings",
        "/v1/rerank",
        "/v1/responses",
        "/v1/messages",
        "/api/chat",
        "/no/such/path",
    ] {
        let asked = client()
            .post(crucible.at(path))
            .json(&json!({ "model": 1 }));
        let answer = asked.send().await.expect("an answer");
        assert!(answer.status().is_client_error(), "{path}: {answer:?}");
        let status = answer.status().as_u16();
        *log.rejected.entry(status).or_default() += 1;
    }
    for path in ["/healthz", "/v1/models"] {
        assert_eq!(get(crucible, path).await.status, 200, "{path}");
    }
}

/// Engines that fail: before the answer with and without another to turn to, and in a stream.
async fn failures(both: &Both, log: &mut LoadLog) {
    both.ollama.arm(Fault::new(FaultKind::Http500));
    let answer = post(&both.crucible, &body("llama3.2:3b", "repeat 4")).await;
    assert_eq!(answer.status, 502, "{}", answer.text);
    log.failed += 1;
    log.routed(1);
    both.lmstudio.arm(Fault::new(FaultKind::Http500));
    log.whole(&post(&both.crucible, &body("qwen", "repeat 4")).await);
    log.fallbacks += 1;
    for sim in [&both.lmstudio, &both.ollama] {
        sim.arm(Fault::new(FaultKind::Cut));
    }
    for model in ["lmstudio/qwen", "llama3.2:3b"] {
        let (_, events) = stream(&both.crucible, &body(model, "repeat 8")).await;
        let error = events.error().unwrap_or_else(|| panic!("{}", events.text));
        assert_eq!(error["code"], "engine_cut", "{}", events.text);
        log.cut += 1;
    }
    log.routed(2);
}

/// Clients that leave in a stream, before it, and in the queue.
async fn leavers(both: &Both, log: &mut LoadLog) {
    let leave = async |crucible, model| {
        let mut events = open(crucible, &body(model, "repeat 100000"))
            .await
            .bytes_stream();
        events.next().await.expect("an event").expect("bytes");
        events
    };
    let running = [
        leave(&both.crucible, "llama3.2:3b").await,
        leave(&both.crucible, "llama3.2:3b").await,
    ];
    let waiting = abandonable(both, "llama3.2:3b");
    queued(&both.crucible, 1).await;
    waiting.abort();
    queued(&both.crucible, 0).await;
    drop(running);
    both.lmstudio.reset();
    both.lmstudio.arm(Fault::new(FaultKind::NoHeaders));
    let silent = abandonable(both, "lmstudio/qwen");
    until(&both.lmstudio, "the request", |log| log.faults.len() == 1).await;
    silent.abort();
    log.left("queue", 1);
    log.left("stream", 2);
    log.left("headers", 1);
}

fn abandonable(both: &Both, model: &str) -> tokio::task::JoinHandle<reqwest::Result<String>> {
    let url = both.crucible.at("/v1/chat/completions");
    let body = body(model, "repeat 3");
    TaskTracker::new()
        .spawn(async move { client().post(url).json(&body).send().await?.text().await })
}
