//! The prompt of a turn begins with that of the turn before, byte for byte.

use crucible_config::{
    Config,
    checked::{EngineKind, RequestDefaults},
};
use crucible_router::{catalog::Capabilities, engine::LoadTuple};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::tests::{elements, read, written};
use crate::dialect::engine::{EngineTarget, format_of};

/// The body that an engine of a kind gets for a request.
fn sent(kind: EngineKind, body: &str) -> String {
    let chat = read(body).unwrap();
    let (tuple, defaults) = (LoadTuple::default(), RequestDefaults::default());
    let target = EngineTarget {
        context: None,
        model: "m",
        instance: "m",
        tuple: &tuple,
        defaults: &defaults,
        prefix: Config::builtin().prefix,
        capabilities: &Capabilities::default,
        event_limit: 1 << 20,
    };
    let Ok(call) = format_of(kind).write(&chat, &target) else {
        panic!("{kind:?} refuses {body}");
    };
    String::from_utf8(call.body.to_vec()).unwrap()
}

const KINDS: [EngineKind; 4] = [
    EngineKind::Lmstudio,
    EngineKind::Ollama,
    EngineKind::Llamacpp,
    EngineKind::Openai,
];

/// The three turns of one conversation of Claude Code, and two with parallel calls, as they were recorded;
/// the billing block differs and `cache_control` moves.
const RECORDED: [&[&str]; 2] = [
    &[
        include_str!("../../../../../fuzz/corpus/messages_request/claude_code_turn_1.json"),
        include_str!("../../../../../fuzz/corpus/messages_request/claude_code_turn_2.json"),
        include_str!("../../../../../fuzz/corpus/messages_request/claude_code_turn_3.json"),
    ],
    &[
        include_str!("../../../../../fuzz/corpus/messages_request/claude_code_parallel_1.json"),
        include_str!("../../../../../fuzz/corpus/messages_request/claude_code_parallel_2.json"),
    ],
];

#[track_caller]
fn begins_with(longer: &str, shorter: &str) {
    for name in ["tools", "messages"] {
        let (longer, shorter) = (elements(longer, name), elements(shorter, name));
        assert!(longer.len() >= shorter.len());
        for (at, (long, short)) in longer.iter().zip(&shorter).enumerate() {
            assert_eq!(long, short, "{name}[{at}]");
        }
    }
}

#[test]
fn a_recorded_conversation_only_grows_at_its_end() {
    for turns in RECORDED {
        for pair in turns.windows(2) {
            let (shorter, longer) = (written(pair[0]), written(pair[1]));
            begins_with(&longer, &shorter);
            assert!(elements(&longer, "messages").len() > elements(&shorter, "messages").len());
            for kind in KINDS {
                begins_with(&sent(kind, pair[1]), &sent(kind, pair[0]));
            }
        }
    }
}

/// A message of one of the kinds that clients send; results answer the calls of `number - 1`.
fn message(kind: u8, number: usize) -> Value {
    let call = |id: usize| json!({"type": "tool_use", "id": format!("c{id}"), "name": "f", "input": {"z": id, "a": [1.5]}});
    let result = |id: usize| json!({"type": "tool_result", "tool_use_id": format!("c{id}"), "content": [{"type": "text", "text": "r"}]});
    match kind {
        0 => json!({"role": "user", "content": format!("plain {number}")}),
        1 => {
            json!({"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": format!("b{number}")}]})
        }
        2 => json!({"role": "system", "content": format!("reminder {number}")}),
        3 => {
            json!({"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": "s"}, {"type": "text", "text": "x"}]})
        }
        4 => json!({"role": "assistant", "content": [call(2 * number), call(2 * number + 1)]}),
        5 => json!({"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}},
            {"type": "text", "text": "see"}]}),
        // Behind a message of calls, its results in the other order.
        _ => {
            json!({"role": "user", "content": [result(2 * number - 1), result(2 * number - 2), {"type": "text", "text": "so"}]})
        }
    }
}

/// A conversation of these kinds of messages, where results follow every message of calls.
fn conversation(kinds: &[u8]) -> Vec<Value> {
    let mut messages = vec![message(0, 0)];
    for kind in kinds {
        messages.push(message(*kind, messages.len()));
        if *kind == 4 {
            messages.push(message(6, messages.len()));
        }
    }
    messages
}

/// The request of a turn: the billing block and the place of `cache_control` are its own.
fn turn(mut messages: Vec<Value>, tools: usize) -> String {
    let number = messages.len();
    if let Some(last) = messages
        .last_mut()
        .and_then(|last| last["content"].as_array_mut())
        && let Some(block) = last.last_mut()
    {
        block["cache_control"] = json!({"type": "ephemeral"});
    }
    let tool = |at: usize| json!({"name": format!("t{at}"), "input_schema": {"z": at, "a": {}}, "description": "d"});
    json!({
        "model": "m",
        "system": [
            {"type": "text", "text": format!("x-anthropic-billing-header: cch={number};")},
            {"type": "text", "text": "You.", "cache_control": {"type": "ephemeral"}},
        ],
        "messages": messages,
        "tools": (0..tools).map(tool).collect::<Vec<_>>(),
    })
    .to_string()
}

proptest! {
    /// Whatever follows, what was written of the messages before it stays byte for byte.
    #[test]
    fn every_conversation_only_grows_at_its_end(
        kinds in prop::collection::vec(0_u8..6, 0..10),
        tools in 0_usize..4,
        cut in 0_usize..20,
    ) {
        let messages = conversation(&kinds);
        let shorter = messages[..=cut % messages.len()].to_vec();
        let (longer, shorter) = (turn(messages, tools), turn(shorter, tools));
        begins_with(&written(&longer), &written(&shorter));
        for kind in KINDS {
            begins_with(&sent(kind, &longer), &sent(kind, &shorter));
        }
    }
}
