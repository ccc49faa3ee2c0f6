//! Every engine format is append-only: what is sent for the first messages of a conversation does not
//! depend on those that come later, so that an engine recognises what it has read.
//!
//! A conversation is written turn by turn, as agents send it. The tools, every message of a turn and all
//! other members have to be the same bytes in the next one.

use bytes::Bytes;
use crucible_config::{
    Config,
    checked::{EngineKind, RequestDefaults},
};
use crucible_router::{catalog::Capabilities, engine::LoadTuple};
use http::HeaderMap;
use proptest::prelude::*;
use serde_json::{Value, json, value::RawValue};

use super::{EngineTarget, format_of};
use crate::dialect::{self, ClientRequest};

const KINDS: [EngineKind; 4] = [
    EngineKind::Lmstudio,
    EngineKind::Ollama,
    EngineKind::Llamacpp,
    EngineKind::Openai,
];
const PNG: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB";

/// A message, and what changes in it from turn to turn.
#[derive(Clone, Debug)]
enum Message {
    /// The same in every turn.
    Fixed(Value),
    /// A text of the user in a part that is marked by `cache_control` while it is the last one.
    Marked(String),
    /// A system prompt with Claude Code's billing block before it, which has the number of the turn in it.
    Billed(String, bool),
}

// === impl Message ===

impl Message {
    fn written(&self, turn: usize, is_last: bool) -> Value {
        match self {
            Self::Fixed(message) => message.clone(),
            Self::Marked(text) => {
                let mut part = json!({"type": "text", "text": text});
                if is_last {
                    part["cache_control"] = json!({"type": "ephemeral"});
                }
                json!({"role": "user", "content": [part]})
            }
            Self::Billed(text, in_parts) => {
                let block = format!("x-anthropic-billing-header: cch={turn:05x};");
                let part = |text: &str| json!({"type": "text", "text": text});
                let content = if *in_parts {
                    json!([part(&block), part(text)])
                } else {
                    format!("{block}\n\n{text}").into()
                };
                json!({"role": "system", "content": content})
            }
        }
    }
}

/// The bytes that an engine gets: the tools, each message, and all other members.
#[derive(Debug, PartialEq)]
struct SentBody {
    tools: Option<String>,
    messages: Vec<String>,
    others: Vec<(String, String)>,
}

fn sent(kind: EngineKind, request: &Value, messages: &[Value]) -> SentBody {
    let mut request = request.clone();
    request["messages"] = messages.into();
    let (headers, config) = (HeaderMap::new(), Config::builtin());
    let chat = dialect::of_path("/v1/chat/completions")
        .unwrap()
        .read(ClientRequest {
            headers: &headers,
            body: Bytes::from(request.to_string()),
            config: &config,
        })
        .unwrap();
    let (tuple, defaults) = (LoadTuple::default(), RequestDefaults::default());
    let target = EngineTarget {
        context: None,
        model: "m",
        instance: "m",
        tuple: &tuple,
        defaults: &defaults,
        prefix: config.prefix,
        capabilities: &Capabilities::default,
        event_limit: 1 << 20,
    };
    let Ok(call) = format_of(kind).write(&chat, &target) else {
        panic!("{kind:?} refuses {request}");
    };
    let body: indexmap::IndexMap<String, &RawValue> = serde_json::from_slice(&call.body).unwrap();
    let mut others: Vec<_> = body
        .iter()
        .map(|(name, raw)| (name.clone(), raw.get().to_owned()))
        .collect();
    let mut take = |name: &str| {
        let at = others.iter().position(|(own, _)| own == name)?;
        Some(others.remove(at).1)
    };
    let tools = take("tools");
    let messages = take("messages").unwrap();
    let messages: Vec<&RawValue> = serde_json::from_str(&messages).unwrap();
    SentBody {
        tools,
        messages: messages.iter().map(|raw| raw.get().to_owned()).collect(),
        others,
    }
}

fn call(id: &str, arguments: &Value) -> Value {
    json!({"id": id, "type": "function", "function": {"name": "read_file", "arguments": arguments}})
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zé\"\\\\\n ]{0,40}",
        Just("<system-reminder>\n5\n</system-reminder>".to_owned()),
        Just("null".to_owned()),
        Just("\u{1f600} \u{feff}".to_owned()),
    ]
}

/// Arguments as models and clients write them, broken ones among them.
fn arguments() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(
            "{\"path\":\"a\",\"n\":12345678901234567890,\"z\":1.0,\"b\":2}"
        )),
        Just(json!("{\"path\":\"C:\\new")),
        Just(json!("")),
        Just(json!(null)),
        Just(json!("[1]")),
        Just(json!({"z": 1, "a": {"y": 2, "b": 3}})),
        text().prop_map(Value::from),
    ]
}

fn user() -> impl Strategy<Value = Message> {
    let fixed = |content: Value| Message::Fixed(json!({"role": "user", "content": content}));
    prop_oneof![
        text().prop_map(move |text| fixed(text.into())),
        text().prop_map(Message::Marked),
        text().prop_map(move |text| fixed(json!([
            {"type": "text", "text": text}, {"type": "text", "text": "b"},
            {"type": "image_url", "image_url": {"url": PNG}}]))),
        text().prop_map(move |text| fixed(json!([{"type": "input_text", "text": text}]))),
    ]
}

/// An assistant's answer, with the results of its calls in any order, and what comes between them.
fn step() -> impl Strategy<Value = Vec<Message>> {
    let said = text().prop_map(|text| {
        vec![Message::Fixed(
            json!({"role": "assistant", "content": text}),
        )]
    });
    let thought = (text(), text()).prop_map(|(text, thought)| {
        vec![Message::Fixed(
            json!({"role": "assistant", "content": text, "reasoning_content": thought, "refusal": null}),
        )]
    });
    let parts = (text(), text()).prop_map(|(text, thought)| {
        vec![Message::Fixed(json!({"role": "assistant", "content": [
            {"type": "thinking", "thinking": thought}, {"type": "text", "text": text}]}))]
    });
    let loops = (arguments(), arguments(), text(), any::<[bool; 3]>()).prop_map(
        |(first, second, text, [turned, silent, reminded])| {
            let content = if silent { Value::Null } else { "let me see".into() };
            let calls = [call("c1", &first), call("c2", &second)];
            let mut all =
                vec![json!({"role": "assistant", "content": content, "tool_calls": calls})];
            let mut results = vec![
                json!({"role": "tool", "tool_call_id": "c1", "content": text}),
                json!({"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "b"}]}),
            ];
            if turned {
                results.reverse();
            }
            all.extend(results);
            if reminded {
                all.push(json!({"role": "system", "content": "9000 tokens left"}));
            }
            all.into_iter().map(Message::Fixed).collect()
        },
    );
    let reminder =
        text().prop_map(|text| vec![Message::Fixed(json!({"role": "system", "content": text}))]);
    let asked = user().prop_map(|user| vec![user]);
    prop_oneof![said, thought, parts, loops, reminder, asked]
}

fn conversation() -> impl Strategy<Value = Vec<Vec<Message>>> {
    let system = prop_oneof![
        text().prop_map(|text| vec![Message::Fixed(json!({"role": "system", "content": text}))]),
        text().prop_map(|text| vec![Message::Fixed(
            json!({"role": "developer", "content": text})
        )]),
        (text(), any::<bool>()).prop_map(|(text, parts)| vec![Message::Billed(text, parts)]),
        Just(Vec::new()),
    ];
    let steps = proptest::collection::vec(step(), 1..6);
    (system, user(), steps).prop_map(|(mut first, user, steps)| {
        first.push(user);
        let mut turns = vec![first];
        turns.extend(steps);
        turns
    })
}

fn request() -> impl Strategy<Value = Value> {
    let tools = json!([
        {"type": "function", "function": {"name": "read_file", "description": "d", "parameters":
            {"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "integer"}},
             "required": ["z"], "additionalProperties": false}}},
        {"type": "function", "function": {"name": "odd", "parameters":
            {"type": ["object", "null"], "properties": {"x": true, "y": null}}}},
        {"type": "web_search"},
    ]);
    prop_oneof![
        Just(json!({"model": "m", "stream": true})),
        Just(json!({"model": "m", "tools": tools, "temperature": 0, "x": {"b": 1, "a": 2}})),
        Just(json!({"model": "m", "tools": tools, "reasoning_effort": "none", "stop": "a"})),
        Just(
            json!({"model": "m", "tools": tools, "chat_template_kwargs": {"enable_thinking": "false"}})
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_turn_begins_with_the_bytes_of_the_turn_before(
        request in request(), turns in conversation(),
    ) {
        for kind in KINDS {
            let mut before: Option<SentBody> = None;
            for turn in 0..turns.len() {
                let all: Vec<&Message> = turns[..=turn].iter().flatten().collect();
                let last = all.len() - 1;
                let each = all.iter().enumerate();
                let messages: Vec<Value> =
                    each.map(|(at, message)| message.written(turn, at == last)).collect();
                let now = sent(kind, &request, &messages);
                if let Some(before) = before {
                    prop_assert_eq!(&now.tools, &before.tools, "tools for {:?}", kind);
                    prop_assert_eq!(&now.others, &before.others, "others for {:?}", kind);
                    for (at, message) in before.messages.iter().enumerate() {
                        prop_assert_eq!(
                            now.messages.get(at), Some(message), "message {} for {:?}", at, kind
                        );
                    }
                }
                before = Some(now);
            }
        }
    }
}
