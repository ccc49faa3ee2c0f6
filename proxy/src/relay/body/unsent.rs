//! An answer of which nothing is sent yet: a stream whose beginning is awaited, and one that is read to
//! its end.

use std::task::Poll;

use bytes::{Bytes, BytesMut};
use http_body::Body;

use super::{End, RelayBody, turn::Step};
use crate::error::Error;

// === impl RelayBody ===

impl<B> RelayBody<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    /// Waits for the engine's first complete event, so that an error in its place still gets a
    /// status of its own.
    pub(crate) async fn started(mut self: Box<Self>) -> Result<Box<Self>, Error> {
        std::future::poll_fn(|cx| {
            loop {
                if self.poll_turn(cx).is_pending() {
                    return Poll::Pending;
                }
                match std::task::ready!(self.poll_step(cx)) {
                    Step::Moved if self.events > 0 => return Poll::Ready(Ok(())),
                    // Comments of an engine that has not begun are kept only as far as is free.
                    Step::Moved if self.ready_bytes() > self.buffer => self.out.clear(),
                    Step::Moved => {}
                    Step::Ended(Ok(())) => return Poll::Ready(Ok(())),
                    Step::Ended(Err(error)) => return Poll::Ready(Err(error)),
                }
            }
        })
        .await
        .inspect_err(|error| self.fail(error))?;
        self.heartbeats = true;
        Ok(self)
    }

    /// Returns the model that the engine's first event names; `None` where it names none.
    pub(crate) fn answerer(&self) -> Option<&str> {
        self.transcode.answerer()
    }

    /// Ends an answer of which nothing was handed out yet with this error.
    pub(crate) fn refuse(&mut self, error: &Error) {
        self.fail(error);
    }

    /// Reads the answer to its end and returns it as one piece, for a client that asked for no
    /// stream.
    pub(crate) async fn gathered(mut self: Box<Self>) -> Result<Bytes, Error> {
        std::future::poll_fn(|cx| {
            loop {
                if self.poll_turn(cx).is_pending() {
                    return Poll::Pending;
                }
                match std::task::ready!(self.poll_step(cx)) {
                    Step::Moved => {}
                    Step::Ended(result) => return Poll::Ready(result),
                }
            }
        })
        .await
        .inspect_err(|error| self.fail(error))?;
        self.end(End::Complete);
        let mut whole = BytesMut::new();
        for part in self.out.drain(..) {
            whole.extend_from_slice(&part);
        }
        Ok(whole.freeze())
    }
}
