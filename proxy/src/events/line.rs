//! The lines of the log. Times are whole milliseconds; nothing that a person wrote is in them.

use std::{borrow::Cow, sync::Arc};

use crucible_config::checked::{Class, Device, EngineKind};
use serde::{Deserialize, Serialize};

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Line {
    /// A request that came as far as the queue, written at its end.
    Request(RequestLine),
    /// A load, written at its end.
    Load(LoadLine),
    /// Lines that did not fit the channel before this one.
    Dropped {
        /// How many.
        count: u64,
    },
}

/// A request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RequestLine {
    /// When it asked for a permit, since 1970.
    pub(crate) at_ms: u64,
    pub(crate) engine: Arc<str>,
    pub(crate) model: Arc<str>,
    /// Name of the key, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client: Option<Arc<str>>,
    pub(crate) class: Class,
    /// As the engine counted, else estimated.
    pub(crate) prompt_tokens: u64,
    /// As the engine counted, else events with content.
    pub(crate) output_tokens: u64,
    /// For the permit, or until it was refused or left.
    pub(crate) wait_ms: u64,
    /// A load was part of the wait.
    pub(crate) loaded: bool,
    /// From the permit to the end; absent if it never had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) held_ms: Option<u64>,
    /// From asking for a permit to the first token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) first_token_ms: Option<u64>,
    /// HTTP status; 499 if the client left first.
    pub(crate) status: u16,
    /// `ok` or the code of its error.
    pub(crate) outcome: Cow<'static, str>,
    /// The answer ended in tool calls.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) called_tools: bool,
    /// Where that is, as known when it was written.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<Place>,
}

/// What replay must know of engine and model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) engine_kind: EngineKind,
    pub(crate) device: Device,
    pub(crate) pool: Arc<str>,
    #[serde(default)]
    pub(crate) embedding: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) size_bytes: Option<u64>,
}

/// The members of a JSON object. In serde's way a line takes three times as long, and there is one
/// for each request.
struct Members<'a>(&'a mut Vec<u8>);

/// A load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LoadLine {
    /// Its start, since 1970.
    pub(crate) at_ms: u64,
    pub(crate) engine: Arc<str>,
    pub(crate) model: Arc<str>,
    pub(crate) took_ms: u64,
    /// `ok`, `error` or `timeout`.
    pub(crate) outcome: Cow<'static, str>,
    /// `request` or `warmup`.
    pub(crate) trigger: Cow<'static, str>,
}

// === impl RequestLine ===

impl RequestLine {
    /// Appends the same as [`Line::Request`] gives by serde.
    pub(crate) fn write(&self, to: &mut Vec<u8>) {
        let mut members = Members(to);
        members.number(b"{\"event\":\"request\",\"at_ms\":", self.at_ms);
        members.text(b",\"engine\":", &self.engine);
        members.text(b",\"model\":", &self.model);
        if let Some(client) = &self.client {
            members.text(b",\"client\":", client);
        }
        members.serialized(b",\"class\":", &self.class);
        members.number(b",\"prompt_tokens\":", self.prompt_tokens);
        members.number(b",\"output_tokens\":", self.output_tokens);
        members.number(b",\"wait_ms\":", self.wait_ms);
        members.flag(b",\"loaded\":", self.loaded);
        if let Some(ms) = self.held_ms {
            members.number(b",\"held_ms\":", ms);
        }
        if let Some(ms) = self.first_token_ms {
            members.number(b",\"first_token_ms\":", ms);
        }
        members.number(b",\"status\":", self.status.into());
        members.text(b",\"outcome\":", &self.outcome);
        if self.called_tools {
            members.flag(b",\"called_tools\":", true);
        }
        if let Some(place) = &self.place {
            members.serialized(b",\"engine_kind\":", &place.engine_kind);
            members.serialized(b",\"device\":", &place.device);
            members.text(b",\"pool\":", &place.pool);
            members.flag(b",\"embedding\":", place.embedding);
            if let Some(bytes) = place.size_bytes {
                members.number(b",\"size_bytes\":", bytes);
            }
        }
        to.push(b'}');
    }
}

// === impl Members ===

impl Members<'_> {
    fn serialized(&mut self, key: &[u8], value: &impl Serialize) {
        self.0.extend_from_slice(key);
        // Words and texts are always JSON, and a vector takes everything.
        let _ = serde_json::to_writer(&mut *self.0, value);
    }

    fn text(&mut self, key: &[u8], text: &str) {
        let plain = |b: &u8| !matches!(b, b'"' | b'\\' | ..b' ');
        if !text.as_bytes().iter().all(plain) {
            return self.serialized(key, &text);
        }
        self.0.extend_from_slice(key);
        self.0.push(b'"');
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(b'"');
    }

    fn number(&mut self, key: &[u8], number: u64) {
        self.0.extend_from_slice(key);
        let mut digits = itoa::Buffer::new();
        self.0.extend_from_slice(digits.format(number).as_bytes());
    }

    fn flag(&mut self, key: &[u8], flag: bool) {
        self.0.extend_from_slice(key);
        self.0
            .extend_from_slice(if flag { b"true" } else { b"false" });
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*};

    use super::*;

    proptest! {
        /// Whatever is absent, and whatever is in a name.
        #[test]
        fn a_request_is_written_as_serde_writes_it(
            names in vec("(\\PC|[\"\\\\\u{0}-\u{20}\u{7f}]){0,6}", 5),
            numbers in vec(option::of(any::<u64>()), 8),
            flags in any::<[bool; 3]>(),
        ) {
            let [engine, model, client, outcome, pool] = &names[..] else { unreachable!() };
            let number = |n: usize| numbers[n].unwrap_or_default();
            let place = numbers[7].is_some();
            let line = RequestLine {
                at_ms: number(0),
                engine: Arc::from(&**engine),
                model: Arc::from(&**model),
                client: flags[0].then(|| Arc::from(&**client)),
                class: if flags[1] { Class::Interactive } else { Class::Background },
                prompt_tokens: number(1),
                output_tokens: number(2),
                wait_ms: number(3),
                loaded: flags[2],
                held_ms: numbers[4],
                first_token_ms: numbers[5],
                status: 499,
                outcome: outcome.clone().into(),
                called_tools: flags[1],
                place: place.then(|| Place {
                    engine_kind: EngineKind::Llamacpp,
                    device: Device::Gpu,
                    pool: Arc::from(&**pool),
                    embedding: flags[1],
                    size_bytes: numbers[6],
                }),
            };
            let mut written = Vec::new();
            line.write(&mut written);
            let wanted = serde_json::to_string(&Line::Request(line)).unwrap();
            prop_assert_eq!(String::from_utf8(written).unwrap(), wanted);
        }
    }
}
