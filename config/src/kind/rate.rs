//! The number of requests that a client may send in a period.

use std::time::Duration;

/// A number of requests in a period, written `60/min` in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The requests that are allowed.
    pub count: u32,
    /// The period in which they are counted: a second, a minute, an hour or a day.
    pub per: Duration,
}
