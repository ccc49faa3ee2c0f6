//! The kept requests: a list with bounds for its number and its bytes, from which the oldest go first.
//!
//! Requests that have ended and those that are still answered, or wait to be, have a bound each: a queue of a hundred
//! pushes out nobody's answer of the last minutes, and a hundred quick answers do not push out the slow one. The bytes
//! are one sum, of which each of the two may have half while the other needs the rest.
//!
//! It is plain data: time is an argument, and it knows nothing of the server. A request is in it from its first byte
//! on, so that the bodies of running requests count too.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    kept_request::{ComparedTurn, KeptEnd, KeptRequest},
    redaction::KeptHead,
};

/// The most requests that have ended which are kept.
pub(crate) const MOST_REQUESTS: usize = 64;
/// The most requests that have not ended which are kept.
pub(crate) const MOST_RUNNING: usize = 256;
/// The most bytes that the bodies of all kept requests take.
pub(crate) const MOST_BYTES: usize = 64 << 20;

/// The time for which requests are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InspectorPeriod {
    /// The end, at which everything is dropped.
    pub(super) ends: Instant,
    /// The end, in milliseconds since 1970.
    pub(super) ends_at_ms: u64,
}

/// The requests that are kept while the inspector is on.
#[derive(Debug, Default)]
pub(super) struct KeptRequests {
    period: Option<InspectorPeriod>,
    requests: VecDeque<KeptRequest>,
    /// The bytes of their bodies.
    bytes: usize,
    /// The number and the bytes of those that have ended.
    ended: KeptSum,
    next: u64,
    /// The number of requests that have ended.
    ends: u64,
    session: u64,
    dropped: u64,
    change: u64,
}

/// A number of requests, and the bytes of their bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct KeptSum {
    count: usize,
    bytes: usize,
}

/// A kept request and the previous turn of its conversation, which are still to be compared.
#[derive(Debug)]
pub(super) struct UncomparedTurn {
    /// The request.
    pub(super) request: KeptRequest,
    /// The facts of its end.
    pub(super) end: Arc<KeptEnd>,
    /// The turn before, where it is kept.
    pub(super) before: Option<KeptRequest>,
}

// === impl KeptRequests ===

impl KeptRequests {
    /// Switches on until the end of the period, or moves the end where it is on already.
    pub(super) fn switch_on(&mut self, period: InspectorPeriod) {
        if self.period.is_none() {
            self.session += 1;
            self.dropped = 0;
        }
        self.period = Some(period);
        self.change += 1;
    }

    /// Switches off and drops everything.
    pub(super) fn switch_off(&mut self) {
        let session = self.session;
        *self = Self {
            session,
            next: self.next,
            change: self.change + 1,
            ..Self::default()
        };
    }

    /// Switches off where the end has come; returns whether it did.
    pub(super) fn end_if_due(&mut self, now: Instant) -> bool {
        let is_due = self.period.is_some_and(|period| period.ends <= now);
        if is_due {
            self.switch_off();
        }
        is_due
    }

    /// Returns the period while it is on.
    pub(super) const fn period(&self) -> Option<InspectorPeriod> {
        self.period
    }

    /// Returns the time that is left at `now`.
    pub(super) fn remaining(&self, now: Instant) -> Option<Duration> {
        let period = self.period?;
        Some(period.ends.saturating_duration_since(now))
    }

    /// Begins to keep a request; returns its number, or `None` while it is off.
    pub(super) fn begin(
        &mut self,
        id: Arc<str>,
        client: Arc<str>,
        head: KeptHead,
        at_ms: u64,
    ) -> Option<u64> {
        self.period?;
        self.next += 1;
        self.requests.push_back(KeptRequest {
            number: self.next,
            id,
            at_ms,
            client,
            head: Arc::new(head),
            received: None,
            attempts: Vec::new(),
            answer: Arc::default(),
            end: None,
            ended_after: 0,
            compared: None,
        });
        self.bound();
        Some(self.next)
    }

    /// Changes a request that is still kept, and drops others where there is no room for what was added.
    pub(super) fn update(&mut self, number: u64, change: impl FnOnce(&mut KeptRequest)) {
        let Some(at) = self.place(number) else {
            return;
        };
        let Some(request) = self.requests.get_mut(at) else {
            return;
        };
        let before = KeptSum::ended(request);
        self.bytes -= request.size();
        change(request);
        self.bytes += request.size();
        self.ended = self.ended.minus(before).plus(KeptSum::ended(request));
        self.bound();
    }

    /// Notes the end of a request.
    pub(super) fn end(&mut self, number: u64, end: KeptEnd) {
        let before = self.ends;
        self.ends += 1;
        self.update(number, |request| request.end(end, before));
        self.change += 1;
    }

    /// Returns the oldest request that has ended and is not compared.
    pub(super) fn uncompared(&self) -> Option<UncomparedTurn> {
        let mut all = self.requests.iter().enumerate();
        let (at, request) = all.find(|(_, r)| r.end.is_some() && r.compared.is_none())?;
        let end = Arc::clone(request.end.as_ref()?);
        let is_before = |earlier: &&KeptRequest| {
            earlier.end.as_ref().is_some_and(|other| {
                end.conversation.is_some()
                    && other.conversation == end.conversation
                    && other.facts.turn < end.facts.turn
            })
        };
        let before = self.requests.iter().take(at).rev().find(is_before);
        Some(UncomparedTurn {
            request: request.clone(),
            before: before.cloned(),
            end,
        })
    }

    /// Notes the comparison of a request.
    pub(super) fn compare(&mut self, number: u64, compared: ComparedTurn) {
        self.update(number, |request| request.compared = Some(compared));
        self.change += 1;
    }

    /// Returns the kept requests, the oldest first.
    pub(super) fn all(&self) -> impl Iterator<Item = &KeptRequest> {
        self.requests.iter()
    }

    /// Returns a kept request.
    pub(super) fn get(&self, number: u64) -> Option<&KeptRequest> {
        self.requests.get(self.place(number)?)
    }

    /// Returns the bytes that all bodies take.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the number of times that it was switched on, of the requests that had to go, and of all changes.
    pub(super) const fn counts(&self) -> (u64, u64, u64) {
        (self.session, self.dropped, self.change)
    }

    /// The place of a request; numbers grow, with gaps where requests had to go.
    fn place(&self, number: u64) -> Option<usize> {
        let found = self.requests.binary_search_by_key(&number, |r| r.number);
        found.ok()
    }

    /// Drops requests until the bounds are met.
    fn bound(&mut self) {
        while let Some(at) = self.oldest_too_many() {
            let Some(oldest) = self.requests.remove(at) else {
                return;
            };
            self.bytes -= oldest.size();
            self.ended = self.ended.minus(KeptSum::ended(&oldest));
            self.dropped += 1;
        }
    }

    /// The place of the request that has to go next: the oldest of those of which there are too many.
    fn oldest_too_many(&self) -> Option<usize> {
        let running = self.requests.len() - self.ended.count;
        let drops_ended = if self.ended.count > MOST_REQUESTS {
            true
        } else if running > MOST_RUNNING {
            false
        } else if self.bytes > MOST_BYTES {
            // A slow answer is what is looked for, so those that have ended go first down to their half.
            running == 0 || self.ended.bytes > MOST_BYTES / 2
        } else {
            return None;
        };
        if !drops_ended {
            return self.requests.iter().position(|r| r.end.is_none());
        }
        // The one that ended first, which a slow one that came first is not.
        let ended = self.requests.iter().enumerate();
        let ended = ended.filter(|(_, request)| request.end.is_some());
        ended.min_by_key(|(_, r)| r.ended_after).map(|(at, _)| at)
    }
}

// === impl KeptSum ===

impl KeptSum {
    /// What a request adds to the sum of those that have ended.
    fn ended(request: &KeptRequest) -> Self {
        match request.end {
            Some(_) => Self {
                count: 1,
                bytes: request.size(),
            },
            None => Self::default(),
        }
    }

    const fn plus(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            bytes: self.bytes + other.bytes,
        }
    }

    const fn minus(self, other: Self) -> Self {
        Self {
            count: self.count - other.count,
            bytes: self.bytes - other.bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use crucible_documents::inspector::InspectedEndDoc;
    use proptest::prelude::*;

    use super::*;
    use crate::inspector::kept_text::{KeptText, MOST_BODY};

    fn on(now: Instant) -> KeptRequests {
        let mut kept = KeptRequests::default();
        kept.switch_on(InspectorPeriod {
            ends: now + Duration::from_secs(60),
            ends_at_ms: 1,
        });
        kept
    }

    fn begin(kept: &mut KeptRequests) -> Option<u64> {
        kept.begin("id".into(), "client".into(), KeptHead::default(), 0)
    }

    fn receive(kept: &mut KeptRequests, number: u64, length: usize) {
        let body = vec![b'x'; length];
        kept.update(number, |request| {
            request.received = Some(Arc::new(KeptText::of(&body)));
        });
    }

    fn ended() -> KeptEnd {
        KeptEnd {
            facts: InspectedEndDoc {
                took_s: 0.0,
                status: 200,
                outcome: Cow::Borrowed("ok"),
                engine: None,
                model: None,
                prompt_tokens: None,
                cached_tokens: None,
                cached_is_estimated: false,
                output_tokens: 0,
                loaded: false,
                turn: None,
            },
            conversation: None,
            diverged: None,
            fix: None,
            notes: Vec::new(),
        }
    }

    #[test]
    fn nothing_is_kept_while_it_is_off_or_after_its_end() {
        let now = Instant::now();
        let mut kept = KeptRequests::default();
        assert_eq!(begin(&mut kept), None);
        let mut kept = on(now);
        let first = begin(&mut kept).unwrap();
        receive(&mut kept, first, 1000);
        assert!(!kept.end_if_due(now));
        assert!(kept.end_if_due(now + Duration::from_secs(60)));
        assert_eq!((kept.bytes(), kept.all().count()), (0, 0));
        // Its request goes on and finds nothing.
        receive(&mut kept, first, 1000);
        kept.end(first, ended());
        assert_eq!((kept.bytes(), kept.all().count()), (0, 0));
        assert_eq!(begin(&mut kept), None);
    }

    #[test]
    fn an_inspector_full_of_30_mb_bodies_stays_within_its_bounds() {
        let mut kept = on(Instant::now());
        for _ in 0..12 {
            let number = begin(&mut kept).unwrap();
            receive(&mut kept, number, 30_000_000);
            assert!(kept.bytes() <= MOST_BYTES, "{}", kept.bytes());
        }
        let (_, dropped, _) = kept.counts();
        assert!(kept.all().count() >= 6 && dropped >= 4, "{dropped}");
        assert!(
            kept.all()
                .all(|request| request.size() <= MOST_BODY * 5 / 4)
        );
    }

    #[test]
    fn a_slow_request_stays_among_quick_ones_until_too_many_run() {
        let mut kept = on(Instant::now());
        let slow = begin(&mut kept).unwrap();
        for _ in 0..2 * MOST_REQUESTS {
            let quick = begin(&mut kept).unwrap();
            kept.end(quick, ended());
        }
        receive(&mut kept, slow, 10);
        let received = kept.get(slow).unwrap().received.as_ref();
        assert_eq!(received.map(|body| body.bytes()), Some(10));
        assert_eq!(kept.all().count(), 1 + MOST_REQUESTS);
        let (_, dropped, _) = kept.counts();
        assert_eq!(dropped, MOST_REQUESTS as u64);
        let first = begin(&mut kept).unwrap();
        for _ in 0..MOST_RUNNING - 1 {
            begin(&mut kept).unwrap();
        }
        assert!(kept.get(slow).is_none() && kept.get(first).is_some());
        assert_eq!(kept.all().count(), MOST_RUNNING + MOST_REQUESTS);
        // It came before all that have ended, and ends after them.
        kept.end(first, ended());
        assert!(kept.get(first).is_some());
    }

    #[test]
    fn requests_that_wait_push_out_none_that_have_ended() {
        let mut kept = on(Instant::now());
        let first = begin(&mut kept).unwrap();
        kept.end(first, ended());
        let waiting: Vec<u64> = (0..100).filter_map(|_| begin(&mut kept)).collect();
        assert!(kept.get(first).is_some());
        for &number in &waiting {
            kept.end(number, ended());
        }
        // Of all that have ended the last ones are there, in the order in which they came.
        let left: Vec<u64> = kept.all().map(|request| request.number).collect();
        assert_eq!(left, waiting[waiting.len() - MOST_REQUESTS..]);
    }

    #[test]
    fn bodies_of_those_that_wait_leave_half_of_the_room_to_those_that_have_ended() {
        let mut kept = on(Instant::now());
        let quick: Vec<u64> = (0..MOST_REQUESTS)
            .filter_map(|_| begin(&mut kept))
            .collect();
        for &number in &quick {
            receive(&mut kept, number, 900_000);
            kept.end(number, ended());
        }
        for _ in 0..100 {
            let waits = begin(&mut kept).unwrap();
            receive(&mut kept, waits, 900_000);
        }
        let of = |has_ended: bool| -> usize {
            let all = kept.all().filter(|r| r.end.is_some() == has_ended);
            all.map(KeptRequest::size).sum()
        };
        let half = MOST_BYTES / 2;
        for bytes in [of(true), of(false)] {
            assert!(
                (half - 1_000_000..=half + 1_000_000).contains(&bytes),
                "{bytes}"
            );
        }
    }

    proptest! {
        #[test]
        fn the_bytes_are_those_of_the_requests_whatever_happens(
            steps in proptest::collection::vec((0_u8..6, 0_u64..90, 0_usize..3_000_000), 1..120),
        ) {
            let mut kept = on(Instant::now());
            for (step, number, length) in steps {
                match step {
                    0 | 1 => { begin(&mut kept); }
                    2 => receive(&mut kept, number, length),
                    3 => kept.update(number, |request| {
                        Arc::make_mut(&mut request.answer).push(&vec![b'y'; length]);
                    }),
                    4 => kept.end(number, ended()),
                    _ => {
                        if let Some(turn) = kept.uncompared() {
                            let compared = ComparedTurn { change: "".into(), difference: None };
                            kept.compare(turn.request.number, compared);
                        }
                    }
                }
                let sum: usize = kept.all().map(KeptRequest::size).sum();
                prop_assert_eq!(kept.bytes(), sum);
                let ended = kept.all().map(KeptSum::ended).fold(KeptSum::default(), KeptSum::plus);
                prop_assert_eq!(kept.ended, ended);
                let running = kept.all().count() - ended.count;
                prop_assert!(sum <= MOST_BYTES);
                prop_assert!(ended.count <= MOST_REQUESTS && running <= MOST_RUNNING);
            }
        }
    }
}
