//! Sending one request after another to an engine.

use std::{error::Error as StdError, fmt};

use bytes::Bytes;
use futures_util::TryFutureExt as _;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;

use super::{
    AnswerBody, Transport,
    connection::{Broken, Connection},
};

/// A connection to an engine between two requests. Dropping it closes it.
///
/// `B` is the body of the requests that it carries.
pub struct IdleConnection<B: Body + 'static>(Box<Connection<B>>);

/// Sends the first request on a new connection, and waits for the head of the answer. The connection
/// is driven by this future, then by the answer's body.
///
/// The request's headers are sent as they are: `Host` is the caller's, and so is the length of the body
/// where it is to be known. Answers of 1xx are passed over; one that comes before the whole request was
/// read counts.
pub async fn exchange<B>(
    transport: Transport,
    request: Request<B>,
) -> Result<Response<AnswerBody<B>>, Broken>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let connection = Connection::new(transport).await?;
    answered(connection.exchange(request)).await
}

/// Wraps the body of an answer together with its connection.
fn answered<B>(
    exchanged: impl Future<Output = Result<(Response<Incoming>, Box<Connection<B>>), Broken>>,
) -> impl Future<Output = Result<Response<AnswerBody<B>>, Broken>>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    exchanged
        .map_ok(|(response, connection)| response.map(|body| AnswerBody::new(body, connection)))
}

// === impl IdleConnection ===

impl<B> IdleConnection<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    /// The connection of an answer that is whole; `None` where it carries no further request.
    pub(super) fn of(connection: Box<Connection<B>>) -> Option<Self> {
        connection.is_idle().then_some(Self(connection))
    }

    /// Sends a further request and waits for the head of its answer, as [`exchange`] does. Where the
    /// engine has closed the connection meanwhile, or sent anything on it, nothing is written
    /// ([`Broken::unsent`]), as far as that was heard of the socket.
    pub fn exchange(
        self,
        request: Request<B>,
    ) -> impl Future<Output = Result<Response<AnswerBody<B>>, Broken>> + Send {
        answered(self.0.exchange(request))
    }
}

impl<B: Body> fmt::Debug for IdleConnection<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdleConnection").finish_non_exhaustive()
    }
}
