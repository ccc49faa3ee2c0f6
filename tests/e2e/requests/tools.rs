//! Tools as generators of schemas and clients of other APIs write them.

use crucible_tests::chat::post;
use serde_json::{Value, json};

use super::{Four, user};
use crate::real::start as real_llama;

fn tool(parameters: &Value) -> Value {
    json!({ "type": "function", "function": { "name": "f", "parameters": parameters } })
}

/// Lists of tools, and how many of each are offered.
fn cases() -> Vec<(Value, usize)> {
    vec![
        (
            json!([tool(
                &json!({ "type": "object", "properties": { "x": true } })
            )]),
            1,
        ),
        (
            json!([tool(
                &json!({ "type": "object", "properties": { "x": null, "y": false } })
            )]),
            1,
        ),
        (
            json!([tool(
                &json!({ "type": "object", "properties": null, "required": null })
            )]),
            1,
        ),
        (
            json!([tool(
                &json!({ "type": ["object", "null"], "properties": {} })
            )]),
            1,
        ),
        (
            json!([tool(&json!({ "type": "object", "properties": {
                "x": { "type": "array", "items": true, "description": null },
                "y": { "anyOf": [{ "type": "string" }, true], "enum": null },
                "z": { "type": "object", "properties": { "w": true } },
            } }))]),
            1,
        ),
        (json!([{ "function": { "name": "f" } }]), 1),
        (
            json!([{ "type": "function", "function": {
                "name": "f", "description": null, "strict": null, "parameters": {} } }]),
            1,
        ),
        (
            json!([{ "type": "function", "name": "f", "parameters": { "type": "object" } }]),
            1,
        ),
        (
            json!([{ "type": "web_search" }, { "type": "function", "function": { "name": "f" } }]),
            1,
        ),
        (
            json!([{ "type": "namespace", "name": "n", "tools": [] }, null]),
            0,
        ),
    ]
}

#[tokio::test]
async fn tools_of_any_form_are_offered_as_functions_or_left_out() {
    let four = Four::start().await;
    for kind in ["lmstudio", "ollama", "llamacpp"] {
        for (tools, offered) in cases() {
            let fields = json!({ "messages": [user()], "tools": tools });
            let note = four.served(kind, &fields).await;
            let sent = four.sent(kind);
            let list = sent["tools"].as_array().map_or(0, Vec::len);
            assert_eq!(list, offered, "{kind} {tools}: {sent}");
            let left_out = tools.as_array().expect("a list").len() > offered;
            assert_eq!(
                note.contains("not offered"),
                left_out,
                "{kind} {tools}: {note}"
            );
            if offered > 0 {
                assert_eq!(sent["tools"][0]["type"], "function", "{kind} {tools}");
                assert_eq!(sent["tools"][0]["function"]["name"], "f", "{kind} {tools}");
            }
        }
    }
    let plain = r#"[ {"type":"function", "function":{"name":"f","parameters":{ "type":"object","z":1.0}}} ]"#;
    let fields = format!(r#""messages":[{{"role":"user","content":"repeat 3"}}],"tools":{plain}"#);
    for kind in super::KINDS {
        four.served_raw(kind, &fields).await;
        let log = four.sim(kind).log();
        let last = log.requests.iter().rfind(|r| r.body.contains("repeat 3"));
        assert!(last.expect("a request").body.contains(plain), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_llama_cpp_is_not_asked_for_no_alternatives() {
    let (crucible, model) = real_llama().await;
    for fields in [
        json!({ "top_logprobs": 0 }),
        json!({ "top_logprobs": 0, "logprobs": false }),
    ] {
        let mut body = json!({ "model": model, "max_tokens": 2, "messages": [user()] });
        for (name, value) in fields.as_object().expect("fields") {
            body[name] = value.clone();
        }
        let answer = post(&crucible, &body).await;
        assert_eq!(answer.status, 200, "{fields}: {}", answer.text);
    }
}
