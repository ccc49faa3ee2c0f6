//! A request that has ended and waits to be counted.

use std::{sync::Arc, time::SystemTime};

use tokio::time::Instant;

use crate::request::ActiveRequest;

/// A request whose last byte is out, or whose client has left, with what is still to be counted and
/// logged of it.
pub(crate) struct EndedRequest {
    /// The request with its record.
    pub(crate) request: Arc<ActiveRequest>,
    /// The moment at which the request ended.
    pub(crate) at: Instant,
    /// The client left while the model was being loaded.
    pub(crate) in_load: bool,
}

/// One moment on the monotonic clock and on the wall clock, so that instants can be written as
/// dates.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    pub(super) monotonic: Instant,
    wall: SystemTime,
}

// === impl Moment ===

impl Moment {
    /// Reads both clocks.
    pub(crate) fn now() -> Self {
        Self {
            monotonic: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    /// The time on the wall clock at an earlier instant.
    pub(super) fn wall_at(&self, at: Instant) -> SystemTime {
        self.wall - (self.monotonic - at)
    }
}
