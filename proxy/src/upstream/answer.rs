//! The body of an engine's answer to a prompt, which gives its connection back at its end.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use crucible_router::transport::AnswerBody;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use super::pool::IdlePool;

/// The body of an answer on its way. Dropped before its end, it closes the connection: engines take
/// that for a cancellation.
#[derive(Debug)]
pub struct EngineAnswer {
    body: AnswerBody<Full<Bytes>>,
    /// The pool that gets the connection at the end of the answer.
    pool: Arc<IdlePool>,
}

// === impl EngineAnswer ===

impl EngineAnswer {
    /// Wraps the body of an answer, whose connection goes into `pool` once the answer is whole.
    pub(super) fn new(body: AnswerBody<Full<Bytes>>, pool: Arc<IdlePool>) -> Self {
        let mut answer = Self { body, pool };
        answer.keep_idle();
        answer
    }

    fn keep_idle(&mut self) {
        if let Some(connection) = self.body.take_idle() {
            self.pool.keep(connection);
        }
    }
}

impl Body for EngineAnswer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        this.keep_idle();
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
