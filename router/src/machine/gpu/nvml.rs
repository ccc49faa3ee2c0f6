//! NVIDIA's driver library NVML, which is loaded at run time where it is installed.

mod before_r510;
mod library;

use std::sync::OnceLock;

use nvml_wrapper::{
    Device, Nvml, enum_wrappers::device::TemperatureSensor, error::NvmlError,
    struct_wrappers::device::ProcessInfo,
};

use self::library::{NUMBERED, NvmlMemory};
use super::card::{CardDriver, CardMemory, CardReading};

// === impl CardDriver for Nvml ===

impl CardDriver for Nvml {
    fn count(&self) -> Option<u32> {
        self.device_count().ok()
    }

    fn memory(&self, card: u32) -> Option<CardMemory> {
        let memory = memory_of(&self.device_by_index(card).ok()?, card)?;
        Some(CardMemory {
            total: memory.total,
            free: Some(memory.free),
        })
    }

    fn holders(&self, card: u32) -> Option<Vec<u32>> {
        let all = processes_of(&self.device_by_index(card).ok()?)?;
        Some(all.into_iter().map(|process| process.pid).collect())
    }

    fn reading(&self, card: u32) -> CardReading {
        let Ok(device) = self.device_by_index(card) else {
            return CardReading::default();
        };
        let memory = memory_of(&device, card);
        let busy = device.utilization_rates().ok();
        let celsius = device.temperature(TemperatureSensor::Gpu).ok();
        let milliwatts = device.power_usage().ok();
        let millijoules = device.total_energy_consumption().ok();
        CardReading {
            memory_total: memory.as_ref().map(|memory| memory.total),
            memory_used: memory.as_ref().map(|memory| memory.used),
            utilization: busy.map(|busy| f64::from(busy.gpu.min(100)) / 100.0),
            celsius: celsius.map(f64::from),
            watts: milliwatts.map(|power| f64::from(power) / 1e3),
            joules: millijoules.map(joules),
        }
    }
}

/// Returns the memory of one card: by `nvmlDeviceGetMemoryInfo_v2`, which drivers have since R510, else by the first
/// version of it.
fn memory_of(device: &Device<'_>, card: u32) -> Option<NvmlMemory> {
    match device.memory_info() {
        Ok(memory) => Some(NvmlMemory {
            total: memory.total,
            free: memory.free,
            used: memory.used,
        }),
        Err(why) if is_missing(&why) => before_r510::memory(card),
        Err(_) => None,
    }
}

/// Returns the processes that compute on a card: by the third version of the question, which drivers have since R510,
/// else by the second.
fn processes_of(device: &Device<'_>) -> Option<Vec<ProcessInfo>> {
    match device.running_compute_processes() {
        Err(why) if is_missing(&why) => device.running_compute_processes_v2().ok(),
        told => told.ok(),
    }
}

/// Says whether the driver is too old for a question; one that knows it and has no answer is not asked another.
const fn is_missing(why: &NvmlError) -> bool {
    matches!(
        why,
        NvmlError::FailedToLoadSymbol(_) | NvmlError::FunctionNotFound
    )
}

#[expect(
    clippy::cast_precision_loss,
    reason = "exact up to 2^53 millijoules, which no card uses"
)]
fn joules(milli: u64) -> f64 {
    milli as f64 / 1e3
}

/// Returns the driver's library where it is installed; it is looked for once.
pub(super) fn driver() -> Option<&'static Nvml> {
    static DRIVER: OnceLock<Option<Nvml>> = OnceLock::new();
    DRIVER.get_or_init(open).as_ref()
}

fn open() -> Option<Nvml> {
    let numbered = || Nvml::builder().lib_path(NUMBERED.as_ref()).init();
    Nvml::init().or_else(|_| numbered()).ok()
}
