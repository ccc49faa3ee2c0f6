//! The search for engines where none is configured.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{poll::DOUBT_GAP, shared::FleetShared};
use crate::{discovery, engine::identify};

/// Looks for engines every [`discovery::LOOK_EVERY`], sooner where one is `wanted`, until `stop`. `begun`
/// counts the rounds that have begun.
pub(super) async fn search_loop(
    shared: Arc<FleetShared>,
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
