//! The limits of a client's connection.

use std::time::Duration;

/// The bounds of every client connection.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// The most bytes of a header.
    pub header_bytes: usize,
    /// The longest time from the first byte of a header (of a new connection: from its accept) to its end.
    pub header: Duration,
    /// The longest time in which a client takes nothing of what is there for it.
    pub client_stall: Duration,
    /// The most bytes that are read and dropped of what a client still sends after its answer.
    pub linger: u64,
}
