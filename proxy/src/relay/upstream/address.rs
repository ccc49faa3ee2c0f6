//! Where engines are, and the connections to them that wait for the next request.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderValue, Uri, uri::Scheme};
use parking_lot::Mutex;
use url::Url;

use super::connection::Connection;
use crate::error::{Error, Kind};

/// An unused connection is closed before an engine closes it (Node's default is 5 s).
const KEPT: Duration = Duration::from_secs(4);

/// How often what is over is looked for.
pub(super) const SWEEP: Duration = Duration::from_secs(1);

/// One engine's address.
#[derive(Debug)]
pub(super) struct Address {
    url: Url,
    /// The same for a connector.
    pub(super) target: Uri,
    /// Value of `Host`.
    pub(super) host: HeaderValue,
    /// The newest last.
    waiting: Mutex<Vec<(Instant, Box<Connection>)>>,
}

/// The addresses that were asked lately; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Addresses(Arc<Mutex<Vec<Arc<Address>>>>);

// === impl Addresses ===

impl Addresses {
    /// The address of an engine's URL, whose path is not looked at.
    ///
    /// Errors: `engine_unreachable` for `https`, `internal` for what is no address.
    pub(super) fn of(&self, url: &Url) -> Result<Arc<Address>, Error> {
        let mut known = self.0.lock();
        if let Some(address) = known.iter().find(|address| address.url == *url) {
            return Ok(Arc::clone(address));
        }
        let address = Arc::new(Address::new(url)?);
        known.push(Arc::clone(&address));
        Ok(address)
    }

    /// Closes what nobody used for [`KEPT`], and forgets addresses without a connection.
    pub(super) fn sweep(&self, now: Instant) {
        let mut over = Vec::new();
        self.0.lock().retain(|address| {
            let mut waiting = address.waiting.lock();
            let fresh = waiting.partition_point(|(since, _)| now.duration_since(*since) >= KEPT);
            over.extend(waiting.drain(..fresh));
            !waiting.is_empty() || Arc::strong_count(address) > 1
        });
        // Sockets are closed without the lock.
        drop(over);
    }
}

// === impl Address ===

impl Address {
    fn new(url: &Url) -> Result<Self, Error> {
        let no_address = |error: &dyn std::fmt::Display| {
            Error::new(Kind::Internal, format!("engine address: {error}"))
        };
        let target = Uri::builder()
            .scheme(url.scheme())
            .authority(url.authority())
            .path_and_query("/")
            .build()
            .map_err(|error| no_address(&error))?;
        if target.scheme() == Some(&Scheme::HTTPS) {
            return Err(Error::new(
                Kind::EngineUnreachable,
                "the engine's url is https, and Crucible speaks plain HTTP to engines",
            ));
        }
        Ok(Self {
            url: url.clone(),
            host: HeaderValue::from_str(url.authority()).map_err(|error| no_address(&error))?,
            target,
            waiting: Mutex::default(),
        })
    }

    /// The connection that was used last and is still open.
    pub(super) fn take(&self) -> Option<Box<Connection>> {
        loop {
            // A connection is looked at without the lock: it reads from its socket.
            let (since, connection) = self.waiting.lock().pop()?;
            if since.elapsed() < KEPT && connection.is_free() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection whose answer is whole for the next request.
    pub(super) fn keep(&self, connection: Box<Connection>) {
        if connection.is_free() {
            self.waiting.lock().push((Instant::now(), connection));
        }
    }
}
