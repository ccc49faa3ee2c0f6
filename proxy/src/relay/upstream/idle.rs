//! Connections that wait for the next request, by engine address.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use http::uri::Authority;
use parking_lot::Mutex;

use super::connection::Connection;

/// An unused connection is closed before an engine closes it (Node's default is 5 s).
const KEPT: Duration = Duration::from_secs(4);

/// How often what is over is looked for.
pub(super) const SWEEP: Duration = Duration::from_secs(1);

/// The newest last.
type Waiting = Vec<(Instant, Box<Connection>)>;

/// The connections of all engines; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Idle(Arc<Mutex<HashMap<Authority, Waiting>>>);

/// Where a connection belongs once its answer is whole.
#[derive(Debug)]
pub(super) struct Lease {
    idle: Idle,
    address: Authority,
}

// === impl Idle ===

impl Idle {
    /// The connection that was used last and is still open.
    pub(super) fn take(&self, address: &Authority) -> Option<Box<Connection>> {
        loop {
            // A connection is looked at without the lock: it reads from its socket.
            let (since, mut connection) = self.0.lock().get_mut(address)?.pop()?;
            if since.elapsed() < KEPT && connection.is_free() {
                return Some(connection);
            }
        }
    }

    pub(super) fn lease(&self, address: Authority) -> Lease {
        Lease {
            idle: self.clone(),
            address,
        }
    }

    /// Closes what nobody used for [`KEPT`].
    pub(super) fn sweep(&self, now: Instant) {
        let mut over = Vec::new();
        self.0.lock().retain(|_, waiting| {
            let fresh = waiting.partition_point(|(since, _)| now.duration_since(*since) >= KEPT);
            over.extend(waiting.drain(..fresh));
            !waiting.is_empty()
        });
        // Sockets are closed without the lock.
        drop(over);
    }
}

// === impl Lease ===

impl Lease {
    /// Keeps the connection for the next request, if it can take one.
    pub(super) fn give_back(self, mut connection: Box<Connection>) {
        if connection.is_free() {
            let mut idle = self.idle.0.lock();
            idle.entry(self.address)
                .or_default()
                .push((Instant::now(), connection));
        }
    }
}
