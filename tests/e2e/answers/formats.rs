//! What an engine says oddly means the same in every client format.

mod calls;

use crucible_tests::{
    Crucible,
    chat::{Whole, whole},
    engines::client,
    rest::{at_rest, metric},
    scripted::Script,
};
use serde_json::{Value, json};

use super::{PASSED, lines, openai, saying};

/// The client formats in which a conversation is answered.
const FORMATS: [&str; 3] = ["/v1/chat/completions", "/v1/responses", "/v1/messages"];

/// Asks the model `m` for an answer to `hi`.
async fn ask(crucible: &Crucible, path: &str, streamed: bool) -> Whole {
    let said = json!([{ "role": "user", "content": "hi" }]);
    let name = if path == "/v1/responses" {
        "input"
    } else {
        "messages"
    };
    let request = json!({ "model": "m", "max_tokens": 99, "stream": streamed, name: said });
    let answer = client().post(crucible.at(path)).json(&request).send().await;
    whole(answer.expect("an answer")).await
}

#[tokio::test]
async fn of_a_count_that_stands_twice_the_last_one_counts_in_every_format() {
    let usage = r#","usage":{"prompt_tokens":1,"completion_tokens":1,"prompt_tokens":40,"completion_tokens":2}"#;
    let hello = json!({ "role": "assistant", "content": "hello" });
    for kind in PASSED {
        let hello = hello.clone();
        let (_fake, crucible) = saying(kind, move |streamed| openai(streamed, &hello, usage)).await;
        let mut asked = 0;
        for path in FORMATS {
            for streamed in [false, true] {
                let answer = ask(&crucible, path, streamed).await;
                asked += 1;
                let what = format!("{kind} {path} {streamed}: {}", answer.text);
                assert_eq!(answer.status, 200, "{what}");
                assert!(answer.text.contains("hello"), "{what}");
                let own = if path == "/v1/messages" {
                    "\"input_tokens\":40"
                } else {
                    "_tokens\":40"
                };
                // What only Crucible asked for is left out of a stream of chat.
                let is_hidden = streamed && path == FORMATS[0];
                assert!(is_hidden || answer.text.contains(own), "{what}");
            }
        }
        at_rest(&crucible).await;
        let tokens = metric(&crucible, "crucible_tokens_total").await;
        assert_eq!(tokens, asked * 42, "{kind}");
    }
}

/// The events of a stream by their data, each of which has to be JSON.
fn events(text: &str) -> Vec<Value> {
    text.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).unwrap_or_else(|e| panic!("{e}: {data}")))
        .collect()
}

/// The text of an answer in any format, as a client puts it together.
fn said(text: &str) -> String {
    let piece = |event: &Value| {
        let choice = &event["choices"][0];
        let deltas = [
            &choice["delta"]["content"],
            &choice["text"],
            // Only of a text: arguments come in deltas too.
            if event["type"] == "response.output_text.delta" {
                &event["delta"]
            } else {
                &Value::Null
            },
            &event["delta"]["text"],
        ];
        let found = deltas.into_iter().find_map(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    events(text).iter().map(piece).collect()
}

/// An event of a chat with this choice.
fn chunk(choice: &Value) -> String {
    let event = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [choice] });
    format!("data: {event}\n\n")
}

fn delta(delta: &Value, finish: &Value) -> String {
    chunk(&json!({ "index": 0, "delta": delta, "finish_reason": finish }))
}

/// An engine that streams these events.
async fn streaming(kind: &str, events: String) -> (impl Sized, Crucible) {
    saying(kind, move |_| Script::typed("text/event-stream", &events)).await
}

/// Asks for a raw prompt to be continued in a stream.
async fn complete(crucible: &Crucible) -> Whole {
    let request = json!({ "model": "m", "prompt": "hi", "stream": true });
    let asked = client().post(crucible.at("/v1/completions")).json(&request);
    whole(asked.send().await.expect("an answer")).await
}

/// The end of a stream in each format.
fn ends(path: &str, text: &str) -> bool {
    match path {
        "/v1/messages" => text.ends_with("data: {\"type\":\"message_stop\"}\n\n"),
        "/v1/responses" => text.contains("event: response.completed\n"),
        _ => text.ends_with("data: [DONE]\n\n"),
    }
}

#[tokio::test]
async fn nothing_follows_the_end_of_an_answer() {
    let answer = delta(&json!({ "content": "hello" }), &Value::Null)
        + &delta(&json!({}), &json!("stop"))
        + "data: [DONE]\n\n";
    for behind in [
        "data: {\"error\":{\"message\":\"it broke\",\"code\":500}}\n\n",
        "event: error\ndata: it broke\n\n",
        "error: it broke\n\n",
    ] {
        for kind in PASSED {
            let (_fake, crucible) = streaming(kind, format!("{answer}{behind}")).await;
            for path in FORMATS {
                let answer = ask(&crucible, path, true).await;
                let what = format!("{kind} {path} {behind}: {}", answer.text);
                assert!(ends(path, &answer.text), "{what}");
                assert!(!answer.text.contains("it broke"), "{what}");
            }
            at_rest(&crucible).await;
            let errors = metric(&crucible, "crucible_upstream_errors_total").await;
            assert_eq!(errors, 0, "{kind} {behind}");
        }
    }
    let (_fake, crucible) = saying("openai", |_| {
        let text = chunk(&json!({ "index": 0, "text": "hello", "finish_reason": "stop" }));
        let events = text + "data: [DONE]\n\ndata: {\"error\":\"it broke\"}\n\n";
        Script::typed("text/event-stream", &events)
    })
    .await;
    let answer = complete(&crucible).await;
    assert!(ends("/v1/completions", &answer.text), "{}", answer.text);
}

#[tokio::test]
async fn nothing_follows_the_end_of_an_answer_of_ollama() {
    let (_fake, crucible) = saying("ollama", |_| {
        lines(&[
            json!({ "message": { "content": "hello" }, "response": "hello", "done": false }),
            json!({ "message": { "content": "" }, "done": true, "done_reason": "stop" }),
            json!({ "error": "it broke" }),
        ])
    })
    .await;
    for path in FORMATS {
        for streamed in [false, true] {
            let answer = ask(&crucible, path, streamed).await;
            let what = format!("{path} {streamed}: {}", answer.text);
            assert!(!answer.text.contains("it broke"), "{what}");
            assert!(!streamed || ends(path, &answer.text), "{what}");
        }
    }
    let answer = complete(&crucible).await;
    assert!(ends("/v1/completions", &answer.text), "{}", answer.text);
}

#[tokio::test]
async fn a_character_in_two_events_arrives_whole() {
    let half = |text: &str| delta(&json!({ "content": "X" }), &Value::Null).replace('X', text);
    let end = delta(&json!({}), &json!("stop")) + "data: [DONE]\n\n";
    for (events, text) in [
        (half("a\\ud83d") + &half("\\ude00b"), "a\u{1f600}b"),
        (half("a\\ud83d") + &half("b"), "a\u{fffd}b"),
        (half("a\\ud83d"), "a\u{fffd}"),
    ] {
        for kind in PASSED {
            let (_fake, crucible) = streaming(kind, format!("{events}{end}")).await;
            for path in FORMATS {
                let answer = ask(&crucible, path, true).await;
                assert_eq!(said(&answer.text), text, "{kind} {path}: {}", answer.text);
                assert!(ends(path, &answer.text), "{kind} {path}: {}", answer.text);
            }
        }
    }
    // Half a character in a whole answer.
    for kind in PASSED {
        let (_fake, crucible) = saying(kind, |_| {
            let message = json!({ "role": "assistant", "content": "hello X" });
            let script = openai(false, &message, "");
            Script::raw(
                &script.bytes.replacen("hello X", "\\ud83dX", 1),
                script.leave,
            )
        })
        .await;
        for path in FORMATS {
            let answer = ask(&crucible, path, false).await;
            let what = format!("{kind} {path}: {}", answer.text);
            assert!(answer.json.is_object(), "{what}");
            assert!(answer.json.to_string().contains("\u{fffd}X"), "{what}");
        }
    }
    let text = |text: &str| chunk(&json!({ "index": 0, "text": "X" })).replace('X', text);
    let end = chunk(&json!({ "index": 0, "text": "", "finish_reason": "stop" }));
    let events = text("a\\ud83d") + &text("\\ude00b") + &end + "data: [DONE]\n\n";
    let (_fake, crucible) = streaming("llamacpp", events).await;
    let answer = complete(&crucible).await;
    assert_eq!(said(&answer.text), "a\u{1f600}b", "{}", answer.text);
}

#[tokio::test]
async fn data_that_is_no_object_is_no_part_of_an_answer() {
    let end = delta(&json!({}), &json!("stop")) + "data: [DONE]\n\n";
    for odd in ["[]", "1", "\"x\"", "null", "ping", ""] {
        let odd = format!("data: {odd}\n\n");
        let hello = delta(&json!({ "content": "hello" }), &Value::Null);
        for kind in PASSED {
            let (_fake, crucible) = streaming(kind, format!("{odd}{hello}{odd}{end}")).await;
            for path in FORMATS {
                let answer = ask(&crucible, path, true).await;
                let what = format!("{kind} {path} {odd}: {}", answer.text);
                assert_eq!(
                    (answer.status, &*said(&answer.text)),
                    (200, "hello"),
                    "{what}"
                );
                assert!(ends(path, &answer.text), "{what}");
                assert!(!answer.text.contains(&odd), "{what}");
            }
        }
    }
    // It is no first byte either: what fails behind it keeps its status.
    let broken = "data: []\n\ndata: {\"error\":{\"message\":\"it broke\",\"code\":500}}\n\n";
    let (_fake, crucible) = streaming("llamacpp", broken.to_owned()).await;
    for path in FORMATS {
        let answer = ask(&crucible, path, true).await;
        assert_eq!(answer.status, 502, "{path}: {}", answer.text);
    }
}
