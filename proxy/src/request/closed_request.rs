//! A request that has ended, with everything that is told of it.
//!
//! The event log, the timeline of the live page, the log line, the inspector, the spans and the metrics tell the same
//! request. What they tell is derived here once, from its facts alone, so that no two of them can differ.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::StatusCode;
use tokio::time::Instant;

use super::{active::ActiveRequest, ending::RequestEnding, facts::RequestFacts, phases};
use crate::{error::AbortCause, metrics::PhaseTimes};

/// One moment on the monotonic clock and on the wall clock, so that instants can be written as
/// dates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// The monotonic clock.
    pub(crate) monotonic: Instant,
    /// The wall clock.
    pub(crate) wall: SystemTime,
}

/// What is known of a request that has ended.
pub(crate) struct ClosedRequest<'a> {
    /// The request.
    pub(crate) request: &'a ActiveRequest,
    /// Its facts.
    pub(crate) facts: RequestFacts,
    /// The moment of its end.
    pub(crate) ended: Moment,
    /// The way in which it ended.
    pub(crate) ending: RequestEnding,
    /// The status that the client got; 499 where it left first.
    pub(crate) status: StatusCode,
    /// The cause for which a stream did not reach its end after its 200 had been sent.
    pub(crate) abort: Option<AbortCause>,
    /// The time from its acceptance to its end.
    pub(crate) took: Duration,
    /// That time by what it was spent on.
    pub(crate) phases: PhaseTimes,
    /// The time from its acceptance to its first token.
    pub(crate) first_token: Option<Duration>,
    /// The time from its sending to the engine to its first token.
    pub(crate) prefill: Option<Duration>,
    /// The tokens of the prompt, as the engine counted them, else estimated.
    pub(crate) prompt_tokens: u64,
    /// The tokens of the answer, as the engine counted them, else its events with content.
    pub(crate) output_tokens: u64,
}

/// The part of a request from the moment at which it asked for a permit.
pub(crate) struct QueuedPart<'a> {
    /// The engine that was tried last.
    pub(crate) engine: &'a Arc<str>,
    /// The model that was tried last, by its engine's name.
    pub(crate) model: &'a Arc<str>,
    /// The moment at which it asked for the permit.
    pub(crate) since: Instant,
    /// The time until it had the permit, was refused, or its client left.
    pub(crate) wait: Duration,
    /// The time from the permit to the end; `None` if it never had one.
    pub(crate) held: Option<Duration>,
}

// === impl Moment ===

impl Moment {
    /// Returns this moment by the monotonic clock and by the wall clock.
    pub(crate) fn now() -> Self {
        Self {
            monotonic: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    /// The same moment as an earlier instant.
    fn at(self, at: Instant) -> Self {
        Self {
            monotonic: at,
            wall: self.wall_at(at),
        }
    }

    /// The time on the wall clock at an earlier instant.
    pub(crate) fn wall_at(&self, at: Instant) -> SystemTime {
        self.wall - (self.monotonic - at)
    }
}

// === impl ClosedRequest ===

impl<'a> ClosedRequest<'a> {
    /// What is known of a request that ended at `ended`, by its facts. `now` is a later moment on both clocks;
    /// `in_load` says that its client left while the model was being loaded.
    pub(crate) fn of(
        request: &'a ActiveRequest,
        facts: RequestFacts,
        (ended, now): (Instant, Moment),
        in_load: bool,
    ) -> Self {
        let ending = RequestEnding::of(&facts);
        let (prompt_tokens, output_tokens) = facts.tokens(u64::from(request.tokens()));
        Self {
            ended: now.at(ended),
            status: ending.status(&facts),
            abort: ending.abort(&facts),
            took: ended - request.started,
            phases: phases::of(&facts, request.started, ended, in_load),
            first_token: facts.first_token_at.map(|at| at - request.started),
            prefill: phases::prefill(&facts),
            request,
            facts,
            ending,
            prompt_tokens,
            output_tokens,
        }
    }

    /// The word for its ending.
    pub(crate) const fn outcome(&self) -> &'static str {
        self.ending.outcome()
    }

    /// The tokens of the prompt that the engine had in its cache, and whether they are estimated; `None` where that
    /// is not known.
    pub(crate) fn cached(&self) -> Option<(u64, bool)> {
        let usage = self.facts.usage?;
        Some((usage.cached?, usage.cached_is_estimated))
    }

    /// The part from its wait for a permit on; `None` for one that was refused, or left, before.
    pub(crate) fn queued(&self) -> Option<QueuedPart<'_>> {
        let since = self.facts.queued_at?;
        let granted = self.facts.granted_at;
        let ended = self.ended.monotonic;
        Some(QueuedPart {
            engine: self.facts.engine.as_ref()?,
            model: self.facts.model.as_ref()?,
            since,
            wait: granted.unwrap_or(ended) - since,
            held: granted.map(|at| ended - at),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dialect, endpoint::Endpoint, testing::secs, usage::Usage};

    fn request() -> ActiveRequest {
        ActiveRequest::new("r".into(), Endpoint::Chat, dialect::unasked())
    }

    /// Queued after 1 s, granted after 3 s, sent after 4 s, first token after 6 s.
    fn facts(start: Instant) -> RequestFacts {
        RequestFacts {
            engine: Some("gpu".into()),
            model: Some("m".into()),
            stream: true,
            status: Some(StatusCode::OK),
            queued_at: Some(start + secs(1)),
            granted_at: Some(start + secs(3)),
            sent_at: Some(start + secs(4)),
            first_token_at: Some(start + secs(6)),
            prompt_tokens: 7,
            ..RequestFacts::default()
        }
    }

    fn closed(request: &ActiveRequest, facts: RequestFacts) -> ClosedRequest<'_> {
        let ended = request.started + secs(10);
        let now = Moment {
            monotonic: ended + secs(5),
            wall: SystemTime::UNIX_EPOCH + secs(1000),
        };
        ClosedRequest::of(request, facts, (ended, now), false)
    }

    #[tokio::test]
    async fn durations_and_dates_are_those_of_the_end() {
        let request = request();
        let closed = closed(&request, facts(request.started));
        assert_eq!((closed.took, closed.first_token), (secs(10), Some(secs(6))));
        assert_eq!(closed.prefill, Some(secs(2)));
        let epoch = SystemTime::UNIX_EPOCH;
        let date = |at| closed.ended.wall_at(at).duration_since(epoch).unwrap();
        assert_eq!(date(closed.ended.monotonic), secs(995));
        assert_eq!(date(request.started), secs(985));
        let queued = closed.queued().unwrap();
        assert_eq!((queued.wait, queued.held), (secs(2), Some(secs(7))));
        assert_eq!(date(queued.since), secs(986));
    }

    #[tokio::test]
    async fn who_left_the_queue_waited_until_then_and_held_nothing() {
        let request = request();
        let waiting = RequestFacts {
            status: None,
            granted_at: None,
            sent_at: None,
            first_token_at: None,
            ..facts(request.started)
        };
        let closed = closed(&request, waiting);
        assert_eq!(closed.outcome(), "client_gone");
        assert_eq!(closed.status.as_u16(), 499);
        let queued = closed.queued().unwrap();
        assert_eq!((queued.wait, queued.held), (secs(9), None));
    }

    #[tokio::test]
    async fn who_was_refused_before_the_queue_has_no_part_in_it() {
        let request = request();
        assert!(closed(&request, RequestFacts::default()).queued().is_none());
    }

    #[tokio::test]
    async fn tokens_are_those_of_the_engine_and_else_estimates() {
        let request = request();
        request.add_tokens(5);
        let told = |usage| {
            let facts = RequestFacts {
                usage,
                ..facts(request.started)
            };
            let closed = closed(&request, facts);
            (closed.prompt_tokens, closed.output_tokens, closed.cached())
        };
        assert_eq!(told(None), (7, 5, None));
        let counted = Usage {
            prompt: 9,
            completion: 4,
            ..Usage::default()
        };
        assert_eq!(told(Some(counted)), (9, 4, None));
        let silent = Usage {
            completion: 0,
            cached: Some(3),
            cached_is_estimated: true,
            ..counted
        };
        assert_eq!(told(Some(silent)), (9, 5, Some((3, true))));
    }
}
