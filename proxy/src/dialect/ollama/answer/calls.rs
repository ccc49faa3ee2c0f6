//! The tool calls of an answer, collected until each is whole: Ollama's clients read a call as one object.

use std::{collections::HashMap, fmt::Write as _};

use crate::{
    dialect::{
        chat::{
            chat_answer::CallPieces,
            json_end::JsonEnd,
            json_text::{decoded, quoted},
        },
        engine::messages::arguments::CallArguments,
    },
    error::Error,
};

/// The calls of one answer in their order.
#[derive(Debug)]
pub(super) struct CollectedCalls {
    calls: Vec<CollectedCall>,
    /// The place in `calls` of the last call with an index of the engine's.
    by_index: HashMap<u64, usize>,
    /// The bytes that are kept, and the most that there may be.
    kept: usize,
    cap: usize,
}

/// One call.
#[derive(Debug, Default)]
struct CollectedCall {
    id: String,
    name: String,
    arguments: String,
    end: JsonEnd,
}

// === impl CollectedCalls ===

impl CollectedCalls {
    /// Makes an empty collection that keeps at most so many bytes.
    pub(super) fn new(cap: usize) -> Self {
        Self {
            calls: Vec::new(),
            by_index: HashMap::new(),
            kept: 0,
            cap,
        }
    }

    /// Takes a call, or a piece of one.
    ///
    /// # Errors
    /// More is kept than an answer may have.
    pub(super) fn push(&mut self, piece: &CallPieces<'_>) -> Result<(), Error> {
        let at = self.place(piece);
        let Some(raw) = &piece.arguments else {
            return Ok(());
        };
        let text = decoded(raw);
        let call = &mut self.calls[at];
        call.end.push(&text);
        call.arguments.push_str(&text);
        self.kept += text.len();
        if self.kept > self.cap {
            return Err(Error::answer_too_large());
        }
        Ok(())
    }

    /// Returns the elements of `tool_calls`, which are none where nothing was called. A call whose arguments were
    /// cut at the limit of the answer is left out: it would be run with half of what the model meant.
    pub(super) fn written(&self, is_cut: bool) -> String {
        let mut out = String::new();
        let whole = |call: &&CollectedCall| !(is_cut && call.end.is_cut());
        for (index, call) in self.calls.iter().filter(whole).enumerate() {
            let id = if call.id.is_empty() {
                format!("\"call_{:08x}\"", rand::random::<u32>())
            } else {
                quoted(&call.id)
            };
            let name = quoted(&call.name);
            let text = quoted(&call.arguments);
            let arguments = CallArguments::of(&text).object;
            let comma = if index > 0 { "," } else { "" };
            // Writing to a String cannot fail.
            let _ = write!(
                out,
                r#"{comma}{{"id":{id},"function":{{"index":{index},"name":{name},"arguments":{arguments}}}}}"#
            );
        }
        out
    }

    /// Returns the place of the call that a piece belongs to. A known index with another id and a name begins
    /// a new one: some engines number every call 0.
    fn place(&mut self, piece: &CallPieces<'_>) -> usize {
        let CallPieces { id, name, .. } = piece;
        let known = match piece.index {
            Some(index) => self.by_index.get(&index).copied(),
            None if id.is_empty() => self.calls.len().checked_sub(1),
            None => None,
        };
        if let Some(at) = known {
            let call = &mut self.calls[at];
            let is_told = !(call.name.is_empty() || name.is_empty());
            let has_ids = !(call.id.is_empty() || id.is_empty());
            let is_other = is_told && has_ids && call.id != **id;
            if !is_other {
                if call.id.is_empty() {
                    call.id.push_str(id);
                }
                if call.name.is_empty() {
                    call.name.push_str(name);
                }
                return at;
            }
        }
        let at = self.calls.len();
        self.calls.push(CollectedCall {
            id: id.to_string(),
            name: name.to_string(),
            ..CollectedCall::default()
        });
        if let Some(index) = piece.index {
            self.by_index.insert(index, at);
        }
        at
    }
}
