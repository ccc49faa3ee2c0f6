//! Expected time to first token, from stated priors.
//!
//! Prefill: 1000 tokens/s on a GPU, 60 on a CPU. Load: 1 GB/s into GPU memory, 0.5 GB/s into main
//! memory, 5 GB where the size is unknown. Deliberately round: a learned predictor replaces them.

use std::time::Duration;

use crucible_config::checked::Device;

use crate::{catalog::ModelInfo, view::EngineView};

/// Weights in bytes of a model that does not tell.
const UNKNOWN_SIZE: u64 = 5_000_000_000;

/// Prompt tokens per second.
pub const fn prefill_rate(device: Device) -> u64 {
    match device {
        Device::Cpu => 60,
        Device::Gpu | Device::Auto => 1000,
    }
}

/// Generated tokens per second.
pub const fn generation_rate(device: Device) -> u64 {
    match device {
        Device::Cpu => 8,
        Device::Gpu | Device::Auto => 40,
    }
}

/// Bytes of weights per second.
pub const fn load_rate(device: Device) -> u64 {
    match device {
        Device::Cpu => 500_000_000,
        Device::Gpu | Device::Auto => 1_000_000_000,
    }
}

/// How long a load takes.
pub fn load_time(device: Device, size_bytes: Option<u64>) -> Duration {
    let bytes = size_bytes.unwrap_or(UNKNOWN_SIZE);
    Duration::from_millis(bytes / (load_rate(device) / 1000))
}

/// Load, where it is not resident, and prefill.
pub fn first_token(engine: &EngineView, model: &ModelInfo, prompt_tokens: u64) -> Duration {
    let resident = engine.residents.iter().any(|r| r.info.model == model.id);
    let load = if resident || !engine.load_control {
        Duration::ZERO
    } else {
        load_time(engine.device, model.size_bytes)
    };
    let prefill = prompt_tokens.saturating_mul(1000) / prefill_rate(engine.device);
    load + Duration::from_millis(prefill)
}
