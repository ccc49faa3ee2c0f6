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
        Measurements, RunningMean, load_time_prior, output_prior,
        priors::BYTES_PER_TOKEN,
        prompt_prior,
        running_mean::{float, whole},
    },
    view::{EngineView, LoadingView},
};

/// A predicted answer with the parts of its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prediction {
    /// The time until a permit is free.
    pub queue: PredictedTime,
    /// The time until the model is loaded.
    pub load: PredictedTime,
    /// The time until the prompt is read.
    pub prefill: PredictedTime,
    /// Prompt tokens, by the model's own bytes per token.
    pub prompt_tokens: u64,
    /// The answer that is written then.
    pub answer: PredictedAnswer,
}

/// The time of a load of that model, where one was measured, also in earlier runs.
pub(crate) fn measured_load(learned: &Measurements, engine: &str, model: &str) -> Option<Duration> {
    let rates = learned.model_rates(engine, model)?;
    rates.load_s.if_at_least(1).map(|(mean, _)| seconds(mean))
}

/// Tokens of context that this client's requests needed lately of models with that configured
/// context; 0 where nothing is known.
pub(crate) fn needed(learned: &Measurements, client: &ClientId, configured: u64) -> u64 {
    learned.client_context_need(client, configured)
}

/// The time that a request holds its permit on that engine, where it was measured, also in earlier
/// runs.
pub(crate) fn measured_service(learned: &Measurements, engine: &str) -> Option<Duration> {
    let (mean, _) = learned.service_time(engine)?.if_enough()?;
    Some(seconds(mean))
}

/// The time of a load.
pub fn load_time(learned: &Measurements, engine: &EngineView, model: &ModelInfo) -> PredictedTime {
    let prior = || load_time_prior(engine.device, model.size_bytes);
    let rates = learned.model_rates(&engine.name, &model.id);
    PredictedTime::of(rates.and_then(|r| r.load_s.if_at_least(1)), seconds, prior)
}

/// The time that a request holds its permit.
pub fn mean_service(learned: &Measurements, engine: &EngineView) -> PredictedTime {
    let prior = || Duration::from_millis(MEAN_ANSWER * 1000 / output_prior(engine.device));
    let service = learned.service_time(&engine.name);
    PredictedTime::of(service.and_then(RunningMean::if_enough), seconds, prior)
}

/// The wait for a permit: none while one is free, else the time of those who have their turn before
/// (`before`) and of this request, shared among the permits.
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

/// Prompt tokens of an estimate at 4 bytes a token, by the bytes that this model makes a token of.
pub fn prompt_tokens(learned: &Measurements, engine: &str, model: &str, estimate: u64) -> u64 {
    let rates = learned.model_rates(engine, model);
    match rates.and_then(|r| r.bytes_per_token.if_enough()) {
        Some((bytes, _)) => whole(float(estimate) * BYTES_PER_TOKEN / bytes),
        None => estimate,
    }
}

/// The time in which a prompt is read; `estimate` is its tokens at 4 bytes each.
pub fn prefill(
    learned: &Measurements,
    engine: &EngineView,
    model: &str,
    estimate: u64,
) -> PredictedTime {
    let tokens = prompt_tokens(learned, &engine.name, model, estimate);
    if tokens == 0 {
        return PredictedTime::NONE;
    }
    let rates = learned.model_rates(&engine.name, model);
    let prior = || Duration::from_millis(tokens.saturating_mul(1000) / prompt_prior(engine.device));
    PredictedTime::of(
        rates.and_then(|r| r.prompt_per_s.if_enough()),
        |rate| seconds(float(tokens) / rate),
        prior,
    )
}

/// The prediction of an answer: queue, load where the model is not loaded, reading of the prompt,
/// and the answer.
pub fn predict(
    learned: &Measurements,
    engine: &EngineView,
    model: &ModelInfo,
    asked: &PredictionInput<'_>,
) -> Prediction {
    let estimate = asked.prompt_tokens;
    Prediction {
        queue: queue_wait(learned, engine, &model.id, asked.before),
        load: load_wait(learned, engine, model),
        prefill: prefill(learned, engine, &model.id, estimate),
        prompt_tokens: prompt_tokens(learned, &engine.name, &model.id, estimate),
        answer: predict_answer(learned, engine, &model.id, asked),
    }
}

/// The wait for a load: none for a resident, for a cloud model, and where the engine gives no load
/// control.
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

/// The wait for a permit as far as it is measured: the queue and, where the model is not loaded,
/// the load that is under way. The model's own load does not count, because a request that gave way
/// to it would leave the model unloaded for ever.
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

/// The time that is left of a load that is under way.
fn rest(learned: &Measurements, engine: &EngineView, load: &LoadingView) -> Duration {
    let model = engine.models.iter().find(|m| m.id == load.model);
    let own = || model.map(|m| load_time(learned, engine, m).time);
    let expected = load.expected.or_else(own).unwrap_or_default();
    expected.saturating_sub(load.since)
}

// === impl Prediction ===

impl Prediction {
    /// The time until the first token.
    pub const fn first_token(&self) -> Duration {
        self.queue
            .time
            .saturating_add(self.load.time)
            .saturating_add(self.prefill.time)
    }

    /// The time until the end of the answer.
    pub const fn end(&self) -> Duration {
        self.first_token().saturating_add(self.answer.output.time)
    }
}
