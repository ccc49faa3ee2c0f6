//! What Ollama takes and what it refuses, with status and words: the same bodies for the simulator
//! and for the real one (0.33.0-rc2).

use crucible_tests::{engines::client, target::Target};
use reqwest::Method;
use serde_json::{Value, json};

async fn send(target: &Target, method: Method, path: &str, body: String) -> (u16, String) {
    let url = format!("{}{path}", target.url.as_deref().expect("a URL"));
    let answer = client().request(method, url).body(body).send().await;
    let answer = answer.expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.text().await.expect("a whole body"))
}

/// A chat of one token with these fields.
fn chat(target: &Target, fields: &Value) -> Value {
    let mut body = json!({
        "model": target.model, "messages": [{ "role": "user", "content": "hi" }], "stream": false,
        "options": { "num_ctx": 512, "num_predict": 1 },
    });
    for (name, value) in fields.as_object().expect("an object") {
        match value.as_object().filter(|_| name == "options") {
            Some(options) => {
                let all = body["options"].as_object_mut().expect("options");
                all.extend(options.clone());
            }
            None => body[name] = value.clone(),
        }
    }
    body
}

fn words(text: &str) -> String {
    let json: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let error = &json["error"];
    let words = error.as_str().or(error["message"].as_str());
    words.unwrap_or_else(|| panic!("words: {text}")).to_owned()
}

async fn refused(target: &Target, path: &str, body: &str, status: u16, expected: &str) {
    let (got, text) = send(target, Method::POST, path, body.to_owned()).await;
    assert_eq!(got, status, "{path} {body}: {text}");
    assert_eq!(words(&text), expected, "{path} {body}");
}

#[expect(clippy::too_many_lines, reason = "one table")]
pub(super) async fn a_chat_is_refused_in_these_words(target: &Target) {
    let model = &target.model;
    let field = |found: &str, name: &str, kind: &str| {
        format!(
            "json: cannot unmarshal {found} into Go struct field ChatRequest.{name} of type {kind}"
        )
    };
    let option = |name: &str, kind: &str| format!("option \"{name}\" must be of type {kind}");
    let format = |found: &str| {
        format!("invalid format: {found:?}; expected \"json\" or a valid JSON Schema object")
    };
    let levels = "\"high\", \"medium\", \"low\", \"max\", true, or false";
    let thinking = format!("{model:?} does not support thinking");
    for (fields, status, expected) in [
        (
            json!({ "options": { "top_k": "x" } }),
            500,
            option("top_k", "integer"),
        ),
        (
            json!({ "options": { "num_ctx": "512" } }),
            500,
            option("num_ctx", "integer"),
        ),
        (
            json!({ "options": { "temperature": "x" } }),
            500,
            option("temperature", "float32"),
        ),
        (
            json!({ "options": { "use_mmap": 1 } }),
            500,
            option("use_mmap", "boolean"),
        ),
        (
            json!({ "options": { "stop": "x" } }),
            500,
            option("stop", "array"),
        ),
        (
            json!({ "options": { "stop": ["a", 1] } }),
            500,
            "option \"stop\" must be of an array of strings".to_owned(),
        ),
        (
            json!({ "options": [] }),
            400,
            field("array", "options", "map[string]interface {}"),
        ),
        (json!({ "think": "low" }), 400, thinking.clone()),
        (json!({ "think": true }), 400, thinking),
        (
            json!({ "think": "none" }),
            400,
            format!("invalid think value: \"none\" (must be {levels})"),
        ),
        (
            json!({ "think": 5 }),
            400,
            format!("think must be a boolean or string ({levels})"),
        ),
        (
            json!({ "tools": {} }),
            400,
            field("object", "tools", "api.Tools"),
        ),
        (json!({ "format": "xml" }), 500, format("\"xml\"")),
        (json!({ "format": [] }), 500, format("[]")),
        (json!({ "format": true }), 500, format("true")),
        (
            json!({ "keep_alive": "300" }),
            400,
            "time: missing unit in duration \"300\"".to_owned(),
        ),
        (
            json!({ "keep_alive": "" }),
            400,
            "time: invalid duration \"\"".to_owned(),
        ),
        (
            json!({ "keep_alive": true }),
            400,
            "Unsupported type: 'bool'".to_owned(),
        ),
        (
            json!({ "keep_alive": [] }),
            400,
            "Unsupported type: '[]interface {}'".to_owned(),
        ),
        (
            json!({ "truncate": "x" }),
            400,
            field("string", "truncate", "bool"),
        ),
        (json!({ "shift": 1 }), 400, field("number", "shift", "bool")),
        (
            json!({ "stream": "x" }),
            400,
            field("string", "stream", "bool"),
        ),
        (
            json!({ "logprobs": 1 }),
            400,
            field("number", "logprobs", "bool"),
        ),
        (
            json!({ "top_logprobs": 21 }),
            400,
            "top_logprobs must be between 0 and 20".to_owned(),
        ),
        (
            json!({ "top_logprobs": -1 }),
            400,
            "top_logprobs must be between 0 and 20".to_owned(),
        ),
        (
            json!({ "messages": "hi" }),
            400,
            field("string", "messages", "[]api.Message"),
        ),
        (
            json!({ "messages": [1] }),
            400,
            field("number", "messages", "api.Alias"),
        ),
        (
            json!({ "messages": [{ "role": "user", "content": [{ "type": "text", "text": "x" }] }] }),
            400,
            field("array", "messages.content", "string"),
        ),
        (
            json!({ "model": 5 }),
            400,
            field("number", "model", "string"),
        ),
        (json!({ "model": "" }), 400, "model is required".to_owned()),
        (
            json!({ "model": "a b" }),
            400,
            "invalid model name".to_owned(),
        ),
        (
            json!({ "model": "../x" }),
            400,
            "invalid model name".to_owned(),
        ),
        (
            json!({ "model": "no:7b" }),
            404,
            "model 'no:7b' not found".to_owned(),
        ),
    ] {
        let body = chat(target, &fields).to_string();
        refused(target, "/api/chat", &body, status, &expected).await;
    }
    let image = json!({ "messages": [{ "role": "user", "content": "x", "images": ["QUJD"] }] });
    let body = chat(target, &image).to_string();
    let (status, text) = send(target, Method::POST, "/api/chat", body).await;
    assert_eq!(status, 400, "{text}");
    let inner: Value = serde_json::from_str(&words(&text)).expect("JSON in a string");
    assert_eq!(inner["error"]["code"], 400, "{inner}");
    let message = inner["error"]["message"].as_str().expect("words");
    assert!(message.starts_with("Multimodal data provided"), "{message}");
}

pub(super) async fn other_bodies_are_refused_in_these_words(target: &Target) {
    let model = &target.model;
    let own = |path: &str| match path {
        "/api/chat" => "api.ChatRequest",
        _ => "api.GenerateRequest",
    };
    for path in ["/api/chat", "/api/generate"] {
        refused(target, path, "", 400, "missing request body").await;
        refused(target, path, "{\"model\":", 400, "unexpected EOF").await;
        let words = format!(
            "json: cannot unmarshal array into Go value of type {}",
            own(path)
        );
        refused(target, path, "[]", 400, &words).await;
        refused(
            target,
            path,
            r#"{"model":"nope"}"#,
            404,
            "model 'nope' not found",
        )
        .await;
    }
    refused(target, "/api/chat", "{}", 400, "model is required").await;
    refused(
        target,
        "/api/generate",
        r#"{"prompt":"x"}"#,
        404,
        "model '' not found",
    )
    .await;
    for (body, status, words) in [
        ("", 400, "missing request body"),
        ("{}", 400, "model is required"),
        (r#"{"model":"a b"}"#, 400, "invalid model name"),
        (r#"{"model":"nope"}"#, 404, "model 'nope:latest' not found"),
        (r#"{"name":"nope"}"#, 404, "model 'nope:latest' not found"),
    ] {
        refused(target, "/api/show", body, status, words).await;
    }
    let none = "This server does not support embeddings. Start it with `--embeddings`";
    for (path, input, status, words) in [
        ("/api/embed", json!("hi"), 501, none),
        ("/api/embed", json!(5), 400, "invalid input type"),
        ("/api/embed", json!([1]), 400, "invalid input type"),
        ("/v1/embeddings", json!(null), 400, "invalid input"),
        ("/v1/embeddings", json!(5), 400, "invalid input type"),
        ("/v1/embeddings", json!(""), 501, none),
    ] {
        let body = json!({ "model": model, "input": input }).to_string();
        refused(target, path, &body, status, words).await;
    }
    let unknown = "model \"nope\" not found, try pulling it first";
    refused(
        target,
        "/api/embed",
        r#"{"model":"nope","input":"x"}"#,
        404,
        unknown,
    )
    .await;
    for input in [json!(null), json!([]), json!("")] {
        let body = json!({ "model": model, "input": input }).to_string();
        let (status, text) = send(target, Method::POST, "/api/embed", body).await;
        let told: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((status, &told["embeddings"]), (200, &json!([])), "{text}");
    }
}

pub(super) async fn its_openai_layer_refuses_in_these_words(target: &Target) {
    let path = "/v1/chat/completions";
    let field = |found: &str, name: &str, kind: &str| {
        format!(
            "json: cannot unmarshal {found} into Go struct field ChatCompletionRequest.{name} of type {kind}"
        )
    };
    for (fields, expected) in [
        (json!({ "seed": 1.5 }), field("number 1.5", "seed", "int")),
        (json!({ "seed": 42.0 }), field("number 42.0", "seed", "int")),
        (json!({ "max_tokens": "2" }), field("string", "max_tokens", "int")),
        (json!({ "temperature": "x" }), field("string", "temperature", "float64")),
        (json!({ "logprobs": 1 }), field("number", "logprobs", "bool")),
        (json!({ "tools": {} }), field("object", "tools", "[]api.Tool")),
        (json!({ "stream": "x" }), field("string", "stream", "bool")),
        (
            json!({ "stream_options": [] }),
            field("array", "stream_options", "openai.StreamOptions"),
        ),
        (
            json!({ "response_format": "text" }),
            field("string", "response_format", "openai.ResponseFormat"),
        ),
        (json!({ "reasoning": "x" }), field("string", "reasoning", "openai.Reasoning")),
        (json!({ "reasoning_effort": 5 }), field("number", "reasoning_effort", "string")),
        (json!({ "messages": "x" }), field("string", "messages", "[]openai.Message")),
        (
            json!({ "messages": [{ "role": "user", "content": null }] }),
            "invalid message content type: <nil>".to_owned(),
        ),
        (
            json!({ "reasoning_effort": "hot" }),
            "invalid reasoning value: \"hot\" (must be \"minimal\", \"low\", \"medium\", \"high\", \
             \"xhigh\", \"ultra\", \"max\", or \"none\")"
                .to_owned(),
        ),
        (
            json!({ "top_logprobs": 21 }),
            "top_logprobs must be between 0 and 20".to_owned(),
        ),
        (json!({ "model": "" }), "model is required".to_owned()),
    ] {
        let body = chat(target, &fields).to_string();
        refused(target, path, &body, 400, &expected).await;
    }
    refused(target, path, "", 400, "EOF").await;
    let unread = json!({
        "top_k": "x", "n": "x", "stop": 7, "tool_choice": "foo", "user": 5, "logit_bias": 5,
        "response_format": { "type": "xml" }, "max_tokens": 1, "seed": -1,
    });
    let body = chat(target, &unread).to_string();
    let (status, text) = send(target, Method::POST, path, body).await;
    assert_eq!(status, 200, "{text}");
}

pub(super) async fn odd_values_are_taken(target: &Target) {
    for fields in [
        json!({ "options": { "top_k": 1.5, "seed": 1.5, "num_predict": 1.9, "not_known": [] } }),
        json!({ "options": { "top_k": 1e30, "seed": -1, "stop": [] }, "format": "", "think": null }),
        json!({ "options": { "top_k": null }, "format": null, "think": false, "tools": [] }),
        json!({ "keep_alive": "1m30s", "not_known": {}, "logprobs": null }),
    ] {
        let body = chat(target, &fields).to_string();
        let (status, text) = send(target, Method::POST, "/api/chat", body).await;
        assert_eq!(status, 200, "{fields}: {text}");
        let told: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(told["eval_count"], 1, "{fields}: {text}");
    }
}

pub(super) async fn paths_and_methods_are_these(target: &Target) {
    for (method, path, status, text) in [
        ("GET", "/", 200, "Ollama is running"),
        ("HEAD", "/", 200, ""),
        ("HEAD", "/api/version", 200, ""),
        ("HEAD", "/api/tags", 200, ""),
        ("HEAD", "/api/ps", 405, ""),
        ("HEAD", "/v1/models", 405, ""),
        ("POST", "/", 405, "405 method not allowed"),
        ("POST", "/api/tags", 405, "405 method not allowed"),
        ("GET", "/api/chat", 405, "405 method not allowed"),
        ("PUT", "/v1/chat/completions", 405, "405 method not allowed"),
        ("DELETE", "/api/show", 405, "405 method not allowed"),
        ("GET", "/nope", 404, "404 page not found"),
        ("POST", "/health", 404, "404 page not found"),
        ("GET", "/metrics", 404, "404 page not found"),
        ("OPTIONS", "/api/chat", 405, "405 method not allowed"),
        ("OPTIONS", "/nope", 404, "404 page not found"),
    ] {
        let name = Method::from_bytes(method.as_bytes()).expect("a method");
        let got = send(target, name, path, String::new()).await;
        assert_eq!(got, (status, text.to_owned()), "{method} {path}");
    }
    let model = &target.model;
    let (status, text) = send(
        target,
        Method::GET,
        &format!("/v1/models/{model}"),
        String::new(),
    )
    .await;
    let told: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((status, &told["object"]), (200, &json!("model")), "{text}");
    let (status, text) = send(target, Method::GET, "/v1/models/nope", String::new()).await;
    assert_eq!(
        (status, &*words(&text)),
        (404, "model 'nope:latest' not found")
    );
}

pub(super) async fn hosts_and_origins_are_these(target: &Target) {
    let url = format!("{}/api/version", target.url.as_deref().expect("a URL"));
    for (name, value, status) in [
        ("host", "evil.example", 403),
        ("host", "127.0.0.1", 200),
        ("host", "192.168.1.7:11434", 200),
        ("host", "8.8.8.8", 403),
        ("host", "localhost:1", 200),
        ("host", "box.local", 200),
        ("host", "host.docker.internal:11434", 200),
        ("host", "localhost.evil.example", 403),
        ("origin", "http://evil.example", 403),
        ("origin", "null", 403),
        ("origin", "http://localhost:3000", 200),
        ("origin", "https://127.0.0.1", 200),
        ("origin", "vscode-file://vscode-app", 200),
        ("origin", "tauri://localhost", 200),
    ] {
        let send = client().get(&url).header(name, value).send();
        let answer = send.await.expect("an answer");
        assert_eq!(answer.status().as_u16(), status, "{name}: {value}");
        let text = answer.text().await.expect("a whole body");
        assert_eq!(text.is_empty(), status == 403, "{name}: {value}: {text}");
    }
    let preflight = client()
        .request(Method::OPTIONS, &url)
        .header("host", "localhost");
    let status = preflight.send().await.expect("an answer").status();
    assert_eq!(status.as_u16(), 204);
}
