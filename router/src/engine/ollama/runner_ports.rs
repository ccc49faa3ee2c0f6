//! The ports of the runners of an Ollama on this machine, remembered between two answers.
//!
//! Finding them reads the whole list of processes, which takes milliseconds; a runner keeps its port as
//! long as its model stays loaded.

use std::{path::PathBuf, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::super::{
    http::Endpoint,
    slots::{self, SlotReading},
};

/// The time for which the ports that were found are believed.
const VALID: Duration = Duration::from_secs(60);
/// The least time between two looks at the processes, where the first found nothing.
const AGAIN: Duration = Duration::from_secs(5);

/// The ports as they were found last, and when.
#[derive(Debug, Default)]
pub(super) struct RunnerPorts(Mutex<Option<(Instant, Vec<u16>)>>);

// === impl RunnerPorts ===

impl RunnerPorts {
    /// Reads the slots of all runners; `None` where there are none on this machine. `root` is the root of
    /// the file system: `/`, or another one in tests.
    pub(super) async fn read(
        &self,
        root: PathBuf,
        endpoint: &Endpoint,
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
        if self.known(AGAIN).is_some() {
            return None;
        }
        let ports = slots::runner_ports(root, endpoint).await;
        let same = known.as_ref() == Some(&ports);
        *self.0.lock() = Some((Instant::now(), ports.clone()));
        if same || ports.is_empty() {
            return None;
        }
        slots::readings(&ports, endpoint).await
    }

    /// The ports, where they were found within this time.
    fn known(&self, within: Duration) -> Option<Vec<u16>> {
        let found = self.0.lock();
        let (at, ports) = found.as_ref()?;
        (at.elapsed() < within).then(|| ports.clone())
    }
}
