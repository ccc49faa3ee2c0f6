//! The connections to each engine that wait for the next request.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use crucible_router::transport::{EngineAddress, IdleConnection};
use http_body_util::Full;
use parking_lot::Mutex;

use super::retry_budget::{self, RetryBudget};

/// An unused connection is closed before an engine closes it (Node's default is 5 s).
const LONGEST_IDLE: Duration = Duration::from_secs(4);

/// The time between two searches for connections that were idle for too long.
pub(super) const SWEEP: Duration = Duration::from_secs(1);

/// The idle connections to one address.
#[derive(Debug)]
pub(super) struct IdlePool {
    address: EngineAddress,
    /// The bound on requests to it that are sent a second time.
    pub(super) retries: RetryBudget,
    /// The one that was used last is at the end.
    idle: Mutex<Vec<UnusedConnection>>,
}

/// A connection that nobody uses, since a moment.
#[derive(Debug)]
struct UnusedConnection {
    since: Since,
    connection: PromptConnection,
}

/// An idle connection for prompts.
pub(super) type PromptConnection = IdleConnection<Full<Bytes>>;

/// A moment on both clocks: while a machine sleeps, Linux and macOS stop the monotonic one, and what
/// is at the other end goes meanwhile.
#[derive(Clone, Copy, Debug)]
struct Since {
    monotonic: Instant,
    wall: SystemTime,
}

/// The idle connections to all addresses that were asked lately; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct IdlePools(Arc<Mutex<Vec<Arc<IdlePool>>>>);

// === impl IdlePools ===

impl IdlePools {
    /// The idle connections to this address.
    pub(super) fn of(&self, address: &EngineAddress) -> Arc<IdlePool> {
        let mut known = self.0.lock();
        if let Some(pool) = known.iter().find(|pool| pool.address == *address) {
            return Arc::clone(pool);
        }
        let pool = Arc::new(IdlePool {
            address: address.clone(),
            retries: RetryBudget::default(),
            idle: Mutex::default(),
        });
        known.push(Arc::clone(&pool));
        pool
    }

    /// The requests to this address that may be sent a second time now.
    pub(super) fn retries_left(&self, address: &EngineAddress) -> u32 {
        let known = self.0.lock();
        let pool = known.iter().find(|pool| pool.address == *address);
        pool.map_or(retry_budget::MOST, |pool| pool.retries.remaining())
    }

    /// Closes what nobody used for [`LONGEST_IDLE`], and forgets addresses without a connection.
    pub(super) fn sweep(&self, now: Instant) {
        let mut over = Vec::new();
        self.0.lock().retain(|pool| {
            let mut idle = pool.idle.lock();
            let wall = SystemTime::now();
            let fresh = idle.partition_point(|one| one.since.is_over(now, wall));
            over.extend(idle.drain(..fresh));
            !idle.is_empty() || Arc::strong_count(pool) > 1
        });
        // Sockets are closed without the lock.
        drop(over);
    }
}

// === impl IdlePool ===

impl IdlePool {
    /// The connection that was used last, if that is not too long ago. Whether the engine has closed it
    /// shows when it is used.
    pub(super) fn take(&self) -> Option<PromptConnection> {
        let mut idle = self.idle.lock();
        let unused = idle.pop()?;
        if unused.since.is_over(Instant::now(), SystemTime::now()) {
            // Those that were used before it are over as well; sockets are closed without the lock.
            let over = std::mem::take(&mut *idle);
            drop(idle);
            drop(over);
            return None;
        }
        Some(unused.connection)
    }

    /// Keeps a connection whose answer is whole for the next request.
    pub(super) fn keep(&self, connection: PromptConnection) {
        let since = Since {
            monotonic: Instant::now(),
            wall: SystemTime::now(),
        };
        self.idle
            .lock()
            .push(UnusedConnection { since, connection });
    }
}

// === impl Since ===

impl Since {
    /// Whether [`LONGEST_IDLE`] has passed on either clock. One that was set back says nothing.
    fn is_over(self, now: Instant, wall: SystemTime) -> bool {
        let awake = now.saturating_duration_since(self.monotonic);
        let all = wall.duration_since(self.wall).unwrap_or_default();
        awake.max(all) >= LONGEST_IDLE
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
