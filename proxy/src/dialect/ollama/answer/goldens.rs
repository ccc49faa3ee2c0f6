//! Chat events and completions, and the lines and documents that are made of them. Moments and durations are
//! left out of what is compared.

use super::tests::{streamed, whole};

const END: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
                   data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":3}}\n\n\
                   data: [DONE]\n\n";

fn chat(deltas: &[&str], end: &str) -> String {
    let event = |delta: &&str| {
        format!("data: {{\"choices\":[{{\"delta\":{delta},\"finish_reason\":null}}]}}\n\n")
    };
    deltas.iter().map(event).collect::<String>() + end
}

const LAST: &str = r#"{"model":"m","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","prompt_eval_count":12,"eval_count":3}"#;

#[test]
fn text_and_thinking_keep_the_engines_escapes() {
    let events = chat(
        &[
            r#"{"role":"assistant"}"#,
            r#"{"reasoning_content":"h\u006dm"}"#,
            r#"{"content":"H\u0069\n"}"#,
            r#"{"content":""}"#,
        ],
        END,
    );
    assert_eq!(
        streamed("/api/chat", &events),
        format!(
            "{}\n{}\n{LAST}\n",
            r#"{"model":"m","message":{"role":"assistant","content":"","thinking":"h\u006dm"},"done":false}"#,
            r#"{"model":"m","message":{"role":"assistant","content":"H\u0069\n"},"done":false}"#
        )
    );
    assert_eq!(
        streamed("/api/generate", &events),
        format!(
            "{}\n{}\n{}\n",
            r#"{"model":"m","response":"","thinking":"h\u006dm","done":false}"#,
            r#"{"model":"m","response":"H\u0069\n","done":false}"#,
            r#"{"model":"m","response":"","done":true,"done_reason":"stop","prompt_eval_count":12,"eval_count":3}"#
        )
    );
}

#[test]
fn calls_that_come_in_turn_are_objects_in_one_line_before_the_last() {
    let events = chat(
        &[
            r#"{"content":"I call."}"#,
            r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"b\":"}}]}"#,
            r#"{"tool_calls":[{"index":1,"id":"b","function":{"name":"g","arguments":""}}]}"#,
            r#"{"tool_calls":[{"index":0,"function":{"arguments":"1.50,\"a\":2}"}}]}"#,
        ],
        END,
    );
    assert_eq!(
        streamed("/api/chat", &events),
        format!(
            "{}\n{}\n{LAST}\n",
            r#"{"model":"m","message":{"role":"assistant","content":"I call."},"done":false}"#,
            r#"{"model":"m","message":{"role":"assistant","content":"","tool_calls":[{"id":"a","function":{"index":0,"name":"f","arguments":{"b":1.50,"a":2}}},{"id":"b","function":{"index":1,"name":"g","arguments":{}}}]},"done":false}"#
        )
    );
}

#[test]
fn a_call_that_was_cut_at_the_limit_is_not_sent_and_the_reason_is_length() {
    let end = END.replace("\"stop\"", "\"length\"");
    let events = chat(
        &[
            r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"b\":1}"}}]}"#,
            r#"{"tool_calls":[{"index":1,"id":"b","function":{"name":"g","arguments":"{\"b\":\"ha"}}]}"#,
        ],
        &end,
    );
    let lines = streamed("/api/chat", &events);
    assert!(
        lines.contains(r#""name":"f""#) && !lines.contains(r#""name":"g""#),
        "{lines}"
    );
    assert!(lines.contains(r#""done_reason":"length""#), "{lines}");
}

#[test]
fn probabilities_of_tokens_pass() {
    let events = format!(
        "{}{END}",
        r#"data: {"choices":[{"delta":{"content":"a"},"logprobs":{"content":[{"token":"a","logprob":-0.50,"bytes":[97],"top_logprobs":[]}]}}]}"#
            .to_owned()
            + "\n\n"
    );
    let lines = streamed("/api/chat", &events);
    assert!(
        lines.starts_with(r#"{"model":"m","message":{"role":"assistant","content":"a"},"done":false,"logprobs":[{"token":"a","logprob":-0.50,"bytes":[97],"top_logprobs":[]}]}"#),
        "{lines}"
    );
}

#[test]
fn a_raw_prompts_answer_is_a_response() {
    let events = "data: {\"object\":\"text_completion\",\"choices\":[{\"text\":\" blue\",\"index\":0}]}\n\n\
                  data: {\"choices\":[{\"text\":\"\",\"index\":0,\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}\n\n\
                  data: [DONE]\n\n";
    assert_eq!(
        streamed("/api/generate", events),
        format!(
            "{}\n{}\n",
            r#"{"model":"m","response":" blue","done":false}"#,
            r#"{"model":"m","response":"","done":true,"done_reason":"length","prompt_eval_count":3,"eval_count":1}"#
        )
    );
}

#[test]
fn a_whole_completion_is_one_document() {
    let completion = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"Hi","reasoning_content":"hm","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":12,"completion_tokens":3}}"#;
    assert_eq!(
        whole("/api/chat", completion).unwrap(),
        r#"{"model":"m","message":{"role":"assistant","content":"Hi","thinking":"hm","tool_calls":[{"id":"a","function":{"index":0,"name":"f","arguments":{"a":1}}}]},"done":true,"done_reason":"stop","prompt_eval_count":12,"eval_count":3}"#
    );
    let text = r#"{"object":"text_completion","choices":[{"text":" blue","index":0,"finish_reason":"stop"}]}"#;
    assert_eq!(
        whole("/api/generate", text).unwrap(),
        r#"{"model":"m","response":" blue","done":true,"done_reason":"stop"}"#
    );
    assert!(whole("/api/chat", r#"{"error":"x"}"#).is_err());
}

#[test]
fn vectors_keep_the_text_of_their_numbers() {
    let list = r#"{"object":"list","data":[{"index":0,"embedding":[0.10,-2]},{"index":1,"embedding":[3e-2]}],"usage":{"prompt_tokens":5,"total_tokens":5}}"#;
    assert_eq!(
        whole("/api/embed", list).unwrap(),
        r#"{"model":"m","embeddings":[[0.10,-2],[3e-2]],"prompt_eval_count":5}"#
    );
    assert_eq!(
        whole("/api/embeddings", list).unwrap(),
        r#"{"embedding":[0.10,-2]}"#
    );
    assert!(whole("/api/embed", "{}").is_err());
    assert!(whole("/api/embeddings", r#"{"data":[]}"#).is_err());
}

#[test]
fn calls_with_arguments_of_several_lines_stand_in_one_line() {
    let in_one = [
        r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\n  \"a\": 1,\r\n  \"t\": \"x\\ny\u2028\"\r\n}"}}]}"#,
    ];
    let in_several = [
        r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\n "}}]}"#,
        r#"{"tool_calls":[{"index":0,"function":{"arguments":" \"a\": 1,\r"}}]}"#,
        "{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"\\n  \\\"t\\\": \\\"x\\\\ny\u{2028}\\\"\\r\\n}\"}}]}",
    ];
    for deltas in [&in_one[..], &in_several] {
        assert_eq!(
            streamed("/api/chat", &chat(deltas, END)),
            format!(
                "{}\n{LAST}\n",
                r#"{"model":"m","message":{"role":"assistant","content":"","tool_calls":[{"id":"a","function":{"index":0,"name":"f","arguments":{  "a": 1,  "t": "x\ny\u2028"}}}]},"done":false}"#
            )
        );
    }
}

#[test]
fn characters_at_which_clients_split_lines_are_escaped_in_texts() {
    let events = chat(
        &[
            "{\"reasoning_content\":\"h\u{2029}m\"}",
            "{\"content\":\"a\u{2028}b\u{85}\u{2026}\"}",
        ],
        END,
    );
    let lines = streamed("/api/chat", &events);
    assert!(
        lines.contains(r#""thinking":"h\u2029m""#)
            && lines.contains("\"content\":\"a\\u2028b\\u0085\u{2026}\""),
        "{lines}"
    );
    let lines = streamed("/api/generate", &events);
    assert!(
        lines.contains(r#""thinking":"h\u2029m""#)
            && lines.contains("\"response\":\"a\\u2028b\\u0085\u{2026}\""),
        "{lines}"
    );
}

#[test]
fn a_whole_completion_of_several_lines_becomes_one() {
    let completion = "{\n\"choices\":[{\n\"message\":{\"content\":\"a\u{2028}\",\"tool_calls\":[{\"id\":\"a\",\n\"function\":{\"name\":\"f\u{85}\",\"arguments\":\"{\\n}\"}}]},\"logprobs\":{\"content\":[{\n\"token\":\"a\u{2029}\",\r\n\"logprob\":-0.50\n}]},\"finish_reason\":\"stop\"}]}";
    assert_eq!(
        whole("/api/chat", completion).unwrap(),
        r#"{"model":"m","message":{"role":"assistant","content":"a\u2028","tool_calls":[{"id":"a","function":{"index":0,"name":"f\u0085","arguments":{}}}]},"done":true,"done_reason":"stop","logprobs":[{"token":"a\u2029","logprob":-0.50}]}"#
    );
}
