//! A configured fallback answers when the first choice fails, says so, and never after a byte.

use std::time::Duration;

use crucible_sim::{Fault, FaultKind, LogView, Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{Whole, body, get, header, open, post, stream, whole},
    clean::{Metrics, clean, settled},
    engines::{asked, client, engine, start},
    rest::{eventually, ready},
    sse::Stream,
};
use serde_json::json;

/// `qwen` on the GPU; `llama` on the CPU answers where it fails.
struct Pair {
    gpu: Sim,
    cpu: Sim,
    crucible: Crucible,
}

impl Pair {
    async fn start(toml: &str) -> Self {
        let gpu = start(Options::lmstudio(&["qwen=2GB"])).await;
        let cpu = start(Options::ollama(&["llama=1GB"])).await;
        let crucible = Crucible::start(&format!(
            "{toml}\n{}\n{}device = \"cpu\"\n[[model]]\nname = \"qwen\"\nfallback = [\"llama\"]\n",
            engine("gpu", "lmstudio", &gpu.url()),
            engine("cpu", "ollama", &cpu.url()),
        ));
        ready(&crucible).await;
        Self { gpu, cpu, crucible }
    }

    /// Both models are loaded.
    async fn loaded(toml: &str) -> Self {
        let pair = Self::start(toml).await;
        for model in ["qwen", "llama"] {
            let answer = post(&pair.crucible, &body(model, "repeat 1")).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
        }
        pair.gpu.reset();
        pair.cpu.reset();
        pair
    }

    async fn ask(&self) -> Whole {
        post(&self.crucible, &body("qwen", "repeat 3")).await
    }
}

fn generations(log: &LogView) -> usize {
    asked(log).len()
}

fn assert_instead(answer: &Whole, why: &str) {
    assert_eq!(answer.status, 200, "{why}: {}", answer.text);
    assert_eq!(answer.content(), "word0 word1 word2", "{why}");
    for (name, value) in [
        ("x-crucible-engine", "cpu"),
        ("x-crucible-model", "llama:latest"),
        ("x-crucible-reason", "fallback"),
    ] {
        assert_eq!(answer.header(name), value, "{why}: {:?}", answer.headers);
    }
    let note = answer.header("x-crucible-note");
    let want = format!("instead of gpu/qwen, which failed ({why})");
    assert!(note.contains(&want), "{why}: {note}");
}

/// Successful takeovers for this reason, and answers that the fallback gave.
fn taken_over(metrics: &Metrics, why: &str) -> (f64, f64) {
    let moved = [
        ("from_engine", "gpu"),
        ("to_engine", "cpu"),
        ("reason", why),
        ("outcome", "ok"),
    ];
    let routed = [("engine", "cpu"), ("reason", "fallback")];
    (
        metrics.sum("crucible_fallbacks_total", &moved),
        metrics.sum("crucible_routed_total", &routed),
    )
}

async fn assert_counted(pair: &Pair, before: &Metrics, requests: u32, why: &str) {
    let after = clean(&pair.crucible, before, requests, "llama").await;
    let want = f64::from(requests);
    let (moved, routed) = taken_over(before, why);
    assert_eq!(
        taken_over(&after, why),
        (moved + want, routed + want),
        "{why}: {}",
        after.family("crucible_fallbacks_total")
    );
}

#[tokio::test]
async fn a_5xx_is_answered_by_the_fallback() {
    let pair = Pair::loaded("").await;
    for kind in [FaultKind::Http500, FaultKind::Http503] {
        let before = Metrics::of(&pair.crucible).await;
        pair.gpu.arm(Fault::new(kind).times(2));
        assert_instead(&pair.ask().await, "5xx");
        let (headers, events) = stream(&pair.crucible, &body("qwen", "repeat 3")).await;
        assert_eq!(header(&headers, "x-crucible-engine"), "cpu");
        assert_eq!(header(&headers, "x-crucible-reason"), "fallback");
        assert!(header(&headers, "x-crucible-note").contains("failed (5xx)"));
        assert!(events.done && events.error().is_none(), "{}", events.text);
        assert_eq!(events.content(), "word0 word1 word2");
        assert_counted(&pair, &before, 2, "5xx").await;
    }
    // Each was tried once.
    assert_eq!(pair.gpu.log().faults.len(), 4);
    let home = pair.ask().await;
    assert_eq!(home.header("x-crucible-engine"), "gpu", "{}", home.text);
    assert_eq!(home.header("x-crucible-note"), "");
}

/// The fallback counts more tokens in it than were estimated, and is loaded anew for them.
#[tokio::test]
async fn what_took_over_and_what_grew_for_it_are_both_said() {
    let pair = Pair::loaded("").await;
    pair.gpu.arm(Fault::new(FaultKind::Http500));
    let mut long = body("qwen", &"\u{5b57}".repeat(4200));
    long["max_tokens"] = 10.into();
    let answer = post(&pair.crucible, &long).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(
        answer.header("x-crucible-note"),
        "instead of gpu/qwen, which failed (5xx); loaded with more context, for a prompt of 4200 \
         tokens"
    );
    assert_eq!(pair.gpu.log().faults.len(), 1);
}

#[tokio::test]
async fn an_engine_that_is_gone_is_replaced_at_once_and_later() {
    let pair = Pair::loaded("").await;
    let before = Metrics::of(&pair.crucible).await;
    let Pair { gpu, cpu, crucible } = pair;
    gpu.stop().await;
    let first = post(&crucible, &body("qwen", "repeat 3")).await;
    assert_instead(&first, "connect");
    let after = settled(&crucible, &before, 1).await;
    let (moved, routed) = taken_over(&before, "connect");
    assert_eq!(taken_over(&after, "connect"), (moved + 1.0, routed + 1.0));
    eventually("the engine is known to be down", || async {
        let state = get(&crucible, "/crucible/state").await.json;
        let mut engines = state["engines"].as_array()?.iter();
        engines
            .any(|e| e["name"] == "gpu" && e["state"] == "down")
            .then_some(())
    })
    .await;
    let later = post(&crucible, &body("qwen", "repeat 3")).await;
    assert_eq!(later.status, 200, "{}", later.text);
    assert_eq!(later.header("x-crucible-engine"), "cpu");
    assert_eq!(later.header("x-crucible-reason"), "fallback");
    assert_eq!(generations(&cpu.log()), 2);
}

#[tokio::test]
async fn a_load_that_fails_is_answered_by_the_fallback() {
    let pair = Pair::start("").await;
    for (kind, n) in [(FaultKind::LoadFail, 1), (FaultKind::LoadOom, 2)] {
        let before = Metrics::of(&pair.crucible).await;
        pair.gpu.reset();
        pair.gpu.arm(Fault::new(kind).times(10));
        // After the first failure the model is left alone for a while: that is no load either.
        let answer = pair.ask().await;
        assert_instead(&answer, "load_failed");
        assert_counted(&pair, &before, 1, "load_failed").await;
        assert!(pair.gpu.log().completions.is_empty(), "{n}");
    }
}

#[tokio::test]
async fn an_engine_that_keeps_failing_is_not_asked_any_more() {
    let pair = Pair::loaded("").await;
    let before = Metrics::of(&pair.crucible).await;
    pair.gpu.arm(Fault::new(FaultKind::Http500).times(100));
    let mut began = std::time::Instant::now();
    for _ in 0..5 {
        began = std::time::Instant::now();
        assert_instead(&pair.ask().await, "5xx");
    }
    // All are one client's: Crucible asks once itself before it believes them.
    eventually("the breaker opens", || async {
        let line = "engine=\"gpu\" before=Closed after=Open";
        pair.crucible.log().contains(line).then_some(())
    })
    .await;
    let answer = pair.ask().await;
    let skipped = pair.gpu.log().faults.len();
    // The breaker lets a probe through a second after the fifth failure.
    if began.elapsed() < Duration::from_secs(1) {
        assert_eq!(skipped, 6);
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.header("x-crucible-engine"), "cpu");
        assert_eq!(answer.header("x-crucible-reason"), "fallback");
        // Who plans after the breaker was published does not name the engine any more; who planned
        // just before it is turned away from it, and told so.
        if answer.header("x-crucible-note").contains("breaker_open") {
            let after = Metrics::of(&pair.crucible).await;
            let (moved, _) = taken_over(&before, "breaker_open");
            assert_eq!(taken_over(&after, "breaker_open").0, moved + 1.0);
        }
    }
}

#[tokio::test]
async fn nothing_is_replaced_after_the_first_byte() {
    let toml = "[timeouts]\ncommit = \"100ms\"\n";
    let pair = Pair::loaded(toml).await;
    let before = Metrics::of(&pair.crucible).await;
    // Events are out.
    pair.gpu.arm(Fault::new(FaultKind::Cut).after_events(3));
    let (headers, cut) = stream(&pair.crucible, &body("qwen", "repeat 8")).await;
    assert_eq!(header(&headers, "x-crucible-engine"), "gpu");
    assert_eq!(header(&headers, "x-crucible-reason"), "exact");
    assert_eq!(cut.error().expect("an error")["code"], "engine_cut");
    assert!(!cut.done, "{}", cut.text);
    // Headers are out, with the engine's name in them.
    pair.gpu
        .arm(Fault::new(FaultKind::SlowHeaders).delay_ms(600));
    pair.gpu
        .arm(Fault::new(FaultKind::ErrorEvent).after_events(0));
    let response = open(&pair.crucible, &body("qwen", "repeat 8")).await;
    assert_eq!(header(response.headers(), "x-crucible-engine"), "gpu");
    let late = Stream::read(response).await;
    assert_eq!(late.error().expect("an error")["code"], "engine_error");
    assert_eq!(generations(&pair.cpu.log()), 0);
    let after = clean(&pair.crucible, &before, 2, "llama").await;
    assert_eq!(after.sum("crucible_fallbacks_total", &[]), 0.0);
}

#[tokio::test]
async fn where_the_fallback_fails_too_its_error_is_told() {
    let pair = Pair::loaded("").await;
    let before = Metrics::of(&pair.crucible).await;
    pair.gpu.arm(Fault::new(FaultKind::Http500));
    pair.cpu.arm(Fault::new(FaultKind::Http500));
    let response = open(&pair.crucible, &body("qwen", "repeat 3")).await;
    let answer = whole(response).await;
    assert_eq!(
        (answer.status, answer.code()),
        (502, "engine_error"),
        "{}",
        answer.text
    );
    let after = clean(&pair.crucible, &before, 1, "llama").await;
    let failed = [("reason", "5xx"), ("outcome", "error")];
    assert_eq!(after.sum("crucible_fallbacks_total", &failed), 1.0);
    // An error of the client's is nobody's to mend.
    let refused = post(&pair.crucible, &body("nope", "hi")).await;
    assert_eq!(refused.status, 404);
    assert_eq!(pair.cpu.log().faults.len(), 1);
}

#[tokio::test]
async fn headers_that_go_out_before_the_load_say_what_is_left_out_and_who_failed() {
    let failing = start(Options::openai(&["first"])).await;
    let mut slow = Options::lmstudio(&["second=1GB"]);
    slow.load_time = Duration::from_secs(3);
    let loading = start(slow).await;
    let crucible = Crucible::start(&format!(
        "[timeouts]\ncommit = \"500ms\"\n[[model]]\nname = \"first\"\nfallback = [\"second\"]\n{}{}",
        engine("failing", "openai", &failing.url()),
        engine("loading", "lmstudio", &loading.url()),
    ));
    ready(&crucible).await;
    failing.arm(Fault::new(FaultKind::Http500));
    let request = json!({ "model": "first", "input": "repeat 1", "stream": true,
        "tools": [{ "type": "web_search_zzz" }] });
    let send = client()
        .post(crucible.at("/v1/responses"))
        .json(&request)
        .send();
    let response = send.await.expect("headers");
    assert_eq!(loading.log().loaded(), 0, "the headers came first");
    assert_eq!(header(response.headers(), "x-crucible-engine"), "loading");
    let note = header(response.headers(), "x-crucible-note").to_owned();
    assert!(
        note.contains("instead of failing/first, which failed (5xx)"),
        "{note}"
    );
    assert!(note.contains("web_search_zzz"), "{note}");
    let text = response.text().await.expect("an answer");
    assert!(text.contains("response.completed"), "{text}");
}
