//! Predictions: the expected time to the first token and to the end of an answer, on each engine
//! that may give it.
//!
//! Every question is a pure function of a view and of [`Measurements`]. Where nothing was measured,
//! the stated priors of the device count (`measurements::priors`), with 5 GB for weights of unknown
//! size, 256 tokens for an answer, and 4 bytes for a prompt token.
//!
//! ```text
//! time to first token = wait for a permit + load + reading of the prompt
//! time to the end     = time to first token + tokens of the answer / rate
//! ```

mod answer;
mod cached;
mod predicted_time;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crucible_config::checked::Device;

use self::answer::MEAN_ANSWER;
use self::predicted_time::seconds;
pub use self::{
    answer::{PredictedAnswer, PredictionInput, predict_answer},
    cached::cached_tokens,
    predicted_time::{PredictedTime, PredictionBasis},
};
use crate::{
    catalog::ModelInfo,
    client::ClientId,
    measurements::{
        Measurements, ModelRates, RunningMean, load_time_prior, output_prior,
        priors::BYTES_PER_TOKEN,
        prompt_prior,
        running_mean::{float, whole},
    },
    view::{EngineView, LoadingView},
};

/// A predicted answer with the parts of its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prediction {
    /// The wait until a permit is free.
    pub queue: PredictedTime,
    /// The time until the model is loaded; none where it is loaded.
    pub load: PredictedTime,
    /// The time in which the engine reads the prompt.
    pub prefill: PredictedTime,
    /// The tokens of the prompt, by the bytes per token that were measured for the model.
    pub prompt_tokens: u64,
    /// The length of the answer, and the time from its first token to its last.
    pub answer: PredictedAnswer,
}

/// Returns the mean time of a load of the model on the engine, also from earlier runs of Crucible;
/// `None` where none was measured.
pub(crate) fn measured_load(learned: &Measurements, engine: &str, model: &str) -> Option<Duration> {
    let rates = learned.model_rates(engine, model)?;
    rates.load_s.if_at_least(1).map(|(mean, _)| seconds(mean))
}

/// Returns the tokens of context that this client's recent requests needed of models whose
/// configured context is `configured` tokens; 0 where nothing was measured.
pub(crate) fn needed(learned: &Measurements, client: &ClientId, configured: u64) -> u64 {
    learned.client_context_need(client, configured)
}

/// Returns the mean time for which a request holds its permit on the engine, also from earlier runs
/// of Crucible; `None` where too few were measured.
pub(crate) fn measured_service(learned: &Measurements, engine: &str) -> Option<Duration> {
    let (mean, _) = learned.service_time(engine)?.if_enough()?;
    Some(seconds(mean))
}

/// Predicts the time of a load of the model: the measured mean, else a prior for the device and the
/// model's size.
pub fn load_time(learned: &Measurements, engine: &EngineView, model: &ModelInfo) -> PredictedTime {
    let prior = || load_time_prior(engine.device, model.size_bytes);
    let rates = learned.model_rates(&engine.name, &model.id);
    PredictedTime::of(rates.and_then(|r| r.load_s.if_at_least(1)), seconds, prior)
}

/// Predicts the time for which a request holds its permit on the engine: the measured mean, else
/// that of writing 256 tokens at the device's assumed speed.
pub fn mean_service(learned: &Measurements, engine: &EngineView) -> PredictedTime {
    let prior = || Duration::from_millis(MEAN_ANSWER * 1000 / output_prior(engine.device));
    let service = learned.service_time(&engine.name);
    PredictedTime::of(service.and_then(RunningMean::if_enough), seconds, prior)
}

/// Predicts the wait for a permit of the model: none while one is free and nobody waits, else the
/// service time of this request and of the `before` requests whose turn comes earlier, divided by
/// the number of permits.
pub fn queue_wait(
    learned: &Measurements,
    engine: &EngineView,
    model: &str,
    before: u32,
) -> PredictedTime {
    let permits = engine.permits.max(1);
    let held = engine.holds(model);
    let active = held.map_or(engine.active, |resident| resident.active);
    if engine.queued == 0 && active < permits {
        return PredictedTime::NONE;
    }
    let mut wait = mean_service(learned, engine);
    wait.time = wait.time.saturating_mul(before.saturating_add(1)) / permits;
    wait
}

/// Corrects an estimate of a prompt's tokens, made at 4 bytes a token, by the bytes per token that
/// were measured for the model; without enough measurements it stays.
pub fn prompt_tokens(learned: &Measurements, engine: &str, model: &str, estimate: u64) -> u64 {
    tokens_by(learned.model_rates(engine, model), estimate)
}

fn tokens_by(rates: Option<&ModelRates>, estimate: u64) -> u64 {
    match rates.and_then(|r| r.bytes_per_token.if_enough()) {
        Some((bytes, _)) => whole(float(estimate) * BYTES_PER_TOKEN / bytes),
        None => estimate,
    }
}

/// Predicts the time in which the engine reads a prompt; `estimate` is its number of tokens at 4
/// bytes each.
pub fn prefill(
    learned: &Measurements,
    engine: &EngineView,
    model: &str,
    estimate: u64,
) -> PredictedTime {
    let rates = learned.model_rates(&engine.name, model);
    prefill_by(rates, engine.device, tokens_by(rates, estimate))
}

fn prefill_by(rates: Option<&ModelRates>, device: Device, tokens: u64) -> PredictedTime {
    if tokens == 0 {
        return PredictedTime::NONE;
    }
    let prior = || Duration::from_millis(tokens.saturating_mul(1000) / prompt_prior(device));
    PredictedTime::of(
        rates.and_then(|r| r.prompt_per_s.if_enough()),
        |rate| seconds(float(tokens) / rate),
        prior,
    )
}

/// Predicts the parts of the time of an answer: queue, load where the model is not loaded, reading
/// of the prompt, and the answer itself.
pub fn predict(
    learned: &Measurements,
    engine: &EngineView,
    model: &ModelInfo,
    asked: &PredictionInput<'_>,
) -> Prediction {
    let rates = learned.model_rates(&engine.name, &model.id);
    let prompt_tokens = tokens_by(rates, asked.prompt_tokens);
    Prediction {
        queue: queue_wait(learned, engine, &model.id, asked.before),
        load: load_wait(learned, engine, model),
        prefill: prefill_by(rates, engine.device, prompt_tokens),
        prompt_tokens,
        answer: predict_answer(learned, engine, &model.id, asked),
    }
}

/// Predicts the wait for a load. It is none for a loaded model, for a cloud model, and where
/// Crucible does not control the loads of the engine; a load of another model that is under way
/// comes before.
fn load_wait(learned: &Measurements, engine: &EngineView, model: &ModelInfo) -> PredictedTime {
    let resident = engine.holds(&model.id);
    if resident.is_some() || model.cloud || !engine.load_control {
        return PredictedTime::NONE;
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

/// Returns the wait for a permit as far as measurements tell it: the queue and, where the model is
/// not loaded, the load that is under way. The load of the model itself is left out, because a
/// request that gave way to it would leave the model unloaded for ever.
pub fn permit_wait(
    learned: &Measurements,
    engine: &EngineView,
    model: &str,
    before: u32,
) -> Duration {
    let queue = queue_wait(learned, engine, model, before);
    let queue = if queue.basis == PredictionBasis::Prior {
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
            .model_rates(&engine.name, &load.model)?
            .load_s
            .if_at_least(1)?;
        Some(seconds(took))
    };
    let expected = load.expected.or_else(known).unwrap_or_default();
    queue.saturating_add(expected.saturating_sub(load.since))
}

/// Returns the predicted rest of a load that is under way; zero once it takes longer than expected.
fn rest(learned: &Measurements, engine: &EngineView, load: &LoadingView) -> Duration {
    let model = engine.models.iter().find(|m| m.id == load.model);
    let own = || model.map(|m| load_time(learned, engine, m).time);
    let expected = load.expected.or_else(own).unwrap_or_default();
    expected.saturating_sub(load.since)
}

// === impl Prediction ===

impl Prediction {
    /// Returns the time from now to the first token: queue, load and prompt.
    pub const fn first_token(&self) -> Duration {
        self.queue
            .time
            .saturating_add(self.load.time)
            .saturating_add(self.prefill.time)
    }

    /// Returns the time from now to the end of the answer.
    pub const fn end(&self) -> Duration {
        self.first_token().saturating_add(self.answer.output.time)
    }
}
