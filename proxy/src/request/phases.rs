//! The time of an ended request by what it was spent on.

use std::time::Duration;

use tokio::time::Instant;

use super::facts::RequestFacts;
use crate::metrics::PhaseTimes;

/// Divides the time of a request from `started` to `ended`. Of a wait that a load was part
/// of, the time of that load counts as load, or all where that is not known; `in_load` says that the client left during one. The time that an answer without a stream
/// took is divided by the engine's own numbers, and is all generation where it tells none. The wait for the lists of
/// engines before the plan counts as queue. The wait for bytes of the body is the client's. Attempts that failed count
/// as failed with all of their waits, so that no wait is told of an engine that it was not for.
pub(super) fn of(
    record: &RequestFacts,
    started: Instant,
    ended: Instant,
    in_load: bool,
) -> PhaseTimes {
    let wait = record.queued_at.map_or(Duration::ZERO, |from| {
        record.granted_at.unwrap_or(ended) - from
    });
    let loading = record
        .load
        .zip(record.queued_at)
        .map(|((from, to), queued)| to.saturating_duration_since(from.max(queued)).min(wait));
    let (queue, load) = if let Some(load) = loading {
        (wait.saturating_sub(load), load)
    } else if record.loaded || in_load {
        (Duration::ZERO, wait)
    } else {
        (wait, Duration::ZERO)
    };
    let engine = record.sent_at.map_or(Duration::ZERO, |from| ended - from);
    let prefill = prefill(record).unwrap_or_else(|| {
        let timing = record.usage.and_then(|usage| usage.timing.prompt);
        match (timing, record.answered_at) {
            (Some(prompt), _) => prompt.took.min(engine),
            (None, Some(_)) => Duration::ZERO,
            (None, None) => engine,
        }
    });
    let failed = record.failed_time();
    PhaseTimes {
        receive: record.body_wait,
        failed,
        queue: queue + record.lists_wait,
        load,
        prefill,
        generate: engine.saturating_sub(prefill),
        own: (ended - started)
            .saturating_sub(wait + failed + record.lists_wait + record.body_wait)
            .saturating_sub(engine),
    }
}

/// The time from the sending of the request to its first token.
pub(super) fn prefill(record: &RequestFacts) -> Option<Duration> {
    record
        .first_token_at?
        .checked_duration_since(record.sent_at?)
}

#[cfg(test)]
mod tests {
    use crucible_router::measurements::TimedTokens;

    use super::*;
    use crate::usage::{Timing, Usage};

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Asked at 0 s, queued from 1 s to 3 s, sent at 4 s, first token at 6 s, ended at 10 s.
    fn record(start: Instant) -> RequestFacts {
        RequestFacts {
            queued_at: Some(start + s(1)),
            granted_at: Some(start + s(3)),
            sent_at: Some(start + s(4)),
            first_token_at: Some(start + s(6)),
            answered_at: Some(start + s(10)),
            ..RequestFacts::default()
        }
    }

    fn seconds(times: PhaseTimes) -> [u64; 6] {
        let PhaseTimes {
            receive,
            failed: Duration::ZERO,
            queue,
            load,
            prefill,
            generate,
            own,
        } = times
        else {
            panic!("{times:?}");
        };
        [receive, queue, load, prefill, generate, own].map(|time| time.as_secs())
    }

    #[test]
    fn the_parts_of_a_request_are_its_whole_time() {
        let start = Instant::now();
        let told = |record: &RequestFacts| seconds(of(record, start, start + s(10), false));
        assert_eq!(told(&record(start)), [0, 2, 0, 2, 4, 2]);
        let mut loaded = record(start);
        loaded.loaded = true;
        assert_eq!(told(&loaded), [0, 0, 2, 2, 4, 2]);
        assert_eq!(prefill(&loaded), Some(s(2)));
        let mut asked = record(start);
        asked.lists_wait = s(1);
        assert_eq!(told(&asked), [0, 3, 0, 2, 4, 1]);
        let mut slow = record(start);
        slow.body_wait = s(1);
        assert_eq!(told(&slow), [1, 2, 0, 2, 4, 1]);
    }

    #[test]
    fn attempts_that_failed_are_no_wait_for_the_one_that_answers() {
        let start = Instant::now();
        let mut again = record(start);
        again.first_tried_at = Some(start);
        let times = of(&again, start, start + s(10), false);
        assert_eq!(times.failed, s(1));
        assert_eq!((times.queue, times.prefill, times.own), (s(2), s(2), s(1)));
        again.loaded = true;
        again.begin_attempt(start + s(10));
        let times = of(&again, start, start + s(12), false);
        assert_eq!((times.failed, times.queue, times.load), (s(10), s(2), s(0)));
        assert_eq!(times.own, s(0));
    }

    #[test]
    fn an_answer_without_a_stream_is_divided_by_the_engines_numbers() {
        let start = Instant::now();
        let mut whole = record(start);
        whole.first_token_at = None;
        let told = |record: &RequestFacts| seconds(of(record, start, start + s(10), false));
        assert_eq!(told(&whole), [0, 2, 0, 0, 6, 2]);
        let prompt = TimedTokens {
            tokens: 9,
            took: s(5),
        };
        whole.usage = Some(Usage {
            timing: Timing {
                prompt: Some(prompt),
                ..Timing::default()
            },
            ..Usage::default()
        });
        assert_eq!(told(&whole), [0, 2, 0, 5, 1, 2]);
        assert_eq!(prefill(&whole), None);
    }

    #[test]
    fn a_client_that_leaves_ends_the_phase_that_it_left_in() {
        let start = Instant::now();
        let left =
            |record: &RequestFacts, in_load| seconds(of(record, start, start + s(10), in_load));
        let waiting = RequestFacts {
            queued_at: Some(start + s(1)),
            ..RequestFacts::default()
        };
        assert_eq!(left(&waiting, false), [0, 9, 0, 0, 0, 1]);
        assert_eq!(left(&waiting, true), [0, 0, 9, 0, 0, 1]);
        let reading = RequestFacts {
            first_token_at: None,
            answered_at: None,
            ..record(start)
        };
        assert_eq!(left(&reading, false), [0, 2, 0, 6, 0, 2]);
        assert_eq!(left(&RequestFacts::default(), false), [0, 0, 0, 0, 0, 10]);
    }
}
