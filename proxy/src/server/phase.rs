//! Which part of a request a connection is in, shared by its socket and its service.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

/// Whether a request is being answered. While it is not, the socket's header clock runs.
#[derive(Clone, Debug, Default)]
pub(super) struct Phase(Arc<AtomicBool>);

/// Marks the request as being answered; dropped at the end of its response body.
#[derive(Debug)]
pub(super) struct Busy(Phase);

pin_project! {
    /// A response body that tells the connection when it ends or is dropped.
    pub struct Phased<B> {
        #[pin]
        inner: B,
        busy: Option<Busy>,
    }
}

// === impl Phase ===

impl Phase {
    pub(super) fn begin(&self) -> Busy {
        self.0.store(true, Ordering::Release);
        Busy(self.clone())
    }

    pub(super) fn is_busy(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

// === impl Busy ===

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Release);
    }
}

// === impl Phased ===

impl<B> Phased<B> {
    pub(super) fn new(inner: B, busy: Busy) -> Self {
        Self {
            inner,
            busy: Some(busy),
        }
    }
}

impl<B: Body<Data = Bytes>> Body for Phased<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.project().inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
