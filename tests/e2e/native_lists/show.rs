//! `POST /api/show`.

use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    chat::{body, post, post_to, whole},
    engines::{client, engine, start},
    rest::ready,
};
use serde_json::{Value, json};

use super::{Details, Kinds, tags};

/// The context that a description names, by the architecture that it names.
fn context(shown: &Value) -> u64 {
    let info = &shown["model_info"];
    let family = info["general.architecture"]
        .as_str()
        .expect("an architecture");
    let context = info[format!("{family}.context_length")].as_u64();
    context.unwrap_or_else(|| panic!("no context: {shown}"))
}

#[tokio::test]
async fn every_listed_name_is_described_whole() {
    let kinds = Kinds::start("[[model]]\nname = \"tiny\"\naliases = [\"nick\"]\n").await;
    let mut names: Vec<String> = tags(&kinds.crucible)
        .await
        .into_iter()
        .map(|tag| tag.name)
        .collect();
    // As people and clients write them.
    names.extend(["LLAMA3.2:3B", "tiny:latest", "lmstudio/qwen/qwen3-vl"].map(str::to_owned));
    for name in names {
        for key in ["model", "name"] {
            let shown = post_to(&kinds.crucible, "/api/show", &json!({ key: name })).await;
            assert_eq!(shown.status, 200, "{name}: {}", shown.text);
            for text in ["modelfile", "parameters", "template", "modified_at"] {
                assert!(
                    shown.json[text].is_string(),
                    "{name} {text}: {}",
                    shown.text
                );
            }
            serde_json::from_value::<Details>(shown.json["details"].clone()).expect("all details");
            let able = shown.json["capabilities"].as_array().expect("a list");
            assert!(!able.is_empty(), "{name}: {}", shown.text);
            if !able.contains(&json!("embedding")) {
                assert!(context(&shown.json) >= 4096, "{name}: {}", shown.text);
            }
        }
    }
}

#[tokio::test]
async fn an_ollamas_own_description_is_repeated() {
    let kinds = Kinds::start("").await;
    let own = client()
        .post(format!("{}/api/show", kinds.ollama.url()))
        .json(&json!({ "model": "small" }))
        .send();
    let own = whole(own.await.expect("an answer")).await.json;
    let shown = post_to(&kinds.crucible, "/api/show", &json!({ "model": "small" }))
        .await
        .json;
    for key in [
        "template",
        "parameters",
        "modelfile",
        "capabilities",
        "modified_at",
        "license",
    ] {
        assert_eq!(shown[key], own[key], "{key}");
    }
    assert_eq!(shown["model_info"]["llama.embedding_length"], 4096);
    let thinks = post_to(
        &kinds.crucible,
        "/api/show",
        &json!({ "model": "gpt-oss:20b" }),
    )
    .await
    .json;
    let able = thinks["capabilities"].as_array().expect("a list");
    assert!(able.contains(&json!("thinking")), "{thinks}");
}

/// What a client may fill is not what happens to be loaded, and not what the model was trained for.
#[tokio::test]
async fn the_context_is_what_crucible_gives() {
    for (toml, expected) in [
        ("", 131_072),
        ("[context]\nmax = 16384\n", 16_384),
        ("[context]\nfit = \"reject\"\n", 4096),
        (
            "[[model]]\nname = \"llama\"\ncontext = 10000\nfit = \"reject\"\n",
            10_000,
        ),
    ] {
        for kind in ["ollama", "lmstudio"] {
            let sim = start(match kind {
                "ollama" => Options::ollama(&["llama=1GB"]),
                _ => Options::lmstudio(&["llama=1GB"]),
            })
            .await;
            let crucible = Crucible::start(&format!("{toml}\n{}", engine("one", kind, &sim.url())));
            ready(&crucible).await;
            let shown = async || {
                post_to(&crucible, "/api/show", &json!({ "model": "llama" }))
                    .await
                    .json
            };
            let before = context(&shown().await);
            assert_eq!(before, expected, "{kind} {toml}");
            let answer = post(&crucible, &body("llama", "repeat 1")).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            // Loaded with 4096, and loaded anew for a longer prompt; one request may have what an LM Studio's
            // slots share.
            let shared = kind == "lmstudio" && toml.contains("reject");
            let expected = if shared { 2 * expected } else { expected };
            assert_eq!(context(&shown().await), expected, "{kind} {toml}");
            let v0 = client().get(crucible.at("/api/v0/models/llama"));
            let v0 = whole(v0.send().await.expect("an answer")).await.json;
            assert_eq!(v0["state"], "loaded", "{v0}");
            assert_eq!(v0["loaded_context_length"], expected, "{v0}");
            assert_eq!(v0["max_context_length"], expected, "{v0}");
        }
    }
}

#[tokio::test]
async fn a_context_that_nobody_can_change_is_told_as_it_is() {
    let mut options = Options::openai(&["tiny=100MB"]);
    options.context = 8192;
    options.parallel = 2;
    let sim = start(options).await;
    let crucible = Crucible::start(&engine("llama", "llamacpp", &sim.url()));
    ready(&crucible).await;
    let shown = post_to(&crucible, "/api/show", &json!({ "model": "tiny" }))
        .await
        .json;
    // Each of its two slots has half of it.
    assert_eq!(context(&shown), 4096);
}

#[tokio::test]
async fn an_ollama_describes_its_model_at_length_where_it_is_asked_to() {
    let kinds = Kinds::start("").await;
    let shown = async |name: &str, verbose: bool| {
        let sent = json!({ "model": name, "verbose": verbose });
        post_to(&kinds.crucible, "/api/show", &sent).await
    };
    let short = shown("llama3.2:3b", false).await.json;
    assert!(short.get("tensors").is_none(), "{short}");
    let long = shown("llama3.2:3b", true).await.json;
    assert!(long["tensors"].is_array(), "{long}");
    assert!(
        long["model_info"]["tokenizer.ggml.tokens"].is_array(),
        "{long}"
    );
    // What Crucible knows better stays.
    assert_eq!(context(&long), context(&short));
    for member in [
        "details",
        "capabilities",
        "modified_at",
        "template",
        "parameters",
    ] {
        assert_eq!(long[member], short[member], "{member}");
    }
    let other = shown("qwen/qwen3-vl", true).await;
    assert_eq!(other.status, 200, "{}", other.text);
    assert!(other.json.get("tensors").is_none(), "{}", other.text);
    let odd = post_to(
        &kinds.crucible,
        "/api/show",
        &json!({ "model": "llama3.2:3b", "verbose": 1 }),
    )
    .await;
    assert_eq!(odd.status, 400, "{}", odd.text);
}

#[tokio::test]
async fn what_is_wrong_with_a_question_is_said_in_ollamas_form() {
    let kinds = Kinds::start("").await;
    for (body, status, part) in [
        ("", 400, "missing request body"),
        ("{", 400, "not JSON"),
        ("[]", 400, "not an object"),
        ("{}", 400, "model is required"),
        (r#"{"model": ""}"#, 400, "model is required"),
        (r#"{"model": 3}"#, 400, "a number"),
        (r#"{"model": "nix"}"#, 404, "model 'nix' not found"),
        (
            r#"{"name": "nix:7b", "verbose": true}"#,
            404,
            "model 'nix:7b' not found",
        ),
    ] {
        let request = client().post(kinds.crucible.at("/api/show")).body(body);
        let answer = whole(request.send().await.expect("an answer")).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text);
        let text = answer.json["error"].as_str().unwrap_or_default();
        assert!(text.contains(part), "{body}: {}", answer.text);
    }
    for (method, path) in [
        ("GET", "/api/show"),
        ("POST", "/api/tags"),
        ("DELETE", "/api/ps"),
    ] {
        let method = method.parse().expect("a method");
        let request = client().request(method, kinds.crucible.at(path));
        let answer = whole(request.send().await.expect("an answer")).await;
        assert_eq!(answer.status, 405, "{path}: {}", answer.text);
        assert!(answer.json["error"].is_string(), "{path}: {}", answer.text);
    }
}

#[tokio::test]
async fn copilot_chat_is_told_the_name_that_it_asked_for() {
    let kinds = Kinds::start("").await;
    let request = client()
        .post(kinds.crucible.at("/api/show"))
        .header("user-agent", "GitHubCopilotChat/0.30.1")
        .json(&json!({ "model": "llama3.2:3b" }));
    let shown = whole(request.send().await.expect("an answer")).await.json;
    assert_eq!(shown["model_info"]["general.basename"], "llama3.2:3b");
}
