//! Chat events as the events of a response.
//!
//! Thoughts, text and calls become items of the output. One of thoughts or text is open at a time; calls
//! stay open until the end, because engines may write several at once. Every text is passed on as the
//! engine escaped it, and kept, because the events that end it repeat it.
//!
//! ```text
//! data: {"choices":[{"delta":{"content":"Hi"}}]}
//! event: response.output_text.delta
//! data: {"type":"response.output_text.delta","sequence_number":4,...,"delta":"Hi"}
//! ```

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;

use super::{
    error::error_json,
    event_writer::EventWriter,
    head::{ResponseHead, ResponseState, ResponseStatus},
    item::{ItemStatus, PartKind},
    open_call::{CallSink, OpenCall},
    open_text::{OpenMessage, OpenReasoning},
    output::OutputItems,
    tool_names::ToolNames,
};
use crate::{
    dialect::chat::{
        chat_answer::{AnswerEnd, CallPieces, ChatAnswer, ChatChoice, ChatDelta},
        event_translator::EventTranslator,
    },
    error::Error,
    usage::Usage,
};

/// The bytes that a call takes beside its texts, about.
const CALL: usize = 128;

/// Writes the events of one response.
#[derive(Debug)]
pub(super) struct ResponseTranslator {
    head: Arc<ResponseHead>,
    names: Arc<ToolNames>,
    events: EventWriter,
    model: Option<String>,
    output: OutputItems,
    text: Option<OpenText>,
    calls: Vec<OpenCall>,
    /// The place in `calls` of the last call with an index of the engine's.
    by_index: HashMap<u64, usize>,
    end: Option<AnswerEnd>,
    usage: Option<Usage>,
    /// The bytes that are kept of the answer, and the most that there may be.
    kept: usize,
    cap: usize,
    is_begun: bool,
}

/// The item that is written at the moment.
#[derive(Debug)]
enum OpenText {
    Reasoning(OpenReasoning),
    Message(OpenMessage),
}

// === impl ResponseTranslator ===

impl ResponseTranslator {
    /// Makes the translator of one answer; `cap` is the most bytes that are kept of it (`limits.event`).
    pub(super) fn new(head: Arc<ResponseHead>, names: Arc<ToolNames>, cap: usize) -> Self {
        Self {
            head,
            names,
            events: EventWriter::default(),
            model: None,
            output: OutputItems::default(),
            text: None,
            calls: Vec::new(),
            by_index: HashMap::new(),
            end: None,
            usage: None,
            kept: 0,
            cap,
            is_begun: false,
        }
    }

    /// Announces the response.
    fn begin(&mut self, model: Option<String>) {
        self.is_begun = true;
        self.model = self.head.model.clone().or(model);
        for kind in ["response.created", "response.in_progress"] {
            self.lifecycle(kind, ResponseStatus::InProgress, None);
        }
    }

    fn message(&mut self, message: &ChatDelta<'_>, choice: &ChatChoice<'_>) -> Result<(), Error> {
        let texts = message.texts();
        self.keep(texts.thoughts.len() + texts.text.len() + texts.refusal.len())?;
        if !texts.thoughts.is_empty() {
            self.thought(&texts.thoughts);
        }
        for (kind, text) in [
            (PartKind::Text, &texts.text),
            (PartKind::Refusal, &texts.refusal),
        ] {
            if !text.is_empty() {
                let logprobs = if self.head.logprobs && kind == PartKind::Text {
                    choice.logprobs()
                } else {
                    ""
                };
                self.keep(logprobs.len())?;
                self.said(kind, text, logprobs);
            }
        }
        for call in message.calls() {
            self.keep(call.arguments.as_deref().map_or(0, str::len))?;
            self.called(&call)?;
        }
        Ok(())
    }

    fn thought(&mut self, text: &str) {
        if !matches!(self.text, Some(OpenText::Reasoning(_))) {
            self.close_text(ItemStatus::Completed);
        }
        let Self {
            head,
            events,
            output,
            ..
        } = self;
        let open = self.text.get_or_insert_with(|| {
            OpenText::Reasoning(OpenReasoning::open(&head.digits, output, events))
        });
        if let OpenText::Reasoning(open) = open {
            open.delta(text, events);
        }
    }

    fn said(&mut self, kind: PartKind, text: &str, logprobs: &str) {
        if !matches!(self.text, Some(OpenText::Message(_))) {
            self.close_text(ItemStatus::Completed);
        }
        let Self {
            head,
            events,
            output,
            ..
        } = self;
        let open = self.text.get_or_insert_with(|| {
            OpenText::Message(OpenMessage::open(kind, &head.digits, output, events))
        });
        if let OpenText::Message(open) = open {
            open.delta(kind, text, logprobs, events);
        }
    }

    fn called(&mut self, pieces: &CallPieces<'_>) -> Result<(), Error> {
        self.close_text(ItemStatus::Completed);
        let known = match pieces.index {
            Some(index) => self.by_index.get(&index).copied(),
            None => self.calls.len().checked_sub(1),
        };
        let known = known.filter(|at| !self.calls[*at].is_other(pieces));
        if known.is_none() {
            self.keep(CALL + pieces.id.len() + pieces.name.len())?;
        }
        let Self {
            head,
            names,
            events,
            output,
            calls,
            by_index,
            ..
        } = self;
        let mut sink = CallSink {
            names,
            digits: &head.digits,
            output,
            events,
        };
        let at = known.unwrap_or_else(|| {
            // Whoever came before stands before.
            if let Some(last) = calls.last_mut() {
                last.announced(&mut sink);
            }
            calls.push(OpenCall::default());
            let at = calls.len() - 1;
            if let Some(index) = pieces.index {
                by_index.insert(index, at);
            }
            at
        });
        calls[at].push(pieces, &mut sink);
        Ok(())
    }

    fn close_text(&mut self, status: ItemStatus) {
        let Self { events, output, .. } = self;
        match self.text.take() {
            None => {}
            Some(OpenText::Reasoning(open)) => open.close(status, output, events),
            Some(OpenText::Message(open)) => open.close(status, output, events),
        }
    }

    /// Writes an event with the response object.
    fn lifecycle(&mut self, kind: &str, status: ResponseStatus, error: Option<&str>) {
        let output = self.output.joined();
        let state = ResponseState {
            status,
            model: self.model.as_deref().unwrap_or_default(),
            output: &output,
            error,
            usage: self.usage,
        };
        let head = &self.head;
        self.events
            .begin(kind)
            .with("response", |out| head.write(&state, out))
            .end();
    }

    fn keep(&mut self, bytes: usize) -> Result<(), Error> {
        self.kept += bytes;
        if self.kept > self.cap {
            return Err(Error::answer_too_large());
        }
        Ok(())
    }
}

impl EventTranslator for ResponseTranslator {
    fn answer(&mut self, answer: &ChatAnswer<'_>) -> Result<(), Error> {
        if !self.is_begun {
            self.begin(answer.model());
        }
        self.usage = answer.usage().or(self.usage);
        if let Some(choice) = answer.choice() {
            if let Some(message) = &choice.delta {
                self.message(message, choice)?;
            }
            self.end = choice.end().or(self.end);
        }
        Ok(())
    }

    fn end(&mut self) {
        if !self.is_begun {
            self.begin(None);
        }
        let end = self.end.unwrap_or(AnswerEnd::Done);
        let is_cut = end != AnswerEnd::Done;
        self.close_text(if is_cut && self.calls.is_empty() {
            ItemStatus::Incomplete
        } else {
            ItemStatus::Completed
        });
        let Self {
            head,
            names,
            events,
            output,
            ..
        } = self;
        let mut sink = CallSink {
            names,
            digits: &head.digits,
            output,
            events,
        };
        let mut is_broken = false;
        for call in self.calls.drain(..) {
            is_broken |= call.close(is_cut, &mut sink);
        }
        // Whatever the engine says: a client must not run a call whose arguments are cut.
        let end = match end {
            AnswerEnd::Done if is_broken => AnswerEnd::Length,
            end => end,
        };
        let (kind, status) = end_of_response(end, self.head.is_codex);
        self.lifecycle(kind, status, None);
    }

    fn take(&mut self) -> Option<Bytes> {
        self.events.take()
    }

    fn failed(&mut self, error: &Error) -> Option<Bytes> {
        if !self.is_begun {
            self.begin(None);
        }
        self.lifecycle(
            "response.failed",
            ResponseStatus::Failed,
            Some(&error_json(error)),
        );
        self.events.take()
    }
}

/// Returns the event that ends a response, and the response's status. Codex (0.171) takes
/// `response.incomplete` for a failure and shows nothing of the answer.
fn end_of_response(end: AnswerEnd, is_codex: bool) -> (&'static str, ResponseStatus) {
    let reason = match end {
        AnswerEnd::Done => return ("response.completed", ResponseStatus::Completed),
        AnswerEnd::Length => "max_output_tokens",
        AnswerEnd::Filter => "content_filter",
    };
    let kind = if is_codex {
        "response.completed"
    } else {
        "response.incomplete"
    };
    (kind, ResponseStatus::Incomplete(reason))
}
