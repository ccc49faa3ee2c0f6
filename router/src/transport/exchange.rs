//! Sending one request to an engine.

use std::error::Error as StdError;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;

use super::{
    AnswerBody, Transport,
    connection::{Broken, Connection},
};

/// Sends a request on a connection that carries no other, and waits for the head of the answer. The
/// connection is driven by this future, then by the answer's body.
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
    let (response, connection) = Connection::exchange(transport, request).await?;
    Ok(response.map(|body| AnswerBody::new(body, connection)))
}
