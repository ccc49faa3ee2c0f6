//! Fair sharing of a full queue: each client has at most its part of it while others wait or come.
//!
//! The part is the limit of the queue, divided by the clients that wait in it and rounded down. A
//! client alone may have all of it. A request that comes to a full queue displaces the last waiting
//! request of the client that has most, if that is more than its own client has. A stream whose
//! headers are out can no longer be refused by a status, so it is never displaced. Where such
//! streams hold more than their client's part, a client within its own part is let in beside them,
//! and nobody gets more than a part until the queue is within its limit again.
//!
//! So no client waits with more requests than the limit divided by its rank among the clients that
//! wait, and all of them together are at most the limit times the harmonic number of the clients.

use std::{collections::BTreeMap, time::Instant};

use crucible_config::checked::Class;

use crate::{client::ClientId, scheduler::messages::PermitRequest};

/// The outcome for a request that makes a queue longer than its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// The request waits, and no other is refused for it.
    Admit,
    /// The request waits, and the one with this ticket is refused.
    Displace(u64),
    /// The request itself is refused.
    Refuse,
}

/// The requests that wait in one lane of one engine, by client.
#[derive(Default)]
pub(super) struct QueueShares<'a>(BTreeMap<&'a ClientId, ClientShare>);

/// The requests that one client has waiting.
#[derive(Clone, Copy, Default)]
struct ClientShare {
    /// The number of requests.
    count: usize,
    /// The request whose turn comes last of those that may still be refused with a status: whether
    /// it is background, and its ticket.
    last_refusable: Option<(bool, u64)>,
}

// === impl QueueShares ===

impl<'a> QueueShares<'a> {
    /// Counts the requests that wait, at the time `now`.
    pub(super) fn from_waiting(
        waiting: impl Iterator<Item = &'a PermitRequest>,
        now: Instant,
    ) -> Self {
        let mut shares = Self::default();
        for request in waiting {
            let share = shares.0.entry(&request.client).or_default();
            share.count += 1;
            if request.commits_at.is_none_or(|at| now < at) {
                let own = (request.class == Class::Background, request.ticket);
                share.last_refusable = share.last_refusable.max(Some(own));
            }
        }
        shares
    }

    /// The number of requests that this client has waiting.
    pub(super) fn count(&self, client: &ClientId) -> usize {
        self.0.get(client).map_or(0, |share| share.count)
    }

    /// The number of grants until the last request of this client is granted, itself included:
    /// clients take turns.
    pub(super) fn grants_until_last(&self, client: &ClientId) -> usize {
        let own = self.count(client);
        self.0.values().map(|share| share.count.min(own)).sum()
    }

    /// The outcome for the newest request, which is among those counted and belongs to this client,
    /// in a queue that may hold `limit`.
    pub(super) fn admit(&self, newcomer: &ClientId, limit: usize) -> Admission {
        let own = self.count(newcomer);
        let part = limit / self.0.len().max(1);
        let all: usize = self.0.values().map(|share| share.count).sum();
        // Where the queue is longer than its bound, nobody gets more than a part.
        if own > part && all > limit + 1 {
            return Admission::Refuse;
        }
        let fullest = self
            .0
            .values()
            .filter(|share| share.count > own.max(part))
            .filter_map(|share| Some((share.count, share.last_refusable?)))
            // Of two that have the same, the one whose last came last.
            .max_by_key(|(count, (_, ticket))| (*count, *ticket));
        match fullest {
            Some((_, (_, ticket))) => Admission::Displace(ticket),
            None if own <= part => Admission::Admit,
            None => Admission::Refuse,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scheduler::state_machine::tests::permit_request;

    /// Clients by letter, in order of arrival; a capital is a stream whose headers are out.
    fn admission(waiting: &str, bound: usize) -> Admission {
        let now = Instant::now();
        let arrivals: Vec<PermitRequest> = (1..)
            .zip(waiting.chars())
            .map(|(ticket, client)| {
                let mut request = permit_request(ticket, "e", "m", now);
                let name = client.to_ascii_lowercase().to_string();
                request.client = ClientId::of_program(&name, "::1");
                let commits = [now + Duration::from_millis(1), now];
                request.commits_at = Some(commits[usize::from(client.is_ascii_uppercase())]);
                request
            })
            .collect();
        let newcomer = &arrivals.last().unwrap().client;
        QueueShares::from_waiting(arrivals.iter(), now).admit(newcomer, bound)
    }

    #[test]
    fn a_newcomer_takes_the_last_place_of_the_fullest() {
        use Admission::{Admit, Displace, Refuse};
        for (waiting, bound, expected) in [
            // Who is alone has all of it, and no more.
            ("aaaaa", 4, Refuse),
            ("aaaab", 4, Displace(4)),
            ("aaabb", 4, Displace(3)),
            // Nobody has more than the newcomer.
            ("aabbb", 4, Refuse),
            ("aabba", 4, Refuse),
            // Of two that have the same, who came last goes.
            ("aabbc", 4, Displace(4)),
            ("bbaac", 4, Displace(4)),
            ("abbac", 4, Displace(4)),
            // More clients than places.
            ("abcde", 4, Refuse),
            ("aabcd", 4, Displace(2)),
            // A stream whose headers are out is not refused; another of that client is.
            ("aaAAb", 4, Displace(2)),
            ("AAAAb", 4, Admit),
            ("AAAAbb", 4, Admit),
            ("AAAAbbb", 4, Refuse),
            ("AAAAbbbbcccc", 8, Refuse),
            ("AAAAAAbbbbccc", 8, Refuse),
            ("AAAAAAbbbbcc", 8, Displace(10)),
            ("AAAAa", 4, Refuse),
            // Who is within its part does not pay for it.
            ("AAAAbbbc", 6, Displace(7)),
            ("AAAAbbc", 6, Admit),
            ("", 0, Refuse),
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
        let arrivals: Vec<PermitRequest> = (1..=4)
            .map(|ticket| {
                let mut request = permit_request(ticket, "e", "m", now);
                request.client = ClientId::of_key(if ticket < 4 { "a" } else { "b" });
                if ticket == 2 {
                    request.class = Class::Background;
                }
                request
            })
            .collect();
        let shares = QueueShares::from_waiting(arrivals.iter(), now);
        let newcomer = ClientId::of_key("b");
        assert_eq!(shares.admit(&newcomer, 3), Admission::Displace(2));
    }

    #[test]
    fn a_wait_counts_turns_not_everybody() {
        let now = Instant::now();
        let arrivals: Vec<PermitRequest> = (1..)
            .zip(["a", "a", "a", "a", "b", "b", "c"])
            .map(|(ticket, client)| {
                let mut request = permit_request(ticket, "e", "m", now);
                request.client = ClientId::of_key(client);
                request
            })
            .collect();
        let shares = QueueShares::from_waiting(arrivals.iter(), now);
        let turns = |client| shares.grants_until_last(&ClientId::of_key(client));
        assert_eq!((turns("a"), turns("b"), turns("c")), (7, 5, 3));
    }
}
