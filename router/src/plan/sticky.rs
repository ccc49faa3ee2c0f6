//! Affinity of conversations to the model that answered them before.
//!
//! A conversation stays with the model that answered its latest later turn, for 30 minutes after
//! its last turn; the latest 4096 conversations are remembered. Until there is a later turn, the
//! first turns count, which are told apart by their system text, because a side request (for a
//! title, say) may begin with the same words. A first turn replaces another only where a rule had
//! chosen that one's model, and a choice by a rule, a fallback or a busy engine moves no
//! conversation.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::Reason;
use crate::demand::Demand;

/// The time after its last answer for which a conversation is remembered.
pub const STICKY_FOR: Duration = Duration::from_mins(30);
/// The most conversations that are remembered.
pub const STICKY_MAX: usize = 4096;
/// The most first turns that are remembered of one conversation.
const OPENINGS_MAX: usize = 4;

/// The name of an engine, and the name that the engine has for one of its models.
pub type EngineModel = (Arc<str>, Arc<str>);

/// The position of a request in its conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConversationTurn {
    /// The hash that identifies the conversation.
    pub conversation: u64,
    /// The hash of the conversation's system text.
    pub instructions: u64,
    /// Whether the request contains an earlier answer, so that it is no first turn.
    pub later: bool,
}

/// The conversations that `auto` remembers, each with the model that answered it.
#[derive(Debug, Default)]
pub struct StickyTable {
    conversations: HashMap<u64, StickyConversation>,
}

#[derive(Debug)]
struct StickyConversation {
    /// The model that answered the latest later turn.
    later: Option<EngineModel>,
    openings: Vec<FirstTurn>,
    /// The time of the last answer.
    at: Instant,
}

#[derive(Debug)]
struct FirstTurn {
    instructions: u64,
    place: EngineModel,
    /// Whether a rule chose the model.
    ruled: bool,
}

// === impl ConversationTurn ===

impl ConversationTurn {
    /// Returns the position of a request; `None` where the request belongs to no conversation.
    pub fn of(demand: &Demand) -> Option<Self> {
        Some(Self {
            conversation: demand.conversation?,
            instructions: demand.instructions,
            later: demand.later_turn,
        })
    }
}

// === impl StickyTable ===

impl StickyTable {
    /// Returns the model that a conversation stays with; `None` where none is remembered, or its
    /// last answer is 30 minutes old.
    pub fn find(&self, turn: ConversationTurn, now: Instant) -> Option<EngineModel> {
        let found = self.conversations.get(&turn.conversation)?;
        found.lasts(now).then(|| found.place(turn.instructions))?
    }

    /// Remembers that the model `place` answered the turn, chosen for `reason`. Answers of
    /// fallbacks and of busy engines' stand-ins are not remembered. Where the table is full, the
    /// oldest conversation is forgotten.
    pub fn stick(
        &mut self,
        turn: ConversationTurn,
        place: EngineModel,
        reason: Reason,
        now: Instant,
    ) {
        let ruled = match reason {
            Reason::Fallback | Reason::Overload => return,
            Reason::Rule | Reason::Keyword => true,
            _ => false,
        };
        let known = self.conversations.get(&turn.conversation);
        if known.is_some_and(|known| !known.lasts(now)) {
            self.conversations.remove(&turn.conversation);
        } else if known.is_none() && self.conversations.len() >= STICKY_MAX {
            let oldest = self.conversations.iter().min_by_key(|(_, c)| c.at);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                self.conversations.remove(&oldest);
            }
        }
        let conversation = self
            .conversations
            .entry(turn.conversation)
            .or_insert_with(|| StickyConversation {
                later: None,
                openings: Vec::new(),
                at: now,
            });
        conversation.at = now;
        if turn.later && !ruled {
            conversation.later = Some(place);
        } else {
            conversation.open(FirstTurn {
                instructions: turn.instructions,
                place,
                ruled,
            });
        }
    }
}

// === impl StickyConversation ===

impl StickyConversation {
    fn lasts(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < STICKY_FOR
    }

    /// Returns the model of the later turns, else that of one first turn: those whose model no rule
    /// chose go first, then those with the same system text, then the earlier one.
    fn place(&self, instructions: u64) -> Option<EngineModel> {
        let like = |o: &&FirstTurn| (o.ruled, o.instructions != instructions);
        let opening = self.openings.iter().min_by_key(like);
        let first = || opening.map(|o| o.place.clone());
        self.later.clone().or_else(first)
    }

    fn open(&mut self, new: FirstTurn) {
        let full = self.openings.len() >= OPENINGS_MAX;
        let mut known = self.openings.iter();
        let like = known.position(|o| o.instructions == new.instructions);
        let ruled = || self.openings.iter().position(|o| o.ruled);
        let replaced = like.or_else(|| full.then(ruled)?);
        match replaced.map(|at| &mut self.openings[at]) {
            Some(known) if known.ruled && !new.ruled => *known = new,
            None if !full => self.openings.push(new),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use Reason::{Capability, Fallback, Keyword, Overload, Predicted, Rule, Sticky};

    use super::*;

    const MAIN: u64 = 1;
    const TITLE: u64 = 2;

    fn place(engine: &str) -> EngineModel {
        (engine.into(), "m".into())
    }

    fn turn(instructions: u64, later: bool) -> ConversationTurn {
        ConversationTurn {
            conversation: 7,
            instructions,
            later,
        }
    }

    #[test]
    fn forgets_after_half_an_hour_and_stays_bounded() {
        let mut table = StickyTable::default();
        let start = Instant::now();
        let of = |id| ConversationTurn {
            conversation: id,
            ..turn(MAIN, true)
        };
        for id in 0..=STICKY_MAX as u64 {
            let now = start + Duration::from_millis(id);
            table.stick(of(id), place("a"), Predicted, now);
        }
        assert_eq!(table.conversations.len(), STICKY_MAX);
        assert_eq!(table.find(of(0), start), None);
        assert_eq!(table.find(of(9), start), Some(place("a")));
        let over = start + STICKY_FOR + Duration::from_secs(1);
        assert_eq!(table.find(of(9), over), None);
        // What is over holds no place against who comes now.
        let first = ConversationTurn {
            later: false,
            ..of(9)
        };
        table.stick(first, place("b"), Predicted, over);
        assert_eq!(table.find(of(9), over), Some(place("b")));
    }

    /// An answer that a conversation got: the instructions, whether it was a later turn, the engine and the
    /// reason for it.
    type Answer = (u64, bool, &'static str, Reason);

    /// The answers of a conversation, and the engine that its next turn is for.
    const CONVERSATIONS: [(&[Answer], Option<&str>); 15] = [
        (&[], None),
        (&[(MAIN, false, "gpu", Predicted)], Some("gpu")),
        // A title before, between and after the turns.
        (
            &[
                (TITLE, false, "cpu", Predicted),
                (MAIN, false, "gpu", Predicted),
            ],
            Some("gpu"),
        ),
        (
            &[
                (MAIN, false, "gpu", Predicted),
                (TITLE, false, "cpu", Predicted),
            ],
            Some("gpu"),
        ),
        (
            &[(TITLE, false, "cpu", Rule), (MAIN, false, "gpu", Predicted)],
            Some("gpu"),
        ),
        (
            &[(MAIN, false, "gpu", Predicted), (TITLE, false, "cpu", Rule)],
            Some("gpu"),
        ),
        (
            &[
                (MAIN, true, "gpu", Predicted),
                (TITLE, false, "cpu", Predicted),
            ],
            Some("gpu"),
        ),
        // With the same system text a rule tells them apart.
        (
            &[(MAIN, false, "cpu", Rule), (MAIN, false, "gpu", Predicted)],
            Some("gpu"),
        ),
        (
            &[
                (MAIN, false, "gpu", Predicted),
                (MAIN, false, "cpu", Predicted),
            ],
            Some("gpu"),
        ),
        // A place that a rule chose is better than none, and moves nobody.
        (&[(MAIN, false, "cpu", Rule)], Some("cpu")),
        (
            &[(MAIN, true, "gpu", Sticky), (MAIN, true, "cpu", Rule)],
            Some("gpu"),
        ),
        (
            &[(MAIN, true, "gpu", Sticky), (MAIN, true, "cpu", Keyword)],
            Some("gpu"),
        ),
        // Nor does what was sent aside.
        (&[(MAIN, false, "cpu", Overload)], None),
        (
            &[(MAIN, true, "gpu", Sticky), (MAIN, true, "cpu", Fallback)],
            Some("gpu"),
        ),
        // What the conversation needs does.
        (
            &[(MAIN, true, "gpu", Sticky), (MAIN, true, "cpu", Capability)],
            Some("cpu"),
        ),
    ];

    #[test]
    fn only_a_later_turn_moves_a_conversation() {
        for (answers, expected) in CONVERSATIONS {
            let (mut table, now) = (StickyTable::default(), Instant::now());
            for (instructions, later, engine, reason) in answers {
                let turn = turn(*instructions, *later);
                table.stick(turn, place(engine), *reason, now);
            }
            let found = table.find(turn(MAIN, true), now);
            assert_eq!(found, expected.map(place), "{answers:?}");
        }
    }

    #[test]
    fn first_turns_are_bounded_and_one_that_no_rule_chose_finds_room() {
        let (mut table, now) = (StickyTable::default(), Instant::now());
        for other in 10..20 {
            table.stick(turn(other, false), place("cpu"), Rule, now);
        }
        table.stick(turn(MAIN, false), place("gpu"), Predicted, now);
        assert_eq!(table.conversations[&7].openings.len(), OPENINGS_MAX);
        assert_eq!(table.find(turn(MAIN, true), now), Some(place("gpu")));
    }
}
