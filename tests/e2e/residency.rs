//! What is loaded, for how long, within which memory, and whose it is.

use crucible_sim::{LogView, Options};
use crucible_tests::{
    Crucible,
    chat::{body, get, open, post},
    clean::{Metrics, queued},
    engines::{self, until},
    rest::eventually,
};
use serde_json::{Value, json};

async fn residents(crucible: &Crucible) -> Vec<Value> {
    let state = get(crucible, "/crucible/state").await.json;
    let held = state["pools"][0]["residents"].as_array();
    held.expect("a list").clone()
}

fn unloaded(log: &LogView, cause: &str) -> Vec<String> {
    let unloads = log.unloads.iter().filter(|u| u.cause == cause);
    unloads.map(|u| u.instance.clone()).collect()
}

#[tokio::test]
async fn an_idle_model_is_unloaded_by_crucible() {
    let sim = engines::start(Options::lmstudio(&["qwen=1GB"])).await;
    let crucible = Crucible::start(&format!(
        "{}[tuning.lmstudio]\nmodel_ttl = \"1s\"\n",
        engines::engine("lmstudio", "lmstudio", &sim.url())
    ));
    assert_eq!(post(&crucible, &body("qwen", "repeat 1")).await.status, 200);
    // An explicit load has no expiry there: nobody else would end it.
    let gone = |log: &LogView| unloaded(log, "request") == ["qwen"];
    until(&sim, "the model goes", gone).await;
    let labels = [("reason", "ttl")];
    eventually("it is counted", || async {
        let metrics = Metrics::of(&crucible).await;
        (metrics.sum("crucible_model_evictions_total", &labels) == 1.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn models_share_the_memory_of_their_pool() {
    let sim = engines::start(Options::ollama(&["a=3GB", "b=3GB"])).await;
    let crucible = Crucible::start(&format!(
        "{}device = \"cpu\"\n[pool.cpu]\nbudget = \"5GB\"\n",
        engines::engine("ollama", "ollama", &sim.url())
    ));
    for model in ["a", "b"] {
        assert_eq!(post(&crucible, &body(model, "repeat 1")).await.status, 200);
    }
    assert_eq!(unloaded(&sim.log(), "request"), ["a"]);
    let state = get(&crucible, "/crucible/state").await.json;
    let pool = &state["pools"][0];
    assert_eq!(pool["budget_bytes"], 5_000_000_000_u64);
    let used = pool["used_bytes"].as_u64();
    assert!(used.is_some_and(|used| used >= 3_000_000_000), "{pool}");
    let metrics = Metrics::of(&crucible).await;
    let labels = [("reason", "conflict")];
    assert_eq!(metrics.sum("crucible_model_evictions_total", &labels), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_at_the_end_is_ours_at_the_next_start() {
    let sim = engines::start(Options::lmstudio(&["qwen=1GB"])).await;
    let toml = format!(
        "on_exit = \"leave\"\n{}",
        engines::engine("lmstudio", "lmstudio", &sim.url())
    );
    let folder = tempfile::TempDir::new().expect("a folder");
    let state = folder.path().display().to_string();
    let start = |toml: &str| Crucible::start_with(toml, &[], &[("CRUCIBLE_STATE_DIR", &state)]);
    let mut crucible = start(&toml);
    assert_eq!(post(&crucible, &body("qwen", "repeat 1")).await.status, 200);
    crucible.signal("TERM");
    assert!(crucible.wait().success());
    assert_eq!(unloaded(&sim.log(), "request"), [""; 0]);

    let mut crucible = start(&toml.replace("leave", "unload"));
    let held = eventually("it is there", || async {
        let held = residents(&crucible).await;
        (!held.is_empty()).then_some(held)
    })
    .await;
    assert_eq!(held[0]["owned"], true, "{held:?}");
    crucible.signal("TERM");
    assert!(crucible.wait().success());
    assert_eq!(unloaded(&sim.log(), "request"), ["qwen"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_loaded_is_not_ours() {
    let sim = engines::start(Options::lmstudio(&["qwen=1GB"])).await;
    let load = json!({"model": "qwen", "context_length": 8192});
    let loaded = engines::client()
        .post(format!("{}/api/v1/models/load", sim.url()))
        .json(&load)
        .send()
        .await;
    assert!(loaded.expect("an answer").status().is_success());
    let mut crucible = Crucible::start(&format!(
        "{}[tuning.lmstudio]\nmodel_ttl = \"1s\"\n",
        engines::engine("lmstudio", "lmstudio", &sim.url())
    ));
    assert_eq!(post(&crucible, &body("qwen", "repeat 1")).await.status, 200);
    assert_eq!(residents(&crucible).await[0]["owned"], false);
    crucible.signal("TERM");
    assert!(crucible.wait().success());
    assert_eq!(unloaded(&sim.log(), "request"), [""; 0]);
    assert_eq!(sim.log().loaded(), 1);
}

#[tokio::test]
async fn a_newer_completion_takes_the_place_of_an_older_one() {
    let mut options = Options::ollama(&["llama=1GB"]);
    options.rate = 50;
    let sim = engines::start(options).await;
    let crucible = Crucible::start(&format!(
        "[scheduler]\nsupersede = true\n{}permits = 1\n",
        engines::engine("ollama", "ollama", &sim.url())
    ));
    let busy = open(&crucible, &body("llama", "repeat 100000")).await;
    let complete = |session: &'static str| {
        let mut body = body("llama", "repeat 1");
        body["max_tokens"] = json!(64);
        let send = engines::client()
            .post(crucible.at("/v1/chat/completions"))
            .header("x-session-id", session)
            .json(&body)
            .send();
        tokio::spawn(send)
    };
    let older = complete("editor");
    queued(&crucible, 1).await;
    let other = complete("another editor");
    queued(&crucible, 2).await;
    let newer = complete("editor");
    let refused = older.await.expect("a task").expect("an answer");
    assert_eq!(refused.status(), 409);
    let told: Value = refused.json().await.expect("JSON");
    assert_eq!(told["error"]["code"], "superseded", "{told}");
    drop(busy);
    for task in [other, newer] {
        assert_eq!(
            task.await.expect("a task").expect("an answer").status(),
            200
        );
    }
}
