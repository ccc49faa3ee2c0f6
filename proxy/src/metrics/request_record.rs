//! The facts of a finished request, as the metrics count them.

use std::time::Duration;

use crucible_router::plan::Reason;
use http::StatusCode;

use crate::{endpoint::Endpoint, usage::Usage};

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
    /// The part of it that was Crucible's own, without waits for queue, load and engine.
    pub overhead: Duration,
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
