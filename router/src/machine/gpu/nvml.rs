//! NVIDIA's driver library NVML, which is loaded at run time where it is installed.

use std::sync::OnceLock;

use nvml_wrapper::{Nvml, enum_wrappers::device::TemperatureSensor};

use super::card::{CardDriver, CardMemory, CardReading};

// === impl CardDriver for Nvml ===

impl CardDriver for Nvml {
    fn count(&self) -> Option<u32> {
        self.device_count().ok()
    }

    fn memory(&self, card: u32) -> Option<CardMemory> {
        let memory = self.device_by_index(card).ok()?.memory_info().ok()?;
        Some(CardMemory {
            total: memory.total,
            free: Some(memory.free),
        })
    }

    fn holders(&self, card: u32) -> Option<Vec<u32>> {
        let all = self.device_by_index(card).ok()?.running_compute_processes();
        Some(all.ok()?.into_iter().map(|process| process.pid).collect())
    }

    fn reading(&self, card: u32) -> CardReading {
        let Ok(device) = self.device_by_index(card) else {
            return CardReading::default();
        };
        let memory = device.memory_info().ok();
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
    // The name without a number belongs to the development package on most systems.
    let numbered = || {
        Nvml::builder()
            .lib_path("libnvidia-ml.so.1".as_ref())
            .init()
    };
    Nvml::init().or_else(|_| numbered()).ok()
}
