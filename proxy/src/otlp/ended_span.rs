//! A request that has ended, as its spans are made of it.

use std::time::SystemTime;

use tokio::time::Instant;

use crate::request::{ActiveRequest, RequestFacts};

/// A request that has ended, with the clock by which its moments become dates.
pub(crate) struct EndedSpan<'a> {
    /// The request.
    pub(crate) request: &'a ActiveRequest,
    /// Its facts.
    pub(crate) record: &'a RequestFacts,
    /// The status that the client got; 499 where it left first.
    pub(crate) status: u16,
    /// The way in which it ended: `ok`, a code of an error, or the cause of an abort.
    pub(crate) outcome: &'static str,
    /// The moment of its end.
    pub(crate) at: Instant,
    /// The date of an instant.
    pub(crate) date: &'a dyn Fn(Instant) -> SystemTime,
}
