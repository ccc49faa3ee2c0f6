//! The predictor: what answers teach it, where that shows, and that a restart does not lose it.

use std::path::Path;

use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{body, post, stream},
    engines::{self, TRIO, Trio, client, start},
    rest::{eventually, logged},
};
use serde_json::Value;

/// 400 prompt tokens per second, 200 generated ones, 1 s to load.
async fn measured_sim() -> Sim {
    let mut options = Options::ollama(&["llama=1GB"]);
    options.prefill = 400;
    options.rate = 200;
    options.load_time = std::time::Duration::from_secs(1);
    start(options).await
}

fn serve(sim: &Sim, state: &Path) -> Crucible {
    let engine = engines::engine("ollama", "ollama", &sim.url());
    let state = state.display();
    Crucible::start(&format!(
        "state_dir = '{state}'\n{engine}device = \"cpu\"\n"
    ))
}

/// About 250 prompt tokens.
fn long(answer: u32) -> Value {
    body("llama", &format!("repeat {answer} {}", "word ".repeat(200)))
}

/// The first candidate of `/crucible/explain`.
async fn explained(crucible: &Crucible, body: &Value) -> Value {
    let answer = client()
        .post(crucible.at("/crucible/explain"))
        .json(body)
        .send()
        .await
        .expect("an answer");
    let told: Value = answer.json().await.expect("JSON");
    told["candidates"][0].clone()
}

/// Waits until a part of the prediction is a measured one.
async fn measured(crucible: &Crucible, part: &str) -> Value {
    eventually("a measured part", || async {
        let first = explained(crucible, &long(1)).await;
        (first["prediction"][part]["basis"] == "measured").then_some(first)
    })
    .await
}

fn end(mut crucible: Crucible) {
    crucible.signal("TERM");
    assert!(crucible.wait().success(), "{}", crucible.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_teach_rates_that_outlive_a_restart() {
    let sim = measured_sim().await;
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let crucible = serve(&sim, &state);
    let first = eventually("the engine's list", || async {
        let first = explained(&crucible, &long(1)).await;
        first.is_object().then_some(first)
    })
    .await;
    assert_eq!(first["prediction"]["prefill"]["basis"], "prior", "{first}");
    assert_eq!(first["prediction"]["load"]["basis"], "prior", "{first}");
    let prior = first["predicted_first_token_s"].as_f64().expect("seconds");
    // 2 s of load and 4 s of prompt by the priors.
    assert!(prior > 5.0, "{first}");
    for _ in 0..3 {
        assert_eq!(post(&crucible, &long(40)).await.status, 200);
    }
    let first = measured(&crucible, "prefill").await;
    let prediction = &first["prediction"];
    assert_eq!(prediction["load"]["basis"], "known", "{first}");
    assert!(
        prediction["prefill"]["samples"].as_u64() >= Some(3),
        "{first}"
    );
    let learned = prediction["prefill"]["s"].as_f64().expect("seconds");
    assert!((0.4..1.2).contains(&learned), "{first}");
    end(crucible);

    let crucible = serve(&sim, &state);
    // It was unloaded at the end, and its load is known by heart.
    let first = measured(&crucible, "load").await;
    let again = first["prediction"]["prefill"]["s"]
        .as_f64()
        .expect("seconds");
    assert!((again - learned).abs() < 0.01, "{again} {learned}");
    let load = first["prediction"]["load"]["s"].as_f64().expect("seconds");
    assert!((0.9..2.0).contains(&load), "{first}");
    let config = crucible.config().display().to_string();
    let (code, said, wrong) = Crucible::command(&["explain", "--config", &config, "llama"], "");
    assert_eq!(code, 0, "{wrong}");
    assert!(
        said.contains("load 1.") && said.contains("measured"),
        "{said}"
    );
}

#[tokio::test]
async fn every_kind_of_engine_teaches() {
    // The rate of LM Studio is seen on Crucible's clock only; the others tell theirs.
    let trio = Trio::with("", |options| {
        options.prefill = 400;
        options.rate = 200;
    })
    .await;
    for model in TRIO {
        let mut asked = long(20);
        asked["model"] = model.into();
        for _ in 0..3 {
            let (_, answer) = stream(&trio.crucible, &asked).await;
            assert!(answer.done, "{answer:?}");
        }
        let first = eventually("a measured rate", || async {
            let first = explained(&trio.crucible, &asked).await;
            (first["prediction"]["prefill"]["basis"] == "measured").then_some(first)
        })
        .await;
        let learned = first["prediction"]["prefill"]["s"]
            .as_f64()
            .expect("seconds");
        assert!((0.4..1.2).contains(&learned), "{first}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_is_told_once_and_replaced() {
    let sim = measured_sim().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("predictor.json");
    for broken in ["{\"version\": 99}", "half a fi"] {
        std::fs::write(&file, broken).expect("it is written");
        let crucible = serve(&sim, folder.path());
        assert_eq!(post(&crucible, &long(20)).await.status, 200);
        logged(&crucible, "starts afresh").await;
        let log = crucible.log();
        assert_eq!(log.matches("starts afresh").count(), 1, "{log}");
        end(crucible);
        let text = std::fs::read_to_string(&file).expect("it is there");
        let json: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(json["version"], 1, "{text}");
        assert!(json["engines"]["ollama"]["models"].is_object(), "{text}");
        assert!(!text.contains("word"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn predicted_and_real_stand_side_by_side() {
    let sim = measured_sim().await;
    let folder = tempfile::tempdir().expect("a folder");
    let crucible = serve(&sim, folder.path());
    let (_, answer) = stream(&crucible, &long(5)).await;
    assert!(answer.done, "{answer:?}");
    let line = eventually("the log line", || async {
        let log = crucible.log();
        log.lines()
            .find(|line| line.contains("predicted_s"))
            .map(str::to_owned)
    })
    .await;
    assert!(line.contains("first_token_s"), "{line}");
    let metrics = client()
        .get(crucible.at("/metrics"))
        .send()
        .await
        .expect("an answer");
    let text = metrics.text().await.expect("text");
    let wanted = "crucible_first_token_prediction_ratio_count{engine=\"ollama\"} 1";
    assert!(text.contains(wanted), "{text}");
}
