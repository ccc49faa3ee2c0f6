//! A connection to an engine between two requests.

use std::{error::Error as StdError, fmt};

use bytes::Bytes;
use http_body::Body;

use super::connection::Connection;

/// A connection to an engine between two requests. Dropping it closes it.
///
/// `B` is the body of the requests that it carries.
pub struct IdleConnection<B: Body + 'static>(Box<Connection<B>>);

// === impl IdleConnection ===

impl<B> IdleConnection<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    /// The connection of an answer that is whole; `None` where it carries no further request.
    pub(super) fn of(connection: Box<Connection<B>>) -> Option<Self> {
        connection.release().then_some(Self(connection))
    }

    /// Returns the connection, for a further request.
    pub(super) fn into_connection(self) -> Box<Connection<B>> {
        self.0
    }
}

impl<B: Body> fmt::Debug for IdleConnection<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdleConnection").finish_non_exhaustive()
    }
}
