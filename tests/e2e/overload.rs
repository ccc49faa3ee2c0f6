//! A busy engine: who is sent elsewhere, who is told to come back, and that both are said aloud.

use std::time::{Duration, Instant};

use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{Whole, body, open, post, stream},
    clean::{Metrics, queued},
    engines::{client, engine, start},
    rest::{eventually, logged},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// `qwen` on the GPU, one at a time and 50 tokens per second; `llama` on the CPU may answer
/// instead.
struct Pair {
    gpu: Sim,
    _cpu: Sim,
    crucible: Crucible,
}

const FALLBACK: &str = "[[model]]\nname = \"qwen\"\nfallback = [\"llama\"]\n";

impl Pair {
    /// With more configuration; both models are loaded.
    async fn start(toml: &str) -> Self {
        let mut slow = Options::lmstudio(&["qwen=2GB"]);
        slow.rate = 50;
        let gpu = start(slow).await;
        let cpu = start(Options::ollama(&["llama=1GB"])).await;
        let crucible = Crucible::start(&format!(
            "{toml}\n{}permits = 1\n{}device = \"cpu\"\n",
            engine("gpu", "lmstudio", &gpu.url()),
            engine("cpu", "ollama", &cpu.url()),
        ));
        for model in ["qwen", "llama"] {
            let answer = post(&crucible, &body(model, "repeat 60")).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
        }
        Self {
            gpu,
            _cpu: cpu,
            crucible,
        }
    }

    /// After three answers of about a second its only permit is out, and the wait is measured.
    async fn measured_and_held(&self) -> reqwest::Response {
        for _ in 0..2 {
            assert_eq!(self.ask("repeat 60").await.status, 200);
        }
        let holder = self.hold().await;
        self.wait_of(1.0).await;
        holder
    }

    /// Until the measured wait for a permit is more than these seconds.
    async fn wait_of(&self, seconds: f64) {
        eventually("a measured wait", || async {
            self.predicted()
                .await
                .is_some_and(|s| s > seconds)
                .then_some(())
        })
        .await;
    }

    /// The measured wait for a permit, in seconds.
    async fn predicted(&self) -> Option<f64> {
        let told = explained(&self.crucible, &body("qwen", "repeat 1")).await;
        let queue = &told["candidates"][0]["prediction"]["queue"];
        queue["s"].as_f64().filter(|_| queue["basis"] == "measured")
    }

    /// So many that wait for the permit that whoever comes next is predicted to wait for more than these
    /// seconds.
    async fn waiting_for(&self, seconds: f64) -> Vec<JoinHandle<()>> {
        let mut waiting = Vec::new();
        while self.predicted().await.is_none_or(|s| s <= seconds) {
            waiting.push(self.another());
            queued(&self.crucible, waiting.len()).await;
        }
        waiting
    }

    async fn ask(&self, text: &str) -> Whole {
        post(&self.crucible, &body("qwen", text)).await
    }

    /// A request that waits or runs until its task is dropped.
    fn another(&self) -> JoinHandle<()> {
        let send = client()
            .post(self.crucible.at("/v1/chat/completions"))
            .json(&body("qwen", "repeat 1"));
        tokio::task::spawn(async move {
            let answer = send.send().await.expect("an answer");
            let _ = answer.text().await;
        })
    }

    /// Takes the only permit of the GPU until the answer is dropped.
    async fn hold(&self) -> reqwest::Response {
        open(&self.crucible, &body("qwen", "repeat 100000")).await
    }
}

fn said(answer: &Whole) -> (&str, &str) {
    (
        answer.header("x-crucible-engine"),
        answer.header("x-crucible-reason"),
    )
}

async fn explained(crucible: &Crucible, body: &Value) -> Value {
    let answer = client()
        .post(crucible.at("/crucible/explain"))
        .json(body)
        .send()
        .await
        .expect("an answer");
    answer.json().await.expect("JSON")
}

#[tokio::test]
async fn a_wait_that_is_too_long_ends_at_the_fallback_and_says_so() {
    let pair = Pair::start(&format!(
        "[scheduler]\noverflow_after = \"500ms\"\n{FALLBACK}"
    ))
    .await;
    let holder = pair.hold().await;
    let answer = pair.ask("repeat 1").await;
    assert_eq!(said(&answer), ("cpu", "overload"), "{}", answer.text);
    let note = answer.header("x-crucible-note");
    assert!(note.contains("gpu/qwen, which is busy"), "{note}");
    let (headers, events) = stream(&pair.crucible, &body("qwen", "repeat 1")).await;
    assert_eq!(headers["x-crucible-reason"], "overload");
    assert!(events.done, "{events:?}");
    drop(holder);
    eventually("the GPU is free again", || async {
        let answer = pair.ask("repeat 1").await;
        (said(&answer) == ("gpu", "exact")).then_some(())
    })
    .await;
    let metrics = Metrics::of(&pair.crucible).await;
    let moved = [
        ("from_engine", "gpu"),
        ("to_engine", "cpu"),
        ("reason", "overload"),
        ("outcome", "ok"),
    ];
    assert!(metrics.sum("crucible_fallbacks_total", &moved) >= 2.0);
    let routed = [("engine", "cpu"), ("reason", "overload")];
    assert!(metrics.sum("crucible_routed_total", &routed) >= 2.0);
    logged(&pair.crucible, "taken over from gpu/qwen").await;
}

#[tokio::test]
async fn a_stream_changes_place_before_its_headers_are_out() {
    let toml = format!("[timeouts]\ncommit = \"1s\"\n{FALLBACK}");
    let pair = Pair::start(&toml).await;
    let _holder = pair.hold().await;
    let (headers, events) = stream(&pair.crucible, &body("qwen", "repeat 1")).await;
    assert_eq!(headers["x-crucible-engine"], "cpu");
    assert_eq!(headers["x-crucible-reason"], "overload");
    assert!(events.done && events.error().is_none(), "{events:?}");
}

#[tokio::test]
async fn without_a_fallback_everybody_waits() {
    let pair = Pair::start("[scheduler]\noverflow_after = \"100ms\"\n").await;
    let holder = pair.hold().await;
    let waiting = pair.another();
    queued(&pair.crucible, 1).await;
    // Long after the limit it still waits.
    tokio::time::sleep(Duration::from_millis(400)).await;
    queued(&pair.crucible, 1).await;
    drop(holder);
    waiting.await.expect("an answer");
    assert_eq!(pair.gpu.log().completions.len(), 2, "{:?}", pair.gpu.log());
}

#[tokio::test]
async fn a_wait_that_is_predicted_to_be_too_long_is_not_begun() {
    let pair = Pair::start(&format!(
        "[scheduler]\noverflow_after = \"20s\"\n{FALLBACK}"
    ))
    .await;
    let _holder = pair.measured_and_held().await;
    let waiting = pair.waiting_for(20.0).await;
    let told = explained(&pair.crucible, &body("qwen", "repeat 1")).await;
    assert_eq!(told["standby"]["engine"], "cpu", "{told}");
    assert_eq!(told["standby"]["after_s"], 0.0, "{told}");
    let began = Instant::now();
    let answer = pair.ask("repeat 1").await;
    assert_eq!(said(&answer), ("cpu", "overload"), "{}", answer.text);
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    waiting.iter().for_each(JoinHandle::abort);
}

#[tokio::test]
async fn a_wait_beyond_the_budget_is_refused_at_once() {
    let pair = Pair::start("[timeouts]\nqueue = \"20s\"\n").await;
    let _holder = pair.measured_and_held().await;
    let waiting = pair.waiting_for(20.0).await;
    let began = Instant::now();
    let answer = pair.ask("repeat 1").await;
    assert_eq!((answer.status, answer.code()), (503, "queue_timeout"));
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    let seconds: u64 = answer.header("retry-after").parse().expect("seconds");
    assert!((1..=20).contains(&seconds), "{seconds}");
    waiting.iter().for_each(JoinHandle::abort);
}

#[tokio::test]
async fn a_title_leaves_the_gpu_to_the_agent() {
    let pair = Pair::start("[scheduler]\nsmall_model = \"llama\"\n").await;
    let mut title = body("fast", "repeat 1");
    title["max_tokens"] = json!(30);
    eventually("the GPU is free", || async {
        let told = explained(&pair.crucible, &title).await;
        (told["engine"] == "gpu" && told["reason"] == "device").then_some(())
    })
    .await;
    let _holder = pair.hold().await;
    let told = explained(&pair.crucible, &title).await;
    assert_eq!(told["reason"], "overload", "{told}");
    let answer = post(&pair.crucible, &title).await;
    assert_eq!(said(&answer), ("cpu", "overload"), "{}", answer.text);
    let note = answer.header("x-crucible-note");
    assert!(note.contains("gpu/qwen"), "{note}");
    // A name is a name, and a request that is not small goes where it always goes.
    title["tools"] = json!([{ "type": "function", "function": { "name": "f" } }]);
    let told = explained(&pair.crucible, &title).await;
    assert_ne!(told["reason"], "overload", "{told}");
    let told = explained(&pair.crucible, &body("qwen", "repeat 1")).await;
    assert_eq!(told["engine"], "gpu", "{told}");
}
