//! Where engines are, and the connections to them that wait for the next request.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
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
    waiting: Mutex<Vec<Waiting>>,
}

/// A connection that nobody uses.
#[derive(Debug)]
struct Waiting {
    since: Since,
    connection: Box<Connection>,
}

/// A moment on both clocks: while a machine sleeps, Linux and macOS stop the monotonic one, and what
/// is at the other end goes meanwhile.
#[derive(Clone, Copy, Debug)]
struct Since {
    monotonic: Instant,
    wall: SystemTime,
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
            let wall = SystemTime::now();
            let fresh = waiting.partition_point(|w| w.since.is_over(now, wall));
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
            let Waiting { since, connection } = self.waiting.lock().pop()?;
            if !since.is_over(Instant::now(), SystemTime::now()) && connection.is_free() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection whose answer is whole for the next request.
    pub(super) fn keep(&self, connection: Box<Connection>) {
        if connection.is_free() {
            let since = Since {
                monotonic: Instant::now(),
                wall: SystemTime::now(),
            };
            self.waiting.lock().push(Waiting { since, connection });
        }
    }
}

// === impl Since ===

impl Since {
    /// Whether [`KEPT`] has passed on either clock. One that was set back says nothing.
    fn is_over(self, now: Instant, wall: SystemTime) -> bool {
        let awake = now.saturating_duration_since(self.monotonic);
        let all = wall.duration_since(self.wall).unwrap_or_default();
        awake.max(all) >= KEPT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_over_when_either_clock_says_so() {
        let since = Since {
            monotonic: Instant::now(),
            wall: SystemTime::now(),
        };
        let hour = Duration::from_hours(1);
        for (awake, wall, over) in [
            (3, since.wall, false),
            (4, since.wall, true),
            // It slept, or its clock was set forward.
            (1, since.wall + hour, true),
            // Its clock was set back.
            (3, since.wall - hour, false),
            (4, since.wall - hour, true),
        ] {
            let now = since.monotonic + Duration::from_secs(awake);
            assert_eq!(since.is_over(now, wall), over, "{awake} {wall:?}");
        }
    }
}
