//! An engine that says nothing still holds its memory: only what is gone holds none.

use std::time::Duration;

use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{body, get, post},
    engines::{self, client, engine},
    rest::eventually,
    sim_process::SimProcess,
};
use serde_json::Value;

/// The engine that falls silent, a process of its own.
fn silent_one(kind: &str, more: &[&str]) -> SimProcess {
    SimProcess::start(kind, &[&["--models", "a=3GB"], more].concat())
}

async fn unloads(engine: &SimProcess) -> usize {
    let log = client()
        .get(format!("{}/sim/log", engine.url()))
        .send()
        .await;
    let log: Value = log.expect("an answer").json().await.expect("JSON");
    log["unloads"].as_array().map_or(0, Vec::len)
}

/// Both engines in one pool, with room for one of their models.
fn together(kind: &str, silent: &str, other: &str) -> String {
    format!(
        "{}device = \"cpu\"\npool = \"both\"\n{}device = \"cpu\"\npool = \"both\"\n\
         [pool.both]\nbudget = \"4GB\"\n",
        engine("silent", kind, silent),
        engine("other", "ollama", other),
    )
}

async fn pool(crucible: &Crucible) -> Value {
    get(crucible, "/crucible/state").await.json["pools"][0].clone()
}

fn holds(pool: &Value) -> Vec<String> {
    let residents = pool["residents"].as_array().cloned().unwrap_or_default();
    let engine = |r: &Value| r["engine"].as_str().unwrap_or_default().to_owned();
    residents.iter().map(engine).collect()
}

async fn is(crucible: &Crucible, health: &str) {
    eventually(health, || async {
        let state = get(crucible, "/crucible/state").await.json;
        (state["engines"][0]["state"] == health).then_some(())
    })
    .await;
}

async fn other() -> Sim {
    engines::start(Options::ollama(&["b=3GB"])).await
}

async fn answered(crucible: &Crucible, model: &str, kind: &str) {
    let answer = post(crucible, &body(model, "repeat 1")).await;
    assert_eq!(answer.status, 200, "{kind}");
}

/// Nothing of the other engine's model is loaded while a request waits for it and the silent one stands still.
async fn waits_while_it_is_silent(crucible: &Crucible, other: &Sim, kind: &str) {
    eventually("it waits", || async {
        let state = get(crucible, "/crucible/state").await.json;
        state["queue"]
            .as_array()
            .is_some_and(|q| !q.is_empty())
            .then_some(())
    })
    .await;
    // Some polls more, in which nothing may change.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let state = pool(crucible).await;
    assert_eq!(holds(&state), ["silent"], "{kind}: {state}");
    assert!(
        state["used_bytes"].as_u64() >= Some(3_000_000_000),
        "{kind}: {state}"
    );
    assert_eq!(other.log().loads.len(), 0, "{kind}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stopped_engine_holds_counts_until_it_goes_on_or_is_gone() {
    for kind in ["lmstudio", "ollama"] {
        let mut silent = silent_one(kind, &[]);
        let other = other().await;
        let crucible = Crucible::start(&together(kind, silent.url(), &other.url()));
        answered(&crucible, "a", kind).await;
        silent.signal("STOP");
        is(&crucible, "down").await;
        let send = client().post(crucible.at("/v1/chat/completions"));
        let waits = tokio::spawn(send.json(&body("b", "repeat 1")).send());
        waits_while_it_is_silent(&crucible, &other, kind).await;
        assert!(!waits.is_finished(), "{kind}");

        silent.signal("CONT");
        let answer = waits.await.expect("a task").expect("an answer");
        assert_eq!(
            answer.status(),
            200,
            "{kind}: {}",
            answer.text().await.unwrap_or_default()
        );
        assert_eq!(unloads(&silent).await, 1, "{kind}");
        assert_eq!(holds(&pool(&crucible).await), ["other"], "{kind}");

        // Once more, and now it does not come back.
        is(&crucible, "up").await;
        answered(&crucible, "a", kind).await;
        assert_eq!(other.log().unloads.len(), 1, "{kind}");
        silent.signal("STOP");
        is(&crucible, "down").await;
        assert_eq!(holds(&pool(&crucible).await), ["silent"], "{kind}");
        silent.kill();
        eventually("its memory is free", || async {
            holds(&pool(&crucible).await).is_empty().then_some(())
        })
        .await;
        answered(&crucible, "b", kind).await;
    }
}

/// A load that was given up freed its pool at once, though the engine stood still with a part of the
/// model in memory.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_stopped_engine_was_loading_counts_until_it_goes_on_or_is_gone() {
    for (kind, comes_back) in [("lmstudio", true), ("ollama", true), ("ollama", false)] {
        let mut silent = silent_one(kind, &["--load-time", "3s"]);
        let other = other().await;
        let config = together(kind, silent.url(), &other.url());
        let crucible = Crucible::start(&format!("{config}[timeouts]\nload = \"2s\"\n"));
        let ask = |model: &'static str| {
            let send = client().post(crucible.at("/v1/chat/completions"));
            tokio::spawn(send.json(&body(model, "repeat 1")).send())
        };
        let loads = ask("a");
        eventually("it loads", || async {
            let loading = pool(&crucible).await["loading"]["model"].clone();
            loading.is_string().then_some(())
        })
        .await;
        silent.signal("STOP");
        let answer = loads.await.expect("a task").expect("an answer");
        assert_eq!(answer.status(), 504, "{kind}");
        let waits = ask("b");
        is(&crucible, "down").await;
        let state = pool(&crucible).await;
        assert!(
            state["used_bytes"].as_u64() >= Some(3_000_000_000),
            "{kind}: {state}"
        );
        assert_eq!(holds(&state), Vec::<String>::new(), "{kind}");
        assert_eq!(other.log().loads.len(), 0, "{kind}");
        assert!(!waits.is_finished(), "{kind}");
        if comes_back {
            silent.signal("CONT");
        } else {
            silent.kill();
        }
        let answer = waits.await.expect("a task").expect("an answer");
        assert_eq!(answer.status(), 200, "{kind}");
        assert_eq!(holds(&pool(&crucible).await), ["other"], "{kind}");
    }
}

/// Its settings may change meanwhile: it is the same engine with the same memory.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_while_it_is_silent_frees_nothing() {
    let silent = silent_one("ollama", &[]);
    let other = other().await;
    let config = together("ollama", silent.url(), &other.url());
    let crucible = Crucible::start(&config);
    assert_eq!(post(&crucible, &body("a", "repeat 1")).await.status, 200);
    silent.signal("STOP");
    is(&crucible, "down").await;
    let file = crucible.config();
    let text = std::fs::read_to_string(&file).expect("readable");
    let changed = text.replacen("pool = \"both\"", "pool = \"both\"\npermits = 1", 1);
    std::fs::write(&file, changed).expect("written");
    crucible.signal("HUP");
    eventually("it is in effect", || async {
        let state = get(&crucible, "/crucible/state").await.json;
        (state["engines"][0]["permits"]["limit"] == 1).then_some(())
    })
    .await;
    is(&crucible, "down").await;
    assert_eq!(holds(&pool(&crucible).await), ["silent"]);
    assert_eq!(other.log().loads.len(), 0);
    silent.signal("CONT");
    is(&crucible, "up").await;
    assert_eq!(holds(&pool(&crucible).await), ["silent"]);
    assert_eq!(post(&crucible, &body("b", "repeat 1")).await.status, 200);
    assert_eq!(unloads(&silent).await, 1);
}
