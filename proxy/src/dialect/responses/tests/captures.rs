//! The shapes of requests that Codex 0.171 sends, with short texts.

use serde_json::{Value, json};

use super::{chat, read};

/// A request of its second turn: reasoning, text and parallel calls come back, ids and nulls with them.
fn second_turn() -> Value {
    json!({
        "model": "m", "stream": true,
        "input": [
            {"type": "message", "id": "msg_1", "role": "developer", "content": [{"type": "input_text", "text": "a"}]},
            {"type": "message", "id": "msg_2", "role": "developer", "content": [
                {"type": "input_text", "text": "b"}, {"type": "input_text", "text": "c"}]},
            {"type": "message", "id": "msg_3", "role": "user", "content": [{"type": "input_text", "text": "env"}]},
            {"type": "message", "id": "msg_4", "role": "user", "content": [{"type": "input_text", "text": "do"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}],
                "content": null, "encrypted_content": null},
            {"type": "message", "status": "completed", "id": "msg_5", "role": "assistant", "content": [
                {"type": "output_text", "text": "Let me look. ", "annotations": []}]},
            {"type": "function_call", "status": "completed", "id": "fc_1", "name": "exec_command",
                "arguments": "{\"cmd\": \"ls\"}", "call_id": "call_1"},
            {"type": "function_call", "status": "completed", "id": "fc_2", "name": "close_agent",
                "namespace": "multi_agent_v1", "arguments": "{\"target\": \"x\"}", "call_id": "call_2"},
            {"type": "function_call_output", "id": "fco_1", "call_id": "call_1", "output": "one"},
            {"type": "function_call_output", "id": "fco_2", "call_id": "call_2", "output": "two"},
        ],
        "tools": [
            {"type": "function", "name": "exec_command", "description": "Runs.", "strict": false,
                "parameters": {"type": "object", "properties": {"cmd": {"type": "string"}}, "required": ["cmd"]}},
            {"type": "namespace", "name": "multi_agent_v1", "description": "Agents.", "tools": [
                {"type": "function", "name": "close_agent", "description": "Closes.", "strict": false,
                    "parameters": {"type": "object", "properties": {"target": {"type": "string"}}}}]},
            {"type": "web_search", "external_web_access": false},
        ],
        "tool_choice": "auto", "parallel_tool_calls": true, "reasoning": {"summary": "auto"}, "store": false,
        "include": ["reasoning.encrypted_content"], "prompt_cache_key": "k",
        "client_metadata": {"session_id": "s", "turn_id": "t"},
    })
}

#[test]
fn a_turn_of_codex_is_a_plain_chat_request() {
    let chat = chat(&second_turn().to_string());
    let expected = json!({
        "messages": [
            {"role": "system", "content": "a\n\nb\n\nc"},
            {"role": "user", "content": "env"},
            {"role": "user", "content": "do"},
            {"role": "assistant", "content": "Let me look. ", "reasoning_content": "hm", "tool_calls": [
                {"id": "call_1", "type": "function",
                    "function": {"name": "exec_command", "arguments": "{\"cmd\": \"ls\"}"}},
                {"id": "call_2", "type": "function", "function": {"name": "multi_agent_v1__close_agent",
                    "arguments": "{\"target\": \"x\"}"}}]},
            {"role": "tool", "tool_call_id": "call_1", "content": "one"},
            {"role": "tool", "tool_call_id": "call_2", "content": "two"},
        ],
        "model": "m", "stream": true, "stream_options": {"include_usage": true},
        "tools": [
            {"type": "function", "function": {"name": "exec_command", "description": "Runs.", "strict": false,
                "parameters": {"type": "object", "properties": {"cmd": {"type": "string"}}, "required": ["cmd"]}}},
            {"type": "function", "function": {"name": "multi_agent_v1__close_agent", "description": "Closes.",
                "strict": false, "parameters": {"type": "object", "properties": {"target": {"type": "string"}}}}},
        ],
        "tool_choice": "auto", "parallel_tool_calls": true,
    });
    assert_eq!(chat, expected);
}

#[test]
fn its_side_requests_keep_the_names_of_tools_that_are_not_offered() {
    let mut compaction = second_turn();
    compaction["tools"] = json!([]);
    compaction["parallel_tool_calls"] = false.into();
    let (full, compaction) = (
        chat(&second_turn().to_string()),
        chat(&compaction.to_string()),
    );
    assert_eq!(full["messages"], compaction["messages"]);
    assert_eq!(compaction.get("tools"), None);
    let title = json!({
        "model": "m", "stream": true, "tools": [], "tool_choice": "auto", "parallel_tool_calls": true,
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "u"}]}],
        "text": {"format": {"type": "json_schema", "strict": true, "name": "codex_output_schema",
            "schema": {"type": "object", "properties": {"title": {"type": "string"}}}}},
    });
    let title = read(&title.to_string()).unwrap();
    let body = String::from_utf8_lossy(&title.body);
    assert!(body.contains(r#""response_format":{"type":"json_schema","json_schema":{"name":"codex_output_schema","schema":{"#), "{body}");
    assert!(title.notes.is_empty(), "{:?}", title.notes);
}
