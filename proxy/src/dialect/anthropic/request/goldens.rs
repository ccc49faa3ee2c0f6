//! Requests and the chat requests that they become, byte for byte.

use super::tests::{read, written};

/// Asserts what a request with these members, in the place of the dots, becomes.
#[track_caller]
fn becomes(members: &str, chat: &str) {
    assert_eq!(
        written(&format!(r#"{{"model":"m",{members}}}"#)),
        format!(r#"{{"model":"m",{chat}}}"#)
    );
}

#[test]
fn texts_keep_their_json_and_their_blocks_are_joined() {
    becomes(
        r#""messages":[{"role":"user","content":"a\u00e9\n"}]"#,
        r#""messages":[{"role":"user","content":"a\u00e9\n"}]"#,
    );
    becomes(
        r#""system":"S","messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":""},{"type":"text","text":"b","cache_control":{"type":"ephemeral"}}]}]"#,
        r#""messages":[{"role":"system","content":"S"},{"role":"user","content":"a\n\nb"}]"#,
    );
    becomes(
        r#""system":[{"type":"text","text":"x-anthropic-billing-header: cc_version=1.2; cch=0f;"},{"type":"text","text":"You."},{"type":"text","text":"Do."}],"messages":[{"role":"user","content":"a"},{"role":"system","content":"reminder"},{"role":"assistant","content":[{"type":"text","text":"b"}]},{"role":"user","content":"c"}]"#,
        r#""messages":[{"role":"system","content":"You.\n\nDo."},{"role":"user","content":"a"},{"role":"system","content":"reminder"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]"#,
    );
}

#[test]
fn a_tool_loop_becomes_calls_and_results_in_the_clients_order() {
    becomes(
        r#""messages":[{"role":"user","content":"go"},{"role":"assistant","content":[{"type":"thinking","thinking":"h\"m","signature":"s"},{"type":"redacted_thinking","data":"x"},{"type":"text","text":"Look."},{"type":"tool_use","id":"a","name":"f","input":{"z": 1.50,"a":[]}},{"type":"tool_use","id":"b","name":"g"}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"b","content":"two"},{"type":"tool_result","tool_use_id":"a","is_error":true,"content":[{"type":"text","text":"none"}]},{"type":"text","text":"and?"}]}]"#,
        r#""messages":[{"role":"user","content":"go"},{"role":"assistant","content":"Look.","reasoning_content":"h\"m","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{\"z\": 1.50,\"a\":[]}"}},{"id":"b","type":"function","function":{"name":"g","arguments":"{}"}}]},{"role":"tool","tool_call_id":"b","content":"two"},{"role":"tool","tool_call_id":"a","content":"Error: none"},{"role":"user","content":"and?"}]"#,
    );
    for said in ["Error: x", "error", "<tool_use_error>x"] {
        let result = format!(
            r#""messages":[{{"role":"assistant","content":[{{"type":"tool_use","id":"a","name":"f"}}]}},{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"a","is_error":true,"content":"{said}"}}]}}]"#
        );
        let chat = format!(
            r#""messages":[{{"role":"assistant","content":"","tool_calls":[{{"id":"a","type":"function","function":{{"name":"f","arguments":"{{}}"}}}}]}},{{"role":"tool","tool_call_id":"a","content":"{said}"}}]"#
        );
        becomes(&result, &chat);
    }
}

#[test]
fn images_become_data_urls_and_those_of_results_follow_them() {
    const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB";
    let image = format!(
        r#"{{"type":"image","source":{{"type":"base64","media_type":"image/jpeg","data":"{PNG}"}}}}"#
    );
    let part =
        format!(r#"{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{PNG}"}}}}"#);
    becomes(
        &format!(
            r#""messages":[{{"role":"user","content":[{image},{{"type":"text","text":"what?"}}]}}]"#
        ),
        &format!(
            r#""messages":[{{"role":"user","content":[{part},{{"type":"text","text":"what?"}}]}}]"#
        ),
    );
    becomes(
        &format!(
            r#""messages":[{{"role":"assistant","content":[{{"type":"tool_use","id":"a","name":"f"}}]}},{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"a","content":[{{"type":"text","text":"see"}},{image}]}},{{"type":"text","text":"so?"}}]}}]"#
        ),
        &format!(
            r#""messages":[{{"role":"assistant","content":"","tool_calls":[{{"id":"a","type":"function","function":{{"name":"f","arguments":"{{}}"}}}}]}},{{"role":"tool","tool_call_id":"a","content":"see"}},{{"role":"user","content":[{part},{{"type":"text","text":"so?"}}]}}]"#
        ),
    );
    becomes(
        r#""messages":[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"https:\/\/h/x.png"}}]}]"#,
        r#""messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https:\/\/h/x.png"}}]}]"#,
    );
}

#[test]
fn documents_and_search_results_become_their_texts() {
    becomes(
        r#""messages":[{"role":"user","content":[{"type":"document","title":"T","context":"C","source":{"type":"text","media_type":"text/plain","data":"D"}},{"type":"document","source":{"type":"content","content":[{"type":"text","text":"E"}]}},{"type":"search_result","title":"F","source":"http://g","content":[{"type":"text","text":"H"}]},{"type":"compaction","content":"I"}]}]"#,
        r#""messages":[{"role":"user","content":"T\n\nC\n\nD\n\nE\n\nF\n\nhttp://g\n\nH\n\nI"}]"#,
    );
}

#[test]
fn tools_keep_the_bytes_of_their_schemas() {
    const HI: &str = r#""messages":[{"role":"user","content":"x"}]"#;
    let tools = r#""tools":[{"name":"f","description":"d","input_schema":{"type":"object", "z":1,"a":2.0},"cache_control":{"type":"ephemeral"}},{"type":"custom","name":"g","input_schema":{}},{"type":"web_search_20250305","name":"web_search"}]"#;
    let chat = r#""tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object", "z":1,"a":2.0}}},{"type":"function","function":{"name":"g","parameters":{}}}]"#;
    for (choice, becoming) in [
        ("", ""),
        (
            r#","tool_choice":{"type":"auto"}"#,
            r#","tool_choice":"auto""#,
        ),
        (
            r#","tool_choice":{"type":"any"}"#,
            r#","tool_choice":"required""#,
        ),
        (
            r#","tool_choice":{"type":"none"}"#,
            r#","tool_choice":"none""#,
        ),
        (
            r#","tool_choice":{"type":"tool","name":"g","disable_parallel_tool_use":true}"#,
            r#","tool_choice":{"type":"function","function":{"name":"g"}},"parallel_tool_calls":false"#,
        ),
    ] {
        becomes(
            &format!("{HI},{tools}{choice}"),
            &format!("{HI},{chat}{becoming}"),
        );
    }
    // Nothing is left to choose from.
    becomes(
        &format!(
            r#"{HI},"tools":[{{"type":"bash_20250124","name":"bash"}}],"tool_choice":{{"type":"any"}}"#
        ),
        HI,
    );
}

#[test]
fn each_field_is_translated_or_left_out() {
    const HI: &str = r#""messages":[{"role":"user","content":"x"}]"#;
    for (members, chat) in [
        (r#","max_tokens":32000"#, r#","max_tokens":32000"#),
        (r#","max_tokens":0"#, r#","max_tokens":1"#),
        (
            r#","temperature":0,"top_p":0.90,"top_k":40"#,
            r#","temperature":0,"top_p":0.90,"top_k":40"#,
        ),
        (r#","stop_sequences":["a","b"]"#, r#","stop":["a","b"]"#),
        (r#","stop_sequences":[]"#, ""),
        (
            r#","thinking":{"type":"disabled"}"#,
            r#","chat_template_kwargs":{"enable_thinking":false}"#,
        ),
        (r#","thinking":{"type":"adaptive"}"#, ""),
        (r#","thinking":{"type":"enabled","budget_tokens":1024}"#, ""),
        (r#","output_config":{"effort":"high"}"#, ""),
        (
            r#","output_config":{"format":{"type":"json_schema","schema":{"b":1,"a":2}}}"#,
            r#","response_format":{"type":"json_schema","json_schema":{"name":"output","schema":{"b":1,"a":2},"strict":true}}"#,
        ),
        (
            r#","output_format":{"type":"json_schema","schema":{}}"#,
            r#","response_format":{"type":"json_schema","json_schema":{"name":"output","schema":{},"strict":true}}"#,
        ),
        (
            r#","stream":true"#,
            r#","stream":true,"stream_options":{"include_usage":true}"#,
        ),
        (
            r#","stream":false,"metadata":{"user_id":"u"},"service_tier":"auto","speed":"fast","inference_geo":"us","diagnostics":{},"cache_control":{"type":"ephemeral"},"x":null"#,
            "",
        ),
    ] {
        becomes(&format!("{HI}{members}"), &format!("{HI}{chat}"));
    }
}

#[test]
fn what_the_client_loses_is_said() {
    let notes = |members: &str| {
        let text = format!(r#"{{"messages":[{{"role":"user","content":"x"}}]{members}}}"#);
        read(&text).unwrap().notes.join("; ")
    };
    for (members, note) in [
        ("", ""),
        (
            r#","context_management":{"edits":[{"type":"clear_thinking_20251015","keep":"all"}]},"mcp_servers":[]"#,
            "",
        ),
        (
            r#","system":[{"type":"text","text":"x-anthropic-billing-header: a"}]"#,
            "Claude Code's billing block is left out: it would spoil the engine's cache of the prompt",
        ),
        (
            r#","system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],"tools":[{"name":"f","input_schema":{},"cache_control":{"type":"ephemeral"}}]"#,
            "cache_control is left out: it moves from turn to turn, and engines here have their own cache",
        ),
        (
            r#","tools":[{"type":"web_search_20250305","name":"w"},{"type":"bash_20250124","name":"b"},{"type":"web_search_20250305","name":"v"}]"#,
            "tools that are Anthropic's own are not offered (bash_20250124, web_search_20250305)",
        ),
        (
            r#","mcp_servers":[{"url":"u"}],"container":"c""#,
            "mcp_servers are not connected: only Anthropic's servers do so; container is ignored: nothing is run beside the model",
        ),
        (
            r#","context_management":{"edits":[{"type":"clear_tool_uses_20250919"}]}"#,
            "context_management is ignored: the conversation is sent as it is",
        ),
        (
            r#","max_tokens":0"#,
            "max_tokens 0 is sent as 1: the engine reads the prompt into its cache",
        ),
    ] {
        assert_eq!(notes(members), note, "{members}");
    }
    let text = r#"{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"server_tool_use","id":"s","name":"web_search"},{"type":"web_search_tool_result","tool_use_id":"s","content":[]},{"type":"text","text":"y"}]},{"role":"user","content":"z"}]}"#;
    assert_eq!(
        read(text).unwrap().notes.join("; "),
        "blocks that no engine reads are left out (server_tool_use, web_search_tool_result)"
    );
}
