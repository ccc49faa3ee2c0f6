//! The item of text or of thoughts that is being written, and its events.

use super::{
    event_writer::EventWriter,
    item::{self, ItemStatus, PartKind, item_id},
    output::OutputItems,
};

/// The thoughts of a model, which are told as the summary of its reasoning: what clients show, and
/// what they send back on the next turn.
#[derive(Debug)]
pub(super) struct OpenReasoning {
    id: String,
    at: usize,
    /// The inside of a JSON string.
    text: Vec<u8>,
}

/// The assistant's message that is open in a stream, with the text that it has so far.
#[derive(Debug)]
pub(super) struct OpenMessage {
    id: String,
    at: usize,
    /// The finished parts as JSON, joined by commas, and their number.
    parts: Vec<u8>,
    finished: u64,
    part: OpenPart,
}

#[derive(Debug)]
struct OpenPart {
    kind: PartKind,
    /// The inside of a JSON string.
    text: Vec<u8>,
    /// The elements of a list.
    logprobs: Vec<u8>,
}

// === impl OpenReasoning ===

impl OpenReasoning {
    /// Announces the item and its only part.
    pub(super) fn open(digits: &str, output: &mut OutputItems, events: &mut EventWriter) -> Self {
        let at = output.next_place();
        let id = item_id("rs", digits, at);
        added(
            events,
            at,
            &item::reasoning(&id, None, ItemStatus::InProgress),
        );
        let this = Self {
            id,
            at,
            text: Vec::new(),
        };
        this.event("response.reasoning_summary_part.added", events)
            .raw("part", &item::summary_part(b""))
            .end();
        this
    }

    /// Adds a piece of text, the inside of a JSON string.
    pub(super) fn delta(&mut self, text: &str, events: &mut EventWriter) {
        self.text.extend_from_slice(text.as_bytes());
        self.event("response.reasoning_summary_text.delta", events)
            .string("delta", text.as_bytes())
            .end();
    }

    pub(super) fn close(
        self,
        status: ItemStatus,
        output: &mut OutputItems,
        events: &mut EventWriter,
    ) {
        let text = &self.text;
        self.event("response.reasoning_summary_text.done", events)
            .string("text", text)
            .end();
        self.event("response.reasoning_summary_part.done", events)
            .raw("part", &item::summary_part(text))
            .end();
        let item = item::reasoning(&self.id, Some(text), status);
        done(self.at, item, output, events);
    }

    fn event<'a>(&self, kind: &str, events: &'a mut EventWriter) -> &'a mut EventWriter {
        begin(kind, &self.id, self.at, events).number("summary_index", 0)
    }
}

// === impl OpenMessage ===

impl OpenMessage {
    /// Announces the item and its first part.
    pub(super) fn open(
        kind: PartKind,
        digits: &str,
        output: &mut OutputItems,
        events: &mut EventWriter,
    ) -> Self {
        let at = output.next_place();
        let id = item_id("msg", digits, at);
        added(events, at, &item::message(&id, b"", ItemStatus::InProgress));
        let this = Self {
            id,
            at,
            parts: Vec::new(),
            finished: 0,
            part: OpenPart::new(kind),
        };
        this.part_added(events);
        this
    }

    /// Adds a piece of text, the inside of a JSON string, with the probabilities of its tokens.
    pub(super) fn delta(
        &mut self,
        kind: PartKind,
        text: &str,
        logprobs: &str,
        events: &mut EventWriter,
    ) {
        if kind != self.part.kind {
            self.part_done(events);
            self.part = OpenPart::new(kind);
            self.part_added(events);
        }
        self.part.push(text, logprobs);
        let name = match kind {
            PartKind::Text => "response.output_text.delta",
            PartKind::Refusal => "response.refusal.delta",
        };
        let event = self.event(name, events).string("delta", text.as_bytes());
        if kind == PartKind::Text {
            list(event, logprobs.as_bytes());
        }
        event.end();
    }

    pub(super) fn close(
        mut self,
        status: ItemStatus,
        output: &mut OutputItems,
        events: &mut EventWriter,
    ) {
        self.part_done(events);
        let item = item::message(&self.id, &self.parts, status);
        done(self.at, item, output, events);
    }

    fn part_added(&self, events: &mut EventWriter) {
        let part = item::part(self.part.kind, b"", b"");
        self.event("response.content_part.added", events)
            .raw("part", &part)
            .end();
    }

    fn part_done(&mut self, events: &mut EventWriter) {
        let OpenPart {
            kind,
            text,
            logprobs,
        } = &self.part;
        match kind {
            PartKind::Text => {
                let event = self.event("response.output_text.done", events);
                list(event.string("text", text), logprobs);
                event.end();
            }
            PartKind::Refusal => {
                let event = self.event("response.refusal.done", events);
                event.string("refusal", text).end();
            }
        }
        let part = item::part(*kind, text, logprobs);
        self.event("response.content_part.done", events)
            .raw("part", &part)
            .end();
        if self.finished > 0 {
            self.parts.push(b',');
        }
        self.parts.extend_from_slice(&part);
        self.finished += 1;
    }

    fn event<'a>(&self, kind: &str, events: &'a mut EventWriter) -> &'a mut EventWriter {
        begin(kind, &self.id, self.at, events).number("content_index", self.finished)
    }
}

// === impl OpenPart ===

impl OpenPart {
    const fn new(kind: PartKind) -> Self {
        Self {
            kind,
            text: Vec::new(),
            logprobs: Vec::new(),
        }
    }

    fn push(&mut self, text: &str, logprobs: &str) {
        self.text.extend_from_slice(text.as_bytes());
        if !logprobs.is_empty() {
            if !self.logprobs.is_empty() {
                self.logprobs.push(b',');
            }
            self.logprobs.extend_from_slice(logprobs.as_bytes());
        }
    }
}

fn list(event: &mut EventWriter, elements: &[u8]) {
    event.with("logprobs", |out| {
        out.push(b'[');
        out.extend_from_slice(elements);
        out.push(b']');
    });
}

/// Begins an event about an item.
pub(super) fn begin<'a>(
    kind: &str,
    id: &str,
    at: usize,
    events: &'a mut EventWriter,
) -> &'a mut EventWriter {
    events
        .begin(kind)
        .plain("item_id", id)
        .number("output_index", at as u64)
}

/// Announces an item.
pub(super) fn added(events: &mut EventWriter, at: usize, item: &[u8]) {
    events
        .begin("response.output_item.added")
        .number("output_index", at as u64)
        .raw("item", item)
        .end();
}

/// Ends an item and puts it into the output.
pub(super) fn done(at: usize, item: Vec<u8>, output: &mut OutputItems, events: &mut EventWriter) {
    events
        .begin("response.output_item.done")
        .number("output_index", at as u64)
        .raw("item", &item)
        .end();
    output.finished(at, item);
}
