//! The known breakers of an engine's prefix cache, and what is done about each.
//!
//! An engine reads of a prompt only what comes behind the longest beginning that it has read before. Some
//! clients write things into that beginning, or rewrite it, that change from turn to turn and mean nothing
//! to a model here; the table `NEUTRALISERS` lists those that are taken out. `docs/prefix.md` is made
//! from it.
//!
//! What breaks them all the same is found by `tracer`: it compares each turn of a conversation with the
//! one before by hashes.
//!
//! What is done never depends on what comes later in a conversation, so that the next turn begins with the
//! bytes of this one.

pub(crate) mod advice;
mod billing_block;
mod cache_control;
#[cfg(test)]
mod docs;
pub(crate) mod fingerprint;
mod later_system;
pub(crate) mod tracer;

use std::{borrow::Cow, ops::Range};

use bytes::Bytes;
use crucible_config::checked::PrefixSettings;

use self::fingerprint::PieceKind;
pub(crate) use self::{billing_block::begins_with_block, later_system::as_user_text};
use crate::body::peek::PeekedBody;

/// One breaker, and how it is taken out of prompts.
#[derive(Debug)]
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "the page `docs/prefix.md` is made from the other fields"
    )
)]
pub(crate) struct Neutraliser {
    /// The key of the setting that switches it; it is on by default.
    pub(crate) switch: &'static str,
    /// The words for the clients that write the breaker, and for what it is.
    pub(crate) breaker: &'static str,
    /// The client formats and engines in which it is looked for.
    pub(crate) place: &'static str,
    /// The words for what is done with it.
    pub(crate) cure: &'static str,
    /// The sentence for the header `x-crucible-note`.
    pub(crate) note: &'static str,
}

/// Every breaker that is taken out of prompts, as the page lists them.
#[cfg(test)]
pub(crate) const NEUTRALISERS: [&Neutraliser; 3] = [&BILLING_BLOCK, &CACHE_CONTROL, &LATER_SYSTEM];

/// Claude Code's block of accounting.
pub(crate) static BILLING_BLOCK: Neutraliser = Neutraliser {
    switch: "prefix.billing_block",
    breaker: "Claude Code's first system block, `x-anthropic-billing-header: ...`: a part of it differs \
              between requests",
    place: "`/v1/messages`, and a system message that another proxy made of it; every engine",
    cure: "left out",
    note: "Claude Code's billing block is left out: it would spoil the engine's cache of the prompt",
};

/// The marks that Anthropic's API reads as the ends of prefixes.
pub(crate) static CACHE_CONTROL: Neutraliser = Neutraliser {
    switch: "prefix.cache_control",
    breaker: "`cache_control` (Claude Code, Roo, Cline): it moves to the last block on every turn, and means \
              nothing to engines here",
    place: "messages, their parts and calls, and tools, of every client format; every engine",
    cure: "left out",
    note: "cache_control is left out: it moves from turn to turn, and engines here have their own cache",
};

/// System messages in the middle of a conversation.
pub(crate) static LATER_SYSTEM: Neutraliser = Neutraliser {
    switch: "prefix.later_system",
    breaker: "a system message behind the first message of a user or a model (Claude Code's reminders): the \
              templates of Ollama join all system messages at the front",
    place: "every client format; Ollama",
    cure: "sent at its place as the text of a user, between `<system-reminder>` tags",
    note: "later system messages are sent as user texts: Ollama would move them to the front of the prompt",
};

/// A chat request without what breaks prefix caches.
#[derive(Debug)]
pub(crate) struct NeutralisedRequest {
    /// The body; every byte that was not taken out is the client's.
    pub(crate) body: Bytes,
    /// Sentences for the header `x-crucible-note`.
    pub(crate) notes: Vec<Cow<'static, str>>,
}

/// The pieces of a body that are taken out.
#[derive(Debug, Default)]
struct Cuts {
    ranges: Vec<Range<usize>>,
    notes: Vec<Cow<'static, str>>,
}

/// Takes out of a chat request what breaks prefix caches on any engine; `None` where it has none of it.
/// What breaks those of one kind of engine is the matter of its format.
pub(crate) fn neutralised(
    body: &Bytes,
    peek: &PeekedBody,
    settings: PrefixSettings,
) -> Option<NeutralisedRequest> {
    let mut cuts = Cuts::default();
    if settings.billing_block {
        // Only a system message has it: the others are not searched.
        let first = peek.messages(body).next();
        let is_system = first.is_some_and(|message| PieceKind::of(message) == PieceKind::System);
        let messages = peek.raw_bytes(body, "messages").filter(|_| is_system);
        let found = messages.and_then(billing_block::in_messages);
        cuts.add(body, found.into_iter().collect(), &BILLING_BLOCK);
    }
    if settings.cache_control && peek.may_have_cache_control() {
        let messages = peek.raw(body, "messages").map(cache_control::in_messages);
        let tools = peek.raw(body, "tools").map(cache_control::in_tools);
        let found = messages.into_iter().chain(tools).flatten().collect();
        cuts.add(body, found, &CACHE_CONTROL);
    }
    (!cuts.ranges.is_empty()).then(|| cuts.out_of(body))
}

/// Returns the range of a piece of a text in it.
fn place(text: &[u8], piece: &[u8]) -> Range<usize> {
    let start = piece.as_ptr().addr() - text.as_ptr().addr();
    start..start + piece.len()
}

// === impl Cuts ===

impl Cuts {
    /// Adds pieces of the body that one neutraliser takes out.
    fn add(&mut self, body: &[u8], found: Vec<&[u8]>, by: &Neutraliser) {
        if !found.is_empty() {
            self.notes.push(by.note.into());
            let ranges = found.into_iter().map(|piece| place(body, piece));
            self.ranges.extend(ranges);
        }
    }

    fn out_of(mut self, body: &Bytes) -> NeutralisedRequest {
        self.ranges
            .sort_by_key(|range| (range.start, std::cmp::Reverse(range.end)));
        let mut sent = Vec::with_capacity(body.len());
        let mut from = 0;
        for range in &self.ranges {
            // A piece within one that is gone already goes with it.
            if range.start >= from {
                sent.extend_from_slice(&body[from..range.start]);
                from = range.end;
            }
        }
        sent.extend_from_slice(&body[from..]);
        NeutralisedRequest {
            body: sent.into(),
            notes: self.notes,
        }
    }
}

#[cfg(test)]
mod tests;
