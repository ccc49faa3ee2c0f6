//! What `findings` says beyond the 39 settings, of engines that have a fault and of those without.

use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    chat::{body, get, post},
    engines::{Both, client, engine, start},
    rest::{eventually, ready},
};
use serde_json::{Value, json};

async fn findings(crucible: &Crucible) -> Vec<Value> {
    let report = get(crucible, "/crucible/tunings").await.json;
    let found = report["findings"].as_array().cloned();
    found.unwrap_or_else(|| panic!("no findings: {report}"))
}

/// Faults by name.
async fn faults(crucible: &Crucible) -> Vec<String> {
    let found = findings(crucible).await;
    let name = |f: &Value| f["fault"].as_str().unwrap_or_default().to_owned();
    found.iter().map(name).collect()
}

/// The fault once it is told, with everything that a finding says.
async fn told(crucible: &Crucible, fault: &str) -> Value {
    let found = eventually(fault, || async {
        let found = findings(crucible).await;
        found.into_iter().find(|f| f["fault"] == fault)
    })
    .await;
    for key in ["engine", "asked", "found", "read_from", "fix"] {
        assert!(
            found[key].as_str().is_some_and(|t| !t.is_empty()),
            "{found}"
        );
    }
    found
}

fn says(finding: &Value, key: &str, words: &str) -> bool {
    finding[key].as_str().is_some_and(|t| t.contains(words))
}

async fn call(url: &str, path: &str, body: &Value) {
    let answer = client()
        .post(format!("{url}{path}"))
        .json(body)
        .send()
        .await;
    assert_eq!(answer.expect("an answer").status(), 200);
}

/// Both engines with a model that Crucible loaded.
async fn used(toml: &str, change: impl FnOnce(&mut Options)) -> Both {
    let both = Both::with(toml, |_| {}, change).await;
    ready(&both.crucible).await;
    for model in ["qwen", "llama3.2:3b"] {
        let answer = post(&both.crucible, &body(model, "repeat 1")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    both
}

#[tokio::test]
async fn an_old_engine_is_told_and_a_new_one_is_not() {
    let both = used("", |_| {}).await;
    assert_eq!(faults(&both.crucible).await, [""; 0]);
    let both = used("", |o| o.version = "0.22.1".to_owned()).await;
    let old = told(&both.crucible, "old_version").await;
    assert!(says(&old, "asked", "0.30.0 or newer"), "{old}");
    assert!(says(&old, "found", "version 0.22.1: "), "{old}");
    assert_eq!(old["fix"], "update Ollama");
}

#[tokio::test]
async fn an_lm_studio_that_loads_by_itself_is_told() {
    let both = Both::with("", |o| o.v1 = false, |_| {}).await;
    ready(&both.crucible).await;
    let old = told(&both.crucible, "no_load_control").await;
    assert!(says(&old, "asked", "REST v1"), "{old}");
    assert_eq!(old["fix"], "update LM Studio");
}

#[tokio::test]
async fn a_client_that_reloads_a_model_behind_crucibles_back_is_told() {
    let both = used("", |_| {}).await;
    let again = |context: u64| json!({"model": "llama3.2:3b", "options": {"num_ctx": context}});
    call(&both.ollama.url(), "/api/generate", &again(8192)).await;
    let reloaded = told(&both.crucible, "reloaded").await;
    assert!(
        says(&reloaded, "found", "llama3.2:3b has 8192"),
        "{reloaded}"
    );
    assert!(says(&reloaded, "asked", "4096 per request"), "{reloaded}");
    assert!(says(&reloaded, "read_from", "/api/ps"), "{reloaded}");
    assert!(
        says(&reloaded, "fix", "ollama stop llama3.2:3b"),
        "{reloaded}"
    );
    let stop = json!({"model": "llama3.2:3b", "keep_alive": 0});
    call(&both.ollama.url(), "/api/generate", &stop).await;
    eventually("nothing to say", || async {
        faults(&both.crucible).await.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_client_that_unloads_from_lm_studio_is_told() {
    let both = used("", |_| {}).await;
    let unload = json!({"instance_id": "qwen"});
    call(&both.lmstudio.url(), "/api/v1/models/unload", &unload).await;
    let gone = told(&both.crucible, "bypassed").await;
    assert!(says(&gone, "found", "left its memory 1 times"), "{gone}");
    assert!(says(&gone, "fix", &both.lmstudio.url()), "{gone}");
}

/// An instance with the WebSocket driver before an LM Studio.
async fn driven(context: u64) -> (crucible_sim::Sim, Crucible) {
    let mut options = Options::lmstudio(&["qwen=4GB", "other=1GB"]);
    options.context = context;
    let sim = start(options).await;
    let block = engine("lmstudio", "lmstudio", &sim.url());
    let crucible = Crucible::start(&format!("{block}websocket = true\n"));
    ready(&crucible).await;
    (sim, crucible)
}

#[tokio::test]
async fn what_auto_evict_may_end_is_told() {
    let (sim, crucible) = driven(8192).await;
    // By hand: it has no idle clock, and auto-evict leaves it alone.
    let by_hand = json!({"model": "other", "context_length": 8192});
    call(&sim.url(), "/api/v1/models/load", &by_hand).await;
    assert_eq!(faults(&crucible).await, [""; 0]);
    // On request.
    let request = json!({"model": "qwen", "messages": [{"role": "user", "content": "hello"}]});
    call(&sim.url(), "/v1/chat/completions", &request).await;
    let evicted = told(&crucible, "auto_evict").await;
    let found = "loaded qwen by itself (its idle clock is 3600 s)";
    assert!(says(&evicted, "found", found), "{evicted}");
    assert!(says(&evicted, "fix", "lms unload qwen"), "{evicted}");
    assert_eq!(faults(&crucible).await, ["auto_evict"]);
}

#[tokio::test]
async fn a_load_on_request_with_another_context_is_told() {
    let (sim, crucible) = driven(2048).await;
    let request = json!({"model": "qwen", "messages": [{"role": "user", "content": "hello"}]});
    call(&sim.url(), "/v1/chat/completions", &request).await;
    let other = told(&crucible, "other_context").await;
    assert!(says(&other, "asked", "4096 per request"), "{other}");
    assert!(says(&other, "found", "2048 on qwen"), "{other}");
}
