//! A tool call that is being written, and its events.

use std::borrow::Cow;

use super::{
    custom_input::CustomInput,
    event_writer::EventWriter,
    item::{CallNames, ItemStatus},
    object::{decoded, inner},
    open_text::{added, begin, done},
    output::OutputItems,
    tool_names::ToolNames,
};

/// What an event tells of a call.
#[derive(Debug)]
pub(super) struct CallPieces<'a> {
    pub(super) index: Option<u64>,
    pub(super) id: Cow<'a, str>,
    pub(super) name: Cow<'a, str>,
    /// A raw JSON string.
    pub(super) arguments: Option<Cow<'a, str>>,
}

/// The stream that a call is written to.
pub(super) struct CallSink<'a> {
    pub(super) names: &'a ToolNames,
    pub(super) digits: &'a str,
    pub(super) output: &'a mut OutputItems,
    pub(super) events: &'a mut EventWriter,
}

/// A call, which is announced once its name is known to be whole.
#[derive(Debug)]
pub(super) struct OpenCall {
    index: Option<u64>,
    id: String,
    name: String,
    /// The arguments that came before a name, the inside of a JSON string.
    early: String,
    item: Option<CallItem>,
}

/// The item of a call that was announced.
#[derive(Debug)]
struct CallItem {
    names: CallNames,
    at: usize,
    /// The arguments or the input so far, the inside of a JSON string.
    text: Vec<u8>,
    input: CustomInput,
}

// === impl OpenCall ===

impl OpenCall {
    pub(super) fn new(pieces: &CallPieces<'_>) -> Self {
        Self {
            index: pieces.index,
            id: String::new(),
            name: String::new(),
            early: String::new(),
            item: None,
        }
    }

    /// Reports whether pieces are of this call. Without an index, or with one that several calls have,
    /// the id decides.
    pub(super) fn has(&self, pieces: &CallPieces<'_>) -> bool {
        let is_other = !pieces.id.is_empty() && !self.id.is_empty() && *pieces.id != *self.id;
        (pieces.index.is_none() || pieces.index == self.index) && !is_other
    }

    pub(super) fn push(&mut self, pieces: &CallPieces<'_>, sink: &mut CallSink<'_>) {
        if self.item.is_none() {
            if self.id.is_empty() {
                pieces.id.as_ref().clone_into(&mut self.id);
            }
            // Some engines repeat it in each event.
            if *pieces.name != *self.name {
                self.name.push_str(&pieces.name);
            }
        }
        if let Some(arguments) = &pieces.arguments {
            if self.item.is_none() && self.name.is_empty() {
                self.early.push_str(inner(arguments));
                return;
            }
            self.announced(sink);
            if let Some(item) = &mut self.item {
                item.push(arguments, sink.events);
            }
        }
    }

    /// Announces the call, if it is not yet.
    pub(super) fn announced(&mut self, sink: &mut CallSink<'_>) {
        if self.item.is_some() {
            return;
        }
        let at = sink.output.next_place();
        let names = CallNames::of(sink.names, &self.name, &self.id, sink.digits, at);
        added(sink.events, at, &names.json(b"", ItemStatus::InProgress));
        let mut item = CallItem {
            names,
            at,
            text: Vec::new(),
            input: CustomInput::default(),
        };
        let early = std::mem::take(&mut self.early);
        if !early.is_empty() {
            item.push(&format!("\"{early}\""), sink.events);
        }
        self.item = Some(item);
    }

    /// Ends the call; `is_cut` tells that the answer was cut.
    pub(super) fn close(mut self, is_cut: bool, sink: &mut CallSink<'_>) {
        self.announced(sink);
        let Some(mut item) = self.item else {
            return;
        };
        let status = if is_cut && sink.output.is_last(item.at) {
            ItemStatus::Incomplete
        } else {
            ItemStatus::Completed
        };
        item.finish(sink.events);
        let json = item.names.json(&item.text, status);
        done(item.at, json, sink.output, sink.events);
    }
}

// === impl CallItem ===

impl CallItem {
    /// Adds a piece of the arguments, a raw JSON string.
    fn push(&mut self, arguments: &str, events: &mut EventWriter) {
        if self.names.tool.custom {
            let mut text = String::new();
            self.input.push(&decoded(arguments), &mut text);
            self.delta(&text, events);
        } else {
            self.delta(inner(arguments), events);
        }
    }

    fn delta(&mut self, text: &str, events: &mut EventWriter) {
        if text.is_empty() {
            return;
        }
        self.text.extend_from_slice(text.as_bytes());
        let kind = if self.names.tool.custom {
            "response.custom_tool_call_input.delta"
        } else {
            "response.function_call_arguments.delta"
        };
        begin(kind, &self.names.item, self.at, events)
            .string("delta", text.as_bytes())
            .end();
    }

    fn finish(&mut self, events: &mut EventWriter) {
        let (kind, member) = if self.names.tool.custom {
            let mut rest = String::new();
            self.input.finish(&mut rest);
            self.delta(&rest, events);
            ("response.custom_tool_call_input.done", "input")
        } else {
            if self.text.is_empty() {
                // Clients read it as JSON, and some read the deltas alone.
                self.delta("{}", events);
            }
            ("response.function_call_arguments.done", "arguments")
        };
        begin(kind, &self.names.item, self.at, events)
            .string(member, &self.text)
            .end();
    }
}
