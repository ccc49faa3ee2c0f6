//! Expected time to first token and to the end of an answer: from what was measured, else from
//! stated priors.
//!
//! | prior | GPU | CPU |
//! |---|---|---|
//! | prompt tokens per second | 1000 | 60 |
//! | generated tokens per second | 40 | 8 |
//! | load, bytes per second | 1 GB | 0.5 GB |
//!
//! Weights of unknown size count as 5 GB, an answer as 256 tokens, a prompt token as
//! 4 bytes. The numbers are deliberately round. The questions are pure functions of a view and of
//! [`Learned`]; `Predictor` owns what was learned and keeps it in a file.

mod answer;
mod clients;
mod file;
mod keep;
mod needs;
mod rates;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crucible_config::checked::Device;

pub(crate) use self::keep::Predictor;
use self::{
    answer::MEAN_ANSWER,
    rates::{float, whole},
};
pub use self::{
    answer::{Answer, Asked, answer},
    rates::{Estimate, Learned, Length, Pace, Rates, Sample},
};
use crate::{
    catalog::ModelInfo,
    client::ClientId,
    view::{EngineView, LoadingView},
};

/// Weights in bytes of a model that does not tell.
const UNKNOWN_SIZE: u64 = 5_000_000_000;

/// Bytes that [`crate::demand::Demand::prompt_tokens`] counts as one token.
const BYTES_PER_TOKEN: f64 = 4.0;

/// Where a number comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// It needs no estimate: nobody waits, or the model is loaded.
    Known,
    /// The stated prior of the device.
    Prior,
    /// This many answers or loads were measured.
    Measured(u32),
}

/// One part of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// How long.
    pub time: Duration,
    /// Why.
    pub basis: Basis,
}

/// A predicted answer with its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prediction {
    /// Until a permit is free.
    pub queue: Part,
    /// Until the model is loaded.
    pub load: Part,
    /// Until the prompt is read.
    pub prefill: Part,
    /// Prompt tokens by the model's own bytes per token.
    pub prompt_tokens: u64,
    /// What is written then.
    pub answer: Answer,
}

/// Prompt tokens per second, where none were measured.
pub const fn prompt_prior(device: Device) -> u64 {
    match device {
        Device::Cpu => 60,
        Device::Gpu | Device::Auto => 1000,
    }
}

/// Generated tokens per second, where none were measured.
pub const fn output_prior(device: Device) -> u64 {
    match device {
        Device::Cpu => 8,
        Device::Gpu | Device::Auto => 40,
    }
}

/// Bytes of weights per second.
const fn load_prior(device: Device) -> u64 {
    match device {
        Device::Cpu => 500_000_000,
        Device::Gpu | Device::Auto => 1_000_000_000,
    }
}

/// How long a load takes, where none was measured.
pub fn load_time_prior(device: Device, size_bytes: Option<u64>) -> Duration {
    let bytes = size_bytes.unwrap_or(UNKNOWN_SIZE);
    Duration::from_millis(bytes / (load_prior(device) / 1000))
}

/// How long a load of that model took, also in earlier runs.
pub(crate) fn measured_load(learned: &Learned, engine: &str, model: &str) -> Option<Duration> {
    let rates = learned.rates(engine, model)?;
    rates.load_s.settled_by(1).map(|(mean, _)| seconds(mean))
}

/// Tokens of context that this client's requests needed lately, of models with that configured
/// context; 0: not known.
pub(crate) fn needed(learned: &Learned, client: &ClientId, configured: u64) -> u64 {
    learned.client_need(client, configured)
}

/// How long a request held its permit on that engine, also in earlier runs.
pub(crate) fn measured_service(learned: &Learned, engine: &str) -> Option<Duration> {
    let (mean, _) = learned.service(engine)?.settled()?;
    Some(seconds(mean))
}

/// How long a load takes.
pub fn load_time(learned: &Learned, engine: &EngineView, model: &ModelInfo) -> Part {
    let prior = || load_time_prior(engine.device, model.size_bytes);
    let rates = learned.rates(&engine.name, &model.id);
    Part::of(rates.and_then(|r| r.load_s.settled_by(1)), seconds, prior)
}

/// How long a request holds its permit.
pub fn mean_service(learned: &Learned, engine: &EngineView) -> Part {
    let prior = || Duration::from_millis(MEAN_ANSWER * 1000 / output_prior(engine.device));
    let service = learned.service(&engine.name);
    Part::of(service.and_then(Estimate::settled), seconds, prior)
}

/// The wait for a permit: nothing while one is free, else those who have their turn before and this
/// request, shared among the permits.
pub fn queue_wait(learned: &Learned, engine: &EngineView, model: &str, before: u32) -> Part {
    let permits = engine.permits.max(1);
    let held = engine.holds(model);
    let active = held.map_or(engine.active, |resident| resident.active);
    if engine.queued == 0 && active < permits {
        return Part::NONE;
    }
    let mut wait = mean_service(learned, engine);
    wait.time = wait.time.saturating_mul(before.saturating_add(1)) / permits;
    wait
}

/// Prompt tokens of an estimate at 4 bytes a token, by what this model makes of a byte.
pub fn prompt_tokens(learned: &Learned, engine: &str, model: &str, estimate: u64) -> u64 {
    let rates = learned.rates(engine, model);
    match rates.and_then(|r| r.bytes_per_token.settled()) {
        Some((bytes, _)) => whole(float(estimate) * BYTES_PER_TOKEN / bytes),
        None => estimate,
    }
}

/// How long a prompt takes to be read; `estimate` is at 4 bytes a token.
pub fn prefill(learned: &Learned, engine: &EngineView, model: &str, estimate: u64) -> Part {
    let tokens = prompt_tokens(learned, &engine.name, model, estimate);
    if tokens == 0 {
        return Part::NONE;
    }
    let rates = learned.rates(&engine.name, model);
    let prior = || Duration::from_millis(tokens.saturating_mul(1000) / prompt_prior(engine.device));
    Part::of(
        rates.and_then(|r| r.prompt_per_s.settled()),
        |rate| seconds(float(tokens) / rate),
        prior,
    )
}

/// Queue, load where the model is not resident, prefill, and the answer.
pub fn predict(
    learned: &Learned,
    engine: &EngineView,
    model: &ModelInfo,
    asked: &Asked<'_>,
) -> Prediction {
    let estimate = asked.prompt_tokens;
    Prediction {
        queue: queue_wait(learned, engine, &model.id, asked.before),
        load: load_wait(learned, engine, model),
        prefill: prefill(learned, engine, &model.id, estimate),
        prompt_tokens: prompt_tokens(learned, &engine.name, &model.id, estimate),
        answer: answer(learned, engine, &model.id, asked),
    }
}

/// Zero for a resident, for a cloud model, and where the engine gives no load control.
fn load_wait(learned: &Learned, engine: &EngineView, model: &ModelInfo) -> Part {
    let resident = engine.holds(&model.id);
    if resident.is_some() || model.cloud || !engine.load_control {
        return Part::NONE;
    }
    let mut own = load_time(learned, engine, model);
    match &engine.loading {
        // A load that is under way is shared; one that is late may still end any moment.
        Some(load) if engine.runner(&load.model) == &*model.runner => {
            own.time = load.expected.unwrap_or(own.time).saturating_sub(load.since);
        }
        // Loads within a pool are serialised.
        Some(load) => own.time = own.time.saturating_add(rest(learned, engine, load)),
        None => {}
    }
    own
}

/// As far as it is measured, the wait for a permit: the queue and, where the model is not
/// resident, the load that is under way. The model's own load does not count: a request that gave
/// way to it would leave it unloaded for ever.
pub fn permit_wait(learned: &Learned, engine: &EngineView, model: &str, before: u32) -> Duration {
    let queue = queue_wait(learned, engine, model, before);
    let queue = if queue.basis == Basis::Prior {
        Duration::ZERO
    } else {
        queue.time
    };
    if engine.holds(model).is_some() {
        return queue;
    }
    let Some(load) = &engine.loading else {
        return queue;
    };
    let known = || {
        let (took, _) = learned
            .rates(&engine.name, &load.model)?
            .load_s
            .settled_by(1)?;
        Some(seconds(took))
    };
    let expected = load.expected.or_else(known).unwrap_or_default();
    queue.saturating_add(expected.saturating_sub(load.since))
}

/// What is left of a load that is under way.
fn rest(learned: &Learned, engine: &EngineView, load: &LoadingView) -> Duration {
    let model = engine.models.iter().find(|m| m.id == load.model);
    let own = || model.map(|m| load_time(learned, engine, m).time);
    let expected = load.expected.or_else(own).unwrap_or_default();
    expected.saturating_sub(load.since)
}

fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or(Duration::MAX)
}

// === impl Part ===

impl Part {
    /// No wait at all.
    pub const NONE: Self = Self {
        time: Duration::ZERO,
        basis: Basis::Known,
    };

    fn of(
        measured: Option<(f64, u32)>,
        time: impl FnOnce(f64) -> Duration,
        prior: impl FnOnce() -> Duration,
    ) -> Self {
        match measured {
            Some((value, samples)) => Self {
                time: time(value),
                basis: Basis::Measured(samples),
            },
            None => Self {
                time: prior(),
                basis: Basis::Prior,
            },
        }
    }
}

// === impl Prediction ===

impl Prediction {
    /// Until the first token.
    pub const fn first_token(&self) -> Duration {
        self.queue
            .time
            .saturating_add(self.load.time)
            .saturating_add(self.prefill.time)
    }

    /// Until the end of the answer.
    pub const fn end(&self) -> Duration {
        self.first_token().saturating_add(self.answer.output.time)
    }
}
