//! Models that were pulled, downloaded or deleted a moment ago, and engines that have just started:
//! the engines are asked for their lists once more before a name is refused.

use std::time::{Duration, Instant};

use crucible_sim::{LogView, Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{Whole, body, get, post},
    engines::{client, engine, start},
    rest::eventually,
    scripted::{Leave, Script, Scripted},
};
use futures_util::future::join_all;
use serde_json::json;

const KINDS: [&str; 4] = ["lmstudio", "ollama", "llamacpp", "openai"];

/// An engine without its model `new`, and Crucible that knows it so.
async fn without_new(kind: &str, toml: &str) -> (Sim, Crucible) {
    let models = ["old=1GB", "new=1GB"];
    let sim = start(match kind {
        "lmstudio" => Options::lmstudio(&models),
        "ollama" => Options::ollama(&models),
        _ => Options::openai(&models),
    })
    .await;
    sim.delete("new");
    let crucible = Crucible::start(&format!("{toml}\n{}", engine("one", kind, &sim.url())));
    let listed = get(&crucible, "/v1/models").await;
    assert!(listed.text.contains("old") && !listed.text.contains("new"));
    (sim, crucible)
}

async fn explain(crucible: &Crucible, name: &str) -> u16 {
    let url = crucible.at("/crucible/explain");
    let answer = client().post(url).json(&body(name, "hi")).send().await;
    answer.expect("an answer").status().as_u16()
}

#[tokio::test]
async fn a_model_that_was_just_pulled_answers_at_once() {
    let alias = "[[model]]\nname = \"new\"\naliases = [\"nick\", \"all-*\"]\n";
    for (toml, name) in [
        ("", "new"),
        ("", "NEW"),
        ("", "one/new"),
        (alias, "nick"),
        (alias, "all-of-it"),
        ("default_model = \"new\"", "gpt-4o"),
        ("default_model = \"old\"", "new"),
        ("[[model]]\nname = \"new\"\nfallback = [\"old\"]\n", "new"),
        ("[virtual]\nmine = [\"one/new\"]\n", "mine"),
    ] {
        for kind in KINDS {
            let (sim, crucible) = without_new(kind, toml).await;
            sim.pull("new");
            let answer = post(&crucible, &body(name, "repeat 1")).await;
            let told = answer.header("x-crucible-model");
            assert_eq!(answer.status, 200, "{kind} {name}: {}", answer.text);
            assert_eq!(told.trim_end_matches(":latest"), "new", "{kind} {name}");
        }
    }
}

#[tokio::test]
async fn explain_and_the_list_of_one_know_a_model_that_was_just_pulled() {
    for kind in KINDS {
        let (sim, crucible) = without_new(kind, "").await;
        assert_eq!(get(&crucible, "/v1/models/new").await.status, 404, "{kind}");
        sim.pull("new");
        assert_eq!(get(&crucible, "/v1/models/new").await.status, 200, "{kind}");
        let (sim, crucible) = without_new(kind, "").await;
        assert_eq!(explain(&crucible, "new").await, 404, "{kind}");
        sim.pull("new");
        assert_eq!(explain(&crucible, "new").await, 200, "{kind}");
        // What is gone is gone as soon as its engine says so.
        sim.delete("new");
        let answer = post(&crucible, &body("new", "repeat 1")).await;
        assert!(answer.status >= 400, "{kind}: {}", answer.text);
        let again = post(&crucible, &body("newer", "repeat 1")).await;
        assert_eq!(again.code(), "model_not_found", "{kind}: {}", again.text);
        let gone = get(&crucible, "/v1/models/new").await;
        assert_eq!(gone.status, 404, "{kind}: {}", gone.text);
    }
}

/// Crucible before an engine from which `new` was deleted a moment ago, which no poll has told yet.
async fn deleted(kind: &str, toml: &str) -> (Sim, Crucible) {
    let models = ["old=1GB", "new=1GB"];
    let sim = start(match kind {
        "lmstudio" => Options::lmstudio(&models),
        _ => Options::ollama(&models),
    })
    .await;
    let crucible = Crucible::start(&format!("{toml}\n{}", engine("one", kind, &sim.url())));
    let listed = get(&crucible, "/v1/models").await;
    assert!(listed.text.contains("new"), "{kind}: {}", listed.text);
    sim.delete("new");
    (sim, crucible)
}

#[tokio::test]
async fn a_model_that_was_deleted_before_its_load_is_not_found_and_answers_when_it_is_back() {
    for kind in ["lmstudio", "ollama"] {
        for streamed in [false, true] {
            let (sim, crucible) = deleted(kind, "").await;
            let mut request = body("new", "repeat 1");
            request["stream"] = json!(streamed);
            let gone = post(&crucible, &request).await;
            assert_eq!(
                (gone.status, gone.code()),
                (404, "model_not_found"),
                "{kind}: {}",
                gone.text
            );
            // Neither a backoff nor an old list is in its way.
            sim.pull("new");
            let back = post(&crucible, &body("new", "repeat 1")).await;
            assert_eq!(back.status, 200, "{kind}: {}", back.text);
        }
        let fallback = "[[model]]\nname = \"new\"\nfallback = [\"old\"]\n";
        let (_sim, crucible) = deleted(kind, fallback).await;
        let instead = post(&crucible, &body("new", "repeat 1")).await;
        assert_eq!(instead.status, 200, "{kind}: {}", instead.text);
        let told = instead.header("x-crucible-model");
        assert_eq!(told.trim_end_matches(":latest"), "old", "{kind}");
    }
}

#[tokio::test]
async fn an_engine_that_has_just_started_answers_at_once() {
    for kind in KINDS {
        let (sim, crucible) = without_new(kind, "").await;
        let port = sim.port();
        sim.stop().await;
        eventually("it is known to be down", || async {
            let state = get(&crucible, "/crucible/state").await.json;
            (state["engines"][0]["state"] == "down").then_some(())
        })
        .await;
        let refused = post(&crucible, &body("old", "repeat 1")).await;
        assert_eq!(refused.code(), "no_engine", "{}", refused.text);
        let mut options = match kind {
            "lmstudio" => Options::lmstudio(&["old=1GB"]),
            "ollama" => Options::ollama(&["old=1GB"]),
            _ => Options::openai(&["old=1GB"]),
        };
        options.port = port;
        let _sim = start(options).await;
        let answer = post(&crucible, &body("old", "repeat 1")).await;
        assert_eq!(answer.status, 200, "{kind}: {}", answer.text);
    }
}

/// A client that asks for wrong names must not make the engines busy with lists, nor must an engine that
/// says nothing make it wait.
#[tokio::test]
async fn wrong_names_cost_few_polls_and_no_long_wait() {
    let mute = Scripted::start(|_| Script::raw("", Leave::Stay)).await;
    let sim = start(Options::ollama(&["old=1GB"])).await;
    let crucible = Crucible::start(&format!(
        "{}\n{}",
        engine("one", "ollama", &sim.url()),
        engine("mute", "openai", &mute.url()),
    ));
    let polls = |log: &LogView| {
        let paths = log.requests.iter().map(|r| r.path.as_str());
        paths.filter(|p| *p == "/api/tags").count()
    };
    get(&crucible, "/v1/models").await;
    let (before, began) = (polls(&sim.log()), Instant::now());
    for _ in 0..4 {
        let wrong = |n: usize| {
            let crucible = &crucible;
            async move {
                post(
                    crucible,
                    &json!({"model": format!("no-{n}"), "messages": []}),
                )
                .await
            }
        };
        let asked = Instant::now();
        let answers: Vec<Whole> = join_all((0..25).map(wrong)).await;
        assert!(asked.elapsed() < Duration::from_secs(8));
        for answer in answers {
            assert_eq!(answer.status, 404, "{}", answer.text);
        }
    }
    let most = began.elapsed().as_secs_f64() * 2.0 + 3.0;
    let polled = polls(&sim.log()) - before;
    let count = f64::from(u32::try_from(polled).expect("few"));
    assert!(count <= most, "{polled} polls in {:?}", began.elapsed());
}
