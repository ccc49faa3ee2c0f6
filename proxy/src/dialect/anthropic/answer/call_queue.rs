//! The tool calls of a streamed answer, put one behind the other.
//!
//! Engines may send several calls at once, piece by piece in turn. A message has one block open at a time,
//! so the pieces of a later call are held until the one before it is whole. Arguments that are no object
//! are held until their end and sent as one.

use std::collections::HashMap;

use super::block_writer::BlockWriter;
use crate::{
    dialect::{
        chat::{
            chat_answer::CallPieces,
            json_end::JsonEnd,
            json_text::{decoded, inner, quoted},
        },
        engine::messages::arguments::CallArguments,
    },
    error::Error,
};

/// The tool calls of one answer, which an engine may send in turns and which the client gets one behind
/// the other.
#[derive(Debug)]
pub(super) struct CallQueue {
    calls: Vec<QueuedCall>,
    /// The place in `calls` of the last call with an index of the engine's.
    by_index: HashMap<u64, usize>,
    /// The call whose block is open, or is the next to be opened.
    current: usize,
    is_open: bool,
    /// The bytes that are held.
    held: usize,
    /// The most bytes that may be held.
    cap: usize,
}

/// One call.
#[derive(Debug, Default)]
struct QueuedCall {
    id: String,
    name: String,
    /// The arguments that are not sent yet.
    held: String,
    end: JsonEnd,
    shape: ArgumentShape,
}

/// The first character of the arguments tells what they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ArgumentShape {
    /// Nothing but blanks has come.
    #[default]
    Nothing,
    Object,
    /// A value that is no object: a text that may hold one, a list, null.
    Other,
}

/// Makes the id of a call whose engine gives it none.
pub(super) fn new_call_id() -> String {
    format!("toolu_{:016x}", rand::random::<u64>())
}

// === impl CallQueue ===

impl CallQueue {
    /// Makes an empty queue that holds at most so many bytes.
    pub(super) fn new(cap: usize) -> Self {
        Self {
            calls: Vec::new(),
            by_index: HashMap::new(),
            current: 0,
            is_open: false,
            held: 0,
            cap,
        }
    }

    /// Takes a call, or a piece of one.
    ///
    /// # Errors
    /// More is held than one event may have.
    pub(super) fn push(
        &mut self,
        piece: &CallPieces<'_>,
        out: &mut BlockWriter,
    ) -> Result<(), Error> {
        let at = self.place(piece);
        if let Some(arguments) = &piece.arguments {
            self.arguments(at, arguments, out)?;
        }
        self.advance(out);
        Ok(())
    }

    /// Sends whatever is held and closes the last call.
    pub(super) fn finish(&mut self, out: &mut BlockWriter) {
        while self.current < self.calls.len() {
            self.send_held(out, true);
            out.close();
            self.next();
        }
    }

    /// Reports whether a call is not whole yet, so that text has to wait for it.
    pub(super) fn is_under_way(&self) -> bool {
        self.current < self.calls.len()
    }

    /// Returns the number of calls, and whether the arguments of one are cut.
    pub(super) fn sent(&self) -> (usize, bool) {
        let is_cut = |call: &QueuedCall| call.end.is_cut();
        (self.calls.len(), self.calls.iter().any(is_cut))
    }

    /// The call that a piece belongs to. A known index with another id and a name begins a new one: some
    /// engines number every call 0.
    fn place(&mut self, piece: &CallPieces<'_>) -> usize {
        let known = match piece.index {
            Some(index) => self.by_index.get(&index).copied(),
            None => self.calls.len().checked_sub(1),
        };
        if let Some(at) = known {
            let call = &mut self.calls[at];
            let has_other_id = !piece.id.is_empty() && !call.id.is_empty() && call.id != *piece.id;
            let is_named = !piece.name.is_empty() && !call.name.is_empty();
            if !(has_other_id && (is_named || piece.index.is_none())) {
                if call.id.is_empty() {
                    piece.id.as_ref().clone_into(&mut call.id);
                }
                if call.name.is_empty() {
                    piece.name.as_ref().clone_into(&mut call.name);
                }
                return at;
            }
        }
        let at = self.calls.len();
        self.calls.push(QueuedCall {
            id: piece.id.as_ref().to_owned(),
            name: piece.name.as_ref().to_owned(),
            ..QueuedCall::default()
        });
        if let Some(index) = piece.index {
            self.by_index.insert(index, at);
        }
        at
    }

    /// Takes a piece of the arguments of a call, a raw JSON string.
    fn arguments(&mut self, at: usize, json: &str, out: &mut BlockWriter) -> Result<(), Error> {
        let is_open = self.is_open && at == self.current;
        let text = decoded(json);
        let call = &mut self.calls[at];
        if call.shape == ArgumentShape::Nothing {
            call.shape = match text.trim_start().as_bytes().first() {
                None => return Ok(()),
                Some(b'{') => ArgumentShape::Object,
                Some(_) => ArgumentShape::Other,
            };
        }
        if call.shape == ArgumentShape::Object {
            call.end.push(&text);
            if is_open {
                out.arguments(inner(json));
                return Ok(());
            }
        }
        // A call whose block is closed has nothing more to say.
        if at >= self.current {
            call.held.push_str(&text);
            self.held += text.len();
        }
        if self.held > self.cap {
            return Err(Error::answer_too_large());
        }
        Ok(())
    }

    /// Opens the current call once its name is known, and goes on to the next where it is whole and there
    /// is one.
    fn advance(&mut self, out: &mut BlockWriter) {
        while let Some(call) = self.calls.get(self.current) {
            if !self.is_open && call.name.is_empty() {
                return;
            }
            self.send_held(out, false);
            if !self.calls[self.current].end.is_whole() {
                return;
            }
            out.close();
            self.next();
        }
    }

    /// Opens the block of the current call and sends what is held of it.
    fn send_held(&mut self, out: &mut BlockWriter, is_last: bool) {
        let call = &mut self.calls[self.current];
        if !std::mem::replace(&mut self.is_open, true) {
            if call.id.is_empty() {
                call.id = new_call_id();
            }
            out.open_tool(&call.id, &call.name);
        }
        if call.held.is_empty() || (call.shape == ArgumentShape::Other && !is_last) {
            return;
        }
        let held = std::mem::take(&mut call.held);
        self.held = self.held.saturating_sub(held.len());
        let json = quoted(&held);
        if call.shape == ArgumentShape::Other {
            let object = CallArguments::of(&json).object.into_owned();
            out.arguments(inner(&quoted(&object)));
        } else {
            out.arguments(inner(&json));
        }
    }

    fn next(&mut self) {
        self.current += 1;
        self.is_open = false;
    }
}
