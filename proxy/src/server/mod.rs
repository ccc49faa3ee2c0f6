//! Sockets: bind, accept within a bound, serve each connection with its own clocks, drain.
//!
//! `axum::serve` 0.8 closes neither a silent connection nor a stalled header, so the accept loop
//! is our own, over hyper's HTTP/1.1 connection.

mod connection;
pub mod descriptors;
mod linger;
mod phase;
mod places;
mod received;
mod refusal;
mod socket;

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;

use self::{connection::Ends, places::Place};
pub use self::{
    connection::{Beyond, Peer},
    phase::Phased,
    places::{OnEvict, Places},
    received::Received,
    refusal::{OnRefuse, SocketRefusal},
};

/// Between two log lines about connections that cannot be accepted.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Between two looks for a place where even those beyond the bound are being answered.
const PLACE_EVERY: Duration = Duration::from_millis(5);
/// Bytes of an answer that the system takes before its client has (Linux takes twice as many): without
/// a bound it takes up to 4 MB for each client that does not read, and its engine works on for nobody.
const SENT_AHEAD: u32 = 128 * 1024;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// Bounds of the client side.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Header size in bytes.
    pub header_bytes: usize,
    /// From the first byte of a header (of a new connection: from its accept) to its end.
    pub header: Duration,
    /// A client that does not read what is there for it.
    pub client_stall: Duration,
    /// Bytes that are thrown away of what a client still sends after its answer.
    pub linger: u64,
}

/// The listening socket, whose connections inherit the bound of what the system holds for a client
/// that does not read.
fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A port whose connections have just ended is free; on Windows it would be anybody's.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(SENT_AHEAD)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// Called when a connection opens; what it returns is dropped when it closes.
pub type OnOpen = Arc<dyn Fn() -> Box<dyn Send> + Send + Sync>;

/// A bound listener and what its connections need.
pub struct Listener {
    socket: TcpListener,
    places: Arc<Places>,
    bounds: Bounds,
    on_open: OnOpen,
}

// === impl Listener ===

impl Listener {
    /// Binds; the places may be shared with other listeners.
    pub fn bind(
        addr: SocketAddr,
        bounds: Bounds,
        places: Arc<Places>,
        on_open: OnOpen,
    ) -> io::Result<Self> {
        let socket = listen(addr)?;
        Ok(Self {
            socket,
            places,
            bounds,
            on_open,
        })
    }

    /// Those of its connections.
    pub fn places(&self) -> Arc<Places> {
        Arc::clone(&self.places)
    }

    /// Where it listens, the real port included.
    pub fn addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts until `kill`, so that a drain can still be asked whether it is ready. Connections go
    /// on in tasks of `tracker`: idle ones close at `stop`, busy ones after their answer, all of
    /// them at `kill`.
    pub async fn run<S, B>(
        self,
        service: S,
        on_refuse: OnRefuse,
        tracker: TaskTracker,
        stop: CancellationToken,
        kill: CancellationToken,
    ) where
        S: Service<Request<Received>, Response = Response<B>, Error = std::convert::Infallible>
            + Clone
            + Send
            + Unpin
            + 'static,
        S::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let ends = Ends {
            stop,
            kill: kill.clone(),
        };
        let mut told: Option<Instant> = None;
        loop {
            let accepted = tokio::select! {
                () = kill.cancelled() => break,
                accepted = self.accept() => accepted,
            };
            let (stream, peer, place) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    if told.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
                        told = Some(Instant::now());
                        tracing::warn!(%error, "accept failed");
                    }
                    // Out of descriptors, most likely: closing connections frees them, not us.
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let open = (self.on_open)();
            tracker.spawn(connection::serve(
                (stream, peer),
                service.clone(),
                self.bounds,
                Arc::clone(&on_refuse),
                ends.clone(),
                place,
                open,
            ));
        }
    }

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr, Place)> {
        let (stream, peer) = self.socket.accept().await?;
        loop {
            if let Some(place) = self.places.admit(Instant::now()) {
                return Ok((stream, peer, place));
            }
            sleep(PLACE_EVERY).await;
        }
    }
}
