//! Expected time to first token, from stated priors.
//!
//! | prior | GPU | CPU |
//! |---|---|---|
//! | prompt tokens per second | 1000 | 60 |
//! | generated tokens per second | 40 | 8 |
//! | load, bytes per second | 1 GB | 0.5 GB |
//!
//! Weights of unknown size count as 5 GB, an answer in the queue as 256 tokens. The numbers are
//! deliberately round. Everything here is a pure function of the view.

use std::time::Duration;

use crucible_config::checked::Device;

use crate::{catalog::ModelInfo, view::EngineView};

/// Weights in bytes of a model that does not tell.
const UNKNOWN_SIZE: u64 = 5_000_000_000;

/// Tokens of an answer that stands before this one.
const MEAN_ANSWER: u64 = 256;

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

/// How long a request holds its permit: one mean answer.
pub fn mean_service(device: Device) -> Duration {
    Duration::from_millis(MEAN_ANSWER * 1000 / generation_rate(device))
}

/// The wait for a permit: nothing while one is free, else the queue and this request, shared
/// among the permits.
pub fn queue_wait(engine: &EngineView) -> Duration {
    let permits = engine.permits.max(1);
    if engine.queued == 0 && engine.active < permits {
        return Duration::ZERO;
    }
    mean_service(engine.device).saturating_mul(engine.queued.saturating_add(1)) / permits
}

/// Queue, load where the model is not resident, and prefill.
pub fn first_token(engine: &EngineView, model: &ModelInfo, prompt_tokens: u64) -> Duration {
    let prefill = prompt_tokens.saturating_mul(1000) / prefill_rate(engine.device);
    queue_wait(engine)
        .saturating_add(load_wait(engine, model))
        .saturating_add(Duration::from_millis(prefill))
}

/// Zero for a resident, for a cloud model, and where the engine gives no load control.
fn load_wait(engine: &EngineView, model: &ModelInfo) -> Duration {
    let resident = engine.residents.iter().any(|r| r.info.model == model.id);
    if resident || model.cloud || !engine.load_control {
        return Duration::ZERO;
    }
    let own = load_time(engine.device, model.size_bytes);
    match &engine.loading {
        // A load that is under way is shared; one that is late may still end any moment.
        Some(load) if load.model == model.id => {
            load.expected.unwrap_or(own).saturating_sub(load.since)
        }
        // Loads within a pool are serialised.
        Some(load) => load
            .expected
            .unwrap_or_default()
            .saturating_sub(load.since)
            .saturating_add(own),
        None => own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        plan::fixture::{engine, generation},
        view::LoadingView,
    };

    #[test]
    fn a_resident_waits_for_its_prompt_only() {
        let gpu = engine("gpu", Device::Gpu, &["m"]).holding("m");
        assert_eq!(
            first_token(&gpu, &generation("m"), 2000),
            Duration::from_secs(2)
        );
    }

    #[test]
    fn a_load_counts_by_size_and_device() {
        let cpu = engine("cpu", Device::Cpu, &["m"]);
        let mut model = generation("m");
        assert_eq!(first_token(&cpu, &model, 0), Duration::from_secs(10));
        model.size_bytes = Some(1_000_000_000);
        assert_eq!(first_token(&cpu, &model, 60), Duration::from_secs(3));
    }

    #[test]
    fn no_load_is_counted_where_none_is_controlled() {
        let mut plain = engine("plain", Device::Gpu, &["m"]);
        plain.load_control = false;
        assert_eq!(first_token(&plain, &generation("m"), 0), Duration::ZERO);
    }

    #[test]
    fn a_load_under_way_counts_with_its_rest() {
        let mut gpu = engine("gpu", Device::Gpu, &["m", "n"]);
        gpu.loading = Some(LoadingView {
            model: "m".into(),
            since: Duration::from_secs(3),
            expected: Some(Duration::from_secs(4)),
        });
        assert_eq!(
            first_token(&gpu, &generation("m"), 0),
            Duration::from_secs(1)
        );
        assert_eq!(
            first_token(&gpu, &generation("n"), 0),
            Duration::from_secs(6)
        );
    }

    #[test]
    fn the_queue_counts_once_every_permit_is_out() {
        let mut gpu = engine("gpu", Device::Gpu, &["m"]).holding("m");
        gpu.permits = 2;
        gpu.active = 1;
        assert_eq!(queue_wait(&gpu), Duration::ZERO);
        gpu.active = 2;
        gpu.queued = 4;
        assert_eq!(queue_wait(&gpu), mean_service(Device::Gpu) * 5 / 2);
    }

    #[test]
    fn absurd_prompts_do_not_overflow() {
        let cpu = engine("cpu", Device::Cpu, &["m"]);
        assert!(first_token(&cpu, &generation("m"), u64::MAX) > Duration::from_secs(1));
    }
}
