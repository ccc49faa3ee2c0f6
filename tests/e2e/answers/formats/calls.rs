//! Calls of tools, however an engine tells them.

use crucible_tests::{chat::Whole, scripted::Script};
use serde_json::{Value, json};

use super::{FORMATS, ask, delta, ends, events, streaming};
use crate::answers::{PASSED, odd::joined, openai, saying};

/// The calls of an answer in responses' or messages' format, by name and arguments, and the word for its
/// end.
fn called(answer: &Whole, path: &str, streamed: bool) -> (Vec<(String, Value)>, String) {
    let mut calls: Vec<(String, String)> = Vec::new();
    let mut end = String::new();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let events = if streamed {
        events(&answer.text)
    } else {
        Vec::new()
    };
    for event in &events {
        let block = &event["content_block"];
        if block["type"] == "tool_use" {
            calls.push((text(&block["name"]), String::new()));
        }
        if let (Some(call), Some(json)) =
            (calls.last_mut(), event["delta"]["partial_json"].as_str())
        {
            call.1.push_str(json);
        }
        if let Some(reason) = event["delta"]["stop_reason"].as_str() {
            reason.clone_into(&mut end);
        }
    }
    let response = match events.last() {
        Some(last) if path == "/v1/responses" => &last["response"],
        _ => &answer.json,
    };
    for item in response["output"].as_array().into_iter().flatten() {
        if item["type"] == "function_call" {
            calls.push((text(&item["name"]), text(&item["arguments"])));
        }
    }
    for block in answer.json["content"].as_array().into_iter().flatten() {
        if block["type"] == "tool_use" {
            calls.push((text(&block["name"]), block["input"].to_string()));
        }
    }
    for word in [&response["status"], &answer.json["stop_reason"]] {
        end.push_str(word.as_str().unwrap_or_default());
    }
    let calls = calls.into_iter().map(|(name, arguments)| {
        let arguments = serde_json::from_str(&arguments).unwrap_or_else(|_| arguments.into());
        (name, arguments)
    });
    (calls.collect(), end)
}

#[tokio::test]
async fn a_call_whose_arguments_are_cut_is_not_told_as_one_to_run() {
    let whole_call = json!({ "a": "b" });
    for finish in ["tool_calls", "stop"] {
        for (arguments, whole) in [("{\"a\":\"b\"}", true), ("{\"a\":\"b", false)] {
            let call = json!({ "index": 0, "id": "c1", "type": "function",
                "function": { "name": "f", "arguments": arguments } });
            let message = json!({ "role": "assistant", "content": null, "tool_calls": [call] });
            for kind in PASSED {
                let message = message.clone();
                let (_fake, crucible) = saying(kind, move |streamed| {
                    let script = openai(streamed, &message, "");
                    let finish = format!("\"finish_reason\":\"{finish}\"");
                    let bytes = script.bytes.replace("\"finish_reason\":\"stop\"", &finish);
                    let length = |body: &str| {
                        let (_, body) = body.split_once("\r\n\r\n").expect("a body");
                        body.len()
                    };
                    let (was, is) = (length(&script.bytes), length(&bytes));
                    let bytes = bytes.replace(
                        &format!("Content-Length: {was}"),
                        &format!("Content-Length: {is}"),
                    );
                    Script::raw(&bytes, script.leave)
                })
                .await;
                for (path, good, cut) in [
                    ("/v1/responses", "completed", "incomplete"),
                    ("/v1/messages", "tool_use", "max_tokens"),
                ] {
                    for streamed in [false, true] {
                        let answer = ask(&crucible, path, streamed).await;
                        let (calls, end) = called(&answer, path, streamed);
                        let what = format!("{kind} {path} {streamed} {finish}: {}", answer.text);
                        assert_eq!(end, if whole { good } else { cut }, "{what}");
                        assert_eq!(calls.len(), 1, "{what}");
                        assert_eq!(calls[0].1 == whole_call, whole, "{what}");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn calls_of_one_number_and_without_ids_stay_apart() {
    let piece = |name: &str, arguments: &str| {
        let function = json!({ "name": name, "arguments": arguments });
        let call = json!({ "index": 0, "type": "function", "function": function });
        delta(&json!({ "tool_calls": [call] }), &Value::Null)
    };
    let more = |arguments: &str| {
        let call = json!({ "index": 0, "function": { "arguments": arguments } });
        delta(&json!({ "tool_calls": [call] }), &Value::Null)
    };
    let events = piece("f", "{\"a\":")
        + &more("1}")
        + &piece("g", "{}")
        + &piece("g", "{\"b\":2}")
        + &delta(&json!({}), &json!("tool_calls"))
        + "data: [DONE]\n\n";
    let expected = [
        ("f".to_owned(), json!({ "a": 1 })),
        ("g".to_owned(), json!({})),
        ("g".to_owned(), json!({ "b": 2 })),
    ];
    for kind in PASSED {
        let (_fake, crucible) = streaming(kind, events.clone()).await;
        for path in ["/v1/responses", "/v1/messages"] {
            let answer = ask(&crucible, path, true).await;
            let (calls, _) = called(&answer, path, true);
            assert_eq!(calls, expected, "{kind} {path}: {}", answer.text);
        }
        let chat = ask(&crucible, FORMATS[0], true).await;
        let joined = joined(&chat.text);
        let names = joined
            .iter()
            .map(|[_, name, arguments]| (&**name, &**arguments));
        assert_eq!(
            names.collect::<Vec<_>>(),
            [("f", "{\"a\":1}"), ("g", "{}"), ("g", "{\"b\":2}")],
            "{kind}: {}",
            chat.text
        );
        let ids: std::collections::HashSet<&String> = joined.iter().map(|call| &call[0]).collect();
        assert_eq!(ids.len(), 3, "{kind}: {}", chat.text);
    }
}

#[tokio::test]
async fn an_older_call_is_a_call() {
    let message = json!({ "role": "assistant", "content": null,
        "function_call": { "name": "f", "arguments": "{\"a\":1}" } });
    for kind in PASSED {
        let message = message.clone();
        let (_fake, crucible) = saying(kind, move |streamed| {
            if !streamed {
                return openai(false, &message, "");
            }
            let piece = |call: Value| delta(&json!({ "function_call": call }), &Value::Null);
            let events = piece(json!({ "name": "f", "arguments": "" }))
                + &piece(json!({ "arguments": "{\"a\":" }))
                + &piece(json!({ "arguments": "1}" }))
                + &delta(&json!({}), &json!("function_call"))
                + "data: [DONE]\n\n";
            Script::typed("text/event-stream", &events)
        })
        .await;
        for (path, word) in [("/v1/responses", "completed"), ("/v1/messages", "tool_use")] {
            for streamed in [false, true] {
                let answer = ask(&crucible, path, streamed).await;
                let (calls, end) = called(&answer, path, streamed);
                let what = format!("{kind} {path} {streamed}: {}", answer.text);
                assert_eq!(calls, [("f".to_owned(), json!({ "a": 1 }))], "{what}");
                assert_eq!(end, word, "{what}");
            }
        }
        // A client of the older form reads it as it is.
        let chat = ask(&crucible, FORMATS[0], true).await;
        assert!(
            chat.text.contains("\"function_call\":{\"name\":\"f\""),
            "{}",
            chat.text
        );
        assert!(ends(FORMATS[0], &chat.text), "{}", chat.text);
    }
}
