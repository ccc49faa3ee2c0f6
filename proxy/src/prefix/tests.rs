//! What is taken out of chat requests, byte by byte.

use super::*;

const ALL: PrefixSettings = PrefixSettings {
    billing_block: true,
    cache_control: true,
    later_system: true,
};

fn becomes(body: &str, settings: PrefixSettings) -> Option<(String, usize)> {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let peek = PeekedBody::of(&body, 64).unwrap();
    let sent = neutralised(&body, &peek, settings)?;
    let text = String::from_utf8(sent.body.to_vec()).unwrap();
    serde_json::from_str::<serde_json::Value>(&text).unwrap();
    Some((text, sent.notes.len()))
}

#[test]
fn cache_control_goes_from_messages_parts_calls_and_tools() {
    const MARK: &str = r#""cache_control": {"type":"ephemeral"}"#;
    for (with, without) in [
        (
            format!(
                r#"{{"messages":[{{"role":"user","content":[{{"type":"text","text":"a",{MARK}}}]}}]}}"#
            ),
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]}]}"#,
        ),
        (
            format!(r#"{{"messages":[{{{MARK} , "role":"user","content":"a"}}]}}"#),
            r#"{"messages":[{"role":"user","content":"a"}]}"#,
        ),
        (
            format!(
                r#"{{"messages":[{{"role":"assistant","tool_calls":[{{"id":"c",{MARK},"function":{{"name":"f"}}}}]}}]}}"#
            ),
            r#"{"messages":[{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f"}}]}]}"#,
        ),
        (
            format!(
                r#"{{"tools":[{{"type":"function",{MARK},"function":{{"name":"f",{MARK}}}}},{{{MARK}}}],"messages":[1]}}"#
            ),
            r#"{"tools":[{"type":"function","function":{"name":"f"}},{}],"messages":[1]}"#,
        ),
    ] {
        assert_eq!(becomes(&with, ALL), Some((without.to_owned(), 1)));
        let off = PrefixSettings {
            cache_control: false,
            ..ALL
        };
        assert_eq!(becomes(&with, off), None);
    }
    // A parameter of a tool, a text and an argument may have that name.
    for same in [
        r#"{"tools":[{"type":"function","function":{"name":"f","parameters":{"properties":{"cache_control":{"type":"string"}}}}}],"messages":[1]}"#,
        r#"{"messages":[{"role":"user","content":"cache_control"}]}"#,
        r#"{"messages":[{"role":"user","content":"\"cache_control\": {}"}]}"#,
        r#"{"messages":7,"tools":{"cache_control":{}}}"#,
        r#"{"messages":[{"role":"user","content":"a"}],"cache_control":{}}"#,
    ] {
        assert_eq!(becomes(same, ALL), None, "{same}");
    }
}

#[test]
fn the_billing_block_goes_from_the_beginning_and_from_nowhere_else() {
    const LINE: &str = "x-anthropic-billing-header: cc_version=2.1; cch=0a1b2;";
    for (with, without) in [
        (
            format!(
                r#"[{{"role":"system","content":"{LINE}\n\nYou are"}},{{"role":"user","content":"a"}}]"#
            ),
            r#"[{"role":"system","content":"You are"},{"role":"user","content":"a"}]"#,
        ),
        (
            format!(r#"[{{"role":"system","content":"{LINE}"}}]"#),
            r#"[{"role":"system","content":""}]"#,
        ),
        (
            format!(
                r#"[{{"role":"system","content":[{{"type":"text","text":"{LINE}"}}, {{"type":"text","text":"b"}}]}}]"#
            ),
            r#"[{"role":"system","content":[{"type":"text","text":"b"}]}]"#,
        ),
        (
            format!(
                r#"[{{"role":"system","content":[{{"type":"text","text":"{LINE}\nb"}},{{"type":"text","text":"c"}}]}}]"#
            ),
            r#"[{"role":"system","content":[{"type":"text","text":"b"},{"type":"text","text":"c"}]}]"#,
        ),
        (
            format!(
                r#"[{{"role":"system","content":[{{"type":"text","text":"{LINE}","cache_control":{{"type":"ephemeral"}}}},{{"type":"text","text":"c"}}]}}]"#
            ),
            r#"[{"role":"system","content":[{"type":"text","text":"c"}]}]"#,
        ),
    ] {
        let found = becomes(&format!(r#"{{"messages":{with}}}"#), ALL);
        let (found, _) = found.unwrap();
        assert_eq!(found, format!(r#"{{"messages":{without}}}"#));
    }
    for same in [
        format!(r#"{{"messages":[{{"role":"user","content":"{LINE}\nx"}}]}}"#),
        format!(r#"{{"messages":[{{"role":"system","content":"a {LINE}\nx"}}]}}"#),
        format!(
            r#"{{"messages":[{{"role":"system","content":"a"}},{{"role":"system","content":"{LINE}"}}]}}"#
        ),
    ] {
        assert_eq!(becomes(&same, ALL), None, "{same}");
    }
}

#[test]
fn a_tagged_reminder_is_not_tagged_again() {
    let tagged = as_user_text("5 tokens left".to_owned());
    assert_eq!(
        tagged,
        "<system-reminder>\n5 tokens left\n</system-reminder>"
    );
    assert_eq!(as_user_text(tagged.clone()), tagged);
}
