//! Sending one request after another to an engine.

use std::error::Error as StdError;

use bytes::Bytes;
use futures_util::TryFutureExt as _;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;

use super::{
    AnswerBody, IdleConnection, Transport,
    connection::{Broken, Connection},
};

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

/// Sends a further request on a connection and waits for the head of its answer, as [`exchange`] does.
/// Where the engine has closed the connection meanwhile, or sent anything on it, nothing is written
/// ([`Broken::unsent`]), as far as that was heard of the socket.
pub fn exchange_again<B>(
    idle: IdleConnection<B>,
    request: Request<B>,
) -> impl Future<Output = Result<Response<AnswerBody<B>>, Broken>> + Send
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    answered(idle.into_connection().exchange(request))
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
