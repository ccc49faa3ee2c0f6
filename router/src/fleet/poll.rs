//! The loop that polls one engine.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::engine_handle::EngineHandle;
use crate::engine::{EngineError, Listing};

/// The time between polls of an engine that is up.
pub const POLL_EVERY: Duration = Duration::from_secs(5);
/// The time limit of one poll.
pub const POLL_BUDGET: Duration = Duration::from_secs(2);
/// The first wait after a failed poll, which doubles up to [`POLL_EVERY`].
pub(super) const RETRY_MIN: Duration = Duration::from_millis(500);

/// The shortest time between polls, however often an engine is poked.
const POKE_GAP: Duration = Duration::from_millis(50);
/// The shortest time between polls, however many requests doubt the last one.
pub(super) const DOUBT_GAP: Duration = Duration::from_millis(500);

/// Asks an engine for its lists until its handle is stopped. `record` takes each answer and gives the time to
/// wait before the next poll.
pub(super) async fn poll_loop(
    handle: Arc<EngineHandle>,
    record: impl Fn(&Arc<EngineHandle>, Result<Listing, EngineError>) -> Duration,
) {
    let polling = async {
        loop {
            let since = Instant::now();
            handle.begun.fetch_add(1, Ordering::SeqCst);
            let list = if handle.anew.swap(false, Ordering::SeqCst) {
                handle.control.list_anew()
            } else {
                handle.control.list()
            };
            let answer = timeout(POLL_BUDGET, list).await;
            let wait = record(&handle, answer.unwrap_or(Err(EngineError::Timeout)));
            let doubted = async {
                handle.doubted.notified().await;
                sleep_until(since + DOUBT_GAP).await;
            };
            tokio::select! {
                () = sleep(wait) => {}
                () = doubted => {}
                () = handle.poke.notified() => sleep(POKE_GAP).await,
            }
        }
    };
    handle.stop.run_until_cancelled(polling).await;
}
