//! The simulated LM Studio keeps the habits that a proxy must survive.

mod support;

use std::time::Duration;

use crucible_sim::{LoadOutcome, Options, Phase, Sim};
use serde_json::json;
use support::{chat, get, post, read, soon};

#[tokio::test]
async fn a_load_on_request_kills_the_running_answer_of_the_other_but_not_an_explicit_one() {
    let mut options = Options::lmstudio(&["a", "b", "c"]);
    options.rate = 20;
    let sim = Sim::start(options).await.unwrap();
    let url = sim.url();
    post(
        &url,
        "/api/v1/models/load",
        json!({"model": "c", "context_length": 4096}),
    )
    .await;
    let first = async { post(&url, "/v1/chat/completions", chat("a", "repeat 100000")).await };
    let second = async {
        soon(sim.wait_for(|log| log.loaded() == 2)).await;
        post(&url, "/v1/chat/completions", chat("b", "repeat 1")).await
    };
    let ((status, killed), (_, answered)) = tokio::join!(first, second);
    assert_eq!(status, 200);
    assert!(killed.contains("Model unloaded.") && !killed.contains("[DONE]"));
    assert!(answered.contains("[DONE]"));
    let log = sim.log();
    assert_eq!(log.evictions.len(), 1);
    assert_eq!(
        (log.evictions[0].instance.as_str(), log.evictions[0].active),
        ("a", 1)
    );
}

#[tokio::test]
async fn a_second_load_makes_a_second_instance_and_the_body_is_strict() {
    let sim = Sim::start(Options::lmstudio(&["a"])).await.unwrap();
    let load = json!({"model": "a", "context_length": 8192, "echo_load_config": true});
    let (_, first) = post(&sim.url(), "/api/v1/models/load", load.clone()).await;
    assert_eq!(read(&first)["load_config"]["context_length"], 8192);
    let (_, second) = post(&sim.url(), "/api/v1/models/load", load).await;
    assert_eq!(read(&second)["instance_id"], "a:2");
    let ttl = json!({"model": "a", "ttl": 5});
    let (status, text) = post(&sim.url(), "/api/v1/models/load", ttl).await;
    assert_eq!(
        (status, &read(&text)["error"]["code"]),
        (400, &json!("unrecognized_keys"))
    );
    let unload = json!({"instance_id": "a:2"});
    assert_eq!(
        post(&sim.url(), "/api/v1/models/unload", unload).await.0,
        200
    );
    let list = read(&get(&sim.url(), "/api/v1/models").await.1);
    assert_eq!(
        list["models"][0]["loaded_instances"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_wrong_name_is_answered_by_the_only_model_and_refused_with_two() {
    let sim = Sim::start(Options::lmstudio(&["a", "b"])).await.unwrap();
    let url = sim.url();
    post(&url, "/api/v1/models/load", json!({"model": "a"})).await;
    let mut wrong = chat("nope", "hi");
    wrong["stream"] = json!(false);
    let (status, text) = post(&url, "/v1/chat/completions", wrong.clone()).await;
    assert_eq!((status, &read(&text)["model"]), (200, &json!("a")));
    assert_eq!(read(&text)["stats"], json!({}));
    post(&url, "/api/v1/models/load", json!({"model": "b"})).await;
    let (status, text) = post(&url, "/v1/chat/completions", wrong).await;
    assert_eq!(
        (status, &read(&text)["error"]["code"]),
        (400, &json!("model_not_found"))
    );
}

#[tokio::test]
async fn unknown_paths_are_200_and_old_servers_lack_v1() {
    let mut options = Options::lmstudio(&["a"]);
    options.v1 = false;
    let sim = Sim::start(options).await.unwrap();
    for path in ["/nothing", "/api/v1/models"] {
        let (status, text) = get(&sim.url(), path).await;
        assert_eq!(status, 200);
        assert!(
            read(&text)["error"]
                .as_str()
                .unwrap()
                .starts_with("Unexpected endpoint")
        );
    }
    assert_eq!(
        get(&sim.url(), "/lmstudio-greeting").await.1,
        r#"{"lmstudio":true}"#
    );
}

#[tokio::test]
async fn the_guardrail_refuses_what_does_not_fit() {
    let mut options = Options::lmstudio(&["a=8GB", "b=8GB"]);
    options.memory = Some(12_000_000_000);
    let sim = Sim::start(options).await.unwrap();
    let load = |model: &str| json!({"model": model, "context_length": 4096});
    assert_eq!(
        post(&sim.url(), "/api/v1/models/load", load("a")).await.0,
        200
    );
    let (status, text) = post(&sim.url(), "/api/v1/models/load", load("b")).await;
    assert_eq!(status, 500);
    assert!(text.contains("insufficient system resources"));
    assert_eq!(sim.log().loads[1].outcome, LoadOutcome::Failed);
}

#[tokio::test]
async fn a_client_that_leaves_while_its_prompt_is_read_keeps_the_slot_until_the_end() {
    let mut options = Options::lmstudio(&["a"]);
    options.prefill = 100;
    options.parallel = 1;
    let sim = Sim::start(options).await.unwrap();
    post(&sim.url(), "/api/v1/models/load", json!({"model": "a"})).await;
    let url = format!("{}/v1/chat/completions", sim.url());
    let body = chat("a", &"x".repeat(400)).to_string();
    let sent = reqwest::Client::builder()
        .timeout(Duration::from_millis(200))
        .build()
        .unwrap();
    assert!(sent.post(url).body(body).send().await.is_err());
    let log = soon(sim.wait_for(|log| {
        log.disconnects
            .first()
            .is_some_and(|entry| entry.slot_free_ms.is_some())
    }))
    .await;
    let gone = &log.disconnects[0];
    assert_eq!(gone.phase, Phase::Prefill);
    assert!(gone.slot_free_ms.unwrap() > gone.at_ms);
}
