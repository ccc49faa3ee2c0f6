//! Asks whether an engine is at work.

use futures_util::future::join;
use tokio::time::timeout;

use super::Router;
use crate::{engine::EngineError, fleet::POLL_BUDGET, work::Work};

// === impl Router ===

impl Router {
    /// Asks an engine now whether it may be at work for a request of that instance.
    pub async fn work(&self, engine: &str, instance: &str) -> Work {
        let Some(handle) = self.0.fleet.handle(engine) else {
            return Work::Unwell;
        };
        let (poll, processing) = join(
            timeout(POLL_BUDGET, handle.control.list()),
            timeout(POLL_BUDGET, handle.control.processing(instance)),
        )
        .await;
        let poll = poll.unwrap_or(Err(EngineError::Timeout));
        let work = Work::of(
            handle.config.kind,
            instance,
            poll.as_ref(),
            processing.ok().flatten(),
        );
        if work != Work::Possible {
            // What is wrong concerns others too.
            self.0.fleet.poke(engine);
        }
        work
    }
}
