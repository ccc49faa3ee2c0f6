//! Differences of turns, as a person reads them.

use std::time::Instant;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn of(old: &Value, new: &Value) -> TurnDifferenceDoc {
    let (old, new) = (old.to_string(), new.to_string());
    let compared = ComparedBodies::Sent;
    difference(&"before".into(), compared, (&old, &new), None).unwrap()
}

fn message(role: &str, text: &str) -> Value {
    json!({ "role": role, "content": text })
}

#[test]
fn a_turn_that_adds_to_the_one_before_breaks_nothing() {
    let old = json!({ "messages": [message("system", "s"), message("user", "a")] });
    let new = json!({ "messages": [
        message("system", "s"), message("user", "a"), message("assistant", "b"), message("user", "c"),
    ] });
    let found = of(&old, &new);
    assert_eq!(found.summary, "2 messages unchanged; 2 added");
    assert_eq!(found.broken_at, None);
    assert_eq!(of(&old, &old).summary, "2 messages unchanged");
    // A person took an answer back.
    assert_eq!(of(&new, &old).summary, "2 messages unchanged; 2 gone");
    assert_eq!(of(&new, &old).broken_at, None);
}

#[test]
fn a_clock_in_the_first_line_is_found_with_what_it_costs() {
    let system = |time: &str| format!("You are an agent. It is {time}.\n{}", "rule ".repeat(400));
    let old = json!({ "messages": [message("system", &system("10:15:01")), message("user", "a")] });
    let new = json!({ "messages": [
        message("system", &system("10:15:09")), message("user", "a"), message("assistant", "b"),
        message("user", "c"),
    ] });
    let found = of(&old, &new);
    let (old, new) = (&found.changes[0].before, &found.changes[0].after);
    assert!(
        old.starts_with("…agent. It is 10:15:01.\\nrule") && old.ends_with("rule …"),
        "{old}"
    );
    assert!(new.starts_with("…agent. It is 10:15:09.\\nrule"), "{new}");
    assert_eq!(
        found.summary,
        format!(
            "1 message unchanged; the system prompt (message 1) changed at character 32: '{old}' -> '{new}'; 2 added"
        )
    );
    let broken = found.broken_at.unwrap();
    assert_eq!(broken.piece, "the system prompt (message 1)");
    assert_eq!(broken.character, Some(32));
    assert!(
        broken.tokens_before < 20 && broken.tokens_read_again > 450,
        "{broken:?}"
    );
}

#[test]
fn messages_that_went_and_moved_are_told_from_those_that_changed() {
    let old = json!({ "messages": [
        message("user", "a"), message("assistant", "b"), message("tool", "long"), message("assistant", "d"),
        message("user", "e"),
    ] });
    let new = json!({ "messages": [
        message("user", "a"), message("assistant", "b"), message("assistant", "d"), message("user", "e"),
        message("assistant", "f"), message("user", "g"),
    ] });
    let found = of(&old, &new);
    assert_eq!(found.summary, "4 messages unchanged; 1 gone; 2 added");
    assert_eq!(found.changes[0].piece, "message 3 (tool)");
    assert_eq!(found.broken_at.unwrap().piece, "message 3 (assistant)");
}

#[test]
fn tools_and_settings_are_compared_by_name() {
    let tool = |name: &str, text: &str| json!({ "type": "function", "function": { "name": name, "description": text } });
    let body = |tools: Vec<Value>, temperature: f64| json!({ "model": "m", "temperature": temperature, "tools": tools, "messages": [message("user", "a")] });
    let (a, b, c) = (tool("a", "1"), tool("b", "1"), tool("c", "1"));
    let old = body(vec![a.clone(), b.clone()], 0.2);
    let reordered = of(&old, &body(vec![b.clone(), a.clone()], 0.7));
    assert_eq!(reordered.summary, "tools: re-ordered; 1 message unchanged");
    assert_eq!(reordered.settings, ["temperature 0.2 -> 0.7"]);
    assert_eq!(reordered.broken_at.unwrap().piece, "tool 1 (b)");
    let other = of(&old, &body(vec![a, tool("b", "2"), c], 0.2));
    assert_eq!(
        other.summary,
        "tools: c added, b changed; 1 message unchanged"
    );
    assert!(other.settings.is_empty());
    let gone = of(
        &old,
        &json!({ "model": "m", "temperature": 0.2, "messages": [message("user", "a")] }),
    );
    assert_eq!(gone.summary, "tools: a, b gone; 1 message unchanged");
}

#[test]
fn a_setting_that_the_template_may_write_into_the_prompt_takes_the_promise_away() {
    let body = |more: Value| {
        let mut body = json!({ "temperature": 0.2, "messages": [message("user", "a")] });
        let members = body.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        body
    };
    for (name, old, new) in [
        (
            "chat_template_kwargs",
            json!({ "enable_thinking": true }),
            json!({ "enable_thinking": false }),
        ),
        ("enable_thinking", json!(true), json!(false)),
        ("format", json!("json"), json!({ "type": "object" })),
        ("reasoning_effort", json!("low"), json!("high")),
        (
            "response_format",
            json!({ "type": "text" }),
            json!({ "type": "json_object" }),
        ),
        ("think", json!(true), json!(false)),
        ("tool_choice", json!("auto"), json!("none")),
    ] {
        let found = of(
            &body(json!({ name: old })),
            &body(json!({ name: new.clone() })),
        );
        assert_eq!(found.broken_at, None);
        let warning = found.template_warning.unwrap();
        assert!(
            warning.starts_with(&format!("{name} changed since")),
            "{warning}"
        );
        let start = format!("{name} changed, which may be part of the prompt; 1 message unchanged");
        assert_eq!(found.summary, start);
        let absent = of(&body(json!({})), &body(json!({ name: new })));
        assert!(absent.template_warning.is_some());
    }
    let other = of(&body(json!({ "seed": 1 })), &body(json!({ "seed": 2 })));
    assert_eq!(other.template_warning, None);
}

#[test]
fn of_many_changed_settings_the_number_of_the_others_is_told() {
    let body = |value: u8| {
        Value::Object(
            (0..11)
                .map(|at| (format!("s{at:02}"), json!(value)))
                .collect(),
        )
    };
    let found = of(&body(1), &body(2));
    assert_eq!(found.settings.len(), 9);
    assert_eq!(found.settings[0], "s00 1 -> 2");
    assert_eq!(found.settings[8], "and 3 more");
}

#[test]
fn of_many_tools_the_number_of_the_others_is_told() {
    let body = |names: std::ops::Range<u8>, text: &str| {
        let tools = names
            .map(|at| json!({ "function": { "name": format!("t{at:02}"), "description": text } }));
        json!({ "tools": tools.collect::<Vec<_>>(), "messages": [message("user", "a")] })
    };
    let shown = "t00, t01, t02, t03, t04, t05, t06, t07";
    let none = body(0..0, "");
    let found = of(&none, &body(0..11, "1"));
    assert_eq!(
        found.summary,
        format!("tools: {shown}, and 3 more added; 1 message unchanged")
    );
    let found = of(&body(0..9, "1"), &body(0..9, "2"));
    assert_eq!(
        found.summary,
        format!("tools: {shown}, and 1 more changed; 1 message unchanged")
    );
    let found = of(&body(0..8, "1"), &none);
    assert_eq!(
        found.summary,
        format!("tools: {shown} gone; 1 message unchanged")
    );
}

#[test]
fn the_forms_of_other_apis_are_read_too() {
    let block = |text: &str| json!({ "type": "text", "text": text });
    let old = json!({ "system": [block("one"), block("two")], "messages": [{ "role": "user", "content": [block("a")] }] });
    let new = json!({ "system": [block("one"), block("twO")], "messages": [{ "role": "user", "content": [block("a")] }] });
    let found = of(&old, &new);
    assert_eq!(
        found.summary,
        "block 2 of the system prompt changed at character 3; 1 message unchanged"
    );
    let old = json!({ "instructions": "i", "input": [{ "type": "message", "role": "user", "content": [block("abc")] }] });
    let new = json!({ "instructions": "i", "input": [{ "type": "message", "role": "user", "content": [block("abd")] }] });
    let found = of(&old, &new);
    assert_eq!(
        found.summary,
        "message 1 (user) changed at character 3: 'abc' -> 'abd'"
    );
    // A prompt that grows goes on.
    let found = of(&json!({ "prompt": "abc" }), &json!({ "prompt": "abcd" }));
    assert_eq!(found.broken_at, None);
    for none in ["", "[]", "7", "{", "{\"a\""] {
        let compared = ComparedBodies::Sent;
        assert!(
            difference(&"x".into(), compared, (none, "{}"), None).is_none(),
            "{none}"
        );
    }
}

#[test]
fn nothing_that_a_terminal_acts_on_is_in_an_excerpt() {
    let old = json!({ "messages": [message("user", "a\u{1b}[31m\u{202e}")] });
    let new = json!({ "messages": [message("user", "b\u{1b}[31m\u{202e}\n")] });
    let found = of(&old, &new);
    assert_eq!(found.changes[0].after, "b\\u001b[31m\\u202e\\n");
    for c in
        "\u{61c}\u{200b}\u{200d}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{2066}\u{2069}\u{fe0f}\u{feff}"
            .chars()
    {
        let shown = printable::printable(&format!("a{c}b"));
        assert_eq!(shown, format!("a\\u{:04x}b", u32::from(c)));
    }
}

#[test]
fn bodies_of_30_mb_take_bounded_time_and_room() {
    let long = "wörd ".repeat(2_500_000);
    for (count, text) in [
        (2, &*long),
        (40_000, "some text of a message, again and again"),
    ] {
        let body = |mark: &str| {
            let messages = (0..count).map(|at| message("user", &format!("{text}{at}{mark}")));
            let messages: Vec<_> = messages.collect();
            json!({ "messages": messages }).to_string()
        };
        let (old, new) = (body("a"), body("b"));
        let began = Instant::now();
        let compared = ComparedBodies::Sent;
        let found = difference(&"x".into(), compared, (&old, &new), None).unwrap();
        assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
        assert_eq!(found.changed, count);
        let length = serde_json::to_string(&found).unwrap().len();
        assert!(length < 16_000, "{length}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        "system|user|assistant|tool".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        let key = prop_oneof![
            "role|content|text|type|name|function|messages|tools|system|input|prompt|instructions",
            ".{0,6}",
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec((key, inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_two_bodies_are_compared_and_counts_add_up(
        old in any_json(), new in any_json(), tokens in proptest::option::of(any::<u64>()),
    ) {
        let (old, new) = (json!({ "messages": old }), json!({ "messages": new }));
        let (old, new) = (old.to_string(), new.to_string());
        let compared = ComparedBodies::Received;
        let found = difference(&"x".into(), compared, (&old, &new), tokens).unwrap();
        let (before, after) = (TurnParts::of(&old).unwrap(), TurnParts::of(&new).unwrap());
        prop_assert_eq!(found.unchanged + found.changed + found.removed, before.messages.len());
        prop_assert_eq!(found.unchanged + found.changed + found.added, after.messages.len());
        prop_assert!(found.changes.len() <= MOST_CHANGES);
        for change in &found.changes {
            prop_assert!(change.before.chars().count() <= 70 * 6);
            prop_assert!(change.after.chars().count() <= 70 * 6);
        }
    }

    #[test]
    fn any_text_is_no_reason_to_panic(old in ".{0,200}", new in any_json()) {
        let compared = ComparedBodies::Sent;
        let new = new.to_string();
        let _ = difference(&"x".into(), compared, (&old, &new), Some(7));
        let _ = difference(&"x".into(), compared, (&new, &old), None);
    }
}
