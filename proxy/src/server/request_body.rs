//! A request's body as it comes from the connection, which has to know whether it was read to its end.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::phase::Phase;

/// A body on its way.
#[derive(Debug)]
pub struct Received {
    inner: Incoming,
    phase: Arc<Phase>,
}

// === impl Received ===

impl Received {
    pub(super) fn new(inner: Incoming, phase: &Arc<Phase>) -> Self {
        phase.owes(!inner.is_end_stream());
        Self {
            inner,
            phase: Arc::clone(phase),
        }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if matches!(polled, Poll::Ready(Some(Ok(_)) | None)) && self.inner.is_end_stream() {
            self.phase.owes(false);
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
