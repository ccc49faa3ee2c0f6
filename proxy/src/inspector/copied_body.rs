//! The body of an engine's answer, of which the inspector keeps a copy.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};

use super::switch::{InspectedPlace, InspectedRequest};

/// A body whose bytes are kept as they come, before anything reads or translates them. While the inspector is off it
/// is the body alone.
#[derive(Debug)]
pub(crate) struct CopiedBody<B> {
    body: B,
    copy: Option<InspectedRequest>,
}

// === impl CopiedBody ===

impl<B> CopiedBody<B> {
    /// Wraps the body of an answer to the last attempt of the request at `place`, and keeps the answer's status.
    pub(crate) fn wrap(answer: Response<B>, place: &InspectedPlace) -> Response<Self> {
        let copy = place.get().cloned();
        if let Some(copy) = &copy {
            copy.engine_status(answer.status());
        }
        answer.map(|body| Self { body, copy })
    }
}

impl<B> Body for CopiedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if let Some(copy) = &this.copy
            && let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(piece) = frame.data_ref()
        {
            copy.engine_answered(piece);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
