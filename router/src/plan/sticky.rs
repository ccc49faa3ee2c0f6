//! Where a conversation was answered: 30 minutes since the last turn, 4096 conversations.
//!
//! What a later turn was answered by is the place of the conversation. Until there is one, first
//! turns stand in, told apart by their system text: a side request (a title) may begin with the
//! same words. No first turn takes the place of another, unless a rule had sent that one where it
//! is; and what a rule, a fallback or a busy engine decided moves nobody.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::Reason;
use crate::demand::Demand;

/// Since the last answer.
pub const STICKY_FOR: Duration = Duration::from_mins(30);
/// Conversations remembered.
pub const STICKY_MAX: usize = 4096;
/// First turns remembered of one conversation.
const OPENINGS_MAX: usize = 4;

/// An engine and its name of a model.
pub type Place = (Arc<str>, Arc<str>);

/// Which turn of which conversation a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Number of the conversation.
    pub conversation: u64,
    /// Hash of the system text.
    pub instructions: u64,
    /// Something was answered before.
    pub later: bool,
}

/// The memory of `auto`.
#[derive(Debug, Default)]
pub struct StickyTable {
    conversations: HashMap<u64, Conversation>,
}

#[derive(Debug)]
struct Conversation {
    /// Of its later turns.
    later: Option<Place>,
    openings: Vec<Opening>,
    /// Of its last answer.
    at: Instant,
}

#[derive(Debug)]
struct Opening {
    instructions: u64,
    place: Place,
    /// A rule sent it there.
    ruled: bool,
}

// === impl Turn ===

impl Turn {
    /// The turn that a request is; `None` where no place is looked for.
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
    /// Where this conversation was answered.
    pub fn find(&self, turn: Turn, now: Instant) -> Option<Place> {
        let found = self.conversations.get(&turn.conversation)?;
        found.lasts(now).then(|| found.place(turn.instructions))?
    }

    /// Remembers an answer; the oldest conversation makes room.
    pub fn stick(&mut self, turn: Turn, place: Place, reason: Reason, now: Instant) {
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
            .or_insert_with(|| Conversation {
                later: None,
                openings: Vec::new(),
                at: now,
            });
        conversation.at = now;
        if turn.later && !ruled {
            conversation.later = Some(place);
        } else {
            conversation.open(Opening {
                instructions: turn.instructions,
                place,
                ruled,
            });
        }
    }
}

// === impl Conversation ===

impl Conversation {
    fn lasts(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < STICKY_FOR
    }

    /// That of the later turns, else of the first one that is most like it: of a place that no rule
    /// chose, then with the same system text, then the earliest.
    fn place(&self, instructions: u64) -> Option<Place> {
        let like = |o: &&Opening| (o.ruled, o.instructions != instructions);
        let opening = self.openings.iter().min_by_key(like);
        let first = || opening.map(|o| o.place.clone());
        self.later.clone().or_else(first)
    }

    fn open(&mut self, new: Opening) {
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
    use super::*;

    const MAIN: u64 = 1;
    const TITLE: u64 = 2;

    fn place(engine: &str) -> Place {
        (engine.into(), "m".into())
    }

    fn turn(instructions: u64, later: bool) -> Turn {
        Turn {
            conversation: 7,
            instructions,
            later,
        }
    }

    #[test]
    fn forgets_after_half_an_hour_and_stays_bounded() {
        let mut table = StickyTable::default();
        let start = Instant::now();
        let of = |id| Turn {
            conversation: id,
            ..turn(MAIN, true)
        };
        for id in 0..=STICKY_MAX as u64 {
            let now = start + Duration::from_millis(id);
            table.stick(of(id), place("a"), Reason::Predicted, now);
        }
        assert_eq!(table.conversations.len(), STICKY_MAX);
        assert_eq!(table.find(of(0), start), None);
        assert_eq!(table.find(of(9), start), Some(place("a")));
        let over = start + STICKY_FOR + Duration::from_secs(1);
        assert_eq!(table.find(of(9), over), None);
        // What is over holds no place against who comes now.
        let first = Turn {
            later: false,
            ..of(9)
        };
        table.stick(first, place("b"), Reason::Predicted, over);
        assert_eq!(table.find(of(9), over), Some(place("b")));
    }

    #[test]
    fn only_a_later_turn_moves_a_conversation() {
        use Reason::{Capability, Fallback, Keyword, Overload, Predicted, Rule, Sticky};
        type Answer = (u64, bool, &'static str, Reason);
        let cases: [(&[Answer], Option<&str>); 15] = [
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
        for (answers, expected) in cases {
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
            table.stick(turn(other, false), place("cpu"), Reason::Rule, now);
        }
        table.stick(turn(MAIN, false), place("gpu"), Reason::Predicted, now);
        assert_eq!(table.conversations[&7].openings.len(), OPENINGS_MAX);
        assert_eq!(table.find(turn(MAIN, true), now), Some(place("gpu")));
    }
}
