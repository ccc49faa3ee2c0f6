//! Who has a place in a full queue: each client at most its part of it, while others wait or come.
//!
//! The part is the queue's bound by the clients that wait in it, rounded down. A client alone may
//! have all of it. Who comes to a full queue takes the place of the last waiter of the client that
//! has most, if that is more than the newcomer's own. A stream whose headers are out can no longer
//! be refused by a status: it keeps its place, and where such streams hold more than their client's
//! part, who is within its own part is let in beside them, and nobody gets more than a part until
//! the queue is within its bound again. So no client waits with more than the
//! bound divided by its rank among those that wait, and the whole is at most the bound times the
//! harmonic number of the clients.

use std::{collections::BTreeMap, time::Instant};

use crucible_config::checked::Class;

use super::types::Arrival;
use crate::client::ClientId;

/// What becomes of a waiter that is one more than the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It waits, and nobody goes.
    Beside,
    /// It waits, and this ticket is refused.
    Instead(u64),
    /// It is refused.
    Refused,
}

/// Those who wait in one lane of one engine, by client.
#[derive(Default)]
pub(super) struct Shares<'a>(BTreeMap<&'a ClientId, Share>);

/// What one client has waiting.
#[derive(Clone, Copy, Default)]
struct Share {
    count: usize,
    /// Of those that may yet be refused by a status, the one whose turn comes last: whether it is
    /// background, and its ticket.
    last: Option<(bool, u64)>,
}

// === impl Shares ===

impl<'a> Shares<'a> {
    pub(super) fn of(waiting: impl Iterator<Item = &'a Arrival>, now: Instant) -> Self {
        let mut shares = Self::default();
        for arrival in waiting {
            let share = shares.0.entry(&arrival.client).or_default();
            share.count += 1;
            if arrival.commits.is_none_or(|at| now < at) {
                let own = (arrival.class == Class::Background, arrival.ticket);
                share.last = share.last.max(Some(own));
            }
        }
        shares
    }

    /// How many this client has waiting.
    pub(super) fn count(&self, client: &ClientId) -> usize {
        self.0.get(client).map_or(0, |share| share.count)
    }

    /// How many are granted until the last of this client is, itself included: clients take turns.
    pub(super) fn turns(&self, client: &ClientId) -> usize {
        let own = self.count(client);
        self.0.values().map(|share| share.count.min(own)).sum()
    }

    /// What becomes of a newcomer of this client, who is among those counted, where the queue may
    /// hold `bound`.
    pub(super) fn admit(&self, newcomer: &ClientId, bound: usize) -> Admission {
        let own = self.count(newcomer);
        let part = bound / self.0.len().max(1);
        let all: usize = self.0.values().map(|share| share.count).sum();
        // Where the queue is longer than its bound, nobody gets more than a part.
        if own > part && all > bound + 1 {
            return Admission::Refused;
        }
        let fullest = self
            .0
            .values()
            .filter(|share| share.count > own.max(part))
            .filter_map(|share| Some((share.count, share.last?)))
            // Of two that have the same, the one whose last came last.
            .max_by_key(|(count, (_, ticket))| (*count, *ticket));
        match fullest {
            Some((_, (_, ticket))) => Admission::Instead(ticket),
            None if own <= part => Admission::Beside,
            None => Admission::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scheduler::tests::arrival;

    /// Clients by letter, in order of arrival; a capital is a stream whose headers are out.
    fn admission(waiting: &str, bound: usize) -> Admission {
        let now = Instant::now();
        let arrivals: Vec<Arrival> = (1..)
            .zip(waiting.chars())
            .map(|(ticket, client)| {
                let mut arrival = arrival(ticket, "e", "m", now);
                let name = client.to_ascii_lowercase().to_string();
                arrival.client = ClientId::of_program(&name, "::1");
                let commits = [now + Duration::from_millis(1), now];
                arrival.commits = Some(commits[usize::from(client.is_ascii_uppercase())]);
                arrival
            })
            .collect();
        let newcomer = &arrivals.last().unwrap().client;
        Shares::of(arrivals.iter(), now).admit(newcomer, bound)
    }

    #[test]
    fn a_newcomer_takes_the_last_place_of_the_fullest() {
        use Admission::{Beside, Instead, Refused};
        for (waiting, bound, expected) in [
            // Who is alone has all of it, and no more.
            ("aaaaa", 4, Refused),
            ("aaaab", 4, Instead(4)),
            ("aaabb", 4, Instead(3)),
            // Nobody has more than the newcomer.
            ("aabbb", 4, Refused),
            ("aabba", 4, Refused),
            // Of two that have the same, who came last goes.
            ("aabbc", 4, Instead(4)),
            ("bbaac", 4, Instead(4)),
            ("abbac", 4, Instead(4)),
            // More clients than places.
            ("abcde", 4, Refused),
            ("aabcd", 4, Instead(2)),
            // A stream whose headers are out is not refused; another of that client is.
            ("aaAAb", 4, Instead(2)),
            ("AAAAb", 4, Beside),
            ("AAAAbb", 4, Beside),
            ("AAAAbbb", 4, Refused),
            ("AAAAbbbbcccc", 8, Refused),
            ("AAAAAAbbbbccc", 8, Refused),
            ("AAAAAAbbbbcc", 8, Instead(10)),
            ("AAAAa", 4, Refused),
            // Who is within its part does not pay for it.
            ("AAAAbbbc", 6, Instead(7)),
            ("AAAAbbc", 6, Beside),
            ("", 0, Refused),
        ]
        .into_iter()
        .filter(|(waiting, ..)| !waiting.is_empty())
        {
            assert_eq!(admission(waiting, bound), expected, "{waiting} of {bound}");
        }
    }

    #[test]
    fn a_client_gives_up_background_first() {
        let now = Instant::now();
        let arrivals: Vec<Arrival> = (1..=4)
            .map(|ticket| {
                let mut arrival = arrival(ticket, "e", "m", now);
                arrival.client = ClientId::of_key(if ticket < 4 { "a" } else { "b" });
                if ticket == 2 {
                    arrival.class = Class::Background;
                }
                arrival
            })
            .collect();
        let shares = Shares::of(arrivals.iter(), now);
        let newcomer = ClientId::of_key("b");
        assert_eq!(shares.admit(&newcomer, 3), Admission::Instead(2));
    }

    #[test]
    fn a_wait_counts_turns_not_everybody() {
        let now = Instant::now();
        let arrivals: Vec<Arrival> = (1..)
            .zip(["a", "a", "a", "a", "b", "b", "c"])
            .map(|(ticket, client)| {
                let mut arrival = arrival(ticket, "e", "m", now);
                arrival.client = ClientId::of_key(client);
                arrival
            })
            .collect();
        let shares = Shares::of(arrivals.iter(), now);
        let turns = |client| shares.turns(&ClientId::of_key(client));
        assert_eq!((turns("a"), turns("b"), turns("c")), (7, 5, 3));
    }
}
