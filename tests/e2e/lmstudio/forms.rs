//! The forms in which engines say that something went wrong, or answer: whatever status, content
//! type and wrapping it has, its meaning is kept.

use std::{collections::HashMap, sync::Arc};

use crucible_tests::{
    Crucible,
    chat::{body, open, post, stream, whole},
    engines::engine,
    scripted::{Script, Scripted},
    sse::Stream,
};
use parking_lot::Mutex;
use serde_json::{Value, json};

const KEEP: &str = "Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens, which is not enough. Try to load the model with a larger context length, or provide a shorter input";

/// Answers of engines to a prompt that does not fit.
fn overflows() -> Vec<(&'static str, Script)> {
    let object = json!({ "error": { "message": KEEP, "type": "invalid_request_error" } });
    let object = object.to_string();
    let bare = json!({ "error": KEEP }).to_string();
    let inside = json!({ "error": object }).to_string();
    let n_keep = r#"{"error":"Cannot truncate prompt with n_keep (5000) >= n_ctx (4096)"}"#;
    let size = r#"{"error":"request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it"}"#;
    let llama = r#"{"error":{"code":400,"message":"too long","type":"exceed_context_size_error","n_prompt_tokens":5000,"n_ctx":4096}}"#;
    let middle = r#"{"error":"Reached context length of 4096 tokens with model (arch: gemma3) that does not currently support mid-generation context overflow."}"#;
    let list = format!("[{object}]");
    let fastapi = json!({ "detail": [{ "loc": ["body"], "msg": KEEP }] }).to_string();
    let cause = json!({ "error": { "title": "Error in channel", "cause": KEEP } }).to_string();
    let json = |status: &str, body: &str| Script::json(status, "", body);
    let events = |body: &str| Script::typed("text/event-stream", body);
    vec![
        ("400 object", json("400 Bad Request", &object)),
        ("400 bare", json("400 Bad Request", &bare)),
        ("400 json in a string", json("400 Bad Request", &inside)),
        ("400 n_keep", json("400 Bad Request", n_keep)),
        ("400 size", json("400 Bad Request", size)),
        ("400 llama", json("400 Bad Request", llama)),
        ("500 object", json("500 Internal Server Error", &object)),
        ("500 middle", json("500 Internal Server Error", middle)),
        ("200 object", json("200 OK", &object)),
        ("200 bare", json("200 OK", &bare)),
        ("200 json in a string", json("200 OK", &inside)),
        ("200 a string", json("200 OK", &json!(KEEP).to_string())),
        ("200 text", Script::typed("text/plain", KEEP)),
        ("400 list", json("400 Bad Request", &list)),
        ("200 list", json("200 OK", &list)),
        (
            "200 a list of strings",
            json("200 OK", &json!([KEEP]).to_string()),
        ),
        ("400 detail", json("400 Bad Request", &fastapi)),
        ("200 detail", json("200 OK", &fastapi)),
        ("200 cause", json("200 OK", &cause)),
        ("event", events(&format!("data: {object}\n\n"))),
        ("event of a list", events(&format!("data: {list}\n\n"))),
        (
            "event of a message alone",
            events(&format!("data: {}\n\n", json!({ "message": KEEP }))),
        ),
        (
            "name behind an id",
            events(&format!("id: 7\nevent: error\ndata: {}\n\n", json!(KEEP))),
        ),
        (
            "name behind the data",
            events(&format!("data: {}\nevent: error\n\n", json!(KEEP))),
        ),
        ("bare event", events(&format!("data: {bare}\n\n"))),
        (
            "named event",
            events(&format!("event: error\ndata: {object}\n\n")),
        ),
        (
            "named text",
            events(&format!("event: error\ndata: {KEEP}\n\n")),
        ),
        ("error line", events(&format!("error: {object}\n\n"))),
        ("json as events", events(&object)),
    ]
}

/// An LM Studio with a model for each case, which answers what the case says until the model has a
/// context of more than 4096.
async fn lmstudio(cases: Vec<(&'static str, Script)>, streamed: bool) -> Scripted {
    let names: Vec<&str> = cases.iter().map(|(name, _)| *name).collect();
    let cases: HashMap<&str, Script> = cases.iter().cloned().collect();
    let loaded: Mutex<HashMap<String, u64>> = Mutex::default();
    Scripted::reading(move |path, body| {
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
        let mut loaded = loaded.lock();
        match path {
            "/api/v1/models/load" => {
                let context = body["context_length"].as_u64().expect("a context");
                loaded.insert(text("model"), context);
                let told =
                    json!({ "type": "llm", "instance_id": text("model"), "status": "loaded" });
                Script::json("200 OK", "", &told.to_string())
            }
            "/api/v1/models/unload" => {
                loaded.remove(&text("instance_id"));
                Script::json("200 OK", "", &body.to_string())
            }
            "/api/v1/models" => Script::json("200 OK", "", &listing(&names, &loaded)),
            "/v1/chat/completions" => {
                let name = text("model");
                if loaded.get(&name).is_some_and(|context| *context > 4096) {
                    answer(&name, streamed)
                } else {
                    cases[name.as_str()].clone()
                }
            }
            _ => Script::json("200 OK", "", r#"{"lmstudio":true}"#),
        }
    })
    .await
}

fn listing(names: &[&str], loaded: &HashMap<String, u64>) -> String {
    let entry = |name: &&str| {
        let instances: Vec<Value> = loaded
            .get(*name)
            .map(|context| {
                json!({ "id": name, "config": { "context_length": context, "parallel": 4 } })
            })
            .into_iter()
            .collect();
        json!({
            "type": "llm", "key": name, "loaded_instances": instances,
            "max_context_length": 131_072, "format": "gguf", "size_bytes": 1_000_000,
        })
    };
    json!({ "models": names.iter().map(entry).collect::<Vec<_>>() }).to_string()
}

fn completion(model: &str) -> String {
    json!({
        "id": "c", "object": "chat.completion", "created": 1, "model": model,
        "choices": [{
            "index": 0, "finish_reason": "stop",
            "message": { "role": "assistant", "content": "hello", "reasoning_content": "hm" },
        }],
        "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 },
    })
    .to_string()
}

fn answer(model: &str, streamed: bool) -> Script {
    if !streamed {
        return Script::json("200 OK", "", &completion(model));
    }
    let event = |delta: Value, finish: Value| {
        let choices = json!([{ "index": 0, "delta": delta, "finish_reason": finish }]);
        let object = "chat.completion.chunk";
        let chunk = json!({ "id": "c", "object": object, "created": 1, "model": model, "choices": choices });
        format!("data: {chunk}\n\n")
    };
    let text = event(json!({ "content": "hello" }), Value::Null);
    let end = event(json!({}), json!("stop"));
    Script::typed("text/event-stream", &format!("{text}{end}data: [DONE]\n\n"))
}

#[tokio::test]
async fn a_prompt_that_does_not_fit_is_understood_in_every_form_and_gets_more_context() {
    for streamed in [false, true] {
        let cases = overflows();
        let names: Vec<&str> = cases.iter().map(|(name, _)| *name).collect();
        let fake = lmstudio(cases, streamed).await;
        let own = engine("gpu", "lmstudio", &fake.url());
        // The note is in the headers, which a busy machine is not to send before it is known.
        let patient = "[timeouts]\ncommit = \"60s\"\n";
        let crucible = Crucible::start(&format!("{patient}{own}permits = 1\n"));
        for name in names {
            let what = format!("{name}, streamed {streamed}");
            let note = if streamed {
                let response = open(&crucible, &body(name, "hi")).await;
                let status = response.status();
                let headers = response.headers().clone();
                let answer = Stream::read(response).await;
                assert_eq!(status, 200, "{what}: {}", answer.text);
                assert_eq!(answer.content(), "hello", "{what}: {}", answer.text);
                crucible_tests::chat::header(&headers, "x-crucible-note").to_owned()
            } else {
                let answer = post(&crucible, &body(name, "hi")).await;
                assert_eq!(answer.status, 200, "{what}: {}", answer.text);
                assert_eq!(answer.content(), "hello", "{what}: {}", answer.text);
                answer.header("x-crucible-note").to_owned()
            };
            assert!(note.contains("more context"), "{what}: {note}");
            let counted = name != "500 middle";
            assert_eq!(note.contains("of 5000 tokens"), counted, "{what}: {note}");
        }
    }
}

/// An engine of a kind that loads nothing, and gives this answer to every prompt.
async fn telling(kind: &str, script: Script) -> (Scripted, Crucible) {
    let list = r#"{"object":"list","data":[{"id":"m","object":"model"}]}"#;
    let fake = Scripted::start(move |path| match path {
        "/v1/models" => Script::json("200 OK", "", list),
        "/v1/chat/completions" => script.clone(),
        "/health" => Script::json("200 OK", "", r#"{"status":"ok"}"#),
        _ => Script::json("404 Not Found", "", "{}"),
    })
    .await;
    let crucible = Crucible::start(&engine("one", kind, &fake.url()));
    (fake, crucible)
}

/// What a client is told, streamed or not: status, code, message.
async fn told(crucible: &Crucible, streamed: bool) -> (u16, String, String) {
    let answer = if streamed {
        whole(open(crucible, &body("m", "hi")).await).await
    } else {
        post(crucible, &body("m", "hi")).await
    };
    (
        answer.status,
        answer.code().to_owned(),
        answer.message().to_owned(),
    )
}

#[tokio::test]
async fn other_servers_words_for_too_long_are_one_code() {
    let requested = r#"{"object":"error","message":"This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4900 in the messages, 100 in the completion).","type":"BadRequestError","param":null,"code":400}"#;
    let longer = r#"{"error":{"message":"The decoder prompt (length 5000) is longer than the maximum model length of 4096.","type":"BadRequestError","code":400}}"#;
    let max = r#"{"error":"prompt too long; exceeded max context length by 4 tokens"}"#;
    for kind in ["openai", "llamacpp"] {
        for (name, script) in [
            ("vllm", Script::json("400 Bad Request", "", requested)),
            ("vllm in a 200", Script::json("200 OK", "", requested)),
            (
                "vllm 500",
                Script::json("500 Internal Server Error", "", longer),
            ),
            (
                "vllm event",
                Script::typed("text/event-stream", &format!("data: {requested}\n\n")),
            ),
            ("ollama's cloud", Script::json("400 Bad Request", "", max)),
        ] {
            let (_fake, crucible) = telling(kind, script).await;
            for streamed in [false, true] {
                let (status, code, message) = told(&crucible, streamed).await;
                let what = format!("{kind} {name} {streamed}: {message}");
                assert_eq!((status, &*code), (400, "context_length_exceeded"), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn an_error_in_place_of_an_answer_keeps_its_text_and_its_meaning() {
    let events = |body: &str| Script::typed("text/event-stream", body);
    let json = |body: &str| Script::json("200 OK", "", body);
    let bare = r#"{"error":"Something odd happened"}"#;
    let object = r#"{"error":{"message":"Something odd happened","type":"internal_error"}}"#;
    let asked = r#"{"error":{"message":"Something odd happened","type":"invalid_request_error"}}"#;
    let load = r#"{"error":{"message":"Failed to load model. Something odd happened","code":"model_load_failed"}}"#;
    for (name, script, status, code) in [
        ("bare", json(bare), 502, "engine_error"),
        ("object", json(object), 502, "engine_error"),
        ("the request's", json(asked), 400, "engine_rejected"),
        ("a load", json(load), 503, "load_failed"),
        (
            "a string",
            json(r#""Something odd happened""#),
            502,
            "engine_error",
        ),
        (
            "detail",
            json(r#"{"detail":"Something odd happened"}"#),
            502,
            "engine_error",
        ),
        (
            "text",
            Script::typed("text/plain", "Something odd happened"),
            502,
            "engine_error",
        ),
        ("json as events", events(object), 502, "engine_error"),
        (
            "event",
            events("event: error\ndata: Something odd happened\n\n"),
            502,
            "engine_error",
        ),
        (
            "line",
            events(&format!("error: {object}\n\n")),
            502,
            "engine_error",
        ),
    ] {
        let (_fake, crucible) = telling("openai", script).await;
        for streamed in [false, true] {
            let (is, word, message) = told(&crucible, streamed).await;
            let what = format!("{name}, streamed {streamed}: {message}");
            assert_eq!((is, &*word), (status, code), "{what}");
            assert!(message.contains("Something odd happened"), "{what}");
        }
    }
    let page = Script::typed("text/html", "<!doctype html><title>Welcome</title>");
    let (_fake, crucible) = telling("openai", page).await;
    for streamed in [false, true] {
        let (status, code, message) = told(&crucible, streamed).await;
        assert_eq!((status, &*code), (502, "engine_error"), "{message}");
        assert!(message.contains("page for a browser"), "{message}");
    }
}

#[tokio::test]
async fn a_whole_answer_to_a_streamed_request_is_streamed() {
    for content_type in ["application/json", "text/plain", "text/event-stream"] {
        let script = Script::typed(content_type, &completion("m"));
        let (_fake, crucible) = telling("openai", script).await;
        for wanted in [false, true] {
            let mut request = body("m", "hi");
            request["stream_options"] = json!({ "include_usage": wanted });
            let (_, answer) = stream(&crucible, &request).await;
            assert_eq!(answer.content(), "hello", "{}", answer.text);
            assert_eq!(answer.reasoning(), "hm", "{}", answer.text);
            assert_eq!(answer.finish_reason(), Some("stop"));
            assert!(answer.done && answer.error().is_none(), "{}", answer.text);
            for event in &answer.events {
                assert_eq!(event["object"], "chat.completion.chunk", "{}", answer.text);
            }
        }
    }
}

#[tokio::test]
async fn a_stream_of_another_content_type_is_a_stream() {
    for content_type in ["text/plain", "application/json", "application/octet-stream"] {
        let mut script = answer("m", true);
        script.bytes = script.bytes.replace("text/event-stream", content_type);
        let (_fake, crucible) = telling("openai", script).await;
        let (_, streamed) = stream(&crucible, &body("m", "hi")).await;
        assert_eq!(streamed.content(), "hello", "{}", streamed.text);
        assert!(streamed.done, "{}", streamed.text);
    }
}

#[tokio::test]
async fn words_that_come_after_the_first_token_are_told_in_band_with_their_code() {
    // More than is read at once, so that the first of it is on its way before the error is seen.
    let text = "a".repeat(4096);
    let token =
        format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n");
    let token = token.repeat(100);
    let object = json!({ "error": { "message": KEEP }, "message": KEEP }).to_string();
    let middle = "Reached context length of 4096 tokens with model (arch: x) that does not currently support mid-generation context overflow";
    for error in [
        format!("data: {object}\n\n"),
        format!("event: error\ndata: {object}\n\n"),
        format!("event: error\ndata: {middle}\n\n"),
        format!("data: {}\n\n", json!({ "error": middle })),
    ] {
        let script = Script::typed("text/event-stream", &format!("{token}{error}"));
        for kind in ["openai", "llamacpp"] {
            let (_fake, crucible) = telling(kind, script.clone()).await;
            let (_, answer) = stream(&crucible, &body("m", "hi")).await;
            assert_eq!(answer.content().len(), 100 * 4096);
            let told = answer.error().expect("an error");
            assert_eq!(told["code"], "context_length_exceeded", "{}", answer.text);
            assert!(!answer.done && !answer.broken, "{}", answer.text);
        }
    }
}

/// Ollama's own form: a line of JSON in a 200, or whatever else stands there.
#[tokio::test]
async fn an_ollama_that_says_something_else_than_an_answer_is_understood() {
    let odd = "Something odd happened";
    let long = "prompt too long; exceeded max context length by 4 tokens";
    let lines = |body: String| Script::typed("application/x-ndjson", &body);
    for (script, status, code, says) in [
        (
            lines(json!({ "error": odd }).to_string()),
            502,
            "engine_error",
            odd,
        ),
        (
            lines(format!("{}\n", json!({ "error": odd }))),
            502,
            "engine_error",
            odd,
        ),
        (
            Script::json("200 OK", "", &json!({ "error": odd }).to_string()),
            502,
            "engine_error",
            odd,
        ),
        (Script::typed("text/plain", odd), 502, "engine_error", odd),
        (
            lines(json!({ "error": long }).to_string()),
            400,
            "context_length_exceeded",
            "",
        ),
        (
            Script::typed("text/plain", long),
            400,
            "context_length_exceeded",
            "",
        ),
        (
            Script::json(
                "500 Internal Server Error",
                "",
                &json!({ "error": long }).to_string(),
            ),
            400,
            "context_length_exceeded",
            "",
        ),
    ] {
        let script = Arc::new(script);
        let held = json!({ "name": "m", "model": "m", "size": 1, "context_length": 131_072 });
        let fake = Scripted::reading(move |path, body| match path {
            "/api/tags" => Script::json("200 OK", "", r#"{"models":[{"name":"m","model":"m"}]}"#),
            "/api/ps" => Script::json("200 OK", "", &json!({ "models": [held] }).to_string()),
            "/api/chat" if body.contains("\"hi\"") => Script::clone(&script),
            "/api/version" => Script::json("200 OK", "", r#"{"version":"0.33.0"}"#),
            "/api/show" => Script::json("200 OK", "", r#"{"capabilities":["completion"]}"#),
            _ => Script::json(
                "200 OK",
                "",
                r#"{"model":"m","done":true,"done_reason":"load"}"#,
            ),
        })
        .await;
        let crucible = Crucible::start(&engine("one", "ollama", &fake.url()));
        for streamed in [false, true] {
            let (is, word, message) = told(&crucible, streamed).await;
            assert_eq!((is, &*word), (status, code), "{streamed}: {message}");
            assert!(message.contains(says), "{message}");
        }
    }
}

/// What an engine leaves unsaid is its fault, unless the prompt may well be too long.
#[tokio::test]
async fn an_answer_without_a_word_is_a_long_prompt_only_where_the_prompt_is_long() {
    for (streamed, empty) in [
        (true, Script::typed("text/event-stream", "data: [DONE]\n\n")),
        (true, Script::typed("text/event-stream", "")),
        (
            false,
            Script::json("200 OK", "", r#"{"object":"chat.completion","choices":[]}"#),
        ),
    ] {
        let fake = lmstudio(vec![("m", empty)], streamed).await;
        let own = engine("gpu", "lmstudio", &fake.url());
        let most = "[context]\nmax = 4096\n";
        let crucible = Crucible::start(&format!("{most}{own}permits = 1\n"));
        let (status, code, message) = told(&crucible, streamed).await;
        assert_eq!((status, &*code), (502, "engine_error"), "{message}");
        let mut request = body("m", &"\u{5b57}".repeat(3900));
        request["max_tokens"] = 100.into();
        let answer = if streamed {
            whole(open(&crucible, &request).await).await
        } else {
            post(&crucible, &request).await
        };
        let found = (answer.status, answer.code());
        assert_eq!(found, (400, "context_length_exceeded"), "{}", answer.text);
    }
}
