//! Stated assumptions for what was not measured yet. The numbers are deliberately round.
//!
//! | prior | GPU | CPU |
//! |---|---|---|
//! | prompt tokens per second | 1000 | 60 |
//! | generated tokens per second | 40 | 8 |
//! | load, bytes per second | 1 GB | 0.5 GB |

use std::time::Duration;

use crucible_config::checked::Device;

/// The weights of a model of unknown size, in bytes.
const UNKNOWN_SIZE: u64 = 5_000_000_000;

/// The bytes that [`crate::demand::Demand::prompt_tokens`] counts as one token.
pub(crate) const BYTES_PER_TOKEN: f64 = 4.0;

/// Prompt tokens per second on a device, where none were measured.
pub const fn prompt_prior(device: Device) -> u64 {
    match device {
        Device::Cpu => 60,
        Device::Gpu | Device::Auto => 1000,
    }
}

/// Returns the tokens that a device is assumed to generate per second, where none were measured.
pub const fn output_prior(device: Device) -> u64 {
    match device {
        Device::Cpu => 8,
        Device::Gpu | Device::Auto => 40,
    }
}

/// Returns the bytes of weights that a device is assumed to load per second.
const fn load_prior(device: Device) -> u64 {
    match device {
        Device::Cpu => 500_000_000,
        Device::Gpu | Device::Auto => 1_000_000_000,
    }
}

/// Returns the time that a load of `size_bytes` is assumed to take, where none was measured; an
/// unknown size counts as 5 GB.
pub fn load_time_prior(device: Device, size_bytes: Option<u64>) -> Duration {
    let bytes = size_bytes.unwrap_or(UNKNOWN_SIZE);
    Duration::from_millis(bytes / (load_prior(device) / 1000))
}
