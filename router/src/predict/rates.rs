//! What was learned of engines and their models: running means that a single odd answer does not
//! move far.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crucible_config::checked::Device;
use serde::{Deserialize, Serialize};

use super::{BYTES_PER_TOKEN, clients::OfClient, prompt_prior};
use crate::client::ClientId;

/// Answers until their mean replaces a prior.
const ENOUGH: u32 = 3;
/// The newest value weighs at least one of this many.
const WINDOW: u32 = 8;
/// A value further from the mean than this factor counts as if it were this far.
const SPREAD: f64 = 4.0;
/// A prompt of which an unknown part may have come from a cache is not believed to be read faster
/// than this many times the prior.
const TOO_FAST: f64 = 10.0;

/// Fewest prompt tokens that say something about rate and size.
const PROMPT_MIN: u64 = 128;
/// Fewest generated tokens that say something about their rate.
const OUTPUT_MIN: u64 = 16;
/// Shortest time that is more than noise of clocks and scheduling.
const TIME_MIN: Duration = Duration::from_millis(10);
/// Bytes per token of any text in any tokenizer, as JSON.
const BYTES: std::ops::RangeInclusive<f64> = 1.0..=12.0;

/// Models of all engines that are kept; more names than that are no real ones.
const MOST_MODELS: usize = 1000;

/// A running mean: geometric for rates and sizes, plain for times that add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean; meaningless while there are no samples.
    pub mean: f64,
    /// Values that went into it.
    pub samples: u32,
}

/// What was learned of a model on an engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rates {
    /// Prompt tokens per second.
    pub prompt_per_s: Estimate,
    /// Generated tokens per second of one answer.
    pub output_per_s: Estimate,
    /// Seconds of a load.
    pub load_s: Estimate,
    /// Bytes of messages and tools, as JSON, per prompt token.
    pub bytes_per_token: Estimate,
}

/// What was learned of an engine.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct OfEngine {
    /// Seconds that an answer takes once it is sent.
    pub(super) service_s: Estimate,
    pub(super) models: BTreeMap<Arc<str>, Rates>,
}

/// Everything that was learned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Learned {
    pub(super) engines: BTreeMap<Arc<str>, OfEngine>,
    /// With nobody in particular for all of them together.
    pub(super) clients: BTreeMap<ClientId, Arc<OfClient>>,
}

/// So many tokens in that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Tokens.
    pub tokens: u64,
    /// Time.
    pub took: Duration,
}

/// How long an answer was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    /// Tokens.
    pub tokens: u64,
    /// It has all the tokens that the request allowed, and might have had more.
    pub cut: bool,
}

/// One whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Engine.
    pub engine: Arc<str>,
    /// The engine's name of the model.
    pub model: Arc<str>,
    /// Who asked.
    pub client: ClientId,
    /// The prediction, or the conversation's place, chose this model. What a person or a rule sends
    /// to a model says nothing of how long its answers to others would be.
    pub chosen: bool,
    /// Prompt tokens estimated at 4 bytes each, where the prompt is text alone.
    pub estimate: Option<u64>,
    /// Prompt tokens as the engine counted them, cached ones included.
    pub prompt_tokens: Option<u64>,
    /// The prompt's way through the engine.
    pub prompt: Option<Pace>,
    /// The engine did not say how much of the prompt it found in its cache.
    pub cache_unknown: bool,
    /// The answer's length.
    pub answer: Option<Length>,
    /// The answer's way out of the engine.
    pub output: Option<Pace>,
    /// Context that prompt and answer needed, and what is configured for the model.
    pub need: Option<(u64, u64)>,
    /// From sent to its end.
    pub service: Duration,
}

// === impl Estimate ===

impl Estimate {
    /// A rate or a size: an odd one moves little.
    pub(super) fn take(&mut self, value: f64) {
        self.step(value, |this, weight| {
            let bounded = if this.samples < ENOUGH {
                value
            } else {
                value.clamp(this.mean / SPREAD, this.mean * SPREAD)
            };
            this.mean * (bounded / this.mean).powf(weight)
        });
    }

    /// A time in a row of others: a queue waits for their sum, long ones included.
    pub(super) fn take_time(&mut self, value: f64) {
        self.step(value, |this, weight| {
            this.mean + (value - this.mean) * weight
        });
    }

    fn step(&mut self, value: f64, mean: impl FnOnce(&Self, f64) -> f64) {
        if !value.is_finite() || value <= 0.0 {
            return;
        }
        if !self.is_sound() {
            *self = Self {
                mean: value,
                samples: 1,
            };
            return;
        }
        let weight = 1.0 / f64::from((self.samples + 1).min(WINDOW));
        self.mean = mean(self, weight);
        self.samples = self.samples.saturating_add(1);
    }

    /// Mean and samples, once these are enough.
    pub fn settled(&self) -> Option<(f64, u32)> {
        self.settled_by(ENOUGH)
    }

    pub(super) fn settled_by(&self, enough: u32) -> Option<(f64, u32)> {
        (self.is_sound() && self.samples >= enough).then_some((self.mean, self.samples))
    }

    pub(super) fn is_sound(&self) -> bool {
        self.samples > 0 && self.mean.is_finite() && self.mean > 0.0
    }
}

// === impl Learned ===

impl Learned {
    /// What was learned of a model.
    pub fn rates(&self, engine: &str, model: &str) -> Option<&Rates> {
        self.engines.get(engine)?.models.get(model)
    }

    /// Seconds of an answer on this engine.
    pub fn service(&self, engine: &str) -> Option<&Estimate> {
        Some(&self.engines.get(engine)?.service_s)
    }

    /// Takes one answer of an engine on that device.
    pub(super) fn learn(&mut self, sample: &Sample, device: Device) {
        if sample.service >= TIME_MIN {
            let engine = self.engines.entry(Arc::clone(&sample.engine)).or_default();
            engine.service_s.take_time(sample.service.as_secs_f64());
        }
        if let Some((need, configured)) = sample.need
            && sample.client != ClientId::default()
        {
            self.learn_need(&sample.client, need, configured);
        }
        let Some(rates) = self.entry(&sample.engine, &sample.model) else {
            return;
        };
        if let (Some(estimate), Some(counted)) = (sample.estimate, sample.prompt_tokens)
            && counted >= PROMPT_MIN
        {
            let bytes = float(estimate) * BYTES_PER_TOKEN / float(counted);
            if BYTES.contains(&bytes) {
                rates.bytes_per_token.take(bytes);
            }
        }
        if let Some(rate) = sample.prompt.and_then(|pace| pace.rate(PROMPT_MIN)) {
            let prior = float(prompt_prior(device));
            let most = match rates.prompt_per_s.settled() {
                Some((known, _)) => known * SPREAD,
                None => prior * TOO_FAST,
            };
            if !sample.cache_unknown || rate <= most {
                rates.prompt_per_s.take(rate);
            }
        }
        if let Some(rate) = sample.output.and_then(|pace| pace.rate(OUTPUT_MIN)) {
            rates.output_per_s.take(rate);
        }
        let Some(length) = sample.answer else { return };
        let teach = |tokens: &mut Estimate| length.teach(tokens);
        self.learn_client(&ClientId::default(), None, teach);
        if sample.client != ClientId::default() {
            let place = (&sample.engine, &sample.model);
            self.learn_client(&sample.client, sample.chosen.then_some(place), teach);
        }
    }

    /// Takes the time of one load.
    pub(super) fn loaded(&mut self, engine: &Arc<str>, model: &Arc<str>, took: Duration) {
        if took >= TIME_MIN
            && let Some(rates) = self.entry(engine, model)
        {
            rates.load_s.take(took.as_secs_f64());
        }
    }

    fn entry(&mut self, engine: &Arc<str>, model: &Arc<str>) -> Option<&mut Rates> {
        let known: usize = self.engines.values().map(|e| e.models.len()).sum();
        let of_engine = self.engines.entry(Arc::clone(engine)).or_default();
        if known >= MOST_MODELS && !of_engine.models.contains_key(model) {
            return None;
        }
        Some(of_engine.models.entry(Arc::clone(model)).or_default())
    }
}

// === impl Length ===

impl Length {
    /// An answer that was cut says only that it would have been longer. Long ones count in full:
    /// they are what is waited for.
    fn teach(self, tokens: &mut Estimate) {
        if !self.cut || (tokens.is_sound() && float(self.tokens) > tokens.mean) {
            tokens.take_time(float(self.tokens));
        }
    }
}

// === impl Pace ===

impl Pace {
    fn rate(self, fewest: u64) -> Option<f64> {
        (self.tokens >= fewest && self.took >= TIME_MIN)
            .then(|| float(self.tokens) / self.took.as_secs_f64())
    }
}

/// Exact up to 2^53, far beyond any count here.
#[expect(clippy::cast_precision_loss, reason = "an estimate needs no more")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

/// Rounded up; what is out of range is the nearest end of it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, as is wanted"
)]
pub(super) fn whole(value: f64) -> u64 {
    value.ceil() as u64
}
