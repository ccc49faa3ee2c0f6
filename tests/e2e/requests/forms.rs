//! Fields in the form of another API, or of another engine: what they mean reaches the engine.

use crucible_tests::chat::post;
use serde_json::{Value, json};

use super::{Four, KINDS, model, user};

/// A conversation in which the assistant's word is this.
fn said(content: &Value) -> Value {
    json!({ "messages": [
        { "role": "user", "content": "hi" },
        { "role": "assistant", "content": content },
        user(),
    ] })
}

#[tokio::test]
async fn a_part_without_a_list_is_read_as_one_in_a_list() {
    let four = Four::start().await;
    for part in [
        json!({ "type": "text", "text": "a" }),
        json!({ "type": "text", "text": null }),
        json!({ "type": "thinking", "thinking": "t" }),
        json!({ "type": "refusal", "refusal": "no" }),
        json!({ "type": "output_text", "text": "a", "annotations": [] }),
        json!({ "text": "a" }),
    ] {
        for kind in KINDS {
            four.served(kind, &said(&json!([part]))).await;
            let list = four.sent(kind)["messages"].clone();
            four.served(kind, &said(&part)).await;
            assert_eq!(four.sent(kind)["messages"], list, "{kind} {part}");
            let content = &list[1]["content"];
            let is_text = |part: &Value| part["type"] == "text" && part["text"].is_string();
            let parts = content.as_array();
            let good = parts.map_or(content.is_string(), |parts| parts.iter().all(is_text));
            assert!(good, "{kind} {part}: {content}");
        }
    }
}

#[tokio::test]
async fn ids_that_are_numbers_are_texts() {
    let four = Four::start().await;
    for id in ["7", "-1", "1.5"] {
        let fields = format!(
            r#""messages":[{{"role":"user","content":"hi"}},{{"role":"assistant","content":"","tool_calls":[{{"id":{id},"type":"function","function":{{"name":"f","arguments":"{{}}"}}}}]}},{{"role":"tool","tool_call_id":{id},"content":"x"}},{{"role":"user","content":"repeat 3"}}]"#
        );
        for kind in KINDS {
            four.served_raw(kind, &fields).await;
            let messages = &four.sent(kind)["messages"];
            assert_eq!(messages[1]["tool_calls"][0]["id"], *id, "{kind}");
            assert_eq!(messages[2]["tool_call_id"], *id, "{kind}");
        }
    }
}

#[tokio::test]
async fn where_no_tool_is_left_there_is_no_choice_of_one() {
    let four = Four::start().await;
    for choice in [json!("required"), json!("auto"), json!({ "type": "auto" })] {
        for kind in ["lmstudio", "ollama", "llamacpp"] {
            let fields = json!({
                "messages": [user()], "tools": [{ "type": "web_search" }], "tool_choice": choice });
            let note = four.served(kind, &fields).await;
            let sent = four.sent(kind);
            assert_eq!(
                (&sent["tools"], &sent["tool_choice"]),
                (&Value::Null, &Value::Null),
                "{kind}"
            );
            assert!(
                note.contains("not offered") && !note.contains("tool_choice"),
                "{kind}: {note}"
            );
        }
    }
}

#[tokio::test]
async fn tools_in_anthropics_form_keep_their_schema() {
    let four = Four::start().await;
    let schema = json!({ "type": "object", "properties": { "z": { "type": "string" } } });
    for tool in [
        json!({ "name": "f", "description": "d", "input_schema": schema }),
        json!({ "type": "custom", "name": "f", "description": "d", "input_schema": schema }),
        json!({ "type": "function", "function": { "name": "f", "description": "d", "input_schema": schema } }),
    ] {
        for kind in ["lmstudio", "ollama", "llamacpp"] {
            four.served(kind, &json!({ "messages": [user()], "tools": [tool] }))
                .await;
            let sent = &four.sent(kind)["tools"][0];
            let function = json!({ "name": "f", "description": "d", "parameters": schema });
            assert_eq!(sent["function"], function, "{kind} {tool}");
            assert_eq!(sent["type"], "function", "{kind} {tool}");
        }
    }
}

#[tokio::test]
async fn a_schema_beside_its_type_is_the_schema() {
    let four = Four::start().await;
    let schema = json!({ "type": "object", "properties": { "z": { "type": "string" } } });
    for of in ["json_object", "json_schema"] {
        let format = json!({ "type": of, "schema": schema });
        for kind in KINDS {
            let fields = json!({ "messages": [user()], "response_format": format });
            let mut request = json!({ "model": model(kind) });
            request
                .as_object_mut()
                .expect("it")
                .extend(fields.as_object().expect("it").clone());
            let answer = post(&four.crucible, &request).await;
            assert_eq!(answer.status, 200, "{kind} {of}: {}", answer.text);
            let note = answer.header("x-crucible-note");
            let sent = four.sent(kind);
            match kind {
                "ollama" => assert_eq!(sent["format"], schema, "{of}: {note}"),
                "lmstudio" => {
                    let sent = &sent["response_format"];
                    assert_eq!(sent["json_schema"]["schema"], schema, "{of}");
                    assert!(note.contains("response_format"), "{of}: {note}");
                }
                _ => assert_eq!(sent["response_format"], format, "{kind} {of}"),
            }
            assert!(!note.contains("dropped"), "{kind} {of}: {note}");
        }
    }
}

/// What an engine read of a conversation stays in its cache only while it is written alike.
#[tokio::test]
async fn a_message_is_written_alike_whatever_comes_after_it() {
    let four = Four::start().await;
    let firsts = [
        json!({ "role": "assistant" }),
        json!({ "role": "assistant", "content": { "text": "a" } }),
        json!({ "role": "tool", "content": "x", "tool_call_id": 3 }),
        json!({ "role": "user", "content": "hi", "name": null }),
        json!({ "role": "user", "content": [{ "type": "text", "text": "a" }] }),
    ];
    let laters = [
        json!({ "role": "user", "content": "content" }),
        json!({ "role": "user", "content": "role" }),
        json!({ "role": "user", "content": [{ "type": "text", "text": "b" }] }),
        json!({ "role": "assistant", "content": null, "tool_calls": [
            { "id": 1, "function": { "name": "f", "arguments": "cut {" } }] }),
    ];
    for first in &firsts {
        for kind in KINDS {
            four.served(kind, &json!({ "messages": [first, user()] }))
                .await;
            let alone = four.sent(kind)["messages"][0].to_string();
            for later in &laters {
                let messages = json!([first, later, user()]);
                four.served(kind, &json!({ "messages": messages })).await;
                let sent = four.sent(kind)["messages"][0].to_string();
                assert_eq!(sent, alone, "{kind} {first} {later}");
            }
        }
    }
}
