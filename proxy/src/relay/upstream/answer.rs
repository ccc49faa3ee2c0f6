//! The body of an engine's answer. It drives its connection, and gives it back at its end.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{address::Address, connection::Connection};

/// An answer on its way. Dropped before its end, it closes the connection: engines take that for a
/// cancel.
#[derive(Debug)]
pub struct Answer {
    /// Until the answer is whole.
    connection: Option<(Box<Connection>, Arc<Address>)>,
}

// === impl Answer ===

impl Answer {
    pub(super) fn new(connection: Box<Connection>, from: Arc<Address>) -> Self {
        let mut answer = Self {
            connection: Some((connection, from)),
        };
        answer.release_if_done();
        answer
    }

    fn release_if_done(&mut self) {
        let done = self
            .connection
            .take_if(|(connection, _)| connection.is_done());
        if let Some((connection, from)) = done {
            from.keep(connection);
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        let Some((connection, _)) = &mut this.connection else {
            return Poll::Ready(None);
        };
        let piece = connection.poll_piece(cx);
        this.release_if_done();
        piece.map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.connection.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let left = match &self.connection {
            Some((connection, _)) => connection.left(),
            None => Some(0),
        };
        left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
