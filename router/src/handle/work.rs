//! Asks whether an engine is at work, and on how much of its prompts.

use std::time::Duration;

use futures_util::future::join;
use tokio::time::timeout;

use super::RouterHandle;
use crate::{
    engine::{SlotPrompt, SlotReading},
    fleet::{POLL_BUDGET, PollOutcome},
    work::Work,
};

/// The wait for a poll that begins after the one that is in flight.
const BEGINS: Duration = Duration::from_millis(100);
/// The most time that an engine is given to come to the end of a batch.
const BATCH: Duration = Duration::from_secs(30);

// === impl RouterHandle ===

impl RouterHandle {
    /// Reads from an engine now how much of the prompts that it answers it had in its cache; empty where
    /// it does not say so within 2 s.
    pub async fn slot_readings(&self, engine: &str) -> Vec<SlotReading> {
        let Some(handle) = self.0.fleet.handle(engine) else {
            return Vec::new();
        };
        let told = timeout(POLL_BUDGET, handle.control.slot_readings()).await;
        told.ok().flatten().unwrap_or_default()
    }

    /// Reads from an engine now which prompts it reads and how far it is with them; empty where it does not
    /// say so within 30 s, since it answers only between two batches of a prompt.
    pub async fn prompts(&self, engine: &str, model: &str) -> Vec<SlotPrompt> {
        let Some(handle) = self.0.fleet.handle(engine) else {
            return Vec::new();
        };
        let told = timeout(BATCH, handle.control.prompts(model)).await;
        told.ok().flatten().unwrap_or_default()
    }

    /// Asks an engine now whether it may be at work for a request of that instance.
    pub async fn work(&self, engine: &str, instance: &str) -> Work {
        let Some(handle) = self.0.fleet.handle(engine) else {
            return Work::Unwell;
        };
        let (polled, processing) = join(
            self.poll_now(engine, POLL_BUDGET + BEGINS),
            timeout(POLL_BUDGET, handle.control.processing(instance)),
        )
        .await;
        let fleet = self.0.fleet.view();
        let status = fleet.engines.iter().find(|e| *e.config.name == *engine);
        match status.filter(|_| polled == PollOutcome::Well) {
            Some(status) => Work::of(
                status.config.kind,
                status.load_control,
                &status.residents,
                instance,
                processing.ok().flatten(),
            ),
            None => Work::Unwell,
        }
    }
}
