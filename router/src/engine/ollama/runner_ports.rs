//! The ports of the runners of an Ollama on this machine, remembered between two answers.
//!
//! Finding them reads the whole list of processes, which takes milliseconds; a runner keeps its port as
//! long as its model stays loaded.

use std::{path::PathBuf, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::super::{
    http::EngineEndpoint,
    slots::{self, SlotPrompt, SlotReading},
};

/// The time for which the ports that were found are believed.
const VALID: Duration = Duration::from_secs(60);
/// The least time between two looks at the processes, where the first found nothing.
const AGAIN: Duration = Duration::from_secs(5);

/// The ports as they were found last, and when.
#[derive(Debug, Default)]
pub(super) struct RunnerPorts {
    found: Mutex<Option<(Instant, Vec<u16>)>>,
    /// Held by the one who looks.
    look: tokio::sync::Mutex<()>,
}

// === impl RunnerPorts ===

impl RunnerPorts {
    /// Reads the slots of all runners; `None` where there are none on this machine. `root` is the root of
    /// the file system: `/`, or another one in tests.
    pub(super) async fn read(
        &self,
        root: PathBuf,
        endpoint: &EngineEndpoint,
    ) -> Option<Vec<SlotReading>> {
        let known = self.known(VALID);
        if let Some(ports) = &known
            && !ports.is_empty()
            && let Some(readings) = slots::readings(ports, endpoint).await
            && !readings.is_empty()
        {
            return Some(readings);
        }
        // The model may have been loaded anew, at another port.
        let ports = self.looked(slots::runner_ports(root, endpoint)).await;
        if known.as_ref() == Some(&ports) || ports.is_empty() {
            return None;
        }
        slots::readings(&ports, endpoint).await
    }

    /// Reads the prompts that the runners read at this moment; none where there are no runners on this
    /// machine.
    pub(super) async fn prompts(
        &self,
        root: PathBuf,
        endpoint: &EngineEndpoint,
    ) -> Vec<SlotPrompt> {
        let known = self.known(VALID);
        if let Some(ports) = &known {
            let prompts = slots::prompts_of_runners(ports, endpoint).await;
            if !prompts.is_empty() {
                return prompts;
            }
        }
        // The model may have been loaded anew, at another port.
        let ports = self.looked(slots::runner_ports(root, endpoint)).await;
        if known.as_ref() == Some(&ports) {
            return Vec::new();
        }
        slots::prompts_of_runners(&ports, endpoint).await
    }

    /// Returns the ports of a look that was made a moment ago, else those that `look` finds. Answers that
    /// begin together share one look.
    async fn looked(&self, look: impl Future<Output = Vec<u16>> + Send) -> Vec<u16> {
        let _looking = self.look.lock().await;
        if let Some(ports) = self.known(AGAIN) {
            return ports;
        }
        let ports = look.await;
        *self.found.lock() = Some((Instant::now(), ports.clone()));
        ports
    }

    /// The ports, where they were found within this time.
    fn known(&self, within: Duration) -> Option<Vec<u16>> {
        let found = self.found.lock();
        let (at, ports) = found.as_ref()?;
        (at.elapsed() < within).then(|| ports.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::future::join_all;
    use tokio::time::{advance, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn answers_that_begin_together_share_one_look_at_the_processes() {
        let ports = RunnerPorts::default();
        let looks = AtomicU32::new(0);
        let look = || async {
            looks.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(20)).await;
            vec![40_001]
        };
        let found = join_all((0..200).map(|_| ports.looked(look()))).await;
        assert!(found.iter().all(|ports| ports[..] == [40_001]));
        assert_eq!(looks.load(Ordering::Relaxed), 1);
        advance(AGAIN).await;
        ports.looked(look()).await;
        assert_eq!(looks.load(Ordering::Relaxed), 2);
    }
}
