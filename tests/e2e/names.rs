//! What a name means: exact, prefixed, aliases, `:latest`, any case, ambiguous, virtual.

use crucible_tests::{
    chat::{Whole, body, get, post},
    engines::{Both, asked},
    rest::{eventually, ready},
};
use serde_json::{Value, json};

const ALIASES: &str = "[[model]]\nname = \"qwen\"\naliases = [\"coder\", \"gpt-*\"]\n\
                       [[model]]\nname = \"ollama/shared\"\naliases = [\"cpu-shared\"]\n";

async fn with_latest(toml: &str) -> Both {
    Both::with(
        toml,
        |lmstudio| {
            lmstudio
                .models
                .push("org/deep/model-7b=1GB".parse().expect("a model"));
            lmstudio
                .models
                .push("twin:7b=1GB".parse().expect("a model"));
        },
        |ollama| {
            ollama
                .models
                .push("tagged:latest=1GB".parse().expect("a model"));
            ollama.models.push("twin:7b=1GB".parse().expect("a model"));
        },
    )
    .await
}

async fn place(both: &Both, name: &str) -> (String, String, String) {
    let answer = post(&both.crucible, &body(name, "repeat 1")).await;
    assert_eq!(answer.status, 200, "{name}: {}", answer.text);
    let said = |answer: &Whole, name: &str| answer.header(name).to_owned();
    (
        said(&answer, "x-crucible-engine"),
        said(&answer, "x-crucible-model"),
        said(&answer, "x-crucible-reason"),
    )
}

#[tokio::test]
async fn names_find_their_model_and_say_why() {
    let both = with_latest(ALIASES).await;
    for (name, engine, model, reason) in [
        ("qwen", "lmstudio", "qwen", "exact"),
        ("QWEN", "lmstudio", "qwen", "exact"),
        ("llama3.2:3b", "ollama", "llama3.2:3b", "exact"),
        ("Llama3.2:3B", "ollama", "llama3.2:3b", "exact"),
        ("tagged:latest", "ollama", "tagged:latest", "exact"),
        ("tagged", "ollama", "tagged:latest", "exact"),
        (
            "org/deep/model-7b",
            "lmstudio",
            "org/deep/model-7b",
            "exact",
        ),
        (
            "lmstudio/org/deep/model-7b",
            "lmstudio",
            "org/deep/model-7b",
            "prefixed",
        ),
        ("lmstudio/qwen", "lmstudio", "qwen", "prefixed"),
        ("ollama/tagged", "ollama", "tagged:latest", "prefixed"),
        ("ollama/shared", "ollama", "shared:latest", "prefixed"),
        ("ollama/twin:7b", "ollama", "twin:7b", "prefixed"),
        ("lmstudio/shared", "lmstudio", "shared", "prefixed"),
        ("coder", "lmstudio", "qwen", "alias"),
        ("gpt-4o-mini", "lmstudio", "qwen", "alias"),
        ("cpu-shared", "ollama", "shared:latest", "alias"),
    ] {
        let found = place(&both, name).await;
        assert_eq!(
            (found.0.as_str(), found.1.as_str(), found.2.as_str()),
            (engine, model, reason),
            "{name}"
        );
    }
    // The engine is asked by its own name, not by the client's.
    for request in asked(&both.lmstudio.log()) {
        let model = request["model"].as_str().expect("a name");
        assert!(
            ["qwen", "shared", "org/deep/model-7b", "twin:7b"].contains(&model),
            "{model}"
        );
    }
}

#[tokio::test]
async fn what_no_engine_has_is_404_in_every_form() {
    let both = with_latest(ALIASES).await;
    for name in [
        "ollama/qwen",
        "lmstudio/llama3.2:3b",
        "nobody/qwen",
        "qwen:latest2",
        "qwe",
        "coder2",
        "*",
        "lmstudio/",
        "/qwen",
    ] {
        let answer = post(&both.crucible, &body(name, "hi")).await;
        assert_eq!(
            (answer.status, answer.code()),
            (404, "model_not_found"),
            "{name}: {}",
            answer.text
        );
    }
}

#[tokio::test]
async fn a_default_model_takes_unknown_and_missing_names() {
    let both = Both::with("default_model = \"llama3.2:3b\"", |_| {}, |_| {}).await;
    assert_eq!(
        place(&both, "gpt-5").await,
        (
            "ollama".into(),
            "llama3.2:3b".into(),
            "default_model".into()
        )
    );
    let answer = post(
        &both.crucible,
        &json!({ "messages": [{ "role": "user", "content": "repeat 1" }] }),
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("x-crucible-model"), "llama3.2:3b");
    // A known name is still its own.
    assert_eq!(place(&both, "qwen").await.2, "exact");
}

#[tokio::test]
async fn an_ambiguous_name_goes_where_it_is_loaded_and_to_the_gpu_first() {
    let cold = with_latest("").await;
    assert_eq!(
        place(&cold, "twin:7b").await,
        ("lmstudio".into(), "twin:7b".into(), "device".into())
    );
    let warm = with_latest("").await;
    assert_eq!(place(&warm, "ollama/twin:7b").await.0, "ollama");
    eventually("the resident in the state", || async {
        let state = get(&warm.crucible, "/crucible/state").await.json;
        let pools = state["pools"].as_array()?;
        let mut residents = pools
            .iter()
            .filter_map(|p| p["residents"].as_array())
            .flatten();
        residents.find(|r| r["model"] == "twin:7b").map(|_| ())
    })
    .await;
    assert_eq!(
        place(&warm, "twin:7b").await,
        ("ollama".into(), "twin:7b".into(), "resident".into())
    );
}

#[tokio::test]
async fn virtual_models_go_by_device() {
    let both = Both::start().await;
    assert_eq!(place(&both, "fast").await.0, "lmstudio");
    assert_eq!(place(&both, "quality").await.0, "ollama");
    let auto = place(&both, "auto").await;
    assert!(["lmstudio", "ollama"].contains(&auto.0.as_str()));
    for seen in [asked(&both.lmstudio.log()), asked(&both.ollama.log())].concat() {
        assert!(!["fast", "quality", "auto"].contains(&seen["model"].as_str().expect("a name")));
    }
}

#[tokio::test]
async fn with_one_engine_the_virtual_models_are_that_one() {
    let both = Both::start().await;
    let sim = crucible_tests::engines::start(crucible_sim::Options::ollama(&["only=1GB"])).await;
    let crucible = crucible_tests::Crucible::start(&crucible_tests::engines::engine(
        "solo",
        "ollama",
        &sim.url(),
    ));
    for name in ["fast", "quality", "auto"] {
        let answer = post(&crucible, &body(name, "repeat 1")).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text);
        assert_eq!(answer.header("x-crucible-engine"), "solo");
    }
    assert!(asked(&both.ollama.log()).is_empty());
}

#[tokio::test]
async fn the_list_has_each_name_once_and_what_disambiguates() {
    let both = with_latest(ALIASES).await;
    ready(&both.crucible).await;
    let listed = get(&both.crucible, "/v1/models").await;
    assert_eq!(listed.json["object"], "list", "{}", listed.text);
    let data = listed.json["data"].as_array().expect("a list");
    let mut ids: Vec<&str> = Vec::new();
    for model in data {
        assert_eq!(model["object"], "model", "{model}");
        assert!(model["created"].is_i64(), "{model}");
        assert!(
            model["owned_by"].as_str().is_some_and(|o| !o.is_empty()),
            "{model}"
        );
        ids.push(model["id"].as_str().expect("an id"));
    }
    for id in [
        "qwen",
        "llama3.2:3b",
        "org/deep/model-7b",
        "tagged:latest",
        "twin:7b",
        "lmstudio/twin:7b",
        "ollama/twin:7b",
        "coder",
        "cpu-shared",
        "auto",
        "fast",
        "quality",
    ] {
        assert_eq!(
            ids.iter().filter(|i| **i == id).count(),
            1,
            "{id} in {ids:?}"
        );
    }
    assert!(!ids.iter().any(|id| id.contains('*')), "no globs: {ids:?}");
    assert!(
        !ids.contains(&"lmstudio/qwen"),
        "not where it is not ambiguous: {ids:?}"
    );
    // Everything listed can be asked for.
    for id in ids {
        let one = get(&both.crucible, &format!("/v1/models/{id}")).await;
        assert_eq!(one.status, 200, "{id}: {}", one.text);
        assert_eq!(one.json["id"], id);
        assert_eq!(
            post(&both.crucible, &body(id, "repeat 1")).await.status,
            200,
            "{id}"
        );
    }
}

#[tokio::test]
async fn one_model_is_found_by_every_name_that_would_answer() {
    let both = with_latest(ALIASES).await;
    for id in [
        "org/deep/model-7b",
        "org%2Fdeep%2Fmodel-7b",
        "tagged",
        "gpt-4o",
        "QWEN",
        "ollama/llama3.2:3b",
    ] {
        let one = get(&both.crucible, &format!("/v1/models/{id}")).await;
        assert_eq!(one.status, 200, "{id}: {}", one.text);
        assert_eq!(one.json["object"], "model", "{id}");
    }
    let none = get(&both.crucible, "/v1/models/org/deep/nothing").await;
    assert_eq!(
        (none.status, none.code()),
        (404, "model_not_found"),
        "{}",
        none.text
    );
}

#[tokio::test]
async fn anthropics_clients_get_their_own_list() {
    let both = Both::start().await;
    let request = crucible_tests::engines::client()
        .get(both.crucible.at("/v1/models"))
        .header("anthropic-version", "2023-06-01");
    let listed: Value = request
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    assert_eq!(listed["has_more"], false, "{listed}");
    assert!(
        listed["data"]
            .as_array()
            .is_some_and(|d| d.iter().any(|m| m["id"] == "qwen" && m["type"] == "model"))
    );
}

#[tokio::test]
async fn what_an_engine_cannot_do_is_told_before_it_is_asked() {
    let both = Both::with(
        "",
        |_| {},
        |ollama| {
            ollama
                .models
                .push("plain-notools=1GB".parse().expect("a model"));
        },
    )
    .await;
    let mut request = body("plain-notools", "hi");
    request["tools"] =
        json!([{ "type": "function", "function": { "name": "f", "parameters": {} } }]);
    let answer = post(&both.crucible, &request).await;
    assert_eq!(
        (answer.status, answer.code()),
        (400, "unsupported_value"),
        "{}",
        answer.text
    );
    assert_eq!(answer.json["error"]["param"], "tools");
    assert!(asked(&both.ollama.log()).is_empty());
}
