//! The loops that ask engines and look for them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{EngineHandle, POLL_BUDGET, Shared};
use crate::{
    discovery,
    engine::{EngineError, identify},
};

/// Between polls however often an engine is poked.
const POKE_GAP: Duration = Duration::from_millis(50);
/// Between polls however often an engine is doubted.
const DOUBT_GAP: Duration = Duration::from_millis(500);

pub(super) async fn poll_loop(shared: Arc<Shared>, handle: Arc<EngineHandle>) {
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
            let wait = shared.record(&handle, answer.unwrap_or(Err(EngineError::Timeout)));
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

pub(super) async fn look_around(
    shared: Arc<Shared>,
    stop: CancellationToken,
    wanted: Arc<Notify>,
    begun: Arc<AtomicU64>,
) {
    let looking = async {
        loop {
            let since = Instant::now();
            begun.fetch_add(1, Ordering::SeqCst);
            let (client, places) = shared.unfound();
            let answers = places
                .iter()
                .map(|place| identify(&client, &place.url, place.kind));
            let answers = futures_util::future::join_all(answers).await;
            shared.found(&places, &answers);
            let wanted = async {
                wanted.notified().await;
                sleep_until(since + DOUBT_GAP).await;
            };
            tokio::select! {
                () = sleep(discovery::LOOK_EVERY) => {}
                () = wanted => {}
            }
        }
    };
    stop.run_until_cancelled(looking).await;
}
