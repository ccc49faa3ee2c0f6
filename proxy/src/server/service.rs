//! The service that a listener serves: one trait instead of ten bounds at each place.

use std::{convert::Infallible, error::Error};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower::Service;

use super::request_body::RequestBody;

/// A tower service that answers the requests of a listener's connections, cloned for each request. Every
/// service with these bounds is one; errors are answers, hence [`Infallible`].
pub trait ConnectionService:
    Service<
        Request<RequestBody>,
        Response = Response<<Self as ConnectionService>::ResponseBody>,
        Error = Infallible,
        Future: Send + 'static,
    > + Clone
    + Send
    + Unpin
    + 'static
{
    /// The body of its answers.
    type ResponseBody: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>
        + Send
        + 'static;
}

impl<S, B> ConnectionService for S
where
    S: Service<
            Request<RequestBody>,
            Response = Response<B>,
            Error = Infallible,
            Future: Send + 'static,
        > + Clone
        + Send
        + Unpin
        + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    type ResponseBody = B;
}
