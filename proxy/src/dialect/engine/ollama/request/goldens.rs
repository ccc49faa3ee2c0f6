//! One golden per documented field: the OpenAI field in, exactly this out.

use crate::dialect::engine::ollama::request::{tests::PREFIX, *};

/// Translates one user message (unless the fields bring their own) with these fields.
fn translated(fields: &str) -> Result<OllamaRequest, Error> {
    let messages = r#""messages":[{"role":"user","content":"hi"}]"#;
    let body = if fields.contains("\"messages\"") {
        format!("{{\"model\":\"m\",{fields}}}")
    } else if fields.is_empty() {
        format!("{{\"model\":\"m\",{messages}}}")
    } else {
        format!("{{\"model\":\"m\",{messages},{fields}}}")
    };
    let body = Bytes::from(body);
    let peek = PeekedBody::of(&body, 64)?;
    let none = LoadTuple {
        context: None,
        batch: None,
        threads: None,
        gpu_layers: None,
        mmap: None,
        flash_attention: None,
        as_loaded: false,
    };
    let levels = Capabilities {
        thinking: Some(true),
        thinking_levels: Some(true),
        ..Capabilities::default()
    };
    let plain = RequestDefaults::default();
    to_ollama(&body, &peek, "m:1b", &none, &plain, levels, PREFIX)
}

fn sent(fields: &str) -> String {
    let translated = translated(fields).unwrap();
    String::from_utf8(translated.body.to_vec()).unwrap()
}

/// What stands around the fields of a request that has none.
const HEAD: &str = r#"{"model":"m:1b","messages":[{"role":"user","content":"hi"}],"stream":true,"shift":false,"truncate":false"#;

#[test]
fn each_option_becomes_exactly_this() {
    for (fields, options) in [
        ("", ""),
        (r#""stream":false"#, ""),
        (r#""stream":true"#, ""),
        (r#""temperature":0"#, r#""temperature":0"#),
        (r#""temperature":0.7"#, r#""temperature":0.7"#),
        (r#""temperature":null"#, ""),
        (r#""top_p":0.5"#, r#""top_p":0.5"#),
        (r#""frequency_penalty":-1.5"#, r#""frequency_penalty":-1.5"#),
        (r#""presence_penalty":2"#, r#""presence_penalty":2"#),
        (r#""top_k":40"#, r#""top_k":40"#),
        (r#""min_p":0.05"#, r#""min_p":0.05"#),
        (r#""seed":-7"#, r#""seed":-7"#),
        (r#""seed":42.0"#, r#""seed":42"#),
        (r#""max_tokens":5"#, r#""num_predict":5"#),
        (r#""max_tokens":5.0"#, r#""num_predict":5"#),
        (r#""max_tokens":0"#, r#""num_predict":0"#),
        (r#""max_tokens":-1"#, r#""num_predict":-1"#),
        (r#""max_tokens":-7.0"#, r#""num_predict":-1"#),
        (
            r#""max_completion_tokens":-1,"max_tokens":4"#,
            r#""num_predict":-1"#,
        ),
        (r#""max_tokens":null"#, ""),
        (r#""top_k":1.5"#, r#""top_k":1.5"#),
        (r#""max_completion_tokens":6"#, r#""num_predict":6"#),
        (r#""stop":"END""#, r#""stop":["END"]"#),
        (r#""stop":["a","b"]"#, r#""stop":["a","b"]"#),
        (r#""stop":null"#, ""),
        (r#""stop":[]"#, ""),
        (r#""stop":"""#, ""),
        (r#""stop":["",""]"#, ""),
        (r#""stop":["a","",["b"]]"#, r#""stop":["a","b"]"#),
        // Ollama has no place for these; nothing of them is sent.
        (r#""n":1"#, ""),
        (r#""n":1.0"#, ""),
        (r#""user":"u""#, ""),
        (r#""metadata":{"a":"b"}"#, ""),
        (r#""store":true"#, ""),
        (r#""service_tier":"auto""#, ""),
        (r#""logit_bias":{"1":2}"#, ""),
        (r#""parallel_tool_calls":false"#, ""),
        (r#""keep_alive":0"#, ""),
        (r#""num_ctx":9"#, ""),
        (r#""options":{"num_ctx":9}"#, ""),
        (r#""truncate":true"#, ""),
        (r#""stream_options":{"include_usage":true}"#, ""),
    ] {
        assert_eq!(
            sent(fields),
            format!("{HEAD},\"options\":{{{options}}}}}"),
            "{fields}"
        );
    }
}

/// Members of a request, and what an Ollama gets for them before its options and behind.
const FIELDS: &[(&str, &str, &str)] = &[
    (r#""reasoning_effort":"none""#, r#","think":false"#, ""),
    (r#""reasoning_effort":"minimal""#, r#","think":"low""#, ""),
    (r#""reasoning_effort":"low""#, r#","think":"low""#, ""),
    (r#""reasoning_effort":"medium""#, r#","think":"medium""#, ""),
    (r#""reasoning_effort":"high""#, r#","think":"high""#, ""),
    (r#""reasoning_effort":"xhigh""#, r#","think":"max""#, ""),
    (r#""reasoning_effort":"max""#, r#","think":"max""#, ""),
    (r#""reasoning_effort":null"#, "", ""),
    (r#""reasoning_effort":"hot""#, "", ""),
    (r#""think":false"#, r#","think":false"#, ""),
    (
        r#""reasoning":{"effort":"high"},"reasoning_effort":"low""#,
        r#","think":"high""#,
        "",
    ),
    (r#""logprobs":true"#, r#","logprobs":true"#, ""),
    (r#""top_logprobs":20"#, r#","top_logprobs":20"#, ""),
    (r#""response_format":{"type":"text"}"#, "", ""),
    (
        r#""response_format":{"type":"json_object"}"#,
        "",
        r#","format":"json""#,
    ),
    (
        r#""response_format":{"type":" JSON_Object "}"#,
        "",
        r#","format":"json""#,
    ),
    (
        r#""response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"z":1.0,"a":[]}}}"#,
        "",
        r#","format":{"z":1.0,"a":[]}"#,
    ),
    (r#""tools":[]"#, "", ""),
    (
        r#""tools":[{"function":{"strict":true,"name":"f"},"type":"function"}]"#,
        "",
        r#","tools":[{"function":{"strict":true,"name":"f"},"type":"function"}]"#,
    ),
    (
        r#""tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"auto""#,
        "",
        r#","tools":[{"type":"function","function":{"name":"f"}}]"#,
    ),
    (
        r#""tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"required""#,
        "",
        r#","tools":[{"type":"function","function":{"name":"f"}}]"#,
    ),
    (
        r#""tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"none""#,
        "",
        "",
    ),
    (
        r#""tools":[{"type":"function","function":{"name":"f"}},{"type":"function","function":{"name":"g"}}],"tool_choice":{"type":"function","function":{"name":"g"}}"#,
        "",
        r#","tools":[{"type":"function","function":{"name":"g"}}]"#,
    ),
];

#[test]
fn each_top_level_field_becomes_exactly_this() {
    for (fields, before, after) in FIELDS {
        assert_eq!(
            sent(fields),
            format!("{HEAD}{before},\"options\":{{}}{after}}}"),
            "{fields}"
        );
    }
}

/// A message of a client, and the one that an Ollama gets.
const MESSAGES: &[(&str, &str)] = &[
    (
        r#"{"role":"system","content":"s"}"#,
        r#"{"role":"system","content":"s"}"#,
    ),
    (
        r#"{"role":"developer","content":"s"}"#,
        r#"{"role":"system","content":"s"}"#,
    ),
    (
        r#"{"role":"USER","content":"s"}"#,
        r#"{"role":"user","content":"s"}"#,
    ),
    (
        r#"{"role":"user","content":"","name":"n"}"#,
        r#"{"role":"user","content":""}"#,
    ),
    (
        r#"{"role":"user","content":[]}"#,
        r#"{"role":"user","content":""}"#,
    ),
    (
        r#"{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}"#,
        r#"{"role":"user","content":"a\n\nb"}"#,
    ),
    (
        r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/webp;base64,QQ=="}}]}"#,
        r#"{"role":"user","content":"","images":["QQ=="]}"#,
    ),
    (
        r#"{"role":"user","content":[{"type":"image_url","image_url":"data:;base64,QQ=="}]}"#,
        r#"{"role":"user","content":"","images":["QQ=="]}"#,
    ),
    (
        r#"{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"QQ==","format":"wav"}}]}"#,
        r#"{"role":"user","content":"","images":["QQ=="]}"#,
    ),
    (
        r#"{"role":"assistant","content":"a","reasoning":"r"}"#,
        r#"{"role":"assistant","content":"a","thinking":"r"}"#,
    ),
    (
        r#"{"role":"assistant","content":"a","reasoning_content":"r"}"#,
        r#"{"role":"assistant","content":"a","thinking":"r"}"#,
    ),
    (
        r#"{"role":"assistant","content":null,"refusal":null,"tool_calls":null}"#,
        r#"{"role":"assistant","content":""}"#,
    ),
    (
        r#"{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":""}}]}"#,
        r#"{"role":"assistant","content":"","tool_calls":[{"id":"c","function":{"name":"f","arguments":{}}}]}"#,
    ),
    (
        r#"{"role":"tool","name":"g","tool_call_id":"c1","content":[{"type":"text","text":"3"}]}"#,
        r#"{"role":"tool","content":"3","tool_name":"g","tool_call_id":"c1"}"#,
    ),
];

#[test]
fn each_message_field_becomes_exactly_this() {
    for (message, want) in MESSAGES {
        becomes(message, want);
    }
    let call = r#"{"role":"assistant","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"b\":1,\"a\":2}"}}]}"#;
    let called = r#"{"role":"assistant","content":"","tool_calls":[{"id":"c1","function":{"name":"f","arguments":{"b":1,"a":2}}}]}"#;
    becomes(call, called);
    becomes(
        &format!(r#"{call},{{"role":"tool","tool_call_id":"c1","content":"3"}}"#),
        &format!(r#"{called},{{"role":"tool","content":"3","tool_name":"f","tool_call_id":"c1"}}"#),
    );
}

/// Asserts which messages an Ollama gets for a client's.
fn becomes(messages: &str, want: &str) {
    assert_eq!(
        sent(&format!("\"messages\":[{messages}]")),
        format!(
            r#"{{"model":"m:1b","messages":[{want}],"stream":true,"shift":false,"truncate":false,"options":{{}}}}"#
        ),
        "{messages}"
    );
}

#[test]
fn what_other_apis_write_becomes_exactly_this() {
    for (messages, want) in [
        (
            r#"{"role":"user","content":null},{"role":"tool"},{"role":"system","content":null}"#
                .to_owned(),
            r#"{"role":"user","content":""},{"role":"tool","content":""},{"role":"user","content":""}"#
                .to_owned(),
        ),
        (
            r#"{"role":"assistant","content":[{"type":"thinking","thinking":"t"},{"type":"refusal","refusal":"no"},{"type":"output_text","text":"o"},{"type":"text","text":null}]}"#
                .to_owned(),
            r#"{"role":"assistant","content":"no\n\no","thinking":"t"}"#.to_owned(),
        ),
        (
            r#"{"role":"user","content":[{"type":"thinking","thinking":"t"},"b"]}"#.to_owned(),
            r#"{"role":"user","content":"t\n\nb"}"#.to_owned(),
        ),
        (
            r#"{"role":"assistant","function_call":{"name":"f","arguments":"{\"a\":1.0}"}},{"role":"function","name":"f","content":"3"}"#
                .to_owned(),
            r#"{"role":"assistant","content":"","tool_calls":[{"function":{"name":"f","arguments":{"a":1.0}}}]},{"role":"tool","content":"3","tool_name":"f"}"#
                .to_owned(),
        ),
        (
            r#"{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":"{\"n\":123456789012345678901234567890,\"e\":1e2}"}},{"function":{"name":"f","arguments":{"n":18446744073709551616}}},{"function":{"name":"f","arguments":"[1"}},{"type":"function","function":{"name":"f"}}]}"#
                .to_owned(),
            r#"{"role":"assistant","content":"","tool_calls":[{"id":"c","function":{"name":"f","arguments":{"n":123456789012345678901234567890,"e":1e2}}},{"function":{"name":"f","arguments":{"n":18446744073709551616}}},{"function":{"name":"f","arguments":{"arguments":"[1"}}},{"function":{"name":"f","arguments":{}}}]}"#
                .to_owned(),
        ),
    ] {
        becomes(&messages, &want);
    }
}

#[test]
fn what_ollama_cannot_take_is_refused_by_name() {
    for (fields, param) in [
        (r#""messages":[]"#, "messages"),
        (
            r#""messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x/y.png"}}]}]"#,
            "messages[0].content[0].image_url.url",
        ),
        (
            r#""messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/gif;base64,QQ=="}}]}]"#,
            "messages[0].content[0].image_url.url",
        ),
        (
            r#""messages":[{"role":"user","content":[{"type":"video"}]}]"#,
            "messages[0].content[0].type",
        ),
        (r#""n":2"#, "n"),
        (r#""top_logprobs":21"#, "top_logprobs"),
        (
            r#""tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"all""#,
            "tool_choice",
        ),
        (
            r#""tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"function":{"name":"g"}}"#,
            "tool_choice.function.name",
        ),
        (r#""seed":"x""#, "seed"),
    ] {
        let error = translated(fields).unwrap_err();
        assert_eq!(error.param.as_deref(), Some(param), "{fields}: {error}");
    }
}
