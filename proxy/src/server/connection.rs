//! One client connection over hyper's HTTP/1.1.

use std::{
    convert::Infallible,
    future::poll_fn,
    net::{IpAddr, SocketAddr},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_util::TryFutureExt as _;
use http::{HeaderValue, Request, Response, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpStream, time::Instant};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{
    lazy_clock::LazyClock,
    limits::ConnectionLimits,
    reply::OnRefuse,
    request_body::RequestBody,
    service::ConnectionService,
    slots::ConnectionSlot,
    socket::ClientSocket,
    state::{ConnectionState, TrackedBody},
};

/// The time without a request after which a connection is parked: hyper's part of it, with 10 KiB of
/// buffers, is dropped and made anew for the next request.
const PARK_AFTER: Duration = Duration::from_millis(200);

/// The client at the other end of the connection, as a request extension.
#[derive(Clone, Debug)]
pub struct ClientPeer {
    /// The client's address as text, which is written once for all requests of the connection.
    host: Arc<str>,
    state: Arc<ConnectionState>,
}

/// Says, as a request extension, that all slots of `limits.connections` were taken, so that the client may
/// only ask for health and metrics.
#[derive(Clone, Copy, Debug)]
pub struct OverLimit;

/// An answer of the service, whose end frees the connection.
type TrackedResponse<S> = Response<TrackedBody<<S as ConnectionService>::ResponseBody>>;

/// The two tokens that end connections: the first lets requests finish, the second ends them at once.
#[derive(Clone)]
pub(super) struct ShutdownTokens {
    /// Ends idle connections at once, and busy ones after their answer.
    pub(super) stop: CancellationToken,
    /// Ends all connections at once. Cancelled after `stop` only, never before it.
    pub(super) kill: CancellationToken,
}

/// The next event on a connection.
enum ConnectionEvent {
    /// The connection is over.
    Closed,
    /// The client sent bytes that cannot be read as a request.
    Unreadable,
    /// No request came for [`PARK_AFTER`].
    Idle,
    /// Crucible drains.
    Stopping,
    /// The slot of the connection was given to a new one.
    Evicted,
}

/// The clock of a connection without a request, which ends at [`PARK_AFTER`].
struct IdleTimer {
    /// The moment of idleness that it runs from.
    idle: Option<u64>,
    clock: LazyClock,
}

/// The IP address of a peer as text: IPv4 also where a socket of both families tells it as IPv6.
fn host_of(peer: SocketAddr) -> Arc<str> {
    peer.ip().to_canonical().to_string().into()
}

// === impl ClientPeer ===

impl ClientPeer {
    /// Returns its IP address. One machine is one address, whichever of its forms the socket tells.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether it is on this machine and asked a loopback address.
    pub fn is_loopback(&self) -> bool {
        self.host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    }

    /// Shrinks the socket's send buffer from the present answer on, so that the system holds little that this
    /// client has not read: one that reads nothing of small, rare events stalls soon, and is given up after
    /// [`ConnectionLimits::client_stall`].
    pub fn shrink_send_buffer(&self) {
        self.state.shrink_send_buffer();
    }

    /// Whether it was given up because it did not read for too long.
    pub fn is_slow(&self) -> bool {
        self.state.is_slow()
    }
}

// === impl ConnectionEvent ===

impl ConnectionEvent {
    /// The event that hyper's end of a connection stands for.
    fn of_end(ended: hyper::Result<()>) -> Self {
        match ended {
            Ok(()) => Self::Closed,
            Err(error) => {
                tracing::debug!(%error, "connection ended");
                if error.is_parse() {
                    Self::Unreadable
                } else {
                    Self::Closed
                }
            }
        }
    }
}

// === impl IdleTimer ===

impl IdleTimer {
    fn new() -> Self {
        Self {
            idle: None,
            clock: LazyClock::new(Instant::now() + PARK_AFTER),
        }
    }

    /// Ready when the connection has been idle for [`PARK_AFTER`].
    fn poll(&mut self, idle: Option<u64>, cx: &mut Context<'_>) -> Poll<()> {
        let begins = self.idle != idle;
        self.idle = idle;
        if idle.is_none() {
            return Poll::Pending;
        }
        if begins {
            self.clock.set(Instant::now() + PARK_AFTER);
        }
        self.clock.poll(cx)
    }
}

/// Serves one connection to its end, then drops its slot and `held`.
///
/// An idle connection should cost little memory, and a future keeps room for each of its arguments, and for
/// all that it ever awaits, as long as it lives. Hence this is no `async fn`; hyper's part is in a box of
/// its own, which is dropped while the client is idle; and the future of the answer is in another, which is
/// dropped when its head is out.
pub(super) fn serve(
    (stream, peer): (TcpStream, SocketAddr),
    service: impl ConnectionService,
    limits: ConnectionLimits,
    on_refuse: OnRefuse,
    ends: ShutdownTokens,
    slot: ConnectionSlot,
    held: impl Send + 'static,
) -> impl Future<Output = ()> + Send {
    // Without it the last small event of a stream waits for the client's delayed ACK.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY not set");
    }
    let state = Arc::clone(slot.state());
    let mut socket = ClientSocket::new(stream, Arc::clone(&state), limits, on_refuse);
    async move {
        let _held = (slot, held);
        // A connection that came during the drain may ask once; its answer closes it.
        let late = ends.stop.is_cancelled();
        loop {
            let readable = tokio::select! {
                biased;
                readable = socket.readable() => readable,
                () = ends.kill.cancelled() => false,
                () = ends.stop.cancelled(), if !late => false,
                () = state.until_evicted() => false,
            };
            if !readable {
                return;
            }
            let requests = serve_requests(
                socket,
                peer,
                service.clone(),
                limits,
                Arc::clone(&state),
                &ends,
                late,
            );
            match Box::pin(requests).await {
                Some(rested) => socket = rested,
                None => return,
            }
        }
    }
}

/// Gives one request to the service, and its answer to hyper, with what the connection knows of both.
fn answer<S: ConnectionService>(
    service: &S,
    request: Request<Incoming>,
    host: &Arc<str>,
    state: &Arc<ConnectionState>,
) -> Pin<Box<impl Future<Output = Result<TrackedResponse<S>, Infallible>> + Send + use<S>>> {
    let busy = ConnectionState::begin(state);
    let mut request = request.map(|body| RequestBody::new(body, state));
    request.extensions_mut().insert(ClientPeer {
        host: Arc::clone(host),
        state: Arc::clone(state),
    });
    if state.is_over_limit() {
        request.extensions_mut().insert(OverLimit);
    }
    let answer = service.clone().oneshot(request);
    let state = Arc::clone(state);
    Box::pin(answer.map_ok(move |mut response| {
        if state.closes_after_answer() {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response.map(|body| TrackedBody::new(body, busy))
    }))
}

/// Waits for the next event on a connection. A request that has just come is answered (`talking`), whatever
/// else happened.
async fn next_event(
    mut talking: impl FnMut(&mut Context<'_>) -> Poll<ConnectionEvent>,
    ends: &ShutdownTokens,
    stopping: bool,
    state: &ConnectionState,
) -> ConnectionEvent {
    let (token, of_token) = if stopping {
        (&ends.kill, ConnectionEvent::Closed)
    } else {
        (&ends.stop, ConnectionEvent::Stopping)
    };
    let mut cancelled = pin!(token.cancelled());
    let mut evicted = pin!(state.until_evicted());
    let mut waiting: Option<Waker> = None;
    poll_fn(|cx| {
        if let Poll::Ready(event) = talking(cx) {
            return Poll::Ready(Some(event));
        }
        // A stream runs this for each piece: who will be woken anyway does not wait anew.
        let waits = waiting.as_ref().is_some_and(|w| w.will_wake(cx.waker()));
        if waits && !token.is_cancelled() && !state.is_evicted() {
            return Poll::Pending;
        }
        waiting = Some(cx.waker().clone());
        if cancelled.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        let evicted = evicted.as_mut().poll(cx);
        evicted.map(|()| Some(ConnectionEvent::Evicted))
    })
    .await
    .unwrap_or(of_token)
}

/// Answers requests until the connection is over (`None`), or until it is idle and gives its socket back.
async fn serve_requests(
    socket: ClientSocket,
    peer: SocketAddr,
    service: impl ConnectionService,
    limits: ConnectionLimits,
    state: Arc<ConnectionState>,
    ends: &ShutdownTokens,
    mut stopping: bool,
) -> Option<ClientSocket> {
    let answering = Arc::clone(&state);
    let host = host_of(peer);
    let handler = service_fn(move |request| answer(&service, request, &host, &answering));
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_header_size(limits.header_bytes)
        .serve_connection(TokioIo::new(socket), handler);
    let mut idle_timer = IdleTimer::new();
    loop {
        let talking = |cx: &mut Context<'_>| match Pin::new(&mut connection).poll(cx) {
            Poll::Ready(ended) => Poll::Ready(ConnectionEvent::of_end(ended)),
            Poll::Pending => idle_timer
                .poll(state.parkable_since(), cx)
                .map(|()| ConnectionEvent::Idle),
        };
        match next_event(talking, ends, stopping, &state).await {
            ConnectionEvent::Closed => return None,
            ConnectionEvent::Unreadable => {
                let socket = connection.into_parts().io.into_inner();
                close_unread(socket, &state, ends).await;
                return None;
            }
            ConnectionEvent::Idle => {
                let parts = connection.into_parts();
                let mut socket = parts.io.into_inner();
                socket.park(parts.read_buf);
                return Some(socket);
            }
            ConnectionEvent::Stopping => {
                stopping = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            // The answer that it is owed, if any, is its last.
            ConnectionEvent::Evicted if state.may_close() => return None,
            ConnectionEvent::Evicted => {}
        }
    }
}

/// Closes a connection on which something came that is no request, after its answer has been read.
async fn close_unread(socket: ClientSocket, state: &ConnectionState, ends: &ShutdownTokens) {
    tokio::select! {
        () = socket.close_unread() => {}
        () = ends.kill.cancelled() => {}
        () = state.until_evicted() => {}
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_once_its_last_idleness_is_long_enough() {
        let begun = Instant::now();
        let mut timer = IdleTimer::new();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(timer.poll(Some(1), &mut cx).is_pending());
        sleep(PARK_AFTER / 2).await;
        assert!(timer.poll(None, &mut cx).is_pending());
        assert!(timer.poll(Some(2), &mut cx).is_pending());
        sleep(PARK_AFTER / 2).await;
        assert!(timer.poll(Some(2), &mut cx).is_pending());
        poll_fn(|cx| timer.poll(Some(2), cx)).await;
        assert_eq!(begun.elapsed(), PARK_AFTER / 2 * 3);
    }

    #[test]
    fn a_machine_has_one_address_in_whichever_form_it_comes() {
        let host = |peer: &str| host_of(peer.parse().unwrap()).to_string();
        assert_eq!(host("127.0.0.1:80"), "127.0.0.1");
        assert_eq!(host("[::ffff:127.0.0.1]:80"), "127.0.0.1");
        assert_eq!(host("[::1]:80"), "::1");
    }
}
