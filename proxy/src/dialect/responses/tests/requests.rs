//! Requests and the chat requests that they become.

use serde_json::{Value, json};

use super::{chat, read};

/// Returns the messages for a list of items.
fn messages(input: &Value) -> Value {
    chat(&json!({ "model": "m", "input": input }).to_string())["messages"].clone()
}

#[test]
fn a_text_is_a_message_of_the_user() {
    assert_eq!(
        chat(r#"{"model":"m","input":"a \"b\" \u00e9","max_output_tokens":1}"#),
        json!({"model": "m", "messages": [{"role": "user", "content": "a \"b\" é"}], "max_tokens": 1})
    );
    // As Codex warms up a model of LM Studio's.
    assert_eq!(
        messages(&json!("")),
        json!([{"role": "user", "content": ""}])
    );
}

#[test]
fn items_become_messages() {
    let png = "data:image/png;base64,iVBORw0KGgo=";
    for (input, expected) in [
        (
            json!([{"role": "user", "content": "a"}]),
            json!([{"role": "user", "content": "a"}]),
        ),
        (
            json!([{"type": "message", "id": "msg_1", "role": "user", "content": [
                {"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]}]),
            json!([{"role": "user", "content": "a\n\nb"}]),
        ),
        (
            json!([{"role": "user", "content": [{"type": "input_text", "text": "see"},
                {"type": "input_image", "image_url": png, "detail": "high"}]}]),
            json!([{"role": "user", "content": [{"type": "text", "text": "see"},
                {"type": "image_url", "image_url": {"url": png, "detail": "high"}}]}]),
        ),
        // Leading system texts are one message, later ones stay where they are.
        (
            json!([{"role": "developer", "content": "a"}, {"role": "system", "content": [
                {"type": "input_text", "text": "b"}]}, {"role": "user", "content": "u"},
                {"role": "developer", "content": "c"}]),
            json!([{"role": "system", "content": "a\n\nb"}, {"role": "user", "content": "u"},
                {"role": "system", "content": "c"}]),
        ),
        (
            json!([{"role": "user", "content": "u"}, {"type": "message", "role": "assistant",
                "status": "completed", "content": [{"type": "output_text", "text": "a", "annotations": []},
                {"type": "refusal", "refusal": "no"}]}]),
            json!([{"role": "user", "content": "u"}, {"role": "assistant", "content": "a\n\nno"}]),
        ),
    ] {
        assert_eq!(messages(&input), expected, "{input}");
    }
    assert_eq!(
        chat(
            r#"{"model":"m","instructions":"be","input":[{"role":"developer","content":"brief"},{"role":"user","content":"u"}]}"#
        )["messages"],
        json!([{"role": "system", "content": "be\n\nbrief"}, {"role": "user", "content": "u"}])
    );
}

#[test]
fn a_turn_of_the_assistant_is_one_message() {
    let call = |id: &str| json!({"type": "function_call", "id": "fc_1", "call_id": id, "name": "f", "arguments": "{\"a\":1.0}"});
    let output =
        |id: &str| json!({"type": "function_call_output", "call_id": id, "output": "done"});
    let chat_call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{\"a\":1.0}"}});
    let said = |text: &str| json!({"role": "assistant", "content": [{"type": "output_text", "text": text}]});
    let thought = json!({"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}],
        "content": null, "encrypted_content": null});
    let user = json!({"role": "user", "content": "u"});
    let result = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "done"});
    for (input, expected) in [
        (
            json!([
                user,
                thought,
                said("a"),
                call("1"),
                call("2"),
                output("2"),
                output("1"),
                said("b")
            ]),
            json!([user, {"role": "assistant", "content": "a", "reasoning_content": "hm",
                "tool_calls": [chat_call("1"), chat_call("2")]}, result("2"), result("1"),
                {"role": "assistant", "content": "b"}]),
        ),
        // A text behind a call cannot stand in the same message.
        (
            json!([user, call("1"), said("a"), output("1")]),
            json!([user, {"role": "assistant", "content": "", "tool_calls": [chat_call("1")]},
                {"role": "assistant", "content": "a"}, result("1")]),
        ),
        (
            json!([user, said("a"), thought, said("b"), thought, user]),
            json!([user, {"role": "assistant", "content": "a"},
                {"role": "assistant", "content": "b", "reasoning_content": "hm"}, user]),
        ),
        // The text itself wins over its summary.
        (
            json!([user, {"type": "reasoning", "summary": [{"text": "short"}],
                "content": [{"type": "reasoning_text", "text": "long"}]}, call("1"), output("1")]),
            json!([user, {"role": "assistant", "content": "", "reasoning_content": "long",
                "tool_calls": [chat_call("1")]}, result("1")]),
        ),
    ] {
        assert_eq!(messages(&input), expected, "{input}");
    }
}

#[test]
fn calls_and_results_of_other_kinds_are_calls_and_results() {
    let png = "data:image/png;base64,iVBORw0KGgo=";
    for (input, call, result) in [
        (
            json!([{"type": "custom_tool_call", "call_id": "1", "name": "apply_patch", "input": "*** \"x\""},
                {"type": "custom_tool_call_output", "call_id": "1", "output": "ok"}]),
            json!({"name": "apply_patch", "arguments": "{\"input\":\"*** \\\"x\\\"\"}"}),
            json!("ok"),
        ),
        (
            json!([{"type": "function_call", "call_id": "1", "name": "close", "namespace": "agents", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "1", "output": [
                    {"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": png}]}]),
            json!({"name": "agents__close", "arguments": "{}"}),
            json!([{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": png}}]),
        ),
        (
            json!([{"type": "local_shell_call", "call_id": "1", "action": {"type": "exec", "command": ["ls"]}},
                {"type": "local_shell_call_output", "id": "1", "output": "a.txt"}]),
            json!({"name": "local_shell", "arguments": "{\"type\":\"exec\",\"command\":[\"ls\"]}"}),
            json!("a.txt"),
        ),
        (
            json!([{"type": "shell_call", "call_id": "1", "action": {"commands": ["ls"]}},
                {"type": "shell_call_output", "call_id": "1", "output": [{"stdout": "a"}]}]),
            json!({"name": "shell", "arguments": "{\"commands\":[\"ls\"]}"}),
            json!("[{\"stdout\":\"a\"}]"),
        ),
    ] {
        let messages = messages(&input);
        assert_eq!(messages[0]["tool_calls"][0]["function"], call, "{input}");
        assert_eq!(messages[1]["content"], result, "{input}");
    }
}

#[test]
fn tools_keep_their_schemas_byte_for_byte() {
    let schema = r#"{"type":"object", "properties":{"z":{"type":"number"},"a":{"maximum":1.0}},"required":["z"]}"#;
    let body = format!(
        r#"{{"model":"m","input":"u","tools":[{{"type":"function","name":"f","description":"d","strict":false,"parameters":{schema}}},
        {{"type":"namespace","name":"ns","description":"x","tools":[{{"type":"function","name":"g","strict":true,"parameters":{schema}}}]}},
        {{"type":"custom","name":"patch","description":"Patches.","format":{{"type":"grammar","syntax":"lark","definition":"start: x"}}}},
        {{"type":"web_search","external_web_access":true}},{{"type":"function","name":"h","parameters":null}}]}}"#
    );
    let chat = read(&body).unwrap();
    let text = String::from_utf8_lossy(&chat.body);
    let custom = r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}"#;
    let expected = format!(
        r#""tools":[{{"type":"function","function":{{"name":"f","description":"d","parameters":{schema},"strict":false}}}},{{"type":"function","function":{{"name":"ns__g","parameters":{schema},"strict":true}}}},{{"type":"function","function":{{"name":"patch","description":"Patches.\n\nThe input has to follow this grammar:\nstart: x","parameters":{custom}}}}},{{"type":"function","function":{{"name":"h"}}}}]"#
    );
    assert!(text.contains(&expected), "{text}");
    assert_eq!(
        chat.notes,
        [
            "the grammars of custom tools are told to the model and not enforced",
            "tools of type web_search are dropped: no engine here knows them",
        ]
    );
}

#[test]
fn a_choice_of_tools_is_the_chat_formats() {
    let tools = r#"[{"type":"function","name":"f"},{"type":"custom","name":"c"},{"type":"namespace","name":"n","tools":[{"type":"function","name":"g"}]},{"type":"web_search"}]"#;
    let named = |name: &str| json!({"type": "function", "function": {"name": name}});
    let allowed = |mode: &str, names: &[&str]| {
        let tools: Vec<Value> = names.iter().map(|name| named(name)).collect();
        json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}})
    };
    for (choice, expected) in [
        (json!("auto"), json!("auto")),
        (json!("required"), json!("required")),
        (json!({"type": "function", "name": "f"}), named("f")),
        (json!({"type": "custom", "name": "c"}), named("c")),
        (
            json!({"type": "function", "name": "g", "namespace": "n"}),
            named("n__g"),
        ),
        (
            json!({"type": "allowed_tools", "mode": "required", "tools": [
                {"type": "function", "name": "f"}, {"type": "namespace", "name": "n"}, {"type": "web_search"}]}),
            allowed("required", &["f", "n__g"]),
        ),
        (
            json!({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp", "server_label": "x"}]}),
            json!("none"),
        ),
        (json!({"type": "web_search"}), Value::Null),
        (json!({"type": "mcp", "server_label": "x"}), Value::Null),
        (Value::Null, Value::Null),
    ] {
        let body = format!(r#"{{"model":"m","input":"u","tools":{tools},"tool_choice":{choice}}}"#);
        assert_eq!(chat(&body)["tool_choice"], expected, "{choice}");
    }
    // Nothing to choose from.
    let chat = chat(
        r#"{"model":"m","input":"u","tools":[],"tool_choice":"auto","parallel_tool_calls":true}"#,
    );
    assert_eq!(
        chat,
        json!({"model": "m", "messages": [{"role": "user", "content": "u"}]})
    );
}

#[test]
fn fields_have_their_place_in_the_chat_format() {
    let schema = json!({"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "integer"}}});
    for (field, name, expected) in [
        (
            json!({"stream": true}),
            "stream_options",
            json!({"include_usage": true}),
        ),
        (json!({"max_output_tokens": 7}), "max_tokens", json!(7)),
        (json!({"temperature": 0.0}), "temperature", json!(0.0)),
        (json!({"top_p": 0.5}), "top_p", json!(0.5)),
        (json!({"top_k": 5}), "top_k", json!(5)),
        (
            json!({"reasoning": {"effort": "low", "summary": "auto"}}),
            "reasoning_effort",
            json!("low"),
        ),
        (
            json!({"reasoning": {"summary": "auto"}}),
            "reasoning_effort",
            Value::Null,
        ),
        (json!({"reasoning": null}), "reasoning_effort", Value::Null),
        (
            json!({"text": {"format": {"type": "text"}, "verbosity": "low"}}),
            "response_format",
            Value::Null,
        ),
        (
            json!({"text": {"format": {"type": "json_object"}}}),
            "response_format",
            json!({"type": "json_object"}),
        ),
        (
            json!({"text": {"format": {"type": "json_schema", "name": "n", "strict": true, "schema": schema}}}),
            "response_format",
            json!({"type": "json_schema", "json_schema": {"name": "n", "strict": true, "schema": schema}}),
        ),
        (
            json!({"include": ["message.output_text.logprobs"], "top_logprobs": 3}),
            "logprobs",
            json!(true),
        ),
        (
            json!({"include": ["reasoning.encrypted_content"]}),
            "logprobs",
            Value::Null,
        ),
    ] {
        let mut body = json!({"model": "m", "input": "u"});
        for (key, value) in field.as_object().unwrap() {
            body[key] = value.clone();
        }
        assert_eq!(chat(&body.to_string())[name], expected, "{field}");
    }
}

#[test]
fn what_means_nothing_here_is_no_error() {
    let body = json!({
        "model": "m", "input": "u", "store": true, "include": ["web_search_call.action.sources"],
        "metadata": {"a": "b"}, "user": "x", "prompt_cache_key": "k", "safety_identifier": "s",
        "service_tier": "flex", "client_metadata": {"a": {}}, "max_tool_calls": 3, "background": false,
        "previous_response_id": null, "conversation": null, "prompt": null, "stream_options": {"include_obfuscation": false},
        "context_management": [{"type": "compaction"}], "top_logprobs": 0, "instructions": null, "unknown": [1],
    });
    assert_eq!(
        chat(&body.to_string()),
        json!({"model": "m", "messages": [{"role": "user", "content": "u"}]})
    );
}

#[test]
fn what_is_lost_is_noted() {
    let body = r#"{"model":"m","truncation":"auto","text":{"verbosity":"low"},"input":[{"type":"web_search_call","id":"1"},{"type":"compaction","encrypted_content":"x"},{"role":"user","content":[{"type":"input_text","text":"u"},{"type":"hologram"}]}]}"#;
    let chat = read(body).unwrap();
    assert_eq!(
        chat.notes,
        [
            "text.verbosity is dropped: no engine here has it",
            "truncation auto is dropped: a prompt that is too long is refused, never cut",
            "input items of type web_search_call, compaction are dropped: no engine here knows them",
            "parts of content of type hologram are dropped: no engine here knows them",
        ]
    );
}
