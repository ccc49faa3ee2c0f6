//! The body of a request, which tells its connection when it was read to its end: a connection that
//! closes while its client still sends has to linger.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::state::ConnectionState;

/// A request body as hyper reads it from the connection.
#[derive(Debug)]
pub struct RequestBody {
    inner: Incoming,
    state: Arc<ConnectionState>,
}

// === impl RequestBody ===

impl RequestBody {
    /// Wraps the body of a request and notes in `state` whether bytes are still to come.
    pub(super) fn new(inner: Incoming, state: &Arc<ConnectionState>) -> Self {
        state.expect_body(!inner.is_end_stream());
        Self {
            inner,
            state: Arc::clone(state),
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if matches!(polled, Poll::Ready(Some(Ok(_)) | None)) && self.inner.is_end_stream() {
            self.state.expect_body(false);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
