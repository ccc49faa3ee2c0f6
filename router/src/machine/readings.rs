//! Readings of the machine for the metrics: what graphics cards, processors, main memory and Crucible
//! itself use at this moment.
//!
//! Files are read below a given root (`/`; another folder in tests), NVIDIA's cards through the driver's
//! library. What cannot be read is `None` or missing, never an error. A reading takes about a
//! millisecond, and a driver that hangs may hold it for ever, so it belongs on a thread of its own:
//!
//! ```
//! use std::path::Path;
//!
//! use crucible_router::machine::readings::MachineReader;
//!
//! let reader = MachineReader::new(Path::new("/no/such/root"));
//! assert_eq!(reader.memory(), None);
//! assert_eq!(reader.process(), None);
//! ```

mod cards;
mod energy;
mod host_memory;
mod process;

use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use self::energy::EnergyTotals;
pub use self::{
    energy::{EnergyInterface, EnergyReading},
    host_memory::HostMemory,
    process::ProcessReading,
};
pub use super::gpu::CardReading;

/// Reads what the machine uses. It keeps what was read of each source of energy, so that their totals only
/// grow.
#[derive(Debug)]
pub struct MachineReader {
    root: PathBuf,
    energy: Mutex<EnergyTotals>,
}

/// Graphics cards, and the energy of all sources that count it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PowerReadings {
    /// The graphics cards, NVIDIA's first, in the order of their numbers.
    pub cards: Vec<CardReading>,
    /// The energy that each source used since the first call.
    pub energy: Vec<EnergyReading>,
}

// === impl MachineReader ===

impl MachineReader {
    /// A reader of the file system below `root`.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            energy: Mutex::default(),
        }
    }

    /// Reads main memory, or that of Crucible's control group where its limit is smaller; `None` where
    /// the system does not report it.
    pub fn memory(&self) -> Option<HostMemory> {
        host_memory::read(&self.root)
    }

    /// Reads what this process uses; `None` where the system has no `/proc`.
    pub fn process(&self) -> Option<ProcessReading> {
        process::read(&self.root)
    }

    /// Reads all graphics cards and all sources of energy. It may wait for a driver.
    pub fn power(&self) -> PowerReadings {
        let cards = cards::read(&self.root);
        let energy = self.energy.lock().read(&self.root, &cards);
        PowerReadings { cards, energy }
    }
}
