//! The connection to the instance: its events as they come, its settings now and then.

use std::{sync::Arc, time::Duration};

use crucible_documents::running::{EventsFailure, RunningInstance};
use tokio::{
    sync::{Notify, mpsc::Sender},
    time::{sleep, timeout},
};

use super::watched::FeedEvent;

/// The time between two tries to reach an instance that is gone, as on the live page.
const AGAIN: Duration = Duration::from_secs(2);

/// The time between two looks at the settings, for which the instance asks its engines; as on the live page.
const SETTINGS: Duration = Duration::from_secs(30);

/// Tells what happens in the instance, and tries again where it is gone, until nobody listens.
pub(super) async fn follow(
    instance: Arc<RunningInstance>,
    connected: Arc<Notify>,
    to: Sender<FeedEvent>,
) {
    loop {
        let failure = follow_once(&instance, &connected, &to).await;
        if to.send(FeedEvent::Lost(failure)).await.is_err() {
            return;
        }
        sleep(AGAIN).await;
    }
}

async fn follow_once(
    instance: &RunningInstance,
    connected: &Notify,
    to: &Sender<FeedEvent>,
) -> EventsFailure {
    let mut events = match instance.events().await {
        Ok(events) => events,
        Err(failure) => return failure,
    };
    // Where nobody listens any more, the caller's next word finds out.
    let _ = to.send(FeedEvent::Connected).await;
    connected.notify_one();
    loop {
        let event = match events.next().await {
            Ok(event) => event,
            Err(failure) => return failure,
        };
        if to.send(FeedEvent::Event(event)).await.is_err() {
            return EventsFailure::Gone;
        }
    }
}

/// Looks at the settings after each connection and now and then, until nobody listens.
pub(super) async fn look_at_settings(
    instance: Arc<RunningInstance>,
    connected: Arc<Notify>,
    to: Sender<FeedEvent>,
) {
    loop {
        // Either way it is time.
        let _ = timeout(SETTINGS, connected.notified()).await;
        if let Some(settings) = instance.tunings().await {
            let told = to.send(FeedEvent::Settings(Box::new(settings)));
            if told.await.is_err() {
                return;
            }
        } else if to.is_closed() {
            return;
        }
    }
}
