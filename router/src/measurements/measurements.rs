//! Everything that was measured, by engine, model and client.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crucible_config::checked::Device;
use serde::{Deserialize, Serialize};

use super::{
    client_measurements::ClientMeasurements,
    priors::{BYTES_PER_TOKEN, prompt_prior},
    running_mean::{RunningMean, SPREAD, float},
    sample::{AnswerSample, TIME_MIN},
};
use crate::client::ClientId;

/// A prompt of which an unknown part may have come from a cache is not believed to be read faster
/// than this many times the prior.
const TOO_FAST: f64 = 10.0;

/// The fewest prompt tokens that say something about rate and size.
const PROMPT_MIN: u64 = 128;
/// The fewest generated tokens that say something about their rate.
const OUTPUT_MIN: u64 = 16;
/// The bytes per token that any text has in any tokenizer, as JSON.
const BYTES: std::ops::RangeInclusive<f64> = 1.0..=12.0;

/// The number of models of all engines that are kept; more names than that are no real ones.
const MOST_MODELS: usize = 1000;

/// The measurements of a model on an engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelRates {
    /// The mean prompt tokens that are read per second.
    pub prompt_per_s: RunningMean,
    /// The mean tokens that are generated per second for one answer.
    pub output_per_s: RunningMean,
    /// The mean time of a load, in seconds.
    pub load_s: RunningMean,
    /// The mean bytes of messages and tools, as JSON, for each token of the prompt.
    pub bytes_per_token: RunningMean,
}

/// The measurements of one engine: load times and token rates of its models.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct EngineMeasurements {
    /// The mean time from sending a request to the end of its answer, in seconds.
    pub(super) service_seconds: RunningMean,
    /// The measurements of the engine's models, by name.
    pub(super) models: BTreeMap<Arc<str>, ModelRates>,
}

/// Everything that was measured of engines, models and clients, from which times are predicted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measurements {
    /// The measurements of engines, by name.
    pub(super) engines: BTreeMap<Arc<str>, EngineMeasurements>,
    /// The measurements of clients. The client without a name stands for all of them together.
    pub(super) clients: BTreeMap<ClientId, Arc<ClientMeasurements>>,
    /// The number of the last answer to any client.
    pub(super) last_answer: u64,
}

// === impl Measurements ===

impl Measurements {
    /// Returns the measurements of a model on an engine; `None` where there are none.
    pub fn model_rates(&self, engine: &str, model: &str) -> Option<&ModelRates> {
        self.engines.get(engine)?.models.get(model)
    }

    /// Returns the mean time from sending a request to an engine to the end of its answer, in
    /// seconds; `None` where none was measured.
    pub fn service_time(&self, engine: &str) -> Option<&RunningMean> {
        Some(&self.engines.get(engine)?.service_seconds)
    }

    /// Learns from one answer of an engine on that device.
    pub(crate) fn record_answer(&mut self, sample: &AnswerSample, device: Device) {
        if sample.service_time >= TIME_MIN {
            let engine = self.engines.entry(Arc::clone(&sample.engine)).or_default();
            engine
                .service_seconds
                .add_time(sample.service_time.as_secs_f64());
        }
        if let Some((need, configured)) = sample.context_need
            && sample.client != ClientId::default()
        {
            self.record_context_need(&sample.client, need, configured);
        }
        let Some(rates) = self.rates_mut(&sample.engine, &sample.model) else {
            return;
        };
        if let (Some(estimate), Some(counted)) =
            (sample.estimated_prompt_tokens, sample.prompt_tokens)
            && counted >= PROMPT_MIN
        {
            let bytes = float(estimate) * BYTES_PER_TOKEN / float(counted);
            if BYTES.contains(&bytes) {
                rates.bytes_per_token.add_rate(bytes);
            }
        }
        if let Some(rate) = sample
            .prompt_time
            .and_then(|pace| pace.tokens_per_second(PROMPT_MIN))
        {
            let prior = float(prompt_prior(device));
            let most = match rates.prompt_per_s.if_enough() {
                Some((known, _)) => known * SPREAD,
                None => prior * TOO_FAST,
            };
            if !sample.cache_unknown || rate <= most {
                rates.prompt_per_s.add_rate(rate);
            }
        }
        if let Some(rate) = sample
            .output_time
            .and_then(|pace| pace.tokens_per_second(OUTPUT_MIN))
        {
            rates.output_per_s.add_rate(rate);
        }
        let Some(length) = sample.answer_length else {
            return;
        };
        let teach = |tokens: &mut RunningMean| length.add_to(tokens);
        self.record_client_answer(&ClientId::default(), None, teach);
        if sample.client != ClientId::default() {
            let place = (&sample.engine, &sample.model);
            self.record_client_answer(
                &sample.client,
                sample.model_was_chosen.then_some(place),
                teach,
            );
        }
    }

    /// Learns from the time of one load.
    pub(crate) fn record_load(&mut self, engine: &Arc<str>, model: &Arc<str>, took: Duration) {
        if took >= TIME_MIN
            && let Some(rates) = self.rates_mut(engine, model)
        {
            rates.load_s.add_rate(took.as_secs_f64());
        }
    }

    /// The measurements of a model, to be changed; `None` where too many models are kept already.
    fn rates_mut(&mut self, engine: &Arc<str>, model: &Arc<str>) -> Option<&mut ModelRates> {
        let known: usize = self.engines.values().map(|e| e.models.len()).sum();
        let of_engine = self.engines.entry(Arc::clone(engine)).or_default();
        if known >= MOST_MODELS && !of_engine.models.contains_key(model) {
            return None;
        }
        Some(of_engine.models.entry(Arc::clone(model)).or_default())
    }
}
