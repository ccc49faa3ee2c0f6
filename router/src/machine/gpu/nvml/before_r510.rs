//! The memory of a card by the first version of NVML's question, `nvmlDeviceGetMemoryInfo`.
//!
//! Drivers before R510 have no other; R470 is the last one for cards of the Kepler generation. Its structure has three
//! numbers, and the total is the sum of free and used: what the driver and the firmware keep for themselves is counted
//! as used, where the second version tells it apart (`nvmlMemory_t` and `nvmlMemory_v2_t` of the NVML API reference,
//! <https://docs.nvidia.com/deploy/nvml-api/>). What is free is the same in both.
//!
//! The newest wrapper asks the second version only; this is the last one that asks the first.

use std::sync::OnceLock;

use nvml_wrapper_before_r510::Nvml;

use super::library::{NUMBERED, NvmlMemory};

/// Returns the memory of one card, by its number among all cards.
pub(super) fn memory(card: u32) -> Option<NvmlMemory> {
    let memory = driver()?.device_by_index(card).ok()?.memory_info().ok()?;
    Some(NvmlMemory {
        total: memory.total,
        free: memory.free,
        used: memory.used,
    })
}

/// Returns the same library, with the functions of older drivers; it is looked for once.
fn driver() -> Option<&'static Nvml> {
    static DRIVER: OnceLock<Option<Nvml>> = OnceLock::new();
    DRIVER.get_or_init(open).as_ref()
}

fn open() -> Option<Nvml> {
    let numbered = || Nvml::builder().lib_path(NUMBERED.as_ref()).init();
    Nvml::init().or_else(|_| numbered()).ok()
}
