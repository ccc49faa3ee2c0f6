//! Requests that wait for a load, a slot or a swap, and clients that leave in each phase.

use std::time::Duration;

use crucible_sim::{Fault, FaultKind, Options};
use crucible_tests::{
    Crucible,
    chat::{body, open},
    clean::queued,
    engines::{client, engine, start, until},
    rest::{eventually, ready, state},
};
use futures_util::StreamExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
    time::sleep,
};

use super::super::every_word::{Kept, LabelWords, Scene, Stage};

/// One model after the other in one slot of one engine.
pub(super) const WAITS: Scene = Scene {
    name: "waiting for a load, a slot and a swap",
    words: &[
        LabelWords::of(
            "crucible_queue_waiting",
            "reason",
            &["slot", "load", "swap"],
        ),
        LabelWords::of("crucible_queue_wait_seconds", "reason", &["slot", "load"]),
        LabelWords::of(
            "crucible_client_disconnects_total",
            "phase",
            &["queue", "load", "headers", "stream"],
        ),
        LabelWords::of(
            "crucible_request_phase_seconds_total",
            "phase",
            &["receive", "queue", "load", "prefill", "generate", "own"],
        ),
        LabelWords::of("crucible_model_evictions_total", "reason", &["limit"]),
    ],
    play: |stage| Box::pin(waits(stage)),
};

/// A request that waits until its task is dropped.
fn asking(crucible: &Crucible, model: &str) -> JoinHandle<()> {
    let send = client()
        .post(crucible.at("/v1/chat/completions"))
        .json(&body(model, "repeat 3"));
    tokio::spawn(async move {
        if let Ok(answer) = send.send().await {
            let _ = answer.text().await;
        }
    })
}

/// A request whose body comes a while after its head.
async fn sends_late(crucible: &Crucible) {
    let mut stream = TcpStream::connect(crucible.addr())
        .await
        .expect("a connection");
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\
                content-type: application/json\r\ncontent-length: 2\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("a head");
    sleep(Duration::from_millis(200)).await;
    stream.write_all(b"{}").await.expect("a body");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

async fn waits(stage: Stage) -> Kept {
    let sim = start(Options {
        load_time: Duration::from_secs(4),
        rate: 50,
        prefill: 500,
        ..Options::lmstudio(&["a=1GB", "b=1GB"])
    })
    .await;
    let crucible = stage
        .start(&format!(
            "[tuning.lmstudio]\nmax_loaded_models = 1\n{}permits = 1\n",
            engine("gpu", "lmstudio", &sim.url())
        ))
        .await;
    ready(&crucible).await;
    sends_late(&crucible).await;
    let left = asking(&crucible, "a");
    let first = asking(&crucible, "a");
    eventually("a load", || async {
        let now = state(&crucible).await;
        now.pools
            .iter()
            .any(|pool| pool.loading.is_some())
            .then_some(())
    })
    .await;
    queued(&crucible, 2).await;
    left.abort();
    first.await.expect("an answer");
    let mut running = open(&crucible, &body("a", "repeat 100000"))
        .await
        .bytes_stream();
    running.next().await.expect("an event").expect("bytes");
    let same = asking(&crucible, "a");
    queued(&crucible, 1).await;
    let waiting = "crucible_queue_waiting";
    stage.saw(waiting, "reason", &["slot"]).await;
    same.abort();
    queued(&crucible, 0).await;
    let other = asking(&crucible, "b");
    stage.saw(waiting, "reason", &["swap"]).await;
    drop(running);
    other.await.expect("an answer");
    sim.arm(Fault::new(FaultKind::NoHeaders));
    let silent = asking(&crucible, "b");
    until(&sim, "the request", |log| log.faults.len() == 1).await;
    silent.abort();
    Box::new((crucible, sim))
}
