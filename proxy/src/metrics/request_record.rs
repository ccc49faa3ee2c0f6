//! The facts of a finished request, as the metrics count them.

use std::time::Duration;

use crucible_router::plan::Reason;
use http::StatusCode;

use super::labels::TimedPhase;
use crate::{endpoint::Endpoint, usage::Usage};

/// The time of a finished request by what it was spent on. The six parts together are the whole time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhaseTimes {
    /// The wait for bytes of the body that the client sends.
    pub receive: Duration,
    /// The attempts that failed before the one that ended the request, with their waits.
    pub failed: Duration,
    /// The wait for a slot of a model that was loaded.
    pub queue: Duration,
    /// The part of the wait for a permit in which the model was loaded, or all of it where that time is not
    /// known.
    pub load: Duration,
    /// The wait for the first token after the request was sent.
    pub prefill: Duration,
    /// The time from the first token to the end of the answer.
    pub generate: Duration,
    /// Crucible's own time.
    pub own: Duration,
}

/// The facts of a finished request that are counted, once, at its end.
#[derive(Clone, Copy, Debug)]
pub struct RequestRecord<'a> {
    /// The kind of endpoint that it came to.
    pub endpoint: Endpoint,
    /// The engine that answered; `None` if none was reached.
    pub engine: Option<&'a str>,
    /// The engine's name of the model, else what the client sent.
    pub model: &'a str,
    /// Whether the answer was streamed.
    pub stream: bool,
    /// The status that the client got; 499 if it left first.
    pub code: StatusCode,
    /// The time from the request line to the last byte of the answer.
    pub duration: Duration,
    /// That time by what it was spent on.
    pub phases: PhaseTimes,
    /// The time from the moment at which it was sent to the engine to the first event with content.
    pub prefill: Option<Duration>,
    /// The time from the request to the first event with content.
    pub first_token: Option<Duration>,
    /// The time to the first token that the plan had predicted.
    pub predicted: Option<Duration>,
    /// The time from the first content event to the last, for the rate of tokens.
    pub output_time: Option<Duration>,
    /// The number of content events, which stands for tokens where `usage` is absent.
    pub content_events: u64,
    /// The token counts that the engine reported.
    pub usage: Option<Usage>,
    /// The bytes that were sent of a streamed answer.
    pub stream_bytes: u64,
    /// The writes in which a streamed answer was sent.
    pub stream_flushes: u64,
    /// The reason of the candidate that it went to.
    pub reason: Option<Reason>,
    /// The names of the parameters that were filled in.
    pub defaults: &'a [&'static str],
}

// === impl PhaseTimes ===

impl PhaseTimes {
    /// The time that was spent on this part.
    pub(super) fn of(&self, phase: TimedPhase) -> Duration {
        match phase {
            TimedPhase::Receive => self.receive,
            TimedPhase::Failed => self.failed,
            TimedPhase::Queue => self.queue,
            TimedPhase::Load => self.load,
            TimedPhase::Prefill => self.prefill,
            TimedPhase::Generate => self.generate,
            TimedPhase::Own => self.own,
        }
    }
}
