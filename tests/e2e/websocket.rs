//! LM Studio's WebSocket driver: rows 2, 5, 9 and 10 of the settings.

use crucible_sim::{Options, Sim, WebSocket};
use crucible_tests::{
    Crucible,
    chat::{body, get, post},
    engines::{engine, start},
    rest::{eventually, logged, ready},
};
use serde_json::Value;

/// Only with the WebSocket API can these be proved.
const ROWS: [usize; 3] = [2, 9, 10];

async fn loaded(toml: &str, change: impl FnOnce(&mut Options)) -> (Sim, Crucible) {
    let mut options = Options::lmstudio(&["qwen=4GB"]);
    change(&mut options);
    let sim = start(options).await;
    let crucible = Crucible::start(&format!(
        "{}{toml}",
        engine("lmstudio", "lmstudio", &sim.url())
    ));
    ready(&crucible).await;
    let answer = post(&crucible, &body("qwen", "repeat 1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    (sim, crucible)
}

async fn rows(crucible: &Crucible) -> Vec<Value> {
    // On a busy machine the engine's answer may not come in time.
    eventually("an answer of the engine", || async {
        let report = get(crucible, "/crucible/tunings").await.json;
        let rows = ROWS.map(|number| report["tunings"][number - 1].clone());
        let late = rows.iter().any(|row| says(row, "no answer in time"));
        (!late).then_some(rows.into())
    })
    .await
}

fn asked(sim: &Sim, path: &str) -> bool {
    sim.log().requests.iter().any(|r| r.path == path)
}

fn says(row: &Value, words: &str) -> bool {
    row["evidence"].as_str().is_some_and(|e| e.contains(words))
}

#[tokio::test]
async fn what_was_loaded_over_the_socket_is_proved() {
    let tuning = "websocket = true\n[tuning.lmstudio]\nkey_cache_quantization = \"q8_0\"\n";
    let (sim, crucible) = loaded(tuning, |_| {}).await;
    let rows = rows(&crucible).await;
    for (row, found) in rows.iter().zip(["max", "q8_0", "f16"]) {
        assert_eq!(row["state"], "in_effect", "{row}");
        assert!(says(row, &format!("found {found} on qwen")), "{row}");
    }
    assert!(!asked(&sim, "/api/v1/models/load"));
    // The rest of the load's options went the same way.
    let report = get(&crucible, "/crucible/tunings").await.json;
    for number in [7, 8, 13] {
        let row = &report["tunings"][number - 1];
        assert_eq!(row["state"], "in_effect", "{row}");
    }
}

#[tokio::test]
async fn an_engine_that_loads_otherwise_is_found_out() {
    let wrong = |o: &mut Options| o.websocket = WebSocket::Wrong;
    let (_sim, crucible) = loaded("websocket = true\n", wrong).await;
    let rows = rows(&crucible).await;
    for (row, found) in rows.iter().zip(["0.5", "q4_0", "q4_0"]) {
        assert_eq!(row["state"], "not_in_effect", "{row}");
        assert!(says(row, &format!("found {found} on qwen")), "{row}");
        let advice = row["advice"].as_str().unwrap_or_default();
        assert!(advice.contains("lms unload qwen"), "{row}");
    }
}

/// Row 5 with the driver on, of a model that is pinned or not.
async fn clock(toml: &str, change: impl FnOnce(&mut Options)) -> (Sim, Value) {
    let (sim, crucible) = loaded(&format!("websocket = true\n{toml}"), change).await;
    let report = get(&crucible, "/crucible/tunings").await.json;
    (sim, report["tunings"][4].clone())
}

const PINNED: &str = "[[model]]\nname = \"QWEN\"\npin = true\n";

#[tokio::test]
async fn lm_studios_own_idle_clock_is_behind_crucibles() {
    let (_sim, row) = clock("", |_| {}).await;
    assert_eq!(row["state"], "in_effect", "{row}");
    assert!(says(&row, "360 s on qwen"), "{row}");
    assert!(
        says(&row, "listLoaded of LM Studio's WebSocket API"),
        "{row}"
    );
    let (_sim, row) = clock("", |o| o.websocket = WebSocket::Wrong).await;
    assert_eq!(row["state"], "not_in_effect", "{row}");
    let asked =
        "asked 360 s of LM Studio's own idle clock; found 60 s on qwen; read from listLoaded";
    assert!(says(&row, asked), "{row}");
}

#[tokio::test]
async fn without_a_list_the_rest_is_still_proved() {
    let (_sim, crucible) =
        loaded("websocket = true\n", |o| o.websocket = WebSocket::Unlisted).await;
    for row in rows(&crucible).await {
        assert_eq!(row["state"], "in_effect", "{row}");
    }
    // Crucible's own clock is proof enough.
    let report = get(&crucible, "/crucible/tunings").await.json;
    let row = &report["tunings"][4];
    assert_eq!(row["state"], "in_effect", "{row}");
    assert!(!says(row, "listLoaded"), "{row}");
}

#[tokio::test]
async fn a_pinned_model_gets_no_idle_clock() {
    let (_sim, row) = clock(PINNED, |_| {}).await;
    assert_eq!(row["state"], "in_effect", "{row}");
    assert!(says(&row, "none on qwen"), "{row}");
    let (_sim, row) = clock(PINNED, |o| o.websocket = WebSocket::Wrong).await;
    assert_eq!(row["state"], "not_in_effect", "{row}");
    assert!(says(&row, "which is pinned; found 60 s on qwen"), "{row}");
}

#[tokio::test]
async fn without_the_driver_nothing_is_said_over_the_socket() {
    let (sim, crucible) = loaded("", |_| {}).await;
    for row in rows(&crucible).await {
        assert_eq!(row["state"], "unverifiable", "{row}");
    }
    assert!(!asked(&sim, "/llm"));
    assert!(asked(&sim, "/api/v1/models/load"));
}

#[tokio::test]
async fn without_a_socket_models_are_loaded_over_rest() {
    let missing = |o: &mut Options| o.websocket = WebSocket::Missing;
    let (sim, crucible) = loaded("websocket = true\n", missing).await;
    assert!(asked(&sim, "/api/v1/models/load"));
    for row in rows(&crucible).await {
        assert_eq!(row["state"], "unverifiable", "{row}");
        assert!(says(&row, "no WebSocket there"), "{row}");
    }
    logged(&crucible, "WebSocket API failed").await;
    let warned = crucible.log();
    assert_eq!(
        warned.matches("WebSocket API failed").count(),
        1,
        "{warned}"
    );
}

#[tokio::test]
async fn a_load_that_is_refused_is_not_tried_again_over_rest() {
    let mut options = Options::lmstudio(&["qwen=4GB"]);
    options.memory = Some(1_000_000_000);
    let sim = start(options).await;
    let crucible = Crucible::start(&format!(
        "{}websocket = true\n",
        engine("lmstudio", "lmstudio", &sim.url())
    ));
    ready(&crucible).await;
    let answer = post(&crucible, &body("qwen", "repeat 1")).await;
    assert_ne!(answer.status, 200, "{}", answer.text);
    // A load that was refused is not ordered a second time over REST.
    assert!(asked(&sim, "/llm") && !asked(&sim, "/api/v1/models/load"));
}
