//! Names over the same weights: copies and derivatives, which Ollama serves with one runner.

use std::time::Duration;

use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{body, get, post},
    clean::Metrics,
    engines::{client, engine, start, until},
    rest::{eventually, idle, logged, ready},
};
use futures_util::future::join_all;
use serde_json::{Value, json};

/// Three names of one runner, two that need another one of the same weights, another model.
const MODELS: [&str; 6] = [
    "base=2GB:ctx32768",
    "copy~base",
    "derived~copy+num_ctx=6000+num_thread=3",
    "layers~base+num_gpu=20",
    "lora~base+adapter=lora",
    "other=2GB",
];

async fn sim() -> Sim {
    start(Options::ollama(&MODELS)).await
}

async fn crucible(sim: &Sim, more: &str, tuning: &str) -> Crucible {
    let crucible = Crucible::start(&format!(
        "{more}\n{}device = \"cpu\"\n{tuning}",
        engine("ollama", "ollama", &sim.url())
    ));
    ready(&crucible).await;
    crucible
}

async fn residents(crucible: &Crucible) -> Vec<Value> {
    let state = get(crucible, "/crucible/state").await.json;
    let held = state["pools"][0]["residents"].as_array();
    held.expect("a list").clone()
}

/// Asks for a few tokens, is answered under the name that was asked for.
async fn ask(crucible: &Crucible, name: &str) {
    let answer = post(crucible, &body(name, "repeat 2")).await;
    assert_eq!(answer.status, 200, "{name}: {}", answer.text);
    let bare = name.strip_prefix("ollama/").unwrap_or(name);
    let told = answer.header("x-crucible-model");
    assert_eq!(told, format!("{bare}:latest"), "{:?}", answer.headers);
}

/// Loads that the engine made, and those by which it ended a runner of its own accord.
fn loads(sim: &Sim) -> (usize, usize) {
    let log = sim.log();
    (log.loaded(), log.reloads.len())
}

#[tokio::test]
async fn whatever_name_comes_first_the_others_are_served_by_its_runner() {
    for names in [
        ["base", "copy", "derived"],
        ["copy", "base", "derived"],
        ["derived", "ollama/copy", "base"],
    ] {
        let sim = sim().await;
        let crucible = crucible(&sim, "", "").await;
        for name in names.iter().chain(&names) {
            ask(&crucible, name).await;
        }
        assert_eq!(loads(&sim), (1, 0), "{names:?}");
        let held = residents(&crucible).await;
        assert_eq!(held.len(), 1, "{held:?}");
        assert_eq!(held[0]["model"], format!("{}:latest", names[0]), "{held:?}");
        assert_eq!(held[0]["owned"], true, "{held:?}");
        let metrics = Metrics::of(&crucible).await;
        assert_eq!(metrics.sum("crucible_models_loaded", &[]), 1.0);
        // The requests name what they ask for: template and system text are each name's own.
        let log = sim.log();
        let asked: Vec<&str> = log.completions.iter().map(|c| &*c.instance).collect();
        let bare = names.map(|name| name.strip_prefix("ollama/").unwrap_or(name));
        assert_eq!(asked, [bare, bare].concat(), "{names:?}");
    }
}

#[tokio::test]
async fn names_that_are_asked_for_at_once_share_one_load() {
    let mut options = Options::ollama(&MODELS);
    (options.load_time, options.parallel) = (Duration::from_millis(300), 2);
    let sim = start(options).await;
    let crucible = crucible(&sim, "", "").await;
    let names = ["base", "copy", "derived", "base", "copy", "derived"];
    join_all(names.map(|name| ask(&crucible, name))).await;
    assert_eq!(loads(&sim), (1, 0));
}

#[tokio::test]
async fn both_are_warm_after_one_load_and_a_pin_of_one_keeps_it() {
    let sim = sim().await;
    let toml = "[startup]\nwarm = [\"copy\"]\n[[model]]\nname = \"base\"\npin = true\n";
    // It is told again to keep it when a fifth of its time is left, in which a busy machine must come to it.
    let crucible = crucible(&sim, toml, "[tuning.lmstudio]\nmodel_ttl = \"8s\"\n").await;
    until(&sim, "it is loaded", |log| log.loaded() == 1).await;
    ask(&crucible, "copy").await;
    ask(&crucible, "derived").await;
    let held = residents(&crucible).await;
    assert_eq!(held[0]["pinned"], true, "{held:?}");
    // It goes when its time is over, and a pinned one does not: its keep-alive is renewed instead.
    let renewed = |log: &crucible_sim::LogView| log.requests_to("/api/generate").count() >= 3;
    until(&sim, "it is renewed", renewed).await;
    assert_eq!(loads(&sim), (1, 0));
    assert!(!crucible.log().contains("not warm"), "{}", crucible.log());
}

#[tokio::test]
async fn the_largest_configured_context_is_that_of_all_names() {
    let sim = sim().await;
    let toml = "[[model]]\nname = \"base\"\ncontext = 1024\n\
                [[model]]\nname = \"copy\"\ncontext = 16384\n";
    let crucible = crucible(&sim, toml, "").await;
    for name in ["base", "copy", "derived"] {
        ask(&crucible, name).await;
        let explained = client()
            .post(crucible.at("/crucible/explain"))
            .json(&body(name, "hi"))
            .send();
        let explained: Value = explained.await.expect("told").json().await.expect("JSON");
        let given = &explained["defaults"]["context"]["value"];
        assert_eq!(*given, 16_384, "{name}: {explained}");
    }
    assert_eq!(loads(&sim), (1, 0));
    assert_eq!(residents(&crucible).await[0]["context"], 16_384);
}

#[tokio::test]
async fn what_one_name_grew_to_is_there_for_the_others() {
    let sim = sim().await;
    let crucible = crucible(&sim, "", "").await;
    ask(&crucible, "base").await;
    let long = body("copy", &format!("repeat 2 {}", "word ".repeat(6000)));
    let answer = post(&crucible, &long).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let grown = residents(&crucible).await;
    assert_eq!(grown.len(), 1, "{grown:?}");
    assert!(grown[0]["context"].as_u64() > Some(8000), "{grown:?}");
    for name in ["base", "derived", "copy"] {
        ask(&crucible, name).await;
    }
    assert_eq!(loads(&sim), (2, 0));
}

#[tokio::test]
async fn they_go_together_when_idle_or_for_another_and_come_again_by_any_name() {
    let sim = sim().await;
    let one = "[tuning.ollama]\nmax_loaded_models = 1\n[tuning.lmstudio]\nmodel_ttl = \"2s\"\n";
    let crucible = crucible(&sim, "", one).await;
    for name in ["base", "copy", "other", "derived", "base"] {
        ask(&crucible, name).await;
    }
    assert_eq!(loads(&sim), (3, 0));
    eventually("it goes", || async {
        residents(&crucible).await.is_empty().then_some(())
    })
    .await;
    let by: Vec<String> = sim.log().unloads.iter().map(|u| u.cause.clone()).collect();
    assert!(
        by.iter().all(|c| c == "request" || c == "expired"),
        "{by:?}"
    );
    ask(&crucible, "copy").await;
    assert_eq!(loads(&sim), (4, 0));
}

#[tokio::test]
async fn they_have_one_entry_in_the_budget() {
    let sim = sim().await;
    let crucible = crucible(&sim, "", "[pool.cpu]\nbudget = \"8GB\"\n").await;
    for name in ["base", "copy", "derived", "other", "base"] {
        ask(&crucible, name).await;
    }
    assert_eq!(loads(&sim), (2, 0), "both fit");
    let state = get(&crucible, "/crucible/state").await.json;
    let used = state["pools"][0]["used_bytes"].as_u64();
    assert!(used.is_some_and(|used| used < 7_000_000_000), "{state}");
}

#[tokio::test(flavor = "multi_thread")]
async fn views_show_the_runner_under_each_of_its_names() {
    let sim = sim().await;
    let crucible = crucible(&sim, "", "").await;
    ask(&crucible, "copy").await;
    let held = residents(&crucible).await;
    let names = json!([
        "copy:latest",
        "base:latest",
        "derived:latest",
        "layers:latest",
        "lora:latest"
    ]);
    assert_eq!(held[0]["names"], names, "{held:?}");
    let target = format!("ollama=ollama@{}", sim.url());
    let args = [
        "--listen",
        crucible.addr(),
        "--engine",
        &target,
        "models",
        "--json",
    ];
    let (_, out, _) = tokio::task::block_in_place(|| Crucible::command(&args, ""));
    let told: Value = serde_json::from_str(&out).expect("JSON");
    for model in told["models"].as_array().expect("a list") {
        let shared = model["model"] != "other:latest";
        assert_eq!(model["loaded"], shared, "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_name_left_is_ours_under_the_others_after_a_restart() {
    let sim = sim().await;
    let folder = tempfile::TempDir::new().expect("a folder");
    let state = folder.path().display().to_string();
    let toml = format!(
        "on_exit = \"leave\"\n{}device = \"cpu\"\n",
        engine("ollama", "ollama", &sim.url())
    );
    let start = |toml: &str| Crucible::start_with(toml, &[], &[("CRUCIBLE_STATE_DIR", &state)]);
    let mut before = start(&toml);
    let long = body("copy", &format!("repeat 2 {}", "word ".repeat(6000)));
    assert_eq!(post(&before, &long).await.status, 200);
    before.signal("TERM");
    assert!(before.wait().success());
    let mut after = start(&toml.replace("leave", "unload"));
    ready(&after).await;
    ask(&after, "base").await;
    let held = residents(&after).await;
    assert_eq!(held[0]["owned"], true, "{held:?}");
    assert_eq!(loads(&sim), (1, 0));
    idle(&after, None).await;
    after.signal("TERM");
    assert!(after.wait().success());
    assert_eq!(sim.log().unloads.len(), 1, "{:?}", sim.log().unloads);
}

#[tokio::test]
async fn what_a_person_loaded_by_another_name_is_used_and_stays_theirs() {
    for (evict, status) in [(false, 503), (true, 200)] {
        let sim = sim().await;
        let load = json!({"model": "derived", "options": {"num_ctx": 5000}});
        let loaded = client()
            .post(format!("{}/api/generate", sim.url()))
            .json(&load)
            .send();
        assert!(loaded.await.expect("an answer").status().is_success());
        let more = format!("[scheduler]\nevict_foreign = {evict}\n");
        let one = "[tuning.ollama]\nmax_loaded_models = 1\n";
        let crucible = crucible(&sim, &more, one).await;
        ask(&crucible, "copy").await;
        let held = residents(&crucible).await;
        assert_eq!(held[0]["owned"], false, "{held:?}");
        assert_eq!(loads(&sim), (1, 0));
        // Neither another model nor another runner of the same weights takes its place.
        for name in ["other", "lora"] {
            let answer = post(&crucible, &body(name, "repeat 1")).await;
            assert_eq!(answer.status, status, "{name}: {}", answer.text);
            let blamed = answer.message().contains("derived:latest");
            assert_eq!(blamed, status == 503, "{name}: {}", answer.text);
        }
        assert_eq!(loads(&sim).1, 0, "the engine never swaps by itself");
    }
}

#[tokio::test]
async fn names_with_other_options_are_swapped_by_crucible_and_that_is_told() {
    let sim = sim().await;
    let crucible = crucible(&sim, "", "").await;
    for name in ["base", "lora", "copy", "layers"] {
        ask(&crucible, name).await;
    }
    // `num_gpu` is Crucible's to say on a CPU, so `layers` has the runner of `copy`.
    assert_eq!(loads(&sim), (3, 0));
    let asked = sim
        .log()
        .unloads
        .iter()
        .filter(|u| u.cause == "request")
        .count();
    assert_eq!(asked, 2, "{:?}", sim.log().unloads);
    logged(&crucible, "same weights with different adapters").await;
    assert!(!crucible.log().contains("num_gpu"), "{}", crucible.log());
    let long = async |name: &'static str| ask(&crucible, name).await;
    let turns = ["base", "lora", "base", "lora", "base", "lora"].map(long);
    join_all(turns).await;
    assert_eq!(loads(&sim).1, 0);
    // Each turn of one serves all who wait for it.
    assert!(loads(&sim).0 <= 8, "{:?}", loads(&sim));
}

#[tokio::test]
async fn where_crucible_leaves_the_layers_to_ollama_they_are_told_apart() {
    let sim = sim().await;
    let crucible = Crucible::start(&format!(
        "{}device = \"gpu\"\n",
        engine("ollama", "ollama", &sim.url())
    ));
    ready(&crucible).await;
    for name in ["base", "layers", "copy"] {
        ask(&crucible, name).await;
    }
    assert_eq!(loads(&sim), (3, 0));
    logged(&crucible, "same weights with different num_gpu").await;
}
