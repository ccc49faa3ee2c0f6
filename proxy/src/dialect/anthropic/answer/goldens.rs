//! Chat events and the events of messages that they become; whole answers likewise.

use super::tests::{streamed, whole};

/// A stream of chat events with these data.
fn stream(data: &[&str]) -> String {
    let lines: Vec<String> = data
        .iter()
        .map(|data| format!("data: {data}\n\n"))
        .collect();
    lines.concat()
}

fn delta(delta: &str) -> String {
    format!(r#"{{"choices":[{{"index":0,"delta":{{{delta}}},"finish_reason":null}}]}}"#)
}

fn finish(reason: &str) -> String {
    format!(r#"{{"choices":[{{"index":0,"delta":{{}},"finish_reason":"{reason}"}}]}}"#)
}

/// Asserts the data of the events behind `message_start` for these chat events.
#[track_caller]
fn becomes(chat: &[String], events: &[&str]) {
    let chat: Vec<&str> = chat.iter().map(String::as_str).chain(["[DONE]"]).collect();
    let out = streamed(&stream(&chat));
    let mut data = out.lines().filter_map(|line| line.strip_prefix("data: "));
    assert_eq!(
        data.next(),
        Some(
            r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":7,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}}"#
        )
    );
    assert_eq!(data.collect::<Vec<_>>(), events);
    for (name, line) in out.lines().zip(out.lines().skip(1)) {
        if let Some(name) = name.strip_prefix("event: ") {
            assert!(
                line.starts_with(&format!(r#"data: {{"type":"{name}""#)),
                "{line}"
            );
        }
    }
}

const END: &str = r#"{"type":"message_stop"}"#;

#[test]
fn text_becomes_one_block_and_cached_tokens_are_counted_apart() {
    becomes(
        &[
            delta(r#""role":"assistant","content":"""#),
            delta(r#""content":"H\u00ed""#),
            delta(r#""content":" there""#),
            finish("stop"),
            r#"{"choices":[],"usage":{"prompt_tokens":20,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":12}}}"#.to_owned(),
        ],
        &[
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"H\u00ed"}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" there"}}"#,
            r#"{"type":"content_block_stop","index":0}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"input_tokens":8,"cache_creation_input_tokens":0,"cache_read_input_tokens":12,"output_tokens":4}}"#,
            END,
        ],
    );
}

#[test]
fn thinking_is_a_block_with_a_signature_before_the_text_and_the_calls() {
    becomes(
        &[
            delta(r#""reasoning_content":"hm""#),
            delta(r#""content":"Look""#),
            delta(
                r#""tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}]"#,
            ),
            delta(r#""tool_calls":[{"index":0,"function":{"arguments":"{\"x\":"}}]"#),
            delta(r#""tool_calls":[{"index":0,"function":{"arguments":"\"}\"}"}}]"#),
            finish("tool_calls"),
        ],
        &[
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"crucible"}}"#,
            r#"{"type":"content_block_stop","index":0}"#,
            r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#,
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Look"}}"#,
            r#"{"type":"content_block_stop","index":1}"#,
            r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"call_1","name":"f","input":{}}}"#,
            r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"x\":"}}"#,
            r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"\"}\"}"}}"#,
            r#"{"type":"content_block_stop","index":2}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"input_tokens":7,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}"#,
            END,
        ],
    );
}

/// The blocks of a stream in short: what each holds, and the reason of the end.
fn blocks(chat: &[String]) -> (Vec<String>, String) {
    let chat: Vec<&str> = chat.iter().map(String::as_str).chain(["[DONE]"]).collect();
    let message = super::tests::accumulated(&streamed(&stream(&chat)));
    let blocks = message["content"].as_array().unwrap();
    let short = |block: &serde_json::Value| match block["type"].as_str() {
        Some("text") => format!("text {}", block["text"].as_str().unwrap()),
        Some("thinking") => format!("thinking {}", block["thinking"].as_str().unwrap()),
        _ => format!(
            "{} {}",
            block["name"].as_str().unwrap(),
            block["json"].as_str().unwrap()
        ),
    };
    (
        blocks.iter().map(short).collect(),
        message["stop_reason"].as_str().unwrap().to_owned(),
    )
}

fn call(index: u64, id: &str, name: &str, arguments: &str) -> String {
    let mut call = serde_json::json!({"index": index, "function": {"arguments": arguments}});
    if !id.is_empty() {
        call["id"] = id.into();
        call["function"]["name"] = name.into();
    }
    delta(&format!(r#""tool_calls":[{call}]"#))
}

#[test]
fn calls_come_one_behind_the_other_however_the_engine_sends_them() {
    for (chat, expected) in [
        (
            vec![
                call(0, "a", "f", "{\"x\""),
                call(1, "b", "g", "{\"y\""),
                call(0, "", "", ":1}"),
                call(1, "", "", ":2}"),
                delta(r#""content":"late""#),
            ],
            &[r#"f {"x":1}"#, r#"g {"y":2}"#, "text late"][..],
        ),
        // All are numbered 0.
        (
            vec![call(0, "a", "f", "{}"), call(0, "b", "g", "{\"y\":2}")],
            &["f {}", r#"g {"y":2}"#],
        ),
        // One without arguments, and text before it is whole.
        (
            vec![
                call(0, "a", "f", ""),
                delta(r#""content":"within""#),
                call(1, "b", "g", "{}"),
            ],
            &["f ", "g {}", "text within"],
        ),
        // What is no object becomes one.
        (
            vec![
                call(0, "a", "f", "[1,"),
                call(0, "", "", "2]"),
                call(1, "b", "g", r#""{\"a\":1}""#),
                call(2, "c", "h", "not json"),
            ],
            &[
                r#"f {"arguments":[1,2]}"#,
                r#"g {"a":1}"#,
                r#"h {"arguments":"not json"}"#,
            ],
        ),
        // Not as a text, but as an object.
        (
            vec![delta(
                r#""tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":{"x":"}"}}}]"#,
            )],
            &[r#"f {"x":"}"}"#],
        ),
    ] {
        let (found, reason) = blocks(&[chat.clone(), vec![finish("stop")]].concat());
        assert_eq!(found, expected, "{chat:?}");
        assert_eq!(reason, "tool_use");
    }
}

#[test]
fn a_message_says_why_it_ended() {
    let text = || delta(r#""content":"x""#);
    for (chat, reason) in [
        (vec![text(), finish("stop")], "end_turn"),
        (vec![text(), finish("length")], "max_tokens"),
        (vec![text(), finish("content_filter")], "refusal"),
        (vec![delta(r#""refusal":"no""#), finish("stop")], "refusal"),
        (vec![call(0, "a", "f", "{}"), finish("stop")], "tool_use"),
        (vec![call(0, "a", "f", "{}"), finish("length")], "tool_use"),
        (
            vec![call(0, "a", "f", "{\"x\":"), finish("length")],
            "max_tokens",
        ),
        (
            vec![
                text(),
                r#"{"choices":[{"delta":{},"finish_reason":"stop","stop_reason":"END"}]}"#
                    .to_owned(),
            ],
            "stop_sequence",
        ),
        (
            vec![
                text(),
                r#"{"choices":[{"delta":{},"finish_reason":"stop","stop_reason":128001}]}"#
                    .to_owned(),
            ],
            "end_turn",
        ),
    ] {
        assert_eq!(blocks(&chat).1, reason, "{chat:?}");
    }
}

#[test]
fn whole_answers_become_whole_messages() {
    for (completion, message) in [
        (
            r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"H\u00ed"},"finish_reason":"stop"}],"usage":{"prompt_tokens":20,"completion_tokens":4},"timings":{"cache_n":12}}"#,
            r#"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"H\u00ed"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":8,"cache_creation_input_tokens":0,"cache_read_input_tokens":12,"output_tokens":4}}"#,
        ),
        (
            r#"{"choices":[{"message":{"content":null,"reasoning_content":"hm","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{\"z\": 1.50}"}},{"id":"b","function":{"name":"g","arguments":"[1]"}}]},"finish_reason":"stop"}]}"#,
            r#"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"thinking","thinking":"hm","signature":"crucible"},{"type":"tool_use","id":"a","name":"f","input":{"z": 1.50}},{"type":"tool_use","id":"b","name":"g","input":{"arguments":[1]}}],"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":7,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}"#,
        ),
        (
            r#"{"choices":[{"message":{"content":"","refusal":"no"},"finish_reason":"stop"}]}"#,
            r#"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"no"}],"stop_reason":"refusal","stop_sequence":null,"usage":{"input_tokens":7,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}"#,
        ),
    ] {
        assert_eq!(whole(completion).unwrap(), message);
    }
    for bad in ["{}", "[]", r#"{"choices":[]}"#, "x"] {
        assert!(whole(bad).is_err(), "{bad}");
    }
}
