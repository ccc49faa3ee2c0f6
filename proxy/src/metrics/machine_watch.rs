//! The looks at the machine that a scrape takes, and the event log for its energy lines, on a thread of their
//! own.
//!
//! A driver may take its time, or hang with its card. So nothing of it runs on the runtime's threads, a
//! scrape waits for it a short time only, and no second look begins while one hangs.

use std::{sync::Arc, thread, time::Duration};

use crucible_router::machine::readings::{EnergyReading, MachineReader};
use tokio::{
    sync::{Semaphore, oneshot},
    time::timeout,
};

use super::Metrics;

/// The longest time that anybody waits for files and drivers.
const BUDGET: Duration = Duration::from_millis(250);

/// Looks at the machine for the metrics, one look at a time.
#[derive(Clone, Debug)]
pub(crate) struct MachineWatch {
    reader: Arc<MachineReader>,
    turn: Arc<Semaphore>,
}

// === impl MachineWatch ===

impl MachineWatch {
    /// A watch that looks with this reader.
    pub(crate) fn new(reader: MachineReader) -> Self {
        Self {
            reader: Arc::new(reader),
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// Brings the families of the machine up to this moment, within 250 ms. A look that takes longer sets
    /// them when it ends, and until then they stay as they are. `fraction` is `gpu_memory_fraction`.
    pub(crate) async fn look(&self, metrics: &Metrics, fraction: f64) {
        let metrics = metrics.clone();
        self.read(move |reader| {
            // Files first: they are read in no time, whatever a driver does.
            metrics.update_process(reader.process());
            metrics.update_memory(reader.memory());
            metrics.update_power(&reader.power(), fraction);
        })
        .await;
    }

    /// Reads the energy counters, within 250 ms; `None` where that takes longer.
    pub(crate) async fn energy(&self) -> Option<Vec<EnergyReading>> {
        self.read(|reader| reader.power().energy).await
    }

    /// Reads something on a thread of its own, one at a time, within 250 ms; `None` where that takes longer.
    async fn read<T: Send + 'static>(
        &self,
        what: impl FnOnce(&MachineReader) -> T + Send + 'static,
    ) -> Option<T> {
        let reader = Arc::clone(&self.reader);
        let read = async {
            let turn = Arc::clone(&self.turn).acquire_owned().await.ok()?;
            let (done, read) = oneshot::channel();
            let on_thread = move || {
                let found = what(&reader);
                drop(turn);
                // Who asked may have gone on without it.
                let _ = done.send(found);
            };
            // A system that gives no thread now gives one later.
            thread::Builder::new()
                .name("machine".to_owned())
                .spawn(on_thread)
                .ok()?;
            read.await.ok()
        };
        timeout(BUDGET, read).await.ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{super::tests::value, *};

    #[tokio::test]
    async fn a_look_shows_the_process_and_one_that_hangs_holds_up_no_scrape() {
        let metrics = Metrics::new().unwrap();
        let watch = MachineWatch::new(MachineReader::new(Path::new("/")));
        watch.look(&metrics, 0.8).await;
        assert_eq!(
            value(&metrics, "process_resident_memory_bytes").is_some(),
            cfg!(target_os = "linux")
        );
        // Another look has the turn and does not end.
        let hanging = Arc::clone(&watch.turn).acquire_owned().await.unwrap();
        let began = std::time::Instant::now();
        watch.look(&metrics, 0.8).await;
        assert!(began.elapsed() >= BUDGET && began.elapsed() < 40 * BUDGET);
        drop(hanging);
        watch.look(&metrics, 0.8).await;
    }
}
