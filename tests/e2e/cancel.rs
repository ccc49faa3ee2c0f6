//! Clients that leave: the engine is told, the permit goes to the next one, and it is counted.

use std::time::{Duration, Instant};

use crucible_sim::{Fault, FaultKind, Options};
use crucible_tests::{
    Crucible,
    chat::{body, get, open, post},
    clean::{Metrics, clean, queued, settled},
    engines::{Both, TRIO, Trio, asked, client, engine, start, until},
    rest::eventually,
};
use futures_util::StreamExt as _;

/// A request in a task of its own, so that it can be abandoned.
macro_rules! spawn {
    ($crucible:expr, $model:expr, $text:expr, $stream:expr) => {{
        let url = $crucible.at("/v1/chat/completions");
        let mut body = body($model, $text);
        body["stream"] = $stream.into();
        tokio::task::spawn(async move {
            let response = client().post(url).json(&body).send().await?;
            response.text().await
        })
    }};
}

#[tokio::test]
async fn a_client_that_leaves_before_the_headers_frees_the_engine() {
    let trio = Trio::with("", |_| {}).await;
    for model in TRIO {
        for stream in [true, false] {
            let sim = trio.of(model);
            sim.reset();
            let before = Metrics::of(&trio.crucible).await;
            sim.arm(Fault::new(FaultKind::NoHeaders));
            let request = spawn!(trio.crucible, model, "repeat 3", stream);
            until(sim, "the request", |log| log.faults.len() == 1).await;
            request.abort();
            until(sim, "the disconnect", |log| log.disconnects.len() == 1).await;
            let after = clean(&trio.crucible, &before, 1, model).await;
            let rose = |name: &str, labels: &[(&str, &str)]| {
                after.sum(name, labels) - before.sum(name, labels)
            };
            assert_eq!(
                rose(
                    "crucible_requests_total",
                    &[("endpoint", "chat"), ("code", "499")]
                ),
                1.0,
                "{}",
                after.family("crucible_requests_total")
            );
            assert_eq!(
                rose("crucible_client_disconnects_total", &[("phase", "headers")]),
                1.0
            );
            assert_eq!(rose("crucible_upstream_errors_total", &[]), 0.0);
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_mid_stream_stops_the_engine() {
    let trio = Trio::with("", |options| options.rate = 50).await;
    for model in TRIO {
        let sim = trio.of(model);
        sim.reset();
        let before = Metrics::of(&trio.crucible).await;
        let response = open(&trio.crucible, &body(model, "repeat 100000")).await;
        assert_eq!(response.status(), 200);
        let mut events = response.bytes_stream();
        for _ in 0..3 {
            events.next().await.expect("an event").expect("bytes");
        }
        drop(events);
        let log = until(sim, "the disconnect", |log| log.disconnects.len() == 1).await;
        assert!(log.disconnects[0].tokens < 100_000, "{:?}", log.disconnects);
        let after = clean(&trio.crucible, &before, 1, model).await;
        let rose = |name: &str, labels: &[(&str, &str)]| {
            after.sum(name, labels) - before.sum(name, labels)
        };
        assert_eq!(
            rose(
                "crucible_requests_total",
                &[("endpoint", "chat"), ("code", "499")]
            ),
            1.0
        );
        assert_eq!(
            rose("crucible_client_disconnects_total", &[("phase", "stream")]),
            1.0
        );
        assert_eq!(
            rose("crucible_stream_aborted_total", &[("cause", "client_gone")]),
            1.0
        );
        assert_eq!(rose("crucible_routed_total", &[]), 1.0);
    }
}

#[tokio::test]
async fn a_client_that_leaves_the_queue_is_never_sent() {
    let trio = Trio::with("", |options| options.rate = 20).await;
    let before = Metrics::of(&trio.crucible).await;
    let running = [
        open(&trio.crucible, &body("llama", "repeat 100000")).await,
        open(&trio.crucible, &body("llama", "repeat 100000")).await,
    ];
    let gone = spawn!(trio.crucible, "llama", "repeat 4444", false);
    queued(&trio.crucible, 1).await;
    let next = spawn!(trio.crucible, "llama", "repeat 2", false);
    queued(&trio.crucible, 2).await;
    gone.abort();
    queued(&trio.crucible, 1).await;
    let [first, second] = running;
    drop(first);
    // The waiter behind the one that left takes the permit.
    let answer = next.await.expect("a task").expect("an answer");
    assert!(answer.contains("word0 word1"), "{answer}");
    drop(second);
    assert!(
        asked(&trio.ollama.log())
            .iter()
            .all(|body| !body.to_string().contains("4444")),
        "the abandoned request was sent"
    );
    let after = clean(&trio.crucible, &before, 4, "llama").await;
    assert_eq!(
        after.sum("crucible_client_disconnects_total", &[("phase", "queue")]),
        1.0
    );
}

/// Waits until Crucible says that it loads the model.
async fn loading(crucible: &Crucible, model: &str) {
    eventually("the load in the state", || async {
        let state = get(crucible, "/crucible/state").await.json;
        let mut pools = state["pools"].as_array()?.iter();
        let found = pools.any(|pool| pool["loading"]["model"] == model);
        found.then_some(())
    })
    .await;
}

/// Requests that an engine's permits hold now.
async fn active(crucible: &Crucible, engine: &str) -> Option<u64> {
    let state = get(crucible, "/crucible/state").await.json;
    let mut engines = state["engines"].as_array()?.iter();
    let found = engines.find(|e| e["name"] == engine)?;
    found["permits"]["active"].as_u64()
}

#[tokio::test]
async fn a_prompt_that_lmstudio_still_reads_keeps_its_permit() {
    // LM Studio 0.4 finishes a prompt that it has begun, whoever left.
    let mut options = Options::lmstudio(&["qwen=2GB"]);
    options.prefill = 600;
    let sim = start(options).await;
    let crucible = Crucible::start(&format!(
        "{}permits = 1\n",
        engine("gpu", "lmstudio", &sim.url())
    ));
    // Four bytes to a token: some three seconds of reading, three times so that it is learned.
    let long = format!("{} repeat 1", "abc ".repeat(2000));
    for _ in 0..3 {
        let answer = post(&crucible, &body("qwen", &long)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    let before = Metrics::of(&crucible).await;
    sim.reset();
    // So long that it is still read when this test has looked.
    let longer = format!("{} repeat 1", "abc ".repeat(2600));
    let gone = spawn!(crucible, "qwen", &longer, true);
    until(&sim, "the request", |log| !log.requests.is_empty()).await;
    let since = Instant::now();
    gone.abort();
    until(&sim, "the disconnect", |log| log.disconnects.len() == 1).await;
    settled(&crucible, &before, 1).await;
    assert_eq!(
        active(&crucible, "gpu").await,
        Some(1),
        "the permit is held"
    );
    let answer = post(&crucible, &body("qwen", "hi repeat 1")).await;
    let waited = since.elapsed();
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(waited >= Duration::from_secs(1), "{waited:?}");
    assert!(waited < Duration::from_secs(40), "{waited:?}");
    // It came once the engine was free: its two requests never met.
    assert_eq!(sim.log().peak_in_flight, 1);
    clean(&crucible, &before, 2, "qwen").await;
}

#[tokio::test]
async fn a_load_goes_on_for_those_who_stay() {
    let slow = Duration::from_millis(1500);
    let both = Both::with("", |gpu| gpu.load_time = slow, |cpu| cpu.load_time = slow).await;
    for (model, sim) in [("qwen", &both.lmstudio), ("llama3.2:3b", &both.ollama)] {
        let before = Metrics::of(&both.crucible).await;
        let gone = spawn!(both.crucible, model, "repeat 1", true);
        until(sim, "the load", |log| log.loads.len() == 1).await;
        let stays = spawn!(both.crucible, model, "repeat 2", false);
        loading(&both.crucible, model).await;
        gone.abort();
        eventually("it is counted", || async {
            let left = Metrics::of(&both.crucible).await;
            let rose = |phase: &str| {
                let labels = [("phase", phase)];
                left.sum("crucible_client_disconnects_total", &labels)
                    - before.sum("crucible_client_disconnects_total", &labels)
            };
            assert_eq!(rose("queue"), 0.0, "it left the load");
            (rose("load") == 1.0).then_some(())
        })
        .await;
        let answer = stays.await.expect("a task").expect("an answer");
        assert!(answer.contains("word0 word1"), "{answer}");
        let log = sim.log();
        assert_eq!(log.loads.len(), 1, "{:?} {:?}", log.loads, log.requests);
        settled(&both.crucible, &before, 2).await;
        assert_eq!(
            post(&both.crucible, &body(model, "repeat 1")).await.status,
            200
        );
    }
}
