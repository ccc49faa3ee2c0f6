//! One client connection over hyper's HTTP/1.1.

use std::{
    convert::Infallible,
    future::poll_fn,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::TryFutureExt as _;
use http::{HeaderValue, Request, Response, header};
use http_body::Body;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt as _};

use super::{
    Bounds,
    phase::{Phase, Phased},
    places::Place,
    received::Received,
    refusal::OnRefuse,
    socket::Socket,
};

/// What reads requests is dropped, with 10 KiB of buffers, where none came for so long.
const REST: Duration = Duration::from_millis(200);

/// The client of a connection, as a request extension.
#[derive(Clone, Debug)]
pub struct Peer {
    address: SocketAddr,
    phase: Arc<Phase>,
}

/// As a request extension: all places were taken, and it may only ask how Crucible is.
#[derive(Clone, Copy, Debug)]
pub struct Beyond;

/// What ends connections.
#[derive(Clone)]
pub(super) struct Ends {
    /// Idle ones at once, busy ones after their answer.
    pub(super) stop: CancellationToken,
    /// All.
    pub(super) kill: CancellationToken,
}

/// What a connection came to.
enum Came {
    /// It is over.
    Over,
    /// What the client said could not be read.
    Unread,
    /// Nothing more was said for a while.
    Rests,
    Stopped,
    SentAway,
}

/// The clock of a connection without a request.
struct Rest<'a> {
    /// From when it runs.
    idle: Option<u64>,
    clock: Pin<&'a mut Sleep>,
}

// === impl Peer ===

impl Peer {
    /// Where it is.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// It was given up because it did not read for too long.
    pub fn is_slow(&self) -> bool {
        self.phase.is_slow()
    }
}

// === impl Rest ===

impl Rest<'_> {
    /// Ends when it has been idle for [`REST`].
    fn poll(&mut self, idle: Option<u64>, cx: &mut Context<'_>) -> Poll<()> {
        if self.idle != idle {
            self.idle = idle;
            self.clock.as_mut().reset(Instant::now() + REST);
        }
        match idle {
            Some(_) => self.clock.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

/// Serves one connection to its end, then drops its place and `held`.
///
/// Not an `async fn`, with what reads requests in a box of its own, which goes while the client says
/// nothing, and with the answer's future in another, which goes when the head is out: a future keeps
/// room for each of its arguments and of what it awaited, as long as it lives.
pub(super) fn serve<S, B, H>(
    (stream, peer): (TcpStream, SocketAddr),
    service: S,
    bounds: Bounds,
    on_refuse: OnRefuse,
    ends: Ends,
    place: Place,
    held: H,
) -> impl Future<Output = ()> + Send
where
    S: Service<Request<Received>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + Unpin
        + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    H: Send + 'static,
{
    // Without it the last small event of a stream waits for the client's delayed ACK.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY not set");
    }
    let phase = Arc::clone(place.phase());
    let mut socket = Socket::new(stream, Arc::clone(&phase), bounds, on_refuse);
    async move {
        let _held = (place, held);
        // A connection that came during the drain may ask once; its answer closes it.
        let late = ends.stop.is_cancelled();
        loop {
            let spoken = tokio::select! {
                biased;
                spoken = socket.spoken() => spoken,
                () = ends.kill.cancelled() => false,
                () = ends.stop.cancelled(), if !late => false,
                () = phase.leaves() => false,
            };
            if !spoken {
                return;
            }
            let conversation = converse(
                socket,
                peer,
                service.clone(),
                bounds,
                Arc::clone(&phase),
                &ends,
                late,
            );
            match Box::pin(conversation).await {
                Some(rested) => socket = rested,
                None => return,
            }
        }
    }
}

/// Answers requests until the connection is over, or until it rests: then gives its socket.
async fn converse<S, B>(
    socket: Socket,
    peer: SocketAddr,
    service: S,
    bounds: Bounds,
    phase: Arc<Phase>,
    ends: &Ends,
    late: bool,
) -> Option<Socket>
where
    S: Service<Request<Received>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + Unpin
        + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let of = Arc::clone(&phase);
    let handler = service_fn(move |request: Request<Incoming>| {
        let busy = Phase::begin(&of);
        let mut request = request.map(|body| Received::new(body, &of));
        let phase = Arc::clone(&of);
        request.extensions_mut().insert(Peer {
            address: peer,
            phase,
        });
        if of.is_beyond() {
            request.extensions_mut().insert(Beyond);
        }
        let answer = service.clone().oneshot(request);
        let of = Arc::clone(&of);
        Box::pin(answer.map_ok(move |mut response| {
            if of.ends() {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            response.map(|body| Phased::new(body, busy))
        }))
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_header_size(bounds.header_bytes)
        .serve_connection(TokioIo::new(socket), handler);
    let mut stopping = late;
    let mut rest = Rest {
        idle: None,
        clock: pin!(sleep(REST)),
    };
    loop {
        let talking = poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
            Poll::Ready(ended) => {
                let Err(error) = ended else {
                    return Poll::Ready(Came::Over);
                };
                tracing::debug!(%error, "connection ended");
                Poll::Ready(if error.is_parse() {
                    Came::Unread
                } else {
                    Came::Over
                })
            }
            Poll::Pending => rest.poll(phase.rests_since(), cx).map(|()| Came::Rests),
        });
        let came = tokio::select! {
            // Who has just spoken is answered, whatever else came to pass.
            biased;
            came = talking => came,
            () = ends.kill.cancelled() => Came::Over,
            () = ends.stop.cancelled(), if !stopping => Came::Stopped,
            () = phase.leaves() => Came::SentAway,
        };
        match came {
            Came::Over => return None,
            Came::Unread => {
                let socket = connection.into_parts().io.into_inner();
                tokio::select! {
                    () = socket.close_unread() => {}
                    () = ends.kill.cancelled() => {}
                    () = phase.leaves() => {}
                }
                return None;
            }
            Came::Rests => {
                let parts = connection.into_parts();
                let mut socket = parts.io.into_inner();
                socket.rest(parts.read_buf);
                return Some(socket);
            }
            Came::Stopped => {
                stopping = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            // Its answer, if it has asked, is its last.
            Came::SentAway if phase.may_leave() => return None,
            Came::SentAway => {}
        }
    }
}
