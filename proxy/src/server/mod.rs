//! The client side on sockets: bind, accept within `limits.connections`, serve each connection with its
//! own clocks, and drain.
//!
//! `axum::serve` 0.8 closes neither a silent connection nor a stalled header, so the accept loop
//! is our own, over hyper's HTTP/1.1 connection.

mod connection;
pub mod descriptors;
mod lazy_clock;
mod limits;
mod linger;
mod reply;
mod request_body;
mod service;
mod slots;
mod socket;
mod state;
mod unsent;

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{connection::ShutdownTokens, slots::ConnectionSlot};
pub use self::{
    connection::{ClientPeer, OverLimit},
    limits::ConnectionLimits,
    reply::{OnRefuse, SocketRefusal},
    request_body::RequestBody,
    service::ConnectionService,
    slots::{ConnectionSlots, OnEvict},
    state::TrackedBody,
};

/// The time between two log lines about connections that cannot be accepted.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// The time between two looks for a slot, where even those over the limit are taken.
const SLOT_EVERY: Duration = Duration::from_millis(5);
/// The bytes of an answer that the system takes ahead of the client (Linux takes twice as many).
/// Without a bound it takes up to 4 MB for each client that does not read, and the engine works on
/// for nobody.
const SENT_AHEAD: u32 = 128 * 1024;
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

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

/// Called when a connection opens; the guard that it returns is dropped when the connection closes.
pub type OnOpen = Arc<dyn Fn() -> Box<dyn Send> + Send + Sync>;

/// A bound listening socket, and the limits and slots of its connections.
pub struct Listener {
    socket: TcpListener,
    slots: Arc<ConnectionSlots>,
    limits: ConnectionLimits,
    on_open: OnOpen,
}

// === impl Listener ===

impl Listener {
    /// Binds to the address. The slots may be shared with other listeners.
    ///
    /// Errors: the address is taken, or not one of this machine.
    pub fn bind(
        addr: SocketAddr,
        limits: ConnectionLimits,
        slots: Arc<ConnectionSlots>,
        on_open: OnOpen,
    ) -> io::Result<Self> {
        let socket = listen(addr)?;
        Ok(Self {
            socket,
            slots,
            limits,
            on_open,
        })
    }

    /// The slots of its connections.
    pub fn slots(&self) -> Arc<ConnectionSlots> {
        Arc::clone(&self.slots)
    }

    /// The address that it listens on, with the real port where 0 was asked for.
    pub fn addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts connections until `kill`, so that during a drain health can still be asked for. Each goes on
    /// in a task of `tracker`: an idle one closes at `stop`, a busy one after its answer, and all of them at
    /// `kill`, which is cancelled after `stop`.
    pub async fn run(
        self,
        service: impl ConnectionService,
        on_refuse: OnRefuse,
        tracker: TaskTracker,
        stop: CancellationToken,
        kill: CancellationToken,
    ) {
        let ends = ShutdownTokens {
            stop,
            kill: kill.clone(),
        };
        let mut reported: Option<Instant> = None;
        loop {
            let accepted = tokio::select! {
                () = kill.cancelled() => break,
                accepted = self.accept() => accepted,
            };
            let (stream, peer, slot) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    if reported.is_none_or(|at| at.elapsed() >= REPORT_EVERY) {
                        reported = Some(Instant::now());
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
                self.limits,
                Arc::clone(&on_refuse),
                ends.clone(),
                slot,
                open,
            ));
        }
    }

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr, ConnectionSlot)> {
        let (stream, peer) = self.socket.accept().await?;
        loop {
            if let Some(slot) = self.slots.admit(Instant::now()) {
                return Ok((stream, peer, slot));
            }
            sleep(SLOT_EVERY).await;
        }
    }
}
