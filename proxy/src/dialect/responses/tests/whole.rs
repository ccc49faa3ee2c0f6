//! Answers that are not streamed.

use bytes::Bytes;
use serde_json::{Value, json};

use super::writer;

const TOOLS: &str = r#"{"model":"m","input":"u","tools":[{"type":"function","name":"f"},{"type":"namespace","name":"ns","tools":[{"type":"function","name":"g"}]},{"type":"custom","name":"patch"}]}"#;

fn whole(body: &str, completion: &Value) -> Value {
    let bytes = Bytes::from(completion.to_string());
    let answer = writer(body).whole(bytes).expect("a response");
    serde_json::from_slice(&answer).expect("JSON")
}

#[test]
fn a_completion_is_a_response_with_its_items() {
    let call = |id: &str, name: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    let response = whole(
        TOOLS,
        &json!({"id": "c", "model": "engine", "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {
            "role": "assistant", "content": "Look. \"é\"", "reasoning_content": "hm", "refusal": null,
            "tool_calls": [call("1", "f", "{\"a\":1.0}"), call("2", "ns__g", ""),
                call("3", "patch", "{\"input\":\"*** a\\n\"}")]}}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 4}}),
    );
    assert_eq!(response["object"], "response");
    assert_eq!(response["status"], "completed");
    assert_eq!(response["model"], "m");
    assert_eq!(response["usage"]["total_tokens"], 7);
    let mut output = response["output"].clone();
    for item in output.as_array_mut().unwrap() {
        assert!(item["id"].is_string());
        item.as_object_mut().unwrap().remove("id");
    }
    assert_eq!(
        output,
        json!([
            {"type": "reasoning", "status": "completed", "summary": [{"type": "summary_text", "text": "hm"}]},
            {"type": "message", "status": "completed", "role": "assistant", "content": [
                {"type": "output_text", "annotations": [], "logprobs": [], "text": "Look. \"é\""}]},
            {"type": "function_call", "status": "completed", "call_id": "1", "name": "f", "arguments": "{\"a\":1.0}"},
            {"type": "function_call", "status": "completed", "call_id": "2", "name": "g", "namespace": "ns", "arguments": "{}"},
            {"type": "custom_tool_call", "status": "completed", "call_id": "3", "name": "patch", "input": "*** a\n"},
        ])
    );
}

#[test]
fn a_call_whose_arguments_are_cut_is_not_complete_whatever_the_engine_says() {
    for (name, arguments, status) in [
        ("f", "{\"a\":\"b", "incomplete"),
        ("f", "{\"a\":\"b\"}", "completed"),
        ("patch", "{\"input\":\"a", "incomplete"),
    ] {
        let calls = json!([
            {"id": "1", "function": {"name": name, "arguments": arguments}},
            {"id": "2", "function": {"name": "f", "arguments": "{}"}},
        ]);
        for reason in ["stop", "tool_calls"] {
            let response = whole(
                TOOLS,
                &json!({"choices": [{"finish_reason": reason, "message": {"tool_calls": calls}}]}),
            );
            assert_eq!(response["status"], status, "{arguments}");
            assert_eq!(response["output"][0]["status"], status, "{arguments}");
            assert_eq!(response["output"][1]["status"], "completed");
        }
    }
}

#[test]
fn an_older_call_is_a_call() {
    let response = whole(
        TOOLS,
        &json!({"choices": [{"finish_reason": "function_call", "message": {"content": null,
            "function_call": {"name": "f", "arguments": "{\"a\":1}"}}}]}),
    );
    let call = &response["output"][0];
    assert_eq!(response["status"], "completed");
    assert_eq!(
        (&call["type"], &call["name"], &call["arguments"]),
        (&json!("function_call"), &json!("f"), &json!("{\"a\":1}"))
    );
}

#[test]
fn a_limit_is_told_in_the_response() {
    let choice = |reason: &str, message: Value| json!({"choices": [{"finish_reason": reason, "message": message}]});
    let response = whole(TOOLS, &choice("length", json!({"content": "Hi"})));
    assert_eq!(response["status"], "incomplete");
    assert_eq!(
        response["incomplete_details"],
        json!({"reason": "max_output_tokens"})
    );
    assert_eq!(response["output"][0]["status"], "incomplete");
    assert_eq!(response["usage"], Value::Null);
    let response = whole(
        TOOLS,
        &choice("stop", json!({"content": "", "refusal": "No."})),
    );
    assert_eq!(
        response["output"][0]["content"],
        json!([{"type": "refusal", "refusal": "No."}])
    );
    let response = whole(TOOLS, &choice("stop", json!({"content": ""})));
    assert_eq!(
        (&response["status"], &response["output"]),
        (&json!("completed"), &json!([]))
    );
}

#[test]
fn the_engines_model_is_told_where_none_was_asked_for() {
    let response = whole(
        r#"{"input":"u"}"#,
        &json!({"model": "engine", "choices": [{"message": {"content": "a"}}]}),
    );
    assert_eq!(response["model"], "engine");
}

#[test]
fn what_is_no_completion_is_an_error() {
    assert!(writer(TOOLS).whole(Bytes::from_static(b"[]")).is_err());
    assert!(writer(TOOLS).whole(Bytes::from_static(b"<html>")).is_err());
}
