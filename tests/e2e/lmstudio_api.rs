//! LM Studio's own API over the models of all engines, read as strictly as its clients do.

use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{Whole, body, get, post, post_to, whole},
    engines::{client, engine, start},
    rest::{eventually, ready},
    sse::Stream,
};
use serde::Deserialize;
use serde_json::{Value, json};

/// An entry as Zed reads it (`crates/lmstudio/src/lmstudio.rs`): another value anywhere loses the whole list.
#[derive(Debug, Deserialize)]
struct Entry {
    id: String,
    object: String,
    r#type: Type,
    publisher: String,
    arch: Option<String>,
    compatibility_type: Compatibility,
    quantization: Option<String>,
    state: State,
    max_context_length: Option<u64>,
    loaded_context_length: Option<u64>,
    capabilities: Vec<String>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Type {
    Llm,
    Embeddings,
    Vlm,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum State {
    Loaded,
    Loading,
    NotLoaded,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Compatibility {
    Gguf,
    Mlx,
}

async fn kinds() -> (Vec<Sim>, Crucible) {
    let lmstudio = start(Options::lmstudio(&[
        "qwen/qwen3-vl=4GB",
        "gemma-mlx=2GB",
        "text-embedding-nomic=200MB:embedding",
    ]))
    .await;
    let mut slow = Options::ollama(&["llama3.2:3b=2GB", "cpu-embed=200MB:embedding"]);
    slow.load_time = std::time::Duration::from_secs(1);
    let ollama = start(slow).await;
    let llamacpp = start(Options::openai(&["tiny=100MB"])).await;
    let server = start(Options::openai(&["vllm-model=9GB", "other=1GB"])).await;
    let crucible = Crucible::start(&format!(
        "[[model]]\nname = \"tiny\"\naliases = [\"nick\"]\n{}{}{}{}",
        engine("lmstudio", "lmstudio", &lmstudio.url()),
        engine("ollama", "ollama", &ollama.url()),
        engine("llama", "llamacpp", &llamacpp.url()),
        engine("server", "openai", &server.url()),
    ));
    ready(&crucible).await;
    (vec![lmstudio, ollama, llamacpp, server], crucible)
}

async fn v0(crucible: &Crucible) -> Vec<Entry> {
    let answer = get(crucible, "/api/v0/models").await;
    assert_eq!(answer.json["object"], "list", "{}", answer.text);
    let data = answer.json["data"].clone();
    serde_json::from_value(data).unwrap_or_else(|error| panic!("{error}: {}", answer.text))
}

#[tokio::test]
async fn the_older_list_has_every_name_in_values_that_strict_clients_know() {
    let (_sims, crucible) = kinds().await;
    let entries = v0(&crucible).await;
    let ids: Vec<&str> = entries.iter().map(|entry| &*entry.id).collect();
    let open = get(&crucible, "/v1/models").await;
    let listed: Vec<&str> = open.json["data"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|m| m["id"].as_str())
        .collect();
    assert_eq!(ids, listed);
    let of = |id: &str| entries.iter().find(|entry| entry.id == id).expect(id);
    for entry in &entries {
        assert_eq!(entry.object, "model");
        assert!(
            !entry.publisher.is_empty() && entry.arch.as_ref().is_some_and(|arch| !arch.is_empty()),
            "{entry:?}"
        );
        assert_eq!(
            entry.loaded_context_length.is_some(),
            entry.state == State::Loaded && entry.max_context_length.is_some(),
            "{entry:?}"
        );
        if entry.r#type != Type::Embeddings {
            assert!(entry.max_context_length >= Some(4096), "{entry:?}");
            assert_eq!(entry.capabilities, ["tool_use"], "{entry:?}");
        }
    }
    assert_eq!(of("qwen/qwen3-vl").r#type, Type::Vlm);
    assert_eq!(of("llama3.2:3b").r#type, Type::Llm);
    assert_eq!(of("cpu-embed:latest").r#type, Type::Embeddings);
    assert_eq!(of("gemma-mlx").compatibility_type, Compatibility::Mlx);
    assert_eq!(of("vllm-model").compatibility_type, Compatibility::Gguf);
    assert_eq!(of("llama3.2:3b").quantization.as_deref(), Some("Q4_K_M"));
    assert_eq!(of("tiny").state, State::Loaded);
    assert_eq!(of("llama3.2:3b").state, State::NotLoaded);
    assert!(ids.contains(&"nick") && ids.contains(&"auto"), "{ids:?}");
}

#[tokio::test]
async fn a_model_is_not_loaded_then_loading_then_loaded() {
    let (_sims, crucible) = kinds().await;
    let state = async || {
        let one = get(&crucible, "/api/v0/models/llama3.2:3b").await;
        let entry: Entry = serde_json::from_value(one.json).expect("an entry");
        entry.state
    };
    assert_eq!(state().await, State::NotLoaded);
    let request = client()
        .post(crucible.at("/v1/chat/completions"))
        .json(&body("llama3.2:3b", "repeat 1"));
    let asked = tokio::spawn(request.send());
    eventually("it loads", || async {
        (state().await == State::Loading).then_some(())
    })
    .await;
    assert_eq!(
        asked.await.expect("it ran").expect("an answer").status(),
        200
    );
    eventually("it is loaded", || async {
        (state().await == State::Loaded).then_some(())
    })
    .await;
    let unknown = get(&crucible, "/api/v0/models/nix").await;
    assert_eq!(
        (unknown.status, unknown.code()),
        (404, "model_not_found"),
        "{}",
        unknown.text
    );
}

#[tokio::test]
async fn the_list_of_today_repeats_an_lm_studios_entries_and_is_openais_beside() {
    let (sims, crucible) = kinds().await;
    let answer = post(&crucible, &body("qwen/qwen3-vl", "repeat 1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let own = client()
        .get(format!("{}/api/v1/models", sims[0].url()))
        .send()
        .await;
    let own = whole(own.expect("an answer")).await.json;
    let shown = get(&crucible, "/api/v1/models").await.json;
    let models = shown["models"].as_array().expect("a list");
    let of = |key: &str| models.iter().find(|entry| entry["key"] == key).expect(key);
    for entry in own["models"].as_array().expect("a list") {
        let ours = of(entry["key"].as_str().expect("a key"));
        for (key, value) in entry.as_object().expect("an object") {
            if !["loaded_instances", "max_context_length"].contains(&key.as_str()) {
                assert_eq!(&ours[key], value, "{key}");
            }
        }
    }
    let loaded = &of("qwen/qwen3-vl")["loaded_instances"];
    assert_eq!(loaded.as_array().map(Vec::len), Some(1), "{loaded}");
    assert!(
        loaded[0]["id"].is_string() && loaded[0]["config"]["context_length"].is_u64(),
        "{loaded}"
    );
    for entry in models {
        let kind = entry["type"].as_str();
        assert!(matches!(kind, Some("llm" | "embedding")), "{entry}");
        for text in ["publisher", "display_name", "architecture", "format"] {
            assert!(entry[text].is_string(), "{text}: {entry}");
        }
        assert!(
            entry["size_bytes"].is_u64() && entry["loaded_instances"].is_array(),
            "{entry}"
        );
        if kind == Some("llm") {
            assert!(entry["capabilities"]["vision"].is_boolean(), "{entry}");
            assert!(
                entry["capabilities"]["trained_for_tool_use"].is_boolean(),
                "{entry}"
            );
            assert!(
                entry["max_context_length"].as_u64() >= Some(4096),
                "{entry}"
            );
        }
    }
    // A client of another API whose base URL ends in /api/v1, or in /api.
    assert_eq!(
        shown["data"],
        get(&crucible, "/v1/models").await.json["data"]
    );
    let request = client()
        .get(crucible.at("/api/v1/models"))
        .header("anthropic-version", "2023-06-01");
    let anthropic = whole(request.send().await.expect("an answer")).await.json;
    assert_eq!(anthropic["data"][0]["type"], "model", "{anthropic}");
}

/// Whether a whole answer says how it was made, as far as its engine lets it be known.
fn has_facts(answer: &Whole, model: &str, stop_reason: &str) {
    let stats = &answer.json["stats"];
    assert_eq!(
        stats["stop_reason"], stop_reason,
        "{model}: {}",
        answer.text
    );
    assert_eq!(
        answer.text.matches("\"stats\"").count(),
        1,
        "{}",
        answer.text
    );
    // LM Studio tells no times of a whole answer on the path that it is asked by.
    let is_timed = model != "qwen/qwen3-vl";
    for time in [
        "tokens_per_second",
        "time_to_first_token",
        "generation_time",
    ] {
        let told = &stats[time];
        let is_known = told.as_f64().is_some_and(|told| told >= 0.0);
        // What took no time is not told.
        assert!(
            is_known && is_timed || told.is_null(),
            "{model} {time}: {}",
            answer.text
        );
    }
    assert_eq!(
        stats["generation_time"].is_null(),
        stats["tokens_per_second"].is_null()
    );
    let info = &answer.json["model_info"];
    assert!(
        info["context_length"].as_u64() >= Some(1024) || model == "vllm-model",
        "{model}: {}",
        answer.text
    );
    let (name, format) = match model {
        "qwen/qwen3-vl" => ("LM Studio", json!("gguf")),
        "llama3.2:3b" => ("Ollama", json!("gguf")),
        "tiny" => ("llama.cpp", json!("gguf")),
        _ => ("OpenAI-compatible server", Value::Null),
    };
    let runtime = &answer.json["runtime"];
    assert_eq!(
        (&runtime["name"], &info["format"]),
        (&json!(name), &format),
        "{model}: {}",
        answer.text
    );
    let formats = if format.is_null() {
        Value::Null
    } else {
        json!([format])
    };
    assert_eq!(runtime["supported_formats"], formats, "{model}");
}

#[tokio::test]
async fn one_model_of_todays_list_is_told_alone() {
    let (_sims, crucible) = kinds().await;
    let all = get(&crucible, "/api/v1/models").await.json;
    let entries = all["models"].as_array().expect("a list");
    for name in ["qwen/qwen3-vl", "llama3.2:3b", "tiny"] {
        let one = get(&crucible, &format!("/api/v1/models/{name}")).await;
        assert_eq!(
            (one.status, &one.json["id"]),
            (200, &json!(name)),
            "{}",
            one.text
        );
        assert_eq!(one.json["object"], "model", "{}", one.text);
        let entry = entries
            .iter()
            .find(|entry| entry["key"] == name)
            .expect(name);
        for (member, value) in entry.as_object().expect("an object") {
            assert_eq!(&one.json[member], value, "{name} {member}");
        }
    }
    let unknown = get(&crucible, "/api/v1/models/nix").await;
    assert_eq!(unknown.status, 404, "{}", unknown.text);
}

#[tokio::test]
async fn prompts_on_its_paths_are_answered_by_every_kind_of_engine() {
    let (_sims, crucible) = kinds().await;
    for model in ["qwen/qwen3-vl", "llama3.2:3b", "tiny", "vllm-model"] {
        let chat = post_to(
            &crucible,
            "/api/v0/chat/completions",
            &body(model, "repeat 2"),
        )
        .await;
        assert_eq!(chat.status, 200, "{model}: {}", chat.text);
        assert!(!chat.content().is_empty(), "{model}: {}", chat.text);
        let text = json!({ "model": model, "prompt": "repeat 2", "max_tokens": 2 });
        let text = post_to(&crucible, "/api/v0/completions", &text).await;
        assert_eq!(text.status, 200, "{model}: {}", text.text);
        has_facts(&chat, model, "eosFound");
        has_facts(&text, model, "maxPredictedTokensReached");
        let mut streamed = body(model, "repeat 2");
        streamed["stream"] = true.into();
        let request = client()
            .post(crucible.at("/api/v0/chat/completions"))
            .json(&streamed);
        let stream = Stream::read(request.send().await.expect("an answer")).await;
        assert!(stream.done, "{model}");
    }
    for model in ["text-embedding-nomic", "cpu-embed"] {
        let sent = json!({ "model": model, "input": ["a", "b"] });
        let vectors = post_to(&crucible, "/api/v0/embeddings", &sent).await;
        assert_eq!(
            vectors.json["data"].as_array().map(Vec::len),
            Some(2),
            "{}",
            vectors.text
        );
    }
    let broken = post_to(
        &crucible,
        "/api/v0/chat/completions",
        &json!({ "model": "nix", "messages": [] }),
    )
    .await;
    assert_eq!(
        (broken.status, broken.code()),
        (404, "model_not_found"),
        "{}",
        broken.text
    );
}
