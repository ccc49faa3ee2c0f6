//! Two Crucibles of one user: whose the folder of state is, and what the other one may do.

use std::path::Path;

use crucible_sim::{LogView, Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{body, get, open, post},
    engines,
    rest::{eventually, logged, ready},
    sse::Stream,
};
use serde_json::Value;
use tempfile::TempDir;

const BESIDE: &str = "belongs to another Crucible";

/// Engines that load: name of the kind, and a simulator with two models whose answers take time.
async fn loaders() -> Vec<(&'static str, Sim)> {
    let models = ["a=1GB", "b=1GB"];
    let mut started = Vec::new();
    for (kind, mut options) in [
        ("lmstudio", Options::lmstudio(&models)),
        ("ollama", Options::ollama(&models)),
    ] {
        options.rate = 50;
        options.parallel = 2;
        started.push((kind, engines::start(options).await));
    }
    started
}

fn toml(state: &Path, kind: &str, url: &str) -> String {
    format!(
        "state_dir = '{}'\n{}",
        state.display(),
        engines::engine(kind, kind, url)
    )
}

/// Ollama's name of a model without a tag has one.
fn plain(name: &str) -> &str {
    name.trim_end_matches(":latest")
}

fn unloaded(log: &LogView) -> Vec<&str> {
    let unloads = log.unloads.iter().filter(|u| u.cause == "request");
    unloads.map(|u| plain(&u.instance)).collect()
}

async fn owns(crucible: &Crucible) -> Value {
    get(crucible, "/crucible/state").await.json["owns_state"].clone()
}

/// What `crucible` tells of the residents: model and whether it calls it its own.
async fn residents(crucible: &Crucible) -> Vec<(String, bool)> {
    let state = get(crucible, "/crucible/state").await.json;
    let held = state["pools"][0]["residents"].as_array().cloned();
    let mut held: Vec<_> = held
        .unwrap_or_default()
        .iter()
        .map(|r| {
            (
                plain(r["model"].as_str().unwrap_or_default()).to_owned(),
                r["owned"] == true,
            )
        })
        .collect();
    held.sort();
    held
}

fn file(state: &Path, name: &str) -> String {
    std::fs::read_to_string(state.join(name)).unwrap_or_default()
}

/// Waits until a file of the folder says this.
async fn written(state: &Path, name: &str, text: &str) -> String {
    eventually(text, || async {
        let found = file(state, name);
        found.contains(text).then_some(found)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_instance_takes_nothing_from_the_first_and_leaves_nothing_of_its_own() {
    for (kind, sim) in loaders().await {
        let folder = TempDir::new().expect("a folder");
        let state = folder.path();
        let config = toml(state, kind, &sim.url());
        let first = Crucible::start(&config);
        // A few seconds long, across the whole life of the second.
        let answer = open(&first, &body("a", "repeat 400")).await;
        let before = written(state, "residents.json", "\"instance\": \"a").await;

        let mut second = Crucible::start(&config);
        logged(&second, BESIDE).await;
        logged(&second, &format!("process {}", first.pid())).await;
        ready(&second).await;
        assert_eq!(
            residents(&second).await,
            [("a".to_owned(), false)],
            "{kind}"
        );
        assert_eq!(
            (owns(&first).await, owns(&second).await),
            (true.into(), false.into())
        );
        // What is there is used, what is not is loaded.
        for model in ["a", "b"] {
            assert_eq!(
                post(&second, &body(model, "repeat 1")).await.status,
                200,
                "{kind}"
            );
        }
        let held = [("a".to_owned(), false), ("b".to_owned(), true)];
        assert_eq!(residents(&second).await, held, "{kind}");
        second.signal("TERM");
        assert_eq!(second.wait().code(), Some(0), "{}", second.log());

        assert_eq!(unloaded(&sim.log()), ["b"], "{kind}");
        assert!(
            sim.log().reloads.is_empty(),
            "{kind}: {:?}",
            sim.log().reloads
        );
        let whole = Stream::read(answer).await;
        assert!(whole.done, "{kind}: {}", whole.text);
        assert_eq!(file(state, "residents.json"), before, "{kind}");
        // The first one writes its log; nothing in it came from the second.
        let events = written(state, "events.jsonl", "\"request\"").await;
        assert!(
            !events.contains("\"b:") && !events.contains("\"b\""),
            "{kind}: {events}"
        );
        assert_eq!(file(state, "predictor.json"), "", "{kind}");
        assert_eq!(residents(&first).await, [("a".to_owned(), true)], "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_leaves_the_folder_free_and_the_next_start_adopts() {
    for (kind, sim) in loaders().await {
        let folder = TempDir::new().expect("a folder");
        let config = toml(folder.path(), kind, &sim.url());
        let mut crashed = Crucible::start(&config);
        assert_eq!(post(&crashed, &body("a", "repeat 1")).await.status, 200);
        written(folder.path(), "residents.json", "\"instance\": \"a").await;
        crashed.signal("KILL");
        crashed.wait();
        let mut next = Crucible::start(&config);
        ready(&next).await;
        assert_eq!(owns(&next).await, true);
        eventually("it is adopted", || async {
            (residents(&next).await == [("a".to_owned(), true)]).then_some(())
        })
        .await;
        next.signal("TERM");
        assert_eq!(next.wait().code(), Some(0));
        assert!(!next.log().contains(BESIDE), "{}", next.log());
        assert_eq!(unloaded(&sim.log()), ["a"], "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_owner_ends_the_second_takes_its_place_with_what_it_left() {
    for (kind, sim) in loaders().await {
        let folder = TempDir::new().expect("a folder");
        let state = folder.path();
        let config = toml(state, kind, &sim.url());
        let mut first = Crucible::start(&format!("on_exit = \"leave\"\n{config}"));
        assert_eq!(post(&first, &body("a", "repeat 1")).await.status, 200);
        written(state, "residents.json", "\"instance\": \"a").await;
        let mut second = Crucible::start(&config);
        logged(&second, BESIDE).await;
        assert_eq!(post(&second, &body("b", "repeat 1")).await.status, 200);
        first.signal("TERM");
        assert_eq!(first.wait().code(), Some(0));
        assert_eq!(unloaded(&sim.log()), [""; 0], "{kind}");

        logged(&second, "state_dir is this Crucible's now").await;
        let both = [("a".to_owned(), true), ("b".to_owned(), true)];
        eventually("both are its own", || async {
            (residents(&second).await == both).then_some(())
        })
        .await;
        assert_eq!(owns(&second).await, true);
        let kept = written(state, "residents.json", "\"instance\": \"b").await;
        assert!(kept.contains("\"instance\": \"a"), "{kept}");
        assert_eq!(post(&second, &body("b", "repeat 2")).await.status, 200);
        written(state, "events.jsonl", "\"b").await;
        second.signal("TERM");
        assert_eq!(second.wait().code(), Some(0));
        let log = sim.log();
        let mut gone = unloaded(&log);
        gone.sort_unstable();
        assert_eq!(gone, ["a", "b"], "{kind}");
        written(state, "predictor.json", "\"b").await;
    }
}

/// What a second instance may not evict, grow or reap, though the configuration allows it an owner.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_instance_evicts_nothing_that_it_did_not_load() {
    for (kind, sim) in loaders().await {
        let folder = TempDir::new().expect("a folder");
        let config = format!(
            "{}[scheduler]\nevict_foreign = true\n[tuning.{kind}]\nmax_loaded_models = 1\n",
            toml(folder.path(), kind, &sim.url())
        );
        let first = Crucible::start(&config);
        assert_eq!(post(&first, &body("a", "repeat 1")).await.status, 200);
        let second = Crucible::start(&config);
        ready(&second).await;
        let refused = post(&second, &body("b", "repeat 1")).await;
        assert_eq!(refused.status, 503, "{kind}: {}", refused.text);
        let long = "word ".repeat(30_000);
        let refused = post(&second, &body("a", &long)).await;
        assert_eq!(
            refused.code(),
            "context_length_exceeded",
            "{kind}: {}",
            refused.text
        );
        assert_eq!(unloaded(&sim.log()), [""; 0], "{kind}");
        assert_eq!(sim.log().loaded(), 1, "{kind}");
        // The owner may.
        assert_eq!(
            post(&first, &body("b", "repeat 1")).await.status,
            200,
            "{kind}"
        );
        assert_eq!(unloaded(&sim.log()), ["a"], "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_beside_an_instance_take_neither_its_folder_nor_its_models() {
    let sim = engines::start(Options::lmstudio(&["a=1GB"])).await;
    let folder = TempDir::new().expect("a folder");
    let config = toml(folder.path(), "lmstudio", &sim.url());
    let crucible = Crucible::start(&config);
    assert_eq!(post(&crucible, &body("a", "repeat 1")).await.status, 200);
    let before = written(folder.path(), "residents.json", "\"instance\": \"a").await;
    let commands: [&[&str]; 7] = [
        &["models"],
        &["doctor"],
        &["doctor", "--probe"],
        &["tunings"],
        &["explain", "a"],
        &["replay"],
        &["check"],
    ];
    for command in commands {
        let (code, _, stderr) = crucible.beside(command).await;
        assert!(code <= 1, "{command:?}: {stderr}");
    }
    // Neither does one that cannot see the instance at its own address.
    let elsewhere = folder.path().join("elsewhere.toml");
    std::fs::write(&elsewhere, format!("listen = \"127.0.0.1:0\"\n{config}")).expect("written");
    let file = elsewhere.display().to_string();
    for (command, code) in [("models", 0), ("bench", 1)] {
        let file = file.clone();
        let run = move || Crucible::command(&[command, "--config", &file], "");
        let (ended, _, stderr) = tokio::task::spawn_blocking(run).await.expect("it ran");
        assert_eq!(ended, code, "{command}: {stderr}");
        if command == "bench" {
            assert!(stderr.contains("serves with this state_dir"), "{stderr}");
        }
    }
    let mut tried = Crucible::start_in_shell(&config, "shift; set -- try \"$@\"", "");
    tried.line_with("(engine lmstudio").expect("an answer");
    tried.signal("TERM");
    assert_eq!(tried.wait().code(), Some(0), "{}", tried.log());
    assert!(tried.log().contains(BESIDE), "{}", tried.log());

    assert_eq!(owns(&crucible).await, true);
    assert_eq!(residents(&crucible).await, [("a".to_owned(), true)]);
    assert_eq!(unloaded(&sim.log()), [""; 0]);
    assert_eq!(self::file(folder.path(), "residents.json"), before);
    let second = Crucible::start(&config);
    logged(&second, BESIDE).await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_locked_is_said_and_hurts_no_answer() {
    let sim = engines::start(Options::lmstudio(&["a=1GB"])).await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    let below = file.path().join("below-a-file");
    let crucible = Crucible::start(&toml(&below, "lmstudio", &sim.url()));
    logged(&crucible, "cannot be locked").await;
    assert_eq!(post(&crucible, &body("a", "repeat 1")).await.status, 200);
    assert_eq!(owns(&crucible).await, true);
}
