//! Requests that an engine takes in the client's own format, and answers that pass as they come.
//!
//! An engine that names a format in its setting `passthrough` is asked in it: the client's bytes go out
//! with the engine's name of the model and the sampling values that fill gaps, and the engine's bytes
//! come back, watched for counts, errors and their end. Nothing is translated, so a client keeps whatever
//! engine and client know and Crucible does not; what Crucible mends in chat requests is not mended here.

mod answer_event;
mod stream;
mod whole;

use bytes::Bytes;
use crucible_config::checked::EngineKind;

use self::stream::StreamPassthrough;
pub(crate) use self::whole::PassedAnswer;
use super::engine_format::{AnswerShape, EngineCall, EngineTarget};
use crate::{
    body::{
        edit::{self, BodyEdit, NewValue},
        peek::PeekedBody,
    },
    dialect::chat::{ChatRequest, SharedRequest, sampling::sampling_defaults, tool_choice},
    error::Error,
};

/// The sampling values that both formats have a place for.
const SAMPLING: [&str; 2] = ["temperature", "top_p"];

/// The nesting that a body may have: it was read before, within `limits.json_depth`.
const DEPTH: usize = 1 << 10;

/// Writes a request in its client's format for an engine of this kind that speaks it too. `chat` is the
/// same request in the chat format.
///
/// # Errors
/// The body cannot be read, which it was before.
pub(crate) fn write(
    shared: &SharedRequest,
    chat: &ChatRequest,
    kind: EngineKind,
    target: &EngineTarget<'_>,
) -> Result<EngineCall, Error> {
    let peek = PeekedBody::of(&shared.body, DEPTH)?;
    let (body, defaults) = edited(&shared.body, &peek, target);
    let answer = if peek.stream {
        let stream = StreamPassthrough::new(kind, shared, target.event_limit);
        AnswerShape::Stream(Box::new(stream))
    } else {
        AnswerShape::Passed(shared.format)
    };
    Ok(EngineCall {
        path: shared.format.path(),
        body,
        answer,
        defaults,
        notes: Vec::new(),
        dropped: Vec::new(),
        may_call_tools: chat.peek.has_tools(&chat.body)
            && !tool_choice::is_none(&chat.body, &chat.peek),
        slots: None,
        is_clients: true,
    })
}

/// The body with the engine's name of the model and its gaps filled, and the names of what was filled.
fn edited(
    body: &Bytes,
    peek: &PeekedBody,
    target: &EngineTarget<'_>,
) -> (Bytes, Vec<&'static str>) {
    let mut edits = vec![BodyEdit::Set("model", NewValue::Text(target.instance))];
    let mut filled = Vec::new();
    for (name, value) in sampling_defaults(target.defaults) {
        if let Some(value) = value
            && SAMPLING.contains(&name)
            && peek.raw(body, name).is_none()
        {
            edits.push(BodyEdit::Default(name, NewValue::Number(value)));
            filled.push(name);
        }
    }
    (edit::apply(body, peek, &edits), filled)
}

#[cfg(test)]
mod tests {
    use crucible_config::checked::{DefaultSource, FilledValue, RequestDefaults};

    use super::*;

    #[test]
    fn a_body_keeps_its_bytes_but_for_the_model_and_its_gaps() {
        let body = Bytes::from_static(
            br#"{"system":[{"type":"text","text":"s"}], "model":"claude", "temperature":0,"max_tokens":9,"messages":[],"x":1.0}"#,
        );
        let peek = PeekedBody::of(&body, 64).unwrap();
        let value = |value| {
            Some(FilledValue {
                value,
                from: DefaultSource::Profile,
            })
        };
        let defaults = RequestDefaults {
            temperature: value(0.3),
            top_p: value(0.8),
            frequency_penalty: value(0.1),
            presence_penalty: value(0.1),
        };
        let target = EngineTarget {
            model: "lib/m",
            instance: "lib/m:2",
            context: None,
            tuple: &crucible_router::engine::LoadTuple::default(),
            defaults: &defaults,
            prefix: crucible_config::checked::PrefixSettings {
                billing_block: true,
                cache_control: true,
                later_system: true,
            },
            capabilities: &crucible_router::catalog::Capabilities::default,
            event_limit: 1 << 16,
        };
        let (sent, filled) = edited(&body, &peek, &target);
        assert_eq!(
            sent,
            r#"{"system":[{"type":"text","text":"s"}], "model":"lib/m:2", "temperature":0,"max_tokens":9,"messages":[],"x":1.0,"top_p":0.8}"#
        );
        // Neither format has a place for penalties.
        assert_eq!(filled, ["top_p"]);
    }
}
