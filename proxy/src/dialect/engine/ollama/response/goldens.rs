//! One golden per documented field of Ollama's answer: the line in, exactly this out, streamed
//! and whole.

use crate::dialect::engine::ollama::response::{
    tests::{CAP, run},
    *,
};

/// Ends every answer below.
const DONE: &str = r#"{"done":true,"done_reason":"stop","prompt_eval_count":3,"eval_count":4}"#;

/// The chunks without their head, and the whole answer's `choices` and what follows them.
fn both(lines: &str) -> (String, String) {
    let (streamed, result) = run(OllamaStream::new("m", 7, false, CAP), &[lines.as_bytes()]);
    result.unwrap();
    let head = r#"data: {"id":"ID","object":"chat.completion.chunk","created":7,"model":"m","system_fingerprint":"fp_ollama","choices":[{"index":0,"#;
    let chunks: Vec<&str> = streamed
        .split("\n\n")
        .filter(|event| !event.is_empty() && *event != "data: [DONE]")
        .map(|event| event.strip_prefix(head).unwrap())
        .map(|rest| rest.strip_suffix("}]}").unwrap())
        .collect();
    let (whole, result) = run(OllamaAggregate::new("m", 7, CAP), &[lines.as_bytes()]);
    result.unwrap();
    let head = r#"{"id":"ID","object":"chat.completion","created":7,"model":"m","system_fingerprint":"fp_ollama","choices":[{"index":0,"#;
    let whole = whole.strip_prefix(head).unwrap();
    (
        chunks.join("\n"),
        whole.strip_suffix('}').unwrap().to_owned(),
    )
}

#[test]
fn each_message_field_becomes_exactly_this() {
    let usage = r#""usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}"#;
    for (message, chunks, whole) in [
        (
            r#""content":"hi""#,
            r#""delta":{"role":"assistant","content":"hi"},"finish_reason":null"#,
            r#""message":{"role":"assistant","content":"hi"}"#,
        ),
        (
            r#""content":"""#,
            r#""delta":{"role":"assistant","content":""},"finish_reason":null"#,
            r#""message":{"role":"assistant","content":""}"#,
        ),
        (
            r#""content":"\u003cb\u003e \"q\" \n""#,
            r#""delta":{"role":"assistant","content":"<b> \"q\" \n"},"finish_reason":null"#,
            r#""message":{"role":"assistant","content":"<b> \"q\" \n"}"#,
        ),
        (
            r#""content":"","thinking":"hm""#,
            r#""delta":{"role":"assistant","reasoning_content":"hm"},"finish_reason":null"#,
            r#""message":{"role":"assistant","content":"","reasoning_content":"hm"}"#,
        ),
        (
            r#""content":"a","thinking":"hm""#,
            concat!(
                r#""delta":{"role":"assistant","reasoning_content":"hm"},"finish_reason":null"#,
                "\n",
                r#""delta":{"content":"a"},"finish_reason":null"#
            ),
            r#""message":{"role":"assistant","content":"a","reasoning_content":"hm"}"#,
        ),
    ] {
        let line = format!("{{\"message\":{{\"role\":\"assistant\",{message}}},\"done\":false}}");
        assert_eq!(
            both(&format!("{line}\n{DONE}\n")),
            (
                format!("{chunks}\n\"delta\":{{}},\"finish_reason\":\"stop\""),
                format!(r#"{whole},"finish_reason":"stop"}}],{usage}"#)
            ),
            "{message}"
        );
    }
}

#[test]
fn each_tool_call_field_becomes_exactly_this() {
    for (call, want) in [
        (
            r#"{"id":"c1","function":{"index":9,"name":"f","arguments":{"z":1,"a":"b"}}}"#,
            r#"{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":"{\"z\":1,\"a\":\"b\"}"}}"#,
        ),
        (
            r#"{"id":"c1","function":{"name":"f"}}"#,
            r#"{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}"#,
        ),
        (
            r#"{"id":"c1","function":{"name":"f","arguments":"{\"a\":1}"}}"#,
            r#"{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}"#,
        ),
    ] {
        let line = format!(r#"{{"message":{{"content":"","tool_calls":[{call}]}},"done":false}}"#);
        let (chunks, whole) = both(&format!("{line}\n{DONE}\n"));
        assert_eq!(
            chunks,
            format!(
                "\"delta\":{{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{want}]}},\
                 \"finish_reason\":null\n\"delta\":{{}},\"finish_reason\":\"tool_calls\""
            ),
            "{call}"
        );
        assert!(
            whole.starts_with(&format!(
                r#""message":{{"role":"assistant","content":"","tool_calls":[{want}]}},"finish_reason":"tool_calls""#
            )),
            "{whole}"
        );
    }
}

#[test]
fn logprobs_are_copied_as_they_are() {
    let told = r#"[{"token":"a","logprob":-0.50,"bytes":[97],"top_logprobs":[]}]"#;
    let line = format!(r#"{{"message":{{"content":"a"}},"logprobs":{told},"done":false}}"#);
    let (chunks, whole) = both(&format!("{line}\n{DONE}\n"));
    assert!(
        chunks.starts_with(&format!(
            r#""delta":{{"role":"assistant","content":"a"}},"logprobs":{{"content":{told}}},"finish_reason":null"#
        )),
        "{chunks}"
    );
    assert!(
        whole.contains(&format!(
            r#","logprobs":{{"content":{told}}},"finish_reason""#
        )),
        "{whole}"
    );
}

#[test]
fn each_end_becomes_exactly_this() {
    let call = r#","tool_calls":[{"id":"c","function":{"name":"f"}}]"#;
    for (calls, done, reason, counts) in [
        (
            "",
            r#""done_reason":"stop","prompt_eval_count":3,"eval_count":4"#,
            "stop",
            (3, 4),
        ),
        (
            "",
            r#""done_reason":"length","eval_count":4"#,
            "length",
            (0, 4),
        ),
        ("", r#""done_reason":"""#, "stop", (0, 0)),
        ("", r#""prompt_eval_count":3"#, "stop", (3, 0)),
        (call, r#""done_reason":"stop""#, "tool_calls", (0, 0)),
        (call, r#""done_reason":"length""#, "length", (0, 0)),
        (
            "",
            r#""done_reason":"content_filter""#,
            "content_filter",
            (0, 0),
        ),
    ] {
        let lines = format!(
            "{{\"message\":{{\"content\":\"a\"{calls}}},\"done\":false}}\n\
             {{\"message\":{{\"content\":\"\"}},\"done\":true,{done}}}\n"
        );
        let (streamed, result) = run(OllamaStream::new("m", 7, true, CAP), &[lines.as_bytes()]);
        result.unwrap();
        let usage = format!(
            r#""usage":{{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{}}}"#,
            counts.0,
            counts.1,
            counts.0 + counts.1
        );
        let head = r#"data: {"id":"ID","object":"chat.completion.chunk","created":7,"model":"m","system_fingerprint":"fp_ollama","choices":["#;
        let end = format!(
            "{head}{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"{reason}\"}}]}}\n\n\
             {head}],{usage}}}\n\ndata: [DONE]\n\n"
        );
        assert!(streamed.ends_with(&end), "{done}: {streamed}");
        let (_, whole) = both(&lines);
        let end = format!(r#","finish_reason":"{reason}"}}],{usage}"#);
        assert!(whole.ends_with(&end), "{done}: {whole}");
    }
}
