//! Answers that are odd in their form: what they say arrives all the same, and a cut one is no success.

use crucible_tests::{
    Crucible,
    chat::{body, post, stream},
    scripted::{Script, Scripted},
};
use serde_json::{Value, json};

use super::{PASSED, saying};

/// A chunk with this choice.
fn chunk(choice: &Value) -> String {
    format!(
        "data: {}\n\n",
        json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice] })
    )
}

fn delta(delta: &Value, finish: &Value) -> String {
    chunk(&json!({ "index": 0, "delta": delta, "finish_reason": finish }))
}

/// An engine that streams these events.
async fn streaming(kind: &str, events: String) -> (Scripted, Crucible) {
    saying(kind, move |_| Script::typed("text/event-stream", &events)).await
}

#[tokio::test]
async fn an_empty_finish_reason_is_no_end() {
    let said = json!({ "content": "a" });
    for kind in PASSED {
        let pieces = delta(&said, &json!("")) + &delta(&said, &json!(""));
        let (_fake, crucible) = streaming(kind, pieces.clone()).await;
        let (_, cut) = stream(&crucible, &body("m", "hi")).await;
        assert!(!cut.done && cut.error().is_some(), "{kind}: {}", cut.text);
        let whole = pieces + &delta(&json!({}), &json!("stop")) + "data: [DONE]\n\n";
        let (_fake, crucible) = streaming(kind, whole).await;
        let (_, good) = stream(&crucible, &body("m", "hi")).await;
        assert!(good.done && good.error().is_none(), "{kind}: {}", good.text);
    }
}

#[tokio::test]
async fn an_answer_in_parts_is_an_answer() {
    let parts = json!({ "content": [{ "type": "text", "text": "hello" }] });
    for kind in PASSED {
        let events = chunk(&json!({ "index": 0, "delta": parts })) + "data: [DONE]\n\n";
        let (_fake, crucible) = streaming(kind, events).await;
        let (_, answer) = stream(&crucible, &body("m", "hi")).await;
        assert!(
            answer.done && answer.error().is_none(),
            "{kind}: {}",
            answer.text
        );
    }
}

#[tokio::test]
async fn odd_bytes_around_an_answer_do_not_cost_it() {
    let answer = r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hello X"},"finish_reason":""}]}"#;
    for (what, text) in [
        ("a mark", format!("\u{feff}{answer}")),
        ("blank lines", format!("\r\n\n{answer}")),
        ("half a pair", answer.replace('X', "\\ud83d")),
    ] {
        for kind in PASSED {
            let text = text.clone();
            let (_fake, crucible) = saying(kind, move |_| Script::json("200 OK", "", &text)).await;
            let whole = post(&crucible, &body("m", "hi")).await;
            assert_eq!(whole.status, 200, "{kind} {what}: {}", whole.text);
            assert!(
                whole.text.contains("\"hello "),
                "{kind} {what}: {}",
                whole.text
            );
            let (_, events) = stream(&crucible, &body("m", "hi")).await;
            assert!(
                events.done && events.error().is_none(),
                "{kind} {what}: {}",
                events.text
            );
            assert!(
                events.text.contains("\"hello "),
                "{kind} {what}: {}",
                events.text
            );
            assert!(
                events.text.contains("\"stop\""),
                "{kind} {what}: {}",
                events.text
            );
        }
    }
}

/// The ids, names and arguments of the calls, as a client joins them that joins all texts.
pub(super) fn joined(text: &str) -> Vec<[String; 3]> {
    let mut calls: Vec<[String; 3]> = Vec::new();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: {"));
    for data in data {
        let event: Value = serde_json::from_str(&format!("{{{data}")).expect("JSON");
        let pieces = event["choices"][0]["delta"]["tool_calls"].as_array();
        for piece in pieces.into_iter().flatten() {
            let number = piece["index"].as_u64().expect("a number");
            let number = usize::try_from(number).expect("a small one");
            calls.resize(calls.len().max(number + 1), Default::default());
            let function = &piece["function"];
            for (at, text) in [&piece["id"], &function["name"], &function["arguments"]]
                .into_iter()
                .enumerate()
            {
                calls[number][at].push_str(text.as_str().unwrap_or_default());
            }
        }
    }
    calls
}

#[tokio::test]
async fn pieces_of_calls_find_their_call_however_they_are_numbered() {
    let with = |mut call: Value, more: Value| {
        let more = more.as_object().expect("an object").clone();
        call.as_object_mut().expect("an object").extend(more);
        call
    };
    let first = |more| {
        let function = json!({ "name": "f", "arguments": "{" });
        with(json!({ "type": "function", "function": function }), more)
    };
    let rest = |more| with(json!({ "function": { "arguments": "}" } }), more);
    let whole = |more| {
        let function = json!({ "name": "g", "arguments": { "reasoning": "x" } });
        with(json!({ "type": "function", "function": function }), more)
    };
    for (what, pieces) in [
        (
            "no numbers",
            [
                first(json!({ "id": "a" })),
                rest(json!({})),
                whole(json!({ "id": "b" })),
            ],
        ),
        (
            "one number",
            [
                first(json!({ "id": "a", "index": 0 })),
                rest(json!({ "index": 0 })),
                whole(json!({ "id": "b", "index": 0 })),
            ],
        ),
        (
            "the id again",
            [
                first(json!({ "id": "a", "index": 0 })),
                rest(json!({ "id": "a", "index": 0 })),
                whole(json!({ "id": "b", "index": 1 })),
            ],
        ),
        (
            "other ids",
            [
                first(json!({ "id": "a", "index": 0 })),
                rest(json!({ "id": "z", "index": 0 })),
                whole(json!({ "id": "b", "index": 1 })),
            ],
        ),
    ] {
        for kind in PASSED {
            let mut events: String = pieces
                .iter()
                .map(|call| delta(&json!({ "tool_calls": [call] }), &Value::Null))
                .collect();
            events += &(delta(&json!({}), &json!("tool_calls")) + "data: [DONE]\n\n");
            let (_fake, crucible) = streaming(kind, events).await;
            let (_, answer) = stream(&crucible, &body("m", "hi")).await;
            let calls = joined(&answer.text);
            assert_eq!(
                calls,
                [["a", "f", "{}"], ["b", "g", r#"{"reasoning":"x"}"#]]
                    .map(|call| call.map(str::to_owned)),
                "{kind} {what}: {}",
                answer.text
            );
        }
    }
}

#[tokio::test]
async fn arguments_of_a_whole_answer_are_a_text_in_the_models_own_words() {
    let call = |arguments: &str| {
        format!(r#"{{"id":"a","type":"function","function":{{"name":"f"{arguments}}}}}"#)
    };
    for (arguments, is) in [
        (
            r#","arguments":{"reasoning":"x"}"#,
            r#""arguments":"{\"reasoning\":\"x\"}""#,
        ),
        ("", r#""arguments":"{}""#),
        (r#","arguments":null"#, r#""arguments":"{}""#),
    ] {
        let call = call(arguments);
        for kind in PASSED {
            let answer = format!(
                r#"{{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":null,"reasoning":"why","tool_calls":[{call}]}},"finish_reason":"tool_calls"}}]}}"#
            );
            let (_fake, crucible) =
                saying(kind, move |_| Script::json("200 OK", "", &answer)).await;
            let whole = post(&crucible, &body("m", "hi")).await;
            assert!(whole.text.contains(is), "{kind}: {}", whole.text);
            assert!(
                whole.text.contains(r#""reasoning_content":"why""#),
                "{kind}: {}",
                whole.text
            );
        }
    }
}

#[tokio::test]
async fn words_in_the_middle_of_a_stream_are_told_as_its_error() {
    let begun = delta(&json!({ "content": "a" }), &Value::Null);
    for kind in PASSED {
        for odd in [
            "Channel Error: it broke badly",
            r#"{"detail":"it broke badly"}"#,
            r#"{"code":500,"message":"it broke badly"}"#,
        ] {
            let events = format!("{begun}data: {odd}\n\ndata: [DONE]\n\n");
            let (_fake, crucible) = streaming(kind, events).await;
            let (_, answer) = stream(&crucible, &body("m", "hi")).await;
            assert!(!answer.done, "{kind} {odd}: {}", answer.text);
            // Before the first byte it has a status, and is the whole answer.
            assert!(
                answer.text.contains("{\"error\":{\"message\""),
                "{kind} {odd}: {}",
                answer.text
            );
            assert!(
                answer.text.contains("it broke badly"),
                "{kind} {odd}: {}",
                answer.text
            );
        }
        // A sign of life is none, nor an event of another name.
        for odd in [
            "data: ping",
            "data: a word or two",
            "data:",
            ": a b",
            "event: progress\ndata: half of it",
        ] {
            let events = format!(
                "{begun}{odd}\n\n{}data: [DONE]\n\n",
                delta(&json!({}), &json!("stop"))
            );
            let (_fake, crucible) = streaming(kind, events).await;
            let mut request = body("m", "hi");
            request["stream"] = json!(true);
            let answer = post(&crucible, &request).await;
            assert!(
                answer.text.contains("[DONE]") && !answer.text.contains("engine_error"),
                "{kind} {odd}: {}",
                answer.text
            );
        }
    }
}
