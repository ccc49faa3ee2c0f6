//! What the inspector keeps: `GET /crucible/inspect` and `GET /crucible/inspect/ID`.
//!
//! The inspector is off by default. While it is on it keeps the last requests in memory, with their bodies; nothing
//! of it is ever written to a disk.

use std::{borrow::Cow, sync::Arc};

use serde::{Deserialize, Serialize};

/// The body of `POST /crucible/inspect`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InspectorSwitchDoc {
    /// The minutes for which requests are kept, at most 60; 0 switches the inspector off.
    pub minutes: f64,
}

/// The state of the inspector, and one row for each request that it keeps, the oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InspectorDoc {
    /// Whether requests are kept now.
    pub on: bool,
    /// When it ends by itself and everything is dropped, in milliseconds since 1970; null while it is off.
    pub ends_at_ms: Option<u64>,
    /// The seconds until then; null while it is off.
    pub remaining_s: Option<f64>,
    /// The number of times that it was switched on, by which a reader notices a new beginning.
    pub session: u64,
    /// The most requests that have ended which are kept.
    pub most_requests: usize,
    /// The most requests that wait or are answered which are kept; 0 of an instance that does not say.
    #[serde(default)]
    pub most_running: usize,
    /// The most bytes that all kept bodies take together.
    pub most_bytes: usize,
    /// The most bytes of one body; of a longer one beginning and end are kept.
    pub most_body_bytes: usize,
    /// The bytes that the kept bodies take now.
    pub kept_bytes: usize,
    /// The number of requests that had to make room for newer ones.
    pub dropped: u64,
    /// The kept requests, the oldest first.
    pub requests: Vec<InspectedRowDoc>,
}

/// The event `inspector` of `GET /crucible/events`, by which every open page knows that requests are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InspectorStatusDoc {
    /// Whether requests are kept now.
    pub on: bool,
    /// When it ends by itself, in milliseconds since 1970; null while it is off.
    pub ends_at_ms: Option<u64>,
    /// The number of requests that are kept.
    pub kept: usize,
    /// A number that grows with each change of the list.
    pub change: u64,
    /// Whether this reader may switch the inspector and read what is kept.
    pub here: bool,
}

/// One kept request in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InspectedRowDoc {
    /// The number of the request, which grows by one with each that is kept; `#NUMBER` names it beyond doubt.
    pub number: u64,
    /// The request's id.
    pub request_id: Arc<str>,
    /// When it came, in milliseconds since 1970.
    pub at_ms: u64,
    /// The method and the path, whose query has no values.
    pub asked: Arc<str>,
    /// The client, as queues tell it apart.
    pub client: Arc<str>,
    /// The facts of its end; null while it is answered.
    pub ended: Option<InspectedEndDoc>,
    /// The bytes of the body that the client sent; null where none was read.
    pub received_bytes: Option<u64>,
    /// The bytes of the body that was sent to the engine last; null where nothing was sent.
    pub sent_bytes: Option<u64>,
    /// The bytes of the answer so far.
    pub answer_bytes: u64,
    /// The difference to the conversation's previous turn, in one sentence.
    pub change: Arc<str>,
}

/// The facts about a kept request that are known at its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InspectedEndDoc {
    /// The seconds from its arrival to its end.
    pub took_s: f64,
    /// The HTTP status; 499 where the client left first.
    pub status: u16,
    /// `ok`, `client_gone` where the client left first, the code of the error that ended it, or `client_slow`
    /// where the client did not read and was given up.
    pub outcome: Cow<'static, str>,
    /// The engine that was tried last; null where none was.
    pub engine: Option<Arc<str>>,
    /// The engine's name of the model; null where none was chosen.
    pub model: Option<Arc<str>>,
    /// The tokens of the prompt, as the engine counted them; null where it did not.
    pub prompt_tokens: Option<u64>,
    /// The tokens of the prompt that the engine had in its cache; null where that is not known.
    pub cached_tokens: Option<u64>,
    /// Whether the cached tokens are estimated by times.
    pub cached_is_estimated: bool,
    /// The tokens of the answer, as the engine counted them, else its events with content.
    pub output_tokens: u64,
    /// Whether the model was loaded for this request, so that nothing of its prompt was cached.
    pub loaded: bool,
    /// The number of the turn in its conversation, beginning with 1; null for what is no conversation.
    pub turn: Option<u32>,
}

/// One kept request, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InspectedDoc {
    /// The request in short.
    #[serde(flatten)]
    pub row: InspectedRowDoc,
    /// The headers that are kept, with the names alone of all others.
    pub headers: Vec<InspectedHeaderDoc>,
    /// The sentences on what was changed in the request, and why this candidate answered.
    pub notes: Vec<String>,
    /// The body as the client sent it, decompressed; null where none was read.
    pub received: Option<KeptTextDoc>,
    /// What was sent to engines, the first attempt first.
    pub attempts: Vec<InspectedAttemptDoc>,
    /// The answer as it went to the client; null before its first byte.
    pub answer: Option<KeptTextDoc>,
    /// The texts and calls of the answer, put together from its events.
    pub assembled: AssembledAnswerDoc,
    /// The difference to the conversation's previous turn; null where there is none, or none is kept.
    pub difference: Option<TurnDifferenceDoc>,
    /// One thing to do about a prompt that does not go on from the turn before; null where it does.
    pub fix: Option<String>,
    /// The request as a command line for curl, whose key is a variable; null where it cannot be sent again.
    pub curl: Option<String>,
    /// A sentence on why there is no command, or on what the command leaves out; null where it is complete.
    pub curl_note: Option<String>,
}

/// A header of a kept request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InspectedHeaderDoc {
    /// The name.
    pub name: String,
    /// The value; null for every header that might carry a secret.
    pub value: Option<String>,
}

/// What was sent to an engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InspectedAttemptDoc {
    /// The engine's name.
    pub engine: Arc<str>,
    /// The engine's name of the model.
    pub model: Arc<str>,
    /// The path on the engine.
    pub path: String,
    /// The names of the values that were filled in.
    pub defaults: Vec<String>,
    /// The sentences on what was clamped, dropped or respelled for this engine.
    pub notes: Vec<String>,
    /// The error that ended the attempt; null where it was answered.
    pub error: Option<String>,
    /// The body.
    pub body: KeptTextDoc,
    /// The status of the engine's answer; null where none came.
    pub status: Option<u16>,
    /// The engine's answer as it came, before it was translated for the client; null where none came, or where the
    /// client got the same bytes.
    pub answer: Option<KeptTextDoc>,
    /// Whether the client got the bytes of the engine's answer as they were: then `answer` of the request has them.
    #[serde(default)]
    pub answer_passed_on: bool,
}

/// A kept text: whole, or its beginning and its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptTextDoc {
    /// The length in bytes, also where not all of it is kept.
    pub bytes: u64,
    /// The whole text, or its beginning.
    pub text: String,
    /// The end of a text that is not kept whole; null for one that is.
    pub end: Option<String>,
    /// The bytes in Base64 (RFC 4648, section 4) of a whole text that is no UTF-8; null for every other, of which
    /// `text` has the bytes.
    pub base64: Option<String>,
}

/// An answer without its format.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssembledAnswerDoc {
    /// What the model said.
    pub text: String,
    /// What the model thought.
    pub thinking: String,
    /// The tools that the model called, in order.
    pub calls: Vec<AssembledCallDoc>,
    /// The message of an error inside the answer.
    pub error: Option<String>,
}

/// One call of a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssembledCallDoc {
    /// The name of the tool.
    pub name: String,
    /// The arguments, a JSON text.
    pub arguments: String,
}

/// The bodies that were compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComparedBodies {
    /// Those that were sent to the engine.
    Sent,
    /// Those that the client sent.
    Received,
}

/// The difference of a request to the previous turn of its conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TurnDifferenceDoc {
    /// The id of the previous turn.
    pub previous_id: Arc<str>,
    /// The bodies that were compared.
    pub compared: ComparedBodies,
    /// The difference in one sentence.
    pub summary: String,
    /// The messages that are the same.
    pub unchanged: usize,
    /// The messages that are new.
    pub added: usize,
    /// The messages that are gone.
    pub removed: usize,
    /// The messages that are there with other bytes.
    pub changed: usize,
    /// The first changes of messages, in the order of the prompt.
    pub changes: Vec<PieceChangeDoc>,
    /// The difference of the lists of tools; null where they are the same.
    pub tools: Option<ToolsChangeDoc>,
    /// The first of the other members of the body that differ, such as `temperature 0.2 -> 0.7`, and how many more do.
    pub settings: Vec<String>,
    /// A sentence on the settings that differ and that the template of the model may write into the prompt, so that
    /// messages that go on are no promise of a prompt that goes on; null where there are none.
    pub template_warning: Option<String>,
    /// The place from which on the engine had to read anew; null where the prompt goes on from the one before.
    pub broken_at: Option<PrefixBreakDoc>,
}

/// The kind of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PieceChangeKind {
    /// It is there with other bytes.
    Changed,
    /// It is new.
    Added,
    /// It is gone.
    Removed,
}

/// A message, or another piece of the prompt, that differs from the turn before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PieceChangeDoc {
    /// The message in words, such as `message 3 (user)`.
    pub piece: String,
    /// The kind of the change.
    pub kind: PieceChangeKind,
    /// The first character that differs, beginning with 1; null where the whole message is new or gone.
    pub character: Option<usize>,
    /// The old text at that place, shortened; empty for what is new.
    pub before: String,
    /// The new text at that place, shortened; empty for what is gone.
    pub after: String,
}

/// The difference of two lists of tools. Each has the first names, and how many more there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolsChangeDoc {
    /// The tools that are new.
    pub added: Vec<String>,
    /// The tools that are gone.
    pub removed: Vec<String>,
    /// The tools whose description differs.
    pub changed: Vec<String>,
    /// Whether the tools that both have stand in another order.
    pub reordered: bool,
}

/// The place where a prompt first differs from the one of the turn before, so that the engine's cache is of no use
/// behind it. Tokens are estimated: the engine's count of the prompt, divided by the share of bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrefixBreakDoc {
    /// The piece in words, such as `the system prompt`.
    pub piece: String,
    /// The first character in it that differs, beginning with 1; null where the whole piece is another.
    pub character: Option<usize>,
    /// The tokens before that place, which a cache may hold.
    pub tokens_before: u64,
    /// The tokens behind it that the turn before had too, or had otherwise: they are read again.
    pub tokens_read_again: u64,
    /// The tokens of the messages that are new at the end, which have to be read in any case.
    pub tokens_new: u64,
}

// === impl InspectorDoc ===

impl InspectorDoc {
    /// Returns the row of the request that is named: `#` and its number, `last` for the last one that has ended, a
    /// whole id, its number alone, or the beginning of exactly one id.
    ///
    /// Clients choose ids, so that several requests may have one: then the newest is named.
    pub fn named(&self, name: &str) -> Option<&InspectedRowDoc> {
        let newest = || self.requests.iter().rev();
        let numbered = |digits: &str| {
            let number: u64 = digits.parse().ok()?;
            newest().find(|row| row.number == number)
        };
        if let Some(row) = name.strip_prefix('#').and_then(numbered) {
            return Some(row);
        }
        if name == "last" {
            return newest()
                .find(|row| row.ended.is_some())
                .or_else(|| newest().next());
        }
        if let Some(row) = newest().find(|row| *row.request_id == *name) {
            return Some(row);
        }
        if let Some(row) = numbered(name) {
            return Some(row);
        }
        let mut begin_so = newest().filter(|row| row.request_id.starts_with(name));
        let first = begin_so.next().filter(|_| !name.is_empty())?;
        let is_same = |other: &InspectedRowDoc| other.request_id == first.request_id;
        begin_so.all(is_same).then_some(first)
    }
}

// === impl InspectedEndDoc ===

impl InspectedEndDoc {
    /// Returns the share of the prompt that was cached, between 0 and 1; `None` where it is not known.
    pub fn cached_share(&self) -> Option<f64> {
        let (prompt, cached) = (self.prompt_tokens?, self.cached_tokens?);
        #[expect(
            clippy::cast_precision_loss,
            reason = "counts of tokens are far below 2^52"
        )]
        let share = (prompt > 0).then(|| cached.min(prompt) as f64 / prompt as f64);
        share
    }
}

#[cfg(test)]
mod tests;
