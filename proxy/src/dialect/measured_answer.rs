//! What is known of how an answer was made, for formats that tell their clients.

use std::time::Duration;

/// The facts about an answer that Crucible or its engine measured.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MeasuredAnswer {
    /// The time from sending the prompt to the first token.
    pub(crate) first_token: Option<Duration>,
    /// The time in which the answer was generated.
    pub(crate) generation: Option<Duration>,
    /// The tokens that were generated in that time.
    pub(crate) tokens: Option<u64>,
    /// Whether the request names texts that end an answer: then nobody tells which end it was.
    pub(crate) has_stops: bool,
    /// Whether the request limits the answer.
    pub(crate) has_limit: bool,
}
