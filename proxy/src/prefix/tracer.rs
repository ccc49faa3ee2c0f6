//! The tracer finds where two turns of one conversation diverge. A turn should only add to the
//! prompt of the one before, because an engine has to read anew what follows a change.
//!
//! Of each conversation the fingerprint of its last prompt is kept. The tracer is plain data: time
//! is an argument, and it holds a bounded number of conversations and bytes.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, Hash as _, Hasher as _},
    sync::Arc,
    time::{Duration, Instant},
};

use foldhash::fast::{FixedState, RandomState};

use super::fingerprint::{Divergence, Fingerprint};

/// The most conversations that are kept.
const MOST_CONVERSATIONS: usize = 512;
/// The most bytes that all fingerprints take together.
const MOST_BYTES: usize = 8 << 20;
/// The turns that have to diverge and be read anew before a conversation is a finding.
const REPEATS: u32 = 2;
/// The time for which a conversation is listed after its last turn that diverged.
const TOLD_FOR: Duration = Duration::from_hours(1);

/// The identity of a conversation, by which its turns are compared: a hash, from which no text can
/// be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ConversationId(u64);

/// The facts that tell conversations apart, beside the hash of their first message of a user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConversationFacts<'a> {
    /// The hash of the session that the client names.
    pub(crate) session: Option<u64>,
    /// The client, which counts where no session is named.
    pub(crate) client: &'a str,
    /// Whether tools are offered.
    pub(crate) tools: bool,
}

/// The comparison of a turn with the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TracedTurn {
    /// The conversation that the turn belongs to.
    pub(crate) conversation: ConversationId,
    /// The number of the turn, beginning with 1.
    pub(crate) turn: u32,
    /// `None` where it goes on from the turn before, or is the first.
    pub(crate) divergence: Option<Divergence>,
}

/// A conversation whose turns change what its engine has read before, with the place where they
/// diverge.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BrokenPrefix {
    /// The client, as it is told apart from others.
    pub(crate) client: Arc<str>,
    /// The engine that answered the last turn that diverged.
    pub(crate) engine: Arc<str>,
    /// The model that answered the last turn that diverged.
    pub(crate) model: Arc<str>,
    /// The number of the last turn that diverged, beginning with 1.
    pub(crate) turn: u32,
    /// The place in the prompt from which on that turn differs from the one before.
    pub(crate) divergence: Divergence,
    /// The number of turns of the conversation that diverged.
    pub(crate) diverged: u32,
    /// The number of diverging turns of which less than half of the prompt was cached.
    pub(crate) reread: u32,
    /// The tokens of the prompt of the last turn that was measured, and those that were cached.
    pub(crate) reuse: Option<(u64, u64)>,
}

#[derive(Debug)]
struct TracedConversation {
    print: Fingerprint,
    /// Whether tools are offered.
    tools: bool,
    turn: u32,
    at: Instant,
    /// The last turn that diverged.
    broken: Option<(Instant, BrokenPrefix)>,
}

/// Keeps hashes of the last prompt of each conversation and finds where the next turn diverges from
/// it. Bounded, and without any text.
#[derive(Debug, Default)]
pub(crate) struct PrefixTracer {
    conversations: HashMap<ConversationId, TracedConversation, RandomState>,
    bytes: usize,
}

// === impl ConversationId ===

impl ConversationId {
    /// Returns the conversation to which a prompt belongs; `None` where it has no message of a
    /// user.
    fn of(facts: ConversationFacts<'_>, print: &Fingerprint) -> Option<Self> {
        let mut hasher = FixedState::with_seed(1).build_hasher();
        match facts.session {
            Some(session) => session.hash(&mut hasher),
            None => facts.client.hash(&mut hasher),
        }
        (facts.session.is_some(), facts.tools, print.opening()?).hash(&mut hasher);
        Some(Self(hasher.finish()))
    }
}

// === impl PrefixTracer ===

impl PrefixTracer {
    /// Compares a prompt with the last one of its conversation, and keeps it in place of that one.
    /// It returns `None`, and keeps nothing, where the prompt has no message of a user.
    pub(crate) fn trace(
        &mut self,
        facts: ConversationFacts<'_>,
        print: Fingerprint,
        now: Instant,
    ) -> Option<TracedTurn> {
        let conversation = ConversationId::of(facts, &print)?;
        let before = self.conversations.remove(&conversation);
        self.bytes -= before.as_ref().map_or(0, |before| before.print.size());
        let mut kept = match before {
            Some(before) if print.is_later_turn() => before,
            // It begins, perhaps once more.
            _ => TracedConversation {
                print: Fingerprint::default(),
                tools: facts.tools,
                turn: 0,
                at: now,
                broken: None,
            },
        };
        kept.turn += 1;
        let divergence = kept.print.divergence(&print);
        self.bytes += print.size();
        kept.print = print;
        kept.at = now;
        let turn = kept.turn;
        self.conversations.insert(conversation, kept);
        self.bound(conversation);
        Some(TracedTurn {
            conversation,
            turn,
            divergence,
        })
    }

    /// Returns the number of the turn that a prompt would be, and where it would diverge, without
    /// keeping it; `None` where its conversation is not known.
    ///
    /// Another program than the conversation's own may ask. So where the asker has no such
    /// conversation, the latest one counts that begins with the same message of a user.
    pub(crate) fn compare(
        &self,
        facts: ConversationFacts<'_>,
        print: &Fingerprint,
    ) -> Option<(u32, Option<Divergence>)> {
        let own = self.conversations.get(&ConversationId::of(facts, print)?);
        let begins_so = |kept: &&TracedConversation| {
            kept.tools == facts.tools && kept.print.opening() == print.opening()
        };
        let alike = || {
            let alike = self.conversations.values().filter(begins_so);
            alike.max_by_key(|kept| kept.at)
        };
        let known = own.or_else(alike)?;
        Some((known.turn + 1, known.print.divergence(print)))
    }

    /// Notes a turn that diverged, with the tokens of its prompt and how many of them were cached
    /// (`reuse`); another turn changes nothing. `who` names client, engine and model, in this
    /// order.
    pub(crate) fn note_divergence(
        &mut self,
        turn: TracedTurn,
        who: [Arc<str>; 3],
        reuse: Option<(u64, u64)>,
        now: Instant,
    ) {
        let Some(kept) = self.conversations.get_mut(&turn.conversation) else {
            return;
        };
        let Some(divergence) = turn.divergence else {
            return;
        };
        let [client, engine, model] = who;
        let before = kept.broken.take();
        let (diverged, reread) = before.map_or((0, 0), |(_, b)| (b.diverged, b.reread));
        let is_reread = reuse.is_some_and(|(prompt, cached)| cached < prompt / 2);
        let broken = BrokenPrefix {
            client,
            engine,
            model,
            turn: turn.turn,
            divergence,
            diverged: diverged + 1,
            reread: reread + u32::from(is_reread),
            reuse,
        };
        kept.broken = Some((now, broken));
    }

    /// Returns the conversations in which a turn diverged within the last hour, the latest first.
    /// Each comes with its last such turn.
    pub(crate) fn recent_divergences(&self, now: Instant) -> Vec<BrokenPrefix> {
        let all = self.conversations.values();
        let mut broken: Vec<_> = all
            .filter_map(|kept| kept.broken.as_ref())
            .filter(|(at, _)| now.saturating_duration_since(*at) < TOLD_FOR)
            .collect();
        broken.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        broken
            .into_iter()
            .map(|(_, broken)| broken.clone())
            .collect()
    }

    /// Forgets the conversations that were quiet for longest, until the bounds are met.
    fn bound(&mut self, newest: ConversationId) {
        while self.conversations.len() > MOST_CONVERSATIONS || self.bytes > MOST_BYTES {
            let others = self.conversations.iter().filter(|(id, _)| **id != newest);
            let Some(oldest) = others.min_by_key(|(_, kept)| kept.at).map(|(id, _)| *id) else {
                return;
            };
            if let Some(gone) = self.conversations.remove(&oldest) {
                self.bytes -= gone.print.size();
            }
        }
    }
}

// === impl BrokenPrefix ===

impl BrokenPrefix {
    /// Reports whether a person should be told: in at least two turns that diverged, less than half
    /// of the prompt was cached.
    pub(crate) fn is_finding(&self) -> bool {
        self.reread >= REPEATS
    }

    /// Returns the place in words, such as `turn 7: the system prompt differs within its first 256
    /// bytes`.
    pub(crate) fn words(&self) -> String {
        format!("turn {}: {}", self.turn, self.divergence.words())
    }
}

#[cfg(test)]
mod tests;
