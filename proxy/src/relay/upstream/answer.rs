//! The body of an engine's answer. It drives its connection, and gives it back at its end.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::{address::Address, connection::Connection};

/// An answer on its way. Dropped before its end, it closes the connection: engines take that for a
/// cancel.
#[derive(Debug)]
pub struct Answer {
    body: Incoming,
    /// Until the answer is whole.
    connection: Option<(Box<Connection>, Arc<Address>)>,
}

// === impl Answer ===

impl Answer {
    pub(super) fn new(body: Incoming, connection: Box<Connection>, from: Arc<Address>) -> Self {
        let mut answer = Self {
            body,
            connection: Some((connection, from)),
        };
        if answer.body.is_end_stream() {
            answer.release();
        }
        answer
    }

    fn release(&mut self) {
        if let Some((connection, from)) = self.connection.take() {
            from.keep(connection);
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let frame = match &mut this.connection {
            Some((connection, _)) => {
                let body = &mut this.body;
                connection.poll_driving(cx, |cx| Pin::new(&mut *body).poll_frame(cx))
            }
            None => Pin::new(&mut this.body).poll_frame(cx),
        };
        match &frame {
            Poll::Pending => {}
            Poll::Ready(Some(Err(_))) => this.connection = None,
            Poll::Ready(None) => this.release(),
            Poll::Ready(Some(Ok(_))) => {
                if this.body.is_end_stream() {
                    this.release();
                }
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
