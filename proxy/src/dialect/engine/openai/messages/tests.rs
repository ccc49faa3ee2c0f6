use serde_json::{Value, json};

use super::*;
use crate::dialect::engine::openai::quirks::{LLAMA_CPP, LM_STUDIO, OPENAI_COMPATIBLE};

fn becomes(messages: &str, quirks: &OpenAiQuirks) -> String {
    let list = format!("[ {messages} ]");
    let rewritten = rewrite_messages(&list, quirks);
    let text = rewritten.list.unwrap_or(list);
    serde_json::from_str::<Value>(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let inner = text.strip_prefix("[ ").unwrap().strip_suffix(" ]");
    inner.unwrap().to_owned()
}

#[test]
fn what_every_engine_knows_keeps_its_bytes() {
    for messages in [
        r#"{ "role" : "user","content":"a\u00e9" , "x":1.0}"#,
        r#"{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{ \"n\":12345678901234567890123, \"e\":1.0}"}}]}"#,
        r#"{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]}"#,
        r#"{"role":"user","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}]}"#,
        r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB","detail":"low"}}]}"#,
        r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,QUJD"}}]}"#,
        r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://host/x.png"}}]}"#,
        r#"{"role":"user","content":[{"type":"video_url","video_url":{"url":"x"}}]}"#,
        r#"{"role":"user","content":7},8,"x""#,
    ] {
        for quirks in [&LM_STUDIO, &LLAMA_CPP, &OPENAI_COMPATIBLE] {
            assert_eq!(becomes(messages, quirks), messages, "{:?}", quirks.kind);
        }
    }
}

#[test]
fn what_engines_refuse_is_written_in_their_way() {
    let call = |function: &str| {
        format!(
            r#"{{"role":"assistant","content":"","tool_calls":[{{"type":"function","function":{{"name":"f"{function}}}}}]}}"#
        )
    };
    let own = |text: &str| text.to_owned();
    for (messages, is) in [
        (
            own(r#"{"role":"tool"}"#),
            own(r#"{"role":"tool","content":""}"#),
        ),
        (own("{}"), own(r#"{"content":""}"#)),
        (
            own(
                r#"{"role":"user","content":[ ]},{"role":"system","content" : null},{"role":"assistant","content":null}"#,
            ),
            own(
                r#"{"role":"user","content":""},{"role":"system","content" : ""},{"role":"assistant","content":""}"#,
            ),
        ),
        (call(""), call(r#","arguments":"{}""#)),
        (call(r#","arguments":null"#), call(r#","arguments":"{}""#)),
        (call(r#","arguments":"""#), call(r#","arguments":"{}""#)),
        (
            call(r#","arguments":"{\"a\":""#),
            call(r#","arguments":"{\"arguments\":\"{\\\"a\\\":\"}""#),
        ),
        (
            call(r#","arguments":"[1]""#),
            call(r#","arguments":"{\"arguments\":[1]}""#),
        ),
        (
            own(
                r#"{"role":"assistant","content":"a","tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}"#,
            ),
            own(
                r#"{"role":"assistant","content":"a","tool_calls":[{"function":{"name":"f","arguments":"{}"},"type":"function"}]}"#,
            ),
        ),
    ] {
        for quirks in [&LM_STUDIO, &LLAMA_CPP, &OPENAI_COMPATIBLE] {
            assert_eq!(becomes(&messages, quirks), is, "{:?}", quirks.kind);
        }
    }
}

#[test]
fn nulls_parts_and_images_are_written_in_their_way() {
    let png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB";
    let url = |url: &str| {
        format!(
            r#"{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"{url}"}}}}]}}"#
        )
    };
    let plain = url(&format!("data:image/png;base64,{png}"));
    let call = |function: &str| {
        format!(
            r#"{{"role":"assistant","content":"","tool_calls":[{{"type":"function","function":{{"name":"f"{function}}}}}]}}"#
        )
    };
    let own = |text: &str| text.to_owned();
    for (messages, is) in [
        (
            own(
                r#"{"name":null,"role":"user","refusal":null,"content":"a","x":null , "tool_calls": null}"#,
            ),
            own(r#"{"role":"user","content":"a"}"#),
        ),
        (
            own(
                r#"{"role":"assistant","content":null,"name":null,"tool_calls":[{"id":null,"type":"function","function":{"name":"f","arguments":"{}"},"index":null}]}"#,
            ),
            own(
                r#"{"role":"assistant","content":null,"tool_calls":[{"type":"function","function":{"name":"f","arguments":"{}"}}]}"#,
            ),
        ),
        (
            own(
                r#"{"role":"assistant","content":[{"type":"thinking","thinking":"t"},{"type":"refusal","refusal":"no"},{"type":"text","text":"a"},{"type":"text","text":null},"b",null]}"#,
            ),
            own(
                r#"{"role":"assistant","content":[{"type":"text","text":"no"},{"type":"text","text":"a"},{"type":"text","text":""},{"type":"text","text":"b"}],"reasoning_content":"t"}"#,
            ),
        ),
        (
            own(r#"{"role":"assistant","content":[{"type":"thinking","thinking":"t"}]}"#),
            own(r#"{"role":"assistant","content":"","reasoning_content":"t"}"#),
        ),
        (
            own(
                r#"{"role":"user","content":[{"type":"input_text","text":"a"},{"type":"output_text","text":"b"}]}"#,
            ),
            own(
                r#"{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}"#,
            ),
        ),
        (url(&format!("DATA:IMAGE/PNG;BASE64,{png}")), plain.clone()),
        (
            url(&format!("data:application/octet-stream;base64,{png}")),
            plain.clone(),
        ),
        (
            url(&format!("data:image/png;charset=utf-8;base64,{png}")),
            plain.clone(),
        ),
        (url(png), plain.clone()),
        (
            format!(
                r#"{{"role":"user","content":[{{"type":"input_image","image_url":"data:image/png;base64,{png}"}}]}}"#
            ),
            plain.clone(),
        ),
    ] {
        for quirks in [&LM_STUDIO, &LLAMA_CPP, &OPENAI_COMPATIBLE] {
            assert_eq!(becomes(&messages, quirks), is, "{:?}", quirks.kind);
        }
    }
    let object = call(r#","arguments":{"n":1.0}"#);
    assert_eq!(becomes(&object, &LLAMA_CPP), object);
    let text = call(r#","arguments":"{\"n\":1.0}""#);
    for quirks in [&LM_STUDIO, &OPENAI_COMPATIBLE] {
        assert_eq!(becomes(&object, quirks), text);
    }
}

#[test]
fn forms_of_other_clients_become_those_that_templates_know() {
    let custom = r#"{"role":"assistant","content":"","tool_calls":[{"id":"c","type":"custom","custom":{"name":"p","input":"a b"}}]}"#;
    for (messages, is) in [
        (
            r#"{"role":"user","content":{"type":"text","text":"a"}}"#,
            r#"{"role":"user","content":[{"type":"text","text":"a"}]}"#,
        ),
        (
            r#"{"role":"tool","content":"a","tool_call_id":7}"#,
            r#"{"role":"tool","content":"a","tool_call_id":"7"}"#,
        ),
        (
            r#"{"role":"assistant","content":"","tool_calls":[{"id":7,"type":"function","function":{"name":"f","arguments":"{}"}}]}"#,
            r#"{"role":"assistant","content":"","tool_calls":[{"id":"7","type":"function","function":{"name":"f","arguments":"{}"}}]}"#,
        ),
        (
            r#"{"role":"user","content":[{"type":"tool_result","content":"a"}]}"#,
            r#"{"role":"user","content":[{"type":"text","text":"a"}]}"#,
        ),
        (
            custom,
            r#"{"role":"assistant","content":"","tool_calls":[{"id":"c","type":"function","function":{"name":"p","arguments":"{\"arguments\":\"a b\"}"}}]}"#,
        ),
    ] {
        for quirks in [&LM_STUDIO, &LLAMA_CPP] {
            assert_eq!(becomes(messages, quirks), is, "{:?}", quirks.kind);
        }
    }
    assert_eq!(becomes(custom, &OPENAI_COMPATIBLE), custom);
}

#[test]
fn what_was_bent_is_said_once_and_the_ids_are_known() {
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{"}});
    let messages = json!([
        {"role": "assistant", "content": "", "tool_calls": [call("a"), call("b")]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
    ]);
    let rewritten = rewrite_messages(&messages.to_string(), &LLAMA_CPP);
    assert_eq!(rewritten.notes.len(), 2, "{:?}", rewritten.notes);
    assert_eq!(rewritten.call_ids, ["a", "b"].map(str::to_owned).into());
}
