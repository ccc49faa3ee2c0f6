//! What happens to Crucible itself: it is full, it ends, it is reloaded, it cannot write its logs, engines list too
//! many models, settings are and are not in effect.

use std::time::Duration;

use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{body, open, post},
    engines::{client, engine, start},
    raw::talk,
    rest::{eventually, logged, ready},
    unread::never_reading,
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use super::super::every_word::{Kept, LabelWords, Scene, Stage};

/// Places for two connections, all of which are taken.
pub(super) const CROWD: Scene = Scene {
    name: "all connections are taken",
    words: &[LabelWords::of(
        "crucible_rejected_total",
        "reason",
        &["too_many_connections"],
    )],
    play: |stage| Box::pin(crowd(stage)),
};

async fn crowd(stage: Stage) -> Kept {
    let sim = start(Options {
        rate: 20,
        parallel: 4,
        ..Options::openai(&["m"])
    })
    .await;
    let crucible = stage
        .start(&format!(
            "metrics_listen = \"127.0.0.1:0\"\n[limits]\nconnections = 2\n{}permits = 4\n",
            engine("e", "openai", &sim.url())
        ))
        .await;
    let mut idle = Vec::new();
    for _ in 0..3 {
        // The third has the place of the first.
        let mut stream = TcpStream::connect(crucible.addr())
            .await
            .expect("a connection");
        let ask = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.write_all(ask).await.expect("written");
        idle.push(stream);
    }
    stage.counted("crucible_connections_evicted_total").await;
    drop(idle);
    let mut running = Vec::new();
    for _ in 0..2 {
        let mut answer = open(&crucible, &body("m", "repeat 100000"))
            .await
            .bytes_stream();
        answer.next().await.expect("an event").expect("bytes");
        running.push(answer);
    }
    let ask = "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n";
    eventually("a newcomer is turned away", || async {
        let answer = talk(crucible.addr(), ask.as_bytes(), Duration::from_secs(2)).await;
        (answer.status() == 503).then_some(())
    })
    .await;
    Box::new((crucible, sim, running))
}

/// A closed stderr, a state folder that cannot be, a collector that is not there.
pub(super) const LOGS: Scene = Scene {
    name: "logs that cannot be written",
    words: &[LabelWords::of(
        "crucible_log_dropped_total",
        "sink",
        &["events", "otlp", "stderr"],
    )],
    play: |stage| Box::pin(logs(stage)),
};

async fn logs(stage: Stage) -> Kept {
    let sim = start(Options::openai(&["m"])).await;
    let toml = format!(
        "state_dir = \"/dev/null/state\"\n[otlp]\nendpoint = \"http://127.0.0.1:9\"\n{}",
        engine("e", "openai", &sim.url())
    );
    let started =
        tokio::task::spawn_blocking(move || Crucible::start_in_shell(&toml, "", "2>/dev/full"));
    let crucible = started.await.expect("it starts");
    stage.admit(&crucible, 1000);
    ready(&crucible).await;
    for _ in 0..3 {
        let answer = post(&crucible, &body("m", "repeat 1")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    Box::new((crucible, sim))
}

/// An engine with more models than there are places for names.
pub(super) const MANY_NAMES: Scene = Scene {
    name: "many names, and a file that is changed",
    words: &[
        LabelWords::of("crucible_label_overflow_total", "label", &["model"]),
        LabelWords::of("crucible_config_reloads_total", "outcome", &["ok", "error"]),
    ],
    play: |stage| Box::pin(many_names(stage)),
};

async fn many_names(stage: Stage) -> Kept {
    let names: Vec<String> = (0..230).map(|n| format!("m{n}=1GB")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let sim = start(Options::lmstudio(&names)).await;
    let crucible = stage.start(&engine("gpu", "lmstudio", &sim.url())).await;
    ready(&crucible).await;
    let answer = post(&crucible, &body("m229", "repeat 1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let good = std::fs::read_to_string(crucible.config()).expect("the file");
    for (text, said) in [
        (format!("surplus = 1\n{good}"), "the old one stays"),
        (good, "configuration reloaded"),
    ] {
        std::fs::write(crucible.config(), text).expect("written");
        crucible.signal("HUP");
        logged(&crucible, said).await;
    }
    Box::new((crucible, sim))
}

/// Models that Crucible loaded, and one that a person loaded otherwise.
pub(super) const SETTINGS: Scene = Scene {
    name: "settings in each state",
    words: &[LabelWords::of(
        "crucible_tuning_state",
        "state",
        &[
            "in_effect",
            "not_in_effect",
            "not_applicable",
            "unverifiable",
            "superseded",
        ],
    )],
    play: |stage| Box::pin(settings(stage)),
};

async fn load(sim: &Sim, path: &str, body: &Value) {
    let sent = client()
        .post(format!("{}{path}", sim.url()))
        .json(body)
        .send();
    assert_eq!(sent.await.expect("an answer").status(), 200);
}

async fn settings(stage: Stage) -> Kept {
    let gpu = start(Options::lmstudio(&["qwen=4GB", "other=2GB"])).await;
    let cpu = start(Options::ollama(&["llama=2GB"])).await;
    let otherwise = json!({ "model": "other", "context_length": 2048, "flash_attention": false });
    load(&gpu, "/api/v1/models/load", &otherwise).await;
    let crucible = stage
        .start(&format!(
            "[startup]\nwarm = [\"qwen\", \"llama\"]\n{}{}",
            engine("gpu", "lmstudio", &gpu.url()),
            engine("cpu", "ollama", &cpu.url())
        ))
        .await;
    ready(&crucible).await;
    Box::new((crucible, gpu, cpu))
}

/// An end that comes while a stream runs.
pub(super) const SHUTDOWN: Scene = Scene {
    name: "the end of Crucible",
    words: &[
        LabelWords::of("crucible_rejected_total", "reason", &["draining"]),
        LabelWords::of("crucible_stream_aborted_total", "cause", &["shutdown"]),
    ],
    play: |stage| Box::pin(shutdown(stage)),
};

async fn shutdown(stage: Stage) -> Kept {
    let slow = start(Options {
        rate: 20,
        ..Options::openai(&["slow"])
    })
    .await;
    let fast = start(Options::openai(&["fast"])).await;
    let toml = format!(
        "[timeouts]\ndrain = \"12s\"\n{}{}",
        engine("slow", "openai", &slow.url()),
        engine("fast", "openai", &fast.url())
    );
    let started = tokio::task::spawn_blocking(move || Crucible::start(&toml)).await;
    let crucible = started.expect("it starts");
    // What is counted at the end of the drain can be scraped for a second at most.
    stage.admit(&crucible, 150);
    ready(&crucible).await;
    let running = open(&crucible, &body("slow", "repeat 100000")).await;
    // One who does not read holds that second up.
    let unread = never_reading(&crucible, "fast").await;
    crucible.signal("TERM");
    logged(&crucible, "draining").await;
    let refused = post(&crucible, &body("slow", "repeat 1")).await;
    assert_eq!(refused.code(), "draining", "{}", refused.text);
    let _ = running.text().await;
    Box::new((crucible, slow, fast, unread))
}
