//! A request that has ended and waits to be counted.

use std::sync::Arc;

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
