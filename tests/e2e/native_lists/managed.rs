//! Pulls of what is there, and the management of an Ollama that is closed or opened.

use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    chat::{get, post_to, whole},
    engines::{client, engine, start},
    rest::{eventually, ready},
};
use serde_json::{Value, json};

use super::Kinds;

#[tokio::test]
async fn a_pull_of_a_model_that_is_there_succeeds_without_a_pull() {
    let kinds = Kinds::start("[[model]]\nname = \"tiny\"\naliases = [\"nick\"]\n").await;
    for name in [
        "llama3.2:3b",
        "small",
        "small:latest",
        "qwen/qwen3-vl",
        "tiny",
        "nick",
        "vllm-model",
        "text-embedding-nomic",
    ] {
        let stream = post_to(&kinds.crucible, "/api/pull", &json!({ "model": name })).await;
        assert_eq!(stream.status, 200, "{name}: {}", stream.text);
        assert_eq!(stream.header("content-type"), "application/x-ndjson");
        let lines: Vec<Value> = stream
            .text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert_eq!(
            lines.last(),
            Some(&json!({ "status": "success" })),
            "{name}"
        );
        let whole = post_to(
            &kinds.crucible,
            "/v1/api/pull",
            &json!({ "name": name, "stream": false }),
        )
        .await;
        assert_eq!(
            (whole.status, &whole.json),
            (200, &json!({ "status": "success" })),
            "{name}"
        );
    }
    for sim in [
        &kinds.ollama,
        &kinds.lmstudio,
        &kinds.llamacpp,
        &kinds.openai,
    ] {
        let log = sim.log();
        assert!(
            !log.requests.iter().any(|r| r.path == "/api/pull"),
            "nothing was pulled"
        );
    }
}

#[tokio::test]
async fn everything_else_that_changes_an_engine_is_refused_in_words() {
    let kinds = Kinds::start("").await;
    for (method, path, body) in [
        ("POST", "/api/pull", r#"{"model": "new"}"#),
        ("POST", "/api/pull", ""),
        ("POST", "/api/pull", "{"),
        ("POST", "/api/pull", r#"{"model": 3}"#),
        ("POST", "/api/create", r#"{"model": "x", "from": "small"}"#),
        (
            "POST",
            "/api/copy",
            r#"{"source": "small", "destination": "x"}"#,
        ),
        ("POST", "/api/push", r#"{"model": "small"}"#),
        ("DELETE", "/api/delete", r#"{"model": "small"}"#),
        ("POST", "/api/blobs/sha256:12", "bytes"),
    ] {
        let request = client().request(method.parse().expect("a method"), kinds.crucible.at(path));
        let answer = whole(request.body(body).send().await.expect("an answer")).await;
        assert_eq!(
            answer.status, 403,
            "{method} {path} {body}: {}",
            answer.text
        );
        let text = answer.json["error"].as_str().unwrap_or_default();
        assert!(
            text.contains("guard.open = [\"/api/"),
            "{path}: {}",
            answer.text
        );
    }
    let models = get(&kinds.crucible, "/api/tags").await;
    assert!(models.text.contains("\"small\""));
}

/// A model is in the list and is shown, or is neither.
async fn is_listed(crucible: &Crucible, name: &str, there: bool) {
    eventually(name, || async {
        let tags = get(crucible, "/api/tags").await;
        let shown = post_to(crucible, "/api/show", &json!({ "model": name })).await;
        let all = tags.text.contains(&format!("\"{name}\"")) == there;
        (all && (shown.status == 200) == there).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_opened_copies_makes_pulls_and_deletes() {
    let sim = start(Options::ollama(&[
        "llama=1GB",
        "copied~llama",
        "made~llama+num_ctx=8192",
        "pulled=1GB",
    ]))
    .await;
    for name in ["copied", "made", "pulled"] {
        sim.delete(name);
    }
    let crucible = Crucible::start(&format!(
        "[guard]\nopen = [\"/api/copy\", \"/api/create\", \"/api/pull\", \"/api/delete\"]\n{}",
        engine("ollama", "ollama", &sim.url())
    ));
    ready(&crucible).await;
    let listed = async |name: &str, there: bool| is_listed(&crucible, name, there).await;
    let copied = post_to(
        &crucible,
        "/api/copy",
        &json!({ "source": "llama", "destination": "copied" }),
    )
    .await;
    assert_eq!((copied.status, &*copied.text), (200, ""));
    listed("copied", true).await;
    for (path, body, name) in [
        (
            "/api/create",
            json!({ "model": "made", "from": "llama" }),
            "made",
        ),
        ("/api/pull", json!({ "model": "pulled" }), "pulled"),
        // One that is there is asked of the engine all the same: it may be newer there.
        ("/api/pull", json!({ "model": "llama" }), "llama"),
    ] {
        let answer = post_to(&crucible, path, &body).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        assert_eq!(answer.header("content-type"), "application/x-ndjson");
        assert!(
            answer.text.ends_with("{\"status\":\"success\"}\n"),
            "{}",
            answer.text
        );
        assert!(answer.text.lines().count() > 1, "{}", answer.text);
        listed(name, true).await;
    }
    let failed = post_to(&crucible, "/api/pull", &json!({ "model": "nowhere" })).await;
    assert!(
        failed.text.contains("file does not exist"),
        "as the engine says it: {}",
        failed.text
    );
    let gone = client()
        .delete(crucible.at("/api/delete"))
        .json(&json!({ "model": "copied" }));
    let gone = whole(gone.send().await.expect("an answer")).await;
    assert_eq!((gone.status, &*gone.text), (200, ""));
    listed("copied", false).await;
}
