//! Ollama's own API without Crucible in between: what the simulator must imitate and what the
//! translation builds on.

use crucible_tests::{
    engines::client,
    sse::Stream,
    target::{KEEP, Target},
};
use serde_json::{Map, Value, json};

use super::control::time_left;

struct Reply {
    status: u16,
    kind: String,
    text: String,
}

// === impl Reply ===

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    fn error(&self) -> String {
        let json = self.json();
        let error = json["error"].as_str();
        error
            .unwrap_or_else(|| panic!("an error text: {}", self.text))
            .to_owned()
    }

    fn lines(&self) -> Vec<Map<String, Value>> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        self.text.lines().map(parse).collect()
    }
}

async fn send(target: &Target, path: &str, body: &Value) -> Reply {
    let url = format!("{}{path}", target.url.as_deref().expect("a URL"));
    let answer = client()
        .post(url)
        .json(body)
        .send()
        .await
        .expect("an answer");
    let kind = answer.headers().get("content-type");
    Reply {
        status: answer.status().as_u16(),
        kind: kind.map_or_else(String::new, |v| v.to_str().unwrap_or_default().to_owned()),
        text: answer.text().await.expect("a whole body"),
    }
}

/// A chat of a few tokens.
fn chat(target: &Target, text: &str) -> Value {
    json!({
        "model": target.model,
        "messages": [{ "role": "user", "content": text }],
        "options": { "num_ctx": 512, "num_predict": 6, "temperature": 0, "seed": 7 },
        "truncate": false,
        "shift": false,
    })
}

const STORY: &str = "Tell a long story about the sea. repeat 5000";

/// The keys of the last item (the counts and durations are left out only where they are 0).
const LAST: [&str; 11] = [
    "created_at",
    "done",
    "done_reason",
    "eval_count",
    "eval_duration",
    "load_duration",
    "message",
    "model",
    "prompt_eval_count",
    "prompt_eval_duration",
    "total_duration",
];

fn keys(item: &Map<String, Value>) -> Vec<&str> {
    let mut keys: Vec<&str> = item.keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

fn check_last(item: &Map<String, Value>) {
    assert_eq!(keys(item), LAST, "{item:?}");
    assert_eq!(item["done"], true);
    assert_eq!(item["done_reason"], "length");
    assert_eq!(item["eval_count"], 6, "{item:?}");
    let nanos = |key: &str| item[key].as_u64().expect("nanoseconds");
    let parts = nanos("load_duration") + nanos("prompt_eval_duration") + nanos("eval_duration");
    assert!(nanos("total_duration") >= parts, "{item:?}");
}

pub(super) async fn native_streams_have_this_shape(target: &Target) {
    let reply = send(target, "/api/chat", &chat(target, STORY)).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.kind, "application/x-ndjson");
    let mut items = reply.lines();
    let last = items.pop().expect("items");
    check_last(&last);
    assert_eq!(last["message"]["content"], "", "{last:?}");
    assert!(items.len() >= 4, "a line for each piece: {}", reply.text);
    for item in &items {
        assert_eq!(
            keys(item),
            ["created_at", "done", "message", "model"],
            "{item:?}"
        );
        assert_eq!(item["model"], *target.model);
        assert_eq!(item["done"], false);
        let message = item["message"].as_object().expect("a message");
        assert_eq!(keys(message), ["content", "role"]);
        assert_eq!(message["role"], "assistant");
        assert!(message["content"].is_string(), "{item:?}");
    }
}

pub(super) async fn native_answers_have_this_shape(target: &Target) {
    let mut body = chat(target, STORY);
    body["stream"] = false.into();
    let reply = send(target, "/api/chat", &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.kind, "application/json; charset=utf-8");
    let item = reply.json();
    check_last(item.as_object().expect("an object"));
    assert!(
        item["message"]["content"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    );
}

pub(super) async fn an_empty_prompt_loads_and_keep_alive_zero_unloads(target: &Target) {
    for (path, empty) in [("/api/generate", "response"), ("/api/chat", "message")] {
        let load = json!({ "model": target.model, "options": { "num_ctx": 512 } });
        let reply = send(target, path, &load).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        let item = reply.json();
        assert_eq!(
            (&item["done"], &item["done_reason"]),
            (&json!(true), &json!("load")),
            "{item}"
        );
        let mut expected = vec!["created_at", "done", "done_reason", "model", empty];
        expected.sort_unstable();
        assert_eq!(keys(item.as_object().expect("an object")), expected);
        let unload = json!({ "model": target.model, "keep_alive": 0 });
        let reply = send(target, path, &unload).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        assert_eq!(reply.json()["done_reason"], "unload", "{}", reply.text);
    }
}

pub(super) async fn another_context_loads_again(target: &Target) {
    let mut body = chat(target, STORY);
    body["keep_alive"] = KEEP.as_secs().into();
    assert_eq!(send(target, "/api/chat", &body).await.status, 200);
    assert!(time_left(target).await > KEEP / 2);
    body.as_object_mut()
        .expect("an object")
        .remove("keep_alive");
    body["options"]["temperature"] = 1.into();
    assert_eq!(send(target, "/api/chat", &body).await.status, 200);
    assert!(
        time_left(target).await > KEEP / 2,
        "sampling does not load again"
    );
    body["options"]["num_ctx"] = 1024.into();
    assert_eq!(send(target, "/api/chat", &body).await.status, 200);
    assert!(
        time_left(target).await < KEEP / 2,
        "a new runner has Ollama's own keep-alive"
    );
}

pub(super) async fn overflow_is_silent_unless_truncate_is_false(target: &Target) {
    let long = "the sea and the wind and the sand ".repeat(600);
    let refused = send(target, "/api/chat", &chat(target, &long)).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    let inner: Value = serde_json::from_str(&refused.error()).expect("JSON in a string");
    assert_eq!(
        inner["error"]["type"], "exceed_context_size_error",
        "{inner}"
    );
    assert_eq!(inner["error"]["n_ctx"], 512, "{inner}");
    let mut body = chat(target, &long);
    let object = body.as_object_mut().expect("an object");
    object.remove("truncate");
    object.remove("shift");
    let cut = send(target, "/api/chat", &body).await;
    assert_eq!(cut.status, 200, "{}", cut.text);
    let items = cut.lines();
    let read = items.last().expect("items")["prompt_eval_count"].as_u64();
    assert!(read.is_some_and(|read| read < 512), "{}", cut.text);
}

pub(super) async fn options_are_checked_by_type_and_unknown_ones_ignored(target: &Target) {
    let mut body = chat(target, STORY);
    body["stream"] = false.into();
    body["not_a_field"] = 1.into();
    body["options"]["use_mlock"] = true.into();
    body["options"]["not_an_option"] = 1.into();
    let reply = send(target, "/api/chat", &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    body["options"]["num_ctx"] = "512".into();
    let reply = send(target, "/api/chat", &body).await;
    assert_eq!(reply.status, 500, "{}", reply.text);
    assert_eq!(reply.error(), "option \"num_ctx\" must be of type integer");
}

pub(super) async fn refusals_have_these_texts(target: &Target) {
    let mut unknown = chat(target, STORY);
    unknown["model"] = "no-such-model".into();
    let reply = send(target, "/api/chat", &unknown).await;
    assert_eq!(
        (reply.status, &*reply.error()),
        (404, "model 'no-such-model' not found")
    );
    let mut tools = chat(target, STORY);
    tools["tools"] = json!([{ "type": "function", "function": {
        "name": "f", "description": "d", "parameters": { "type": "object", "properties": {} },
    } }]);
    let reply = send(target, "/api/chat", &tools).await;
    assert_eq!(reply.status, 400, "{}", reply.text);
    assert!(
        reply.error().ends_with(" does not support tools"),
        "{}",
        reply.text
    );
    let reply = send(target, "/v1/chat/completions", &unknown).await;
    assert_eq!(reply.status, 404);
    assert_eq!(
        reply.json(),
        json!({ "error": {
            "message": "model 'no-such-model' not found", "type": "not_found_error",
            "param": null, "code": null,
        } })
    );
    let none = json!({ "model": target.model, "messages": [] });
    let reply = send(target, "/v1/chat/completions", &none).await;
    assert_eq!(reply.status, 400, "{}", reply.text);
    assert_eq!(
        reply.json()["error"]["message"],
        "[] is too short - 'messages'"
    );
}

pub(super) async fn its_own_openai_layer_has_this_shape(target: &Target) {
    let body = json!({
        "model": target.model, "stream": true, "temperature": 0,
        "messages": [{ "role": "user", "content": STORY }],
        "max_tokens": 12, "max_completion_tokens": 3,
        "stream_options": { "include_usage": true },
    });
    let reply = send(target, "/v1/chat/completions", &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.kind, "text/event-stream");
    let stream = Stream::parse(&reply.text);
    assert!(stream.done, "{}", stream.text);
    let last = stream.events.last().expect("events");
    assert_eq!(last["choices"], json!([]));
    assert_eq!(
        last["usage"]["completion_tokens"], 12,
        "max_completion_tokens is not read: {last}"
    );
    assert_eq!(stream.finish_reason(), Some("length"));
    for (at, event) in stream.events.iter().enumerate() {
        assert_eq!(event["system_fingerprint"], "fp_ollama", "{event}");
        assert_eq!(event["model"], *target.model, "the name that was sent");
        let role = &event["choices"][0]["delta"]["role"];
        assert_eq!(
            role == "assistant",
            at == 0,
            "the role comes once: {}",
            stream.text
        );
    }
    let end = &stream.events[stream.events.len() - 2];
    assert_eq!(end["choices"][0]["delta"], json!({}), "{}", stream.text);
}

pub(super) async fn thinking_is_off_where_the_model_cannot(target: &Target) {
    let mut body = chat(target, STORY);
    body["stream"] = false.into();
    body["think"] = false.into();
    let reply = send(target, "/api/chat", &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    for on in [json!(true), json!("low")] {
        body["think"] = on;
        let reply = send(target, "/api/chat", &body).await;
        assert_eq!(reply.status, 400, "{}", reply.text);
        assert!(
            reply.error().ends_with("does not support thinking"),
            "{}",
            reply.text
        );
    }
}
