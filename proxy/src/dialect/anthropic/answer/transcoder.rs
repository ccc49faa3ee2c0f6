//! The stream of a message: chat events become Anthropic's events.
//!
//! ```text
//! data: {"choices":[{"delta":{"content":"Hi"}}]}
//! event: message_start            {"type":"message_start","message":{"content":[],...}}
//! event: content_block_start      {...,"index":0,"content_block":{"type":"text","text":""}}
//! event: content_block_delta      {...,"index":0,"delta":{"type":"text_delta","text":"Hi"}}
//! ```
//!
//! An error ends the stream without closing a block: clients give up the message.

use std::{mem, sync::Arc};

use bytes::Bytes;

use super::{
    block_writer::{BlockKind, BlockWriter, event},
    call_queue::CallQueue,
    message_end::{MessageEnd, usage_json},
};
use crate::{
    dialect::{
        anthropic::request_facts::MessagesRequestFacts,
        chat::{
            chat_answer::{ChatAnswer, ChatChoice, ChatDelta},
            event_translator::EventTranslator,
        },
    },
    error::Error,
};

/// Writes the events of one message.
#[derive(Debug)]
pub(in crate::dialect::anthropic) struct MessageTranslator {
    request: Arc<MessagesRequestFacts>,
    id: String,
    message: StreamedMessage,
    is_started: bool,
}

/// The blocks of the message, and its end.
#[derive(Debug)]
struct StreamedMessage {
    blocks: BlockWriter,
    calls: CallQueue,
    end: MessageEnd,
    /// Text and thinking that came within a call, each the inside of a JSON string.
    later: Vec<(BlockKind, String)>,
    /// Their bytes.
    held: usize,
    cap: usize,
}

// === impl MessageTranslator ===

impl MessageTranslator {
    /// Makes the translator of one answer; `id` is the message's.
    pub(in crate::dialect::anthropic) fn new(
        request: Arc<MessagesRequestFacts>,
        id: String,
    ) -> Self {
        let cap = request.cap;
        Self {
            request,
            id,
            message: StreamedMessage {
                blocks: BlockWriter::default(),
                calls: CallQueue::new(cap),
                end: MessageEnd::default(),
                later: Vec::new(),
                held: 0,
                cap,
            },
            is_started: false,
        }
    }

    fn start(&mut self) {
        if mem::replace(&mut self.is_started, true) {
            return;
        }
        let MessagesRequestFacts {
            model, estimate, ..
        } = &*self.request;
        let usage = usage_json(*estimate, 0, 0);
        let id = &self.id;
        event(
            &mut self.message.blocks.out,
            "message_start",
            format_args!(
                r#"{{"type":"message_start","message":{{"id":"{id}","type":"message","role":"assistant","model":{model},"content":[],"stop_reason":null,"stop_sequence":null,"usage":{usage}}}}}"#
            ),
        );
    }
}

impl EventTranslator for MessageTranslator {
    fn answer(&mut self, answer: &ChatAnswer<'_>) -> Result<(), Error> {
        let (choice, usage) = (answer.choice(), answer.usage());
        if choice.is_none() && usage.is_none() {
            return Ok(());
        }
        self.start();
        if let Some(usage) = usage {
            self.message.end.counted(usage);
        }
        match choice {
            Some(choice) => self.message.choice(choice, &self.request.stop_sequences),
            None => Ok(()),
        }
    }

    fn end(&mut self) {
        self.start();
        self.message.finish(self.request.estimate);
    }

    fn take(&mut self) -> Option<Bytes> {
        let written = &mut self.message.blocks.out;
        if written.is_empty() {
            return None;
        }
        let events = Bytes::copy_from_slice(written);
        written.clear();
        Some(events)
    }
}

// === impl StreamedMessage ===

impl StreamedMessage {
    fn choice(&mut self, choice: &ChatChoice<'_>, stops: &[String]) -> Result<(), Error> {
        if let Some(delta) = &choice.delta {
            self.delta(delta)?;
        }
        if let Some(end) = choice.end() {
            self.end.finished(end, choice.stop_reason(), stops);
        }
        Ok(())
    }

    fn delta(&mut self, delta: &ChatDelta<'_>) -> Result<(), Error> {
        let texts = delta.texts();
        self.end.is_refusal |= !texts.refusal.is_empty();
        for (kind, text) in [
            (BlockKind::Thinking, &texts.thoughts),
            (BlockKind::Text, &texts.text),
            (BlockKind::Text, &texts.refusal),
        ] {
            if !text.is_empty() {
                self.say(kind, text)?;
            }
        }
        for call in delta.calls() {
            self.calls.push(&call, &mut self.blocks)?;
        }
        Ok(())
    }

    /// Writes text or thinking, or holds it while a call is not whole.
    fn say(&mut self, kind: BlockKind, inner: &str) -> Result<(), Error> {
        if !self.calls.is_under_way() {
            self.write(kind, inner);
            return Ok(());
        }
        self.held += inner.len();
        if self.held > self.cap {
            return Err(Error::answer_too_large());
        }
        self.later.push((kind, inner.to_owned()));
        Ok(())
    }

    fn write(&mut self, kind: BlockKind, inner: &str) {
        match kind {
            BlockKind::Thinking => self.blocks.thinking(inner),
            BlockKind::Text | BlockKind::Tool => self.blocks.text(inner),
        }
    }

    fn finish(&mut self, estimate: u64) {
        self.calls.finish(&mut self.blocks);
        for (kind, inner) in mem::take(&mut self.later) {
            self.write(kind, &inner);
        }
        self.blocks.close();
        let (reason, stop) = self.end.reason(self.calls.sent());
        let usage = self.end.usage(estimate);
        let out = &mut self.blocks.out;
        event(
            out,
            "message_delta",
            format_args!(
                r#"{{"type":"message_delta","delta":{{"stop_reason":"{reason}","stop_sequence":{stop}}},"usage":{usage}}}"#
            ),
        );
        event(
            out,
            "message_stop",
            format_args!(r#"{{"type":"message_stop"}}"#),
        );
    }
}
