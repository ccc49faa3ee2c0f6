//! A tool call that is being written, and its events.

use super::{
    custom_input::CustomInput,
    event_writer::EventWriter,
    item::{CallNames, ItemStatus},
    open_text::{added, begin, done},
    output::OutputItems,
    tool_names::ToolNames,
};
use crate::dialect::chat::{
    chat_answer::CallPieces,
    json_end::JsonEnd,
    json_text::{decoded, inner},
};

/// The stream that a call is written to.
pub(super) struct CallSink<'a> {
    pub(super) names: &'a ToolNames,
    pub(super) digits: &'a str,
    pub(super) output: &'a mut OutputItems,
    pub(super) events: &'a mut EventWriter,
}

/// A call, which is announced once its name is known to be whole.
#[derive(Debug, Default)]
pub(super) struct OpenCall {
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
    /// The end of the arguments.
    end: JsonEnd,
}

// === impl OpenCall ===

impl OpenCall {
    /// Reports whether pieces are of another call, although they have the same index.
    pub(super) fn is_other(&self, pieces: &CallPieces<'_>) -> bool {
        !pieces.id.is_empty() && !self.id.is_empty() && *pieces.id != *self.id
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
            end: JsonEnd::default(),
        };
        let early = std::mem::take(&mut self.early);
        if !early.is_empty() {
            item.push(&format!("\"{early}\""), sink.events);
        }
        self.item = Some(item);
    }

    /// Ends the call; `is_cut` tells that the answer was cut. Returns whether the arguments are cut, which
    /// they may be in an answer that was not.
    pub(super) fn close(mut self, is_cut: bool, sink: &mut CallSink<'_>) -> bool {
        self.announced(sink);
        let Some(mut item) = self.item else {
            return false;
        };
        let is_broken = item.end.is_cut();
        let status = if is_broken || is_cut && sink.output.is_last(item.at) {
            ItemStatus::Incomplete
        } else {
            ItemStatus::Completed
        };
        item.finish(sink.events);
        let json = item.names.json(&item.text, status);
        done(item.at, json, sink.output, sink.events);
        is_broken
    }
}

// === impl CallItem ===

impl CallItem {
    /// Adds a piece of the arguments, a raw JSON string.
    fn push(&mut self, arguments: &str, events: &mut EventWriter) {
        let plain = decoded(arguments);
        self.end.push(&plain);
        if self.names.tool.custom {
            let mut text = String::new();
            self.input.push(&plain, &mut text);
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
