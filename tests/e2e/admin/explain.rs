//! `POST /crucible/explain`: what would become of a request, without sending it.

use super::*;

async fn explain(crucible: &Crucible, request: &Value) -> Whole {
    let answer = client()
        .post(crucible.at("/crucible/explain"))
        .json(request)
        .send()
        .await;
    whole(answer.expect("an answer")).await
}

#[tokio::test]
async fn explain_says_what_then_happens() {
    let both = Both::start().await;
    for model in ["qwen", "llama3.2:3b", "ollama/shared", "fast", "quality"] {
        let request = body(model, "repeat 1");
        let told = explain(&both.crucible, &request).await;
        assert_eq!(told.status, 200, "{}", told.text);
        for key in [
            "model",
            "engine",
            "reason",
            "candidates",
            "defaults",
            "context",
        ] {
            assert!(!told.json[key].is_null(), "{key}: {}", told.text);
        }
        let first = &told.json["candidates"][0];
        for key in ["engine", "model", "reason"] {
            assert_eq!(first[key], told.json[key], "{}", told.text);
        }
        assert!(first.get("predicted_first_token_s").is_some());
        let done = post(&both.crucible, &request).await;
        assert_eq!(
            done.header("x-crucible-engine"),
            told.json["engine"],
            "{model}"
        );
        assert_eq!(
            done.header("x-crucible-model"),
            told.json["model"],
            "{model}"
        );
        assert_eq!(
            done.header("x-crucible-reason"),
            told.json["reason"],
            "{model}"
        );
        let named: BTreeSet<&str> = done.header("x-crucible-defaults").split(',').collect();
        let explained = told.json["defaults"].as_object().expect("an object");
        let explained: BTreeSet<&str> = explained.keys().map(String::as_str).collect();
        assert_eq!(named, explained, "{model}");
    }
}

#[tokio::test]
async fn explain_sends_nothing_and_refuses_as_the_request_would_be() {
    let both = Both::start().await;
    assert_eq!(
        explain(&both.crucible, &body("qwen", "x")).await.status,
        200
    );
    for (request, status, code) in [
        (
            json!({ "model": "nope", "messages": [] }),
            404,
            "model_not_found",
        ),
        (json!({ "messages": [] }), 400, "missing_field"),
        (json!({ "model": "qwen" }), 400, "missing_field"),
        (
            json!({ "model": "qwen", "messages": [] }),
            400,
            "unsupported_value",
        ),
        (
            json!({ "model": "qwen", "messages": [{ "role": "user", "content": "x" }], "n": 2 }),
            400,
            "unsupported_value",
        ),
        (
            json!({ "model": "qwen", "messages": [{ "role": "user", "content": "x" }], "top_p": "1" }),
            400,
            "invalid_type",
        ),
        (json!({ "model": 3 }), 400, "invalid_type"),
        (json!([]), 400, "invalid_json"),
    ] {
        let told = explain(&both.crucible, &request).await;
        assert_eq!((told.status, told.code()), (status, code), "{}", told.text);
        let asked = post(&both.crucible, &request).await;
        assert_eq!(told.text, asked.text, "{request}");
    }
    for sim in [&both.lmstudio, &both.ollama] {
        assert!(asked(&sim.log()).is_empty() && sim.log().loads.is_empty());
    }
}
