//! Answers that go well: every format, every kind of engine, every kind of token, filled-in and dropped parameters.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use crucible_sim::Options;
use crucible_tests::{
    chat::{body, get, post, post_raw, post_to, stream},
    engines::{EveryKind, client, engine, start},
    rest::{eventually, ready},
};
use serde_json::json;

use super::super::every_word::{Kept, LabelWords, Scene, Stage};
use crate::answers::{lines, openai, speaker};

const ENDPOINTS: &[&str] = &[
    "chat",
    "completions",
    "embeddings",
    "rerank",
    "models",
    "responses",
    "messages",
    "native",
    "other",
];
const STREAMED: &[&str] = &["true", "false"];

/// A request to each path, and one to each kind of engine.
pub(super) const FORMATS: Scene = Scene {
    name: "each format at each kind of engine",
    words: &[
        LabelWords::of("crucible_requests_total", "endpoint", ENDPOINTS),
        LabelWords::of("crucible_request_duration_seconds", "endpoint", ENDPOINTS),
        LabelWords::of("crucible_overhead_seconds", "endpoint", ENDPOINTS),
        LabelWords::of("crucible_requests_total", "stream", STREAMED),
        LabelWords::of("crucible_request_duration_seconds", "stream", STREAMED),
        LabelWords::of(
            "crucible_engine_info",
            "kind",
            &["lmstudio", "ollama", "llamacpp", "openai"],
        ),
    ],
    play: |stage| Box::pin(formats(stage)),
};

async fn formats(stage: Stage) -> Kept {
    let kinds =
        EveryKind::start([&["qwen=1GB"], &["llama=1GB"], &["gguf=1GB"], &["plain=1GB"]]).await;
    let crucible = stage.start(&kinds.config()).await;
    ready(&crucible).await;
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
    for model in ["qwen", "llama", "gguf", "plain"] {
        let (_, answer) = stream(&crucible, &body(model, "repeat 2")).await;
        assert!(answer.done, "{model}: {}", answer.text);
    }
    Box::new((crucible, kinds))
}

const USAGE: &str = r#","usage":{"prompt_tokens":10,"completion_tokens":4,"total_tokens":14,"prompt_tokens_details":{"cached_tokens":9},"completion_tokens_details":{"reasoning_tokens":3}}"#;

/// An engine that counts everything, and one that only says how long it read.
pub(super) const COUNTS: Scene = Scene {
    name: "tokens of each type",
    words: &[
        LabelWords::of(
            "crucible_tokens_total",
            "type",
            &[
                "prompt",
                "completion",
                "cached",
                "cached_estimated",
                "reasoning",
            ],
        ),
        LabelWords::of("crucible_request_tokens", "type", &["prompt", "completion"]),
    ],
    play: |stage| Box::pin(counts(stage)),
};

async fn counts(stage: Stage) -> Kept {
    let hello = json!({ "role": "assistant", "content": "hello" });
    let counting = speaker(move |streamed| openai(streamed, &hello, USAGE)).await;
    // It reads 100 tokens in a second, until it has them in its cache.
    let cached = Arc::new(AtomicBool::new(false));
    let is_cached = Arc::clone(&cached);
    let timing = speaker(move |_| {
        let nanos: u64 = if is_cached.load(Ordering::Relaxed) {
            100_000_000
        } else {
            10_000_000_000
        };
        lines(&[json!({
            "model": "m", "message": { "role": "assistant", "content": "hello" }, "done": true,
            "done_reason": "stop", "prompt_eval_count": 1000, "prompt_eval_duration": nanos,
            "eval_count": 2, "eval_duration": 1000 })])
    })
    .await;
    let crucible = stage
        .start(&format!(
            "{}{}",
            engine("counting", "openai", &counting.url()),
            engine("timing", "ollama", &timing.url())
        ))
        .await;
    ready(&crucible).await;
    let answer = post(&crucible, &body("counting/m", "hi")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    // No two of them begin alike, so that nothing could be in its cache.
    let number = AtomicU32::new(0);
    let timed = || {
        let mut prompt = body("timing/m", "hi");
        let number = number.fetch_add(1, Ordering::Relaxed).to_string();
        let messages = prompt["messages"].as_array_mut().expect("messages");
        messages.insert(0, json!({ "role": "system", "content": number }));
        prompt
    };
    eventually("a measured pace", || async {
        let answer = post(&crucible, &timed()).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let told = post_to(&crucible, "/crucible/explain", &timed()).await;
        let pace = &told.json["candidates"][0]["prediction"]["prefill"]["basis"];
        (pace == "measured").then_some(())
    })
    .await;
    cached.store(true, Ordering::Relaxed);
    let answer = post(&crucible, &timed()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    Box::new((crucible, counting, timing))
}

/// A request that names no parameter, and one that names what Ollama does not know.
pub(super) const PARAMETERS: Scene = Scene {
    name: "parameters filled in and left out",
    words: &[
        LabelWords::of(
            "crucible_defaults_injected_total",
            "param",
            &[
                "temperature",
                "top_p",
                "frequency_penalty",
                "presence_penalty",
                "context",
            ],
        ),
        LabelWords::of(
            "crucible_params_dropped_total",
            "param",
            &["logit_bias", "parallel_tool_calls"],
        ),
    ],
    play: |stage| Box::pin(parameters(stage)),
};

async fn parameters(stage: Stage) -> Kept {
    let gpu = start(Options::lmstudio(&["qwen=1GB"])).await;
    let cpu = start(Options::ollama(&["llama=1GB"])).await;
    let crucible = stage
        .start(&format!(
            "{}{}",
            engine("gpu", "lmstudio", &gpu.url()),
            engine("cpu", "ollama", &cpu.url())
        ))
        .await;
    ready(&crucible).await;
    let mut strange = body("llama", "repeat 1");
    strange["logit_bias"] = json!({ "50256": -100 });
    strange["parallel_tool_calls"] = json!(true);
    for want in [body("qwen", "repeat 1"), body("llama", "repeat 1"), strange] {
        let answer = post(&crucible, &want).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    Box::new((crucible, gpu, cpu))
}
