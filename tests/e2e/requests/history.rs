//! Conversations as clients keep them: tool calls whose arguments are no JSON object, contents that
//! are null or absent, parts of all kinds. They come again with every turn, so that what an engine
//! refuses once ends the conversation.

use crucible_tests::{
    Crucible,
    chat::{post, stream},
    engines::engine,
    rest::ready,
    target::Target,
};
use serde_json::{Value, json};

use super::{Four, KINDS, model, user};
use crate::real::start as real_llama;

/// A conversation with a call of these arguments (`None`: without any).
fn called(arguments: Option<&Value>) -> Vec<Value> {
    let mut function = json!({ "name": "f" });
    if let Some(arguments) = arguments {
        function["arguments"] = arguments.clone();
    }
    let call = json!({ "id": "c1", "type": "function", "function": function });
    vec![
        json!({ "role": "user", "content": "hi" }),
        json!({ "role": "assistant", "content": null, "tool_calls": [call] }),
        json!({ "role": "tool", "tool_call_id": "c1", "content": "done" }),
        user(),
    ]
}

/// What the engine got as the arguments of the first call, as JSON text.
fn arguments(sent: &Value) -> String {
    let arguments = &sent["messages"][1]["tool_calls"][0]["function"]["arguments"];
    match arguments.as_str() {
        Some(text) => text.to_owned(),
        None => arguments.to_string(),
    }
}

fn kept(text: &str) -> String {
    json!({ "arguments": text }).to_string()
}

#[tokio::test]
async fn arguments_that_are_no_object_become_one_on_every_engine() {
    let four = Four::start().await;
    let cut = r#"{"path":"/tmp/a","content":"fn main("#;
    let windows = r#"{"path":"C:\Users\me\x.txt"}"#;
    let lines = "{\"code\":\"a\nb\"}";
    let two = r#"{"a":1}{"b":2}"#;
    for (from, becomes) in [
        (Some(json!(cut)), kept(cut)),
        (Some(json!("[1,2]")), r#"{"arguments":[1,2]}"#.to_owned()),
        (Some(json!(windows)), kept(windows)),
        (Some(json!(lines)), kept(lines)),
        (Some(json!(two)), kept(two)),
        (Some(json!("ls -la")), kept("ls -la")),
        (Some(json!("42")), r#"{"arguments":42}"#.to_owned()),
        (
            Some(json!("\"text\"")),
            r#"{"arguments":"text"}"#.to_owned(),
        ),
        (Some(json!("")), "{}".to_owned()),
        (Some(json!("null")), "{}".to_owned()),
        (Some(json!(null)), "{}".to_owned()),
        (Some(json!([1])), r#"{"arguments":[1]}"#.to_owned()),
        (Some(json!(7)), r#"{"arguments":7}"#.to_owned()),
        (Some(json!(r#"{"n":1e400}"#)), kept(r#"{"n":1e400}"#)),
        // JSON in JSON in JSON.
        (
            Some(json!(json!(r#"{"a":1}"#).to_string())),
            r#"{"a":1}"#.to_owned(),
        ),
        (None, "{}".to_owned()),
        // An object stays what it is.
        (Some(json!(r#"{"a":1}"#)), r#"{"a":1}"#.to_owned()),
        (Some(json!({ "a": 1 })), r#"{"a":1}"#.to_owned()),
    ] {
        let was_object = from
            .as_ref()
            .is_none_or(|from| from.is_object() || *from == json!(r#"{"a":1}"#));
        for kind in KINDS {
            let fields = json!({ "messages": called(from.as_ref()) });
            let note = four.served(kind, &fields).await;
            let sent = four.sent(kind);
            assert_eq!(arguments(&sent), becomes, "{kind} {from:?}");
            let said = note.contains("the arguments of a tool call are no JSON object");
            assert_eq!(said, !was_object, "{kind} {from:?}: {note}");
            // The next turn brings the same again: what was read stays in the engine's cache.
            let mut longer = called(from.as_ref());
            longer.push(json!({ "role": "assistant", "content": "word0" }));
            longer.push(user());
            four.served(kind, &json!({ "messages": longer })).await;
            let (before, after) = (&sent["messages"], &four.sent(kind)["messages"]);
            for at in 0..4 {
                assert_eq!(
                    before[at].to_string(),
                    after[at].to_string(),
                    "{kind} {from:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn numbers_in_arguments_keep_their_text() {
    let four = Four::start().await;
    let numbers = r#"{"a":123456789012345678901234567890,"b":1.0,"c":1,"d":1e2,"e":-0.0,"f":18446744073709551616,"g":1.50}"#;
    let text = Value::from(numbers).to_string();
    for kind in KINDS {
        for given in [&*text, numbers] {
            let fields = format!(
                r#""messages":[{{"role":"user","content":"hi"}},{{"role":"assistant","content":"","tool_calls":[{{"id":"c","type":"function","function":{{"name":"f","arguments":{given}}}}}]}},{{"role":"tool","tool_call_id":"c","content":"x"}},{{"role":"user","content":"repeat 3"}}]"#
            );
            four.served_raw(kind, &fields).await;
            let log = four.sim(kind).log();
            let last = log.requests.iter().rfind(|r| r.body.contains("repeat 3"));
            let body = &last.expect("a request").body;
            let found = body.contains(numbers) || body.contains(&*text);
            assert!(found, "{kind} {given}: {body}");
        }
    }
}

#[tokio::test]
async fn messages_without_a_content_and_parts_of_all_kinds_are_served() {
    let four = Four::start().await;
    let parts = |role: &str, parts: Value| json!({ "role": role, "content": parts });
    let mut cases: Vec<(Vec<Value>, &str)> = Vec::new();
    for role in [
        "system",
        "developer",
        "user",
        "assistant",
        "tool",
        "function",
    ] {
        for message in [
            json!({ "role": role }),
            json!({ "role": role, "content": null }),
            json!({ "role": role, "content": "" }),
            json!({ "role": role, "content": [] }),
            json!({ "role": role, "content": [{ "type": "text", "text": null }] }),
            json!({ "role": role, "content": [{ "type": "text" }] }),
            json!({ "role": role, "content": [null] }),
        ] {
            cases.push((vec![message], ""));
        }
        for part in [
            json!({ "type": "text", "text": "seen" }),
            json!({ "type": "input_text", "text": "seen" }),
            json!({ "type": "output_text", "text": "seen", "annotations": [] }),
            json!({ "type": "refusal", "refusal": "seen" }),
            json!({ "type": "thinking", "thinking": "seen", "signature": "s" }),
            json!({ "type": "reasoning", "text": "seen" }),
            json!("seen"),
            json!({ "type": "custom_note", "text": "seen" }),
        ] {
            cases.push((vec![parts(role, json!([part]))], "seen"));
            let more = json!([part, { "type": "text", "text": null }, { "type": "redacted_thinking", "data": "x" }]);
            cases.push((vec![parts(role, more)], "seen"));
        }
    }
    for (messages, seen) in cases {
        for kind in KINDS {
            let mut all = messages.clone();
            all.push(user());
            four.served(kind, &json!({ "messages": all })).await;
            let sent = four.sent(kind);
            let first = &sent["messages"][0];
            assert!(
                first.to_string().contains(seen),
                "{kind} {messages:?}: {first}"
            );
            let has = !first["content"].is_null();
            assert!(has, "{kind} {messages:?}: {first}");
        }
    }
}

/// The calls of an engine that counts from 0 in every answer have ids of their own.
#[tokio::test]
async fn a_conversation_has_no_id_twice() {
    let four = Four::start().await;
    let tool = json!({ "type": "function", "function": { "name": "f", "parameters": { "type": "object" } } });
    let mut messages = vec![json!({ "role": "user", "content": "call tools f f" })];
    let mut ids = Vec::new();
    for turn in 0..3 {
        let body = json!({ "model": model("ollama"), "messages": messages, "tools": [tool] });
        let mut calls = Vec::new();
        if turn == 1 {
            let (_, answer) = stream(&four.crucible, &body).await;
            for event in &answer.events {
                let delta = &event["choices"][0]["delta"]["tool_calls"];
                calls.extend(delta.as_array().into_iter().flatten().cloned());
            }
        } else {
            let answer = post(&four.crucible, &body).await;
            let message = &answer.json["choices"][0]["message"]["tool_calls"];
            calls.extend(message.as_array().expect("calls").iter().cloned());
        }
        assert_eq!(calls.len(), 2, "{calls:?}");
        ids.extend(calls.iter().map(|call| call["id"].to_string()));
        messages.push(json!({ "role": "assistant", "content": null, "tool_calls": calls }));
        for call in &calls {
            messages.push(json!({ "role": "tool", "tool_call_id": call["id"], "content": "x" }));
        }
        messages.push(json!({ "role": "user", "content": "call tools f f" }));
    }
    let mut distinct = ids.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), 6, "{ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_llama_cpp_goes_on_with_any_conversation() {
    let (crucible, model) = real_llama().await;
    goes_on(&crucible, &model).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_ollama_goes_on_with_any_conversation() {
    let Some(target) = Target::real_ollama().await else {
        return;
    };
    let own = engine("ollama", "ollama", target.url.as_deref().expect("a URL"));
    let crucible = Crucible::start(&format!("{own}device = \"cpu\"\n"));
    ready(&crucible).await;
    goes_on(&crucible, &target.model).await;
}

async fn goes_on(crucible: &Crucible, model: &str) {
    let mut cases = Vec::new();
    for from in [
        "{\"a\":",
        "",
        "[1]",
        "{}{}",
        "C:\\Users",
        "{\"n\":1e400}",
        "{\"a\":\"\\ud800\"}",
    ] {
        cases.push(called(Some(&json!(from))));
    }
    cases.push(called(None));
    cases.push(vec![json!({ "role": "tool", "tool_call_id": "x" }), user()]);
    cases.push(vec![json!({ "role": "assistant" }), user()]);
    cases.push(vec![
        json!({ "role": "user", "content": "a", "name": null, "reasoning_content": null }),
        user(),
    ]);
    for part in ["refusal", "output_text", "thinking"] {
        let content = json!([{ "type": part, "text": "a", "refusal": "a", "thinking": "a" }, "b", { "type": "text" }]);
        cases.push(vec![
            json!({ "role": "assistant", "content": content }),
            user(),
        ]);
    }
    for messages in cases {
        let body = json!({ "model": model, "max_tokens": 2, "messages": messages });
        let answer = post(crucible, &body).await;
        assert_eq!(answer.status, 200, "{messages:?}: {}", answer.text);
    }
}
