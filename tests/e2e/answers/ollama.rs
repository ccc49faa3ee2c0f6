//! Odd answers of Ollama.

use crucible_tests::chat::{body, post, stream};
use serde_json::json;

use super::{lines, saying};

#[tokio::test]
async fn odd_counts_do_not_cost_the_answer() {
    for (name, value) in [
        ("prompt_eval_count", json!(7.5)),
        ("prompt_eval_count", json!(-1)),
        ("prompt_eval_count", json!("7")),
        ("eval_count", json!(null)),
        ("eval_count", json!(u64::MAX)),
        ("eval_duration", json!(-5)),
        ("eval_duration", json!({})),
        ("prompt_eval_duration", json!(1.5)),
        ("done_reason", json!(null)),
        ("done_reason", json!(7)),
        ("total_duration", json!("long")),
    ] {
        let what = format!("{name} {value}");
        let (_fake, crucible) = saying("ollama", move |_| {
            let mut last = json!({ "model": "m", "message": { "role": "assistant", "content": "" },
                "done": true, "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 4,
                "prompt_eval_duration": 5, "eval_duration": 6 });
            last[name] = value.clone();
            let first =
                json!({ "message": { "role": "assistant", "content": "hello" }, "done": false });
            lines(&[first, last])
        })
        .await;
        let whole = post(&crucible, &body("m", "hi")).await;
        assert_eq!(
            (whole.status, whole.content()),
            (200, "hello"),
            "{what}: {}",
            whole.text
        );
        let mut request = body("m", "hi");
        request["stream_options"] = json!({ "include_usage": true });
        let (_, streamed) = stream(&crucible, &request).await;
        assert!(
            streamed.done && streamed.error().is_none(),
            "{what}: {}",
            streamed.text
        );
        assert_eq!(streamed.content(), "hello", "{what}");
    }
}

#[tokio::test]
async fn nulls_in_an_answer_are_empty() {
    for message in [
        json!({ "role": "assistant", "content": null }),
        json!({ "role": null, "content": null, "thinking": null, "tool_calls": null, "images": null }),
        json!(null),
    ] {
        let what = message.to_string();
        let (_fake, crucible) = saying("ollama", move |_| {
            let text = json!({ "message": { "content": "hello" }, "done": null, "error": null });
            let last = json!({ "message": message, "done": true, "done_reason": "stop" });
            lines(&[json!({ "message": message, "done": false }), text, last])
        })
        .await;
        let whole = post(&crucible, &body("m", "hi")).await;
        assert_eq!(
            (whole.status, whole.content()),
            (200, "hello"),
            "{what}: {}",
            whole.text
        );
        let (_, streamed) = stream(&crucible, &body("m", "hi")).await;
        assert!(streamed.done, "{what}: {}", streamed.text);
        assert_eq!(streamed.content(), "hello", "{what}");
    }
    // An answer that is a call and nothing else.
    let (_fake, crucible) = saying("ollama", |_| {
        let call = json!({ "function": { "name": "f", "arguments": { "a": 1 } } });
        let message = json!({ "role": "assistant", "content": null, "tool_calls": [call] });
        lines(&[json!({ "message": message, "done": true, "done_reason": "stop" })])
    })
    .await;
    let whole = post(&crucible, &body("m", "hi")).await;
    assert_eq!((whole.status, whole.content()), (200, ""), "{}", whole.text);
    let message = &whole.json["choices"][0]["message"];
    assert_eq!(message["content"], "", "{}", whole.text);
    assert_eq!(
        message["tool_calls"][0]["function"]["arguments"],
        r#"{"a":1}"#
    );
}
