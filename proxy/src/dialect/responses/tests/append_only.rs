//! What is written for a turn of a conversation stands unchanged at the beginning of what is written
//! for the next one, so that an engine reads only what is new.

use proptest::prelude::*;
use serde_json::{Value, json, value::RawValue};

use super::read;

/// Returns the elements of a list of the chat request, as they are sent.
fn elements(body: &[u8], name: &str) -> Vec<String> {
    let members: std::collections::HashMap<&str, &RawValue> =
        serde_json::from_slice(body).expect("an object");
    let Some(list) = members.get(name) else {
        return Vec::new();
    };
    let list: Vec<&RawValue> = serde_json::from_str(list.get()).expect("a list");
    list.iter()
        .map(|element| element.get().to_owned())
        .collect()
}

fn text() -> impl Strategy<Value = String> {
    ".{0,12}"
}

/// The items of an assistant's turn with the results of its calls, by the ids from `first` on.
fn turn(first: usize) -> impl Strategy<Value = Vec<Value>> {
    let kinds = prop::collection::vec((0_u8..6, text()), 0..5);
    kinds.prop_map(move |kinds| {
        let mut items = Vec::new();
        let mut results = Vec::new();
        for (at, (kind, text)) in kinds.into_iter().enumerate() {
            let id = format!("call_{}", first + at);
            match kind {
                0 => items.push(json!({"type": "reasoning", "id": "rs", "content": null,
                    "summary": [{"type": "summary_text", "text": text}]})),
                1 => items.push(json!({"type": "message", "role": "assistant",
                    "content": [{"type": "output_text", "text": text}]})),
                2 => items.push(json!({"type": "web_search_call", "id": "ws"})),
                3 => {
                    items.push(json!({"type": "custom_tool_call", "call_id": id, "name": "patch", "input": text}));
                    results.push(json!({"type": "custom_tool_call_output", "call_id": id, "output": "ok"}));
                }
                _ => {
                    items.push(json!({"type": "function_call", "call_id": id, "name": "close",
                        "namespace": "agents", "arguments": json!({"a": text}).to_string()}));
                    results.push(json!({"type": "function_call_output", "call_id": id,
                        "output": [{"type": "input_text", "text": text}]}));
                }
            }
        }
        // In another order than the calls.
        results.reverse();
        items.extend(results);
        items
    })
}

/// A conversation: its first items, then turns with the user's next text, or with a developer's.
fn conversation() -> impl Strategy<Value = (Vec<Value>, Vec<Vec<Value>>)> {
    let said = |role: &'static str| {
        text().prop_map(
            move |text| json!({"role": role, "content": [{"type": "input_text", "text": text}]}),
        )
    };
    let first = (prop::collection::vec(said("developer"), 0..3), said("user"));
    let turns: Vec<_> = (0..4)
        .map(|at| {
            let next = prop_oneof![said("user"), said("developer")];
            (turn(10 * at), prop::option::of(next))
        })
        .collect();
    (first, turns).prop_map(|((mut first, user), turns)| {
        first.push(user);
        let turns = turns.into_iter().map(|(mut items, next)| {
            let ends_open = items.last().is_none_or(|item| {
                !item["type"]
                    .as_str()
                    .is_some_and(|kind| kind.ends_with("_output"))
            });
            // A request never ends with what the assistant is still writing.
            items.extend(
                next.or_else(|| ends_open.then(|| json!({"role": "user", "content": "go on"}))),
            );
            items
        });
        (first, turns.collect())
    })
}

fn tools(more: bool) -> Value {
    let mut tools = vec![
        json!({"type": "function", "name": "exec", "parameters": {"type": "object", "properties": {"z": {}, "a": {}}}}),
        json!({"type": "namespace", "name": "agents", "tools": [{"type": "function", "name": "close"}]}),
        json!({"type": "custom", "name": "patch"}),
    ];
    if more {
        tools.push(json!({"type": "function", "name": "added"}));
    }
    tools.into()
}

proptest! {
    #[test]
    fn every_turn_begins_with_the_one_before((first, turns) in conversation()) {
        let mut input = first;
        let mut before: Option<(Vec<String>, Vec<String>)> = None;
        for (at, turn) in std::iter::once(Vec::new()).chain(turns).enumerate() {
            input.extend(turn);
            let body = json!({"model": "m", "instructions": "be", "input": input, "tools": tools(at > 2)});
            let chat = read(&body.to_string()).unwrap();
            let now = (elements(&chat.body, "messages"), elements(&chat.body, "tools"));
            if let Some(before) = &before {
                prop_assert!(now.0.starts_with(&before.0), "{:?}\n{:?}", before.0, now.0);
                prop_assert!(now.1.starts_with(&before.1));
            }
            before = Some(now);
        }
    }
}
