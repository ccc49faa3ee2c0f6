//! The prediction how long the answer to a request will be, and how long the engine writes it.

use std::time::Duration;

use super::predicted_time::{PredictedTime, PredictionBasis, seconds};
use crate::{
    client::ClientId,
    measurements::{
        Measurements, output_prior,
        running_mean::{float, whole},
    },
    view::EngineView,
};

/// The number of tokens that an answer is assumed to have where too few were measured.
pub(super) const MEAN_ANSWER: u64 = 256;

/// The properties of a request from which its answer and its times are predicted.
#[derive(Clone, Copy, Debug)]
pub struct PredictionInput<'a> {
    /// The estimated tokens of the prompt, which are its bytes divided by 4.
    pub prompt_tokens: u64,
    /// The most tokens that the answer may have; `None` where the request sets no limit.
    pub max_tokens: Option<u64>,
    /// The client that asks.
    pub client: &'a ClientId,
    /// The number of waiting requests whose turn for a slot of the engine comes before this one's.
    pub before: u32,
}

/// The predicted length of an answer and the time that writing it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PredictedAnswer {
    /// The predicted tokens of the answer.
    pub tokens: u64,
    /// The basis of that number: the count of measured answers, or the assumption.
    pub basis: PredictionBasis,
    /// The time from its first token to its last.
    pub output: PredictedTime,
}

/// Predicts the length in tokens of a model's answer to a request, and the time that writing it
/// takes.
///
/// The length is the mean of this client's answers for which this model was chosen, else of all its
/// answers, else of everybody's, else 256; it is never above the request's limit. A mean counts
/// only if enough answers were measured. So all models are predicted alike until each was chosen
/// often enough to have a mean of its own.
pub fn predict_answer(
    learned: &Measurements,
    engine: &EngineView,
    model: &str,
    asked: &PredictionInput<'_>,
) -> PredictedAnswer {
    let rates = learned.model_rates(&engine.name, model);
    let (expected, basis) = match learned.client_answer_tokens(asked.client, &engine.name, model) {
        Some((mean, samples)) => (whole(mean), PredictionBasis::Measured(samples)),
        None => (MEAN_ANSWER, PredictionBasis::Prior),
    };
    let tokens = expected.min(asked.max_tokens.unwrap_or(u64::MAX));
    let prior = || {
        let millis = tokens.saturating_mul(1000) / output_prior(engine.device);
        Duration::from_millis(millis)
    };
    let rate = rates.and_then(|r| r.output_per_s.if_enough());
    PredictedAnswer {
        tokens,
        basis,
        output: PredictedTime::of(rate, |rate| seconds(float(tokens) / rate), prior),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crucible_config::checked::Device;

    use super::*;
    use crate::{
        measurements::{AnswerLength, AnswerSample, TimedTokens},
        plan::fixture::engine,
    };

    fn sample(client: Option<&str>, model: &str, tokens: u64, cut: bool) -> AnswerSample {
        AnswerSample {
            engine: "e".into(),
            model: Arc::from(model),
            client: client.map_or_else(ClientId::default, ClientId::of_key),
            model_was_chosen: true,
            estimated_prompt_tokens: None,
            prompt_tokens: None,
            prompt_time: None,
            cache_unknown: false,
            answer_length: Some(AnswerLength {
                tokens,
                cut_short: cut,
            }),
            output_time: Some(TimedTokens {
                tokens,
                took: Duration::from_secs(tokens / 10),
            }),
            context_need: None,
            service_time: Duration::from_secs(4),
        }
    }

    fn taught(samples: &[AnswerSample]) -> Measurements {
        let mut learned = Measurements::default();
        for sample in samples {
            for _ in 0..3 {
                learned.record_answer(sample, Device::Cpu);
            }
        }
        learned
    }

    fn tokens(
        learned: &Measurements,
        client: &str,
        model: &str,
        max: Option<u64>,
    ) -> (u64, PredictionBasis) {
        let cpu = engine("e", Device::Cpu, &["m", "n"]);
        let asked = PredictionInput {
            prompt_tokens: 0,
            max_tokens: max,
            client: &ClientId::of_key(client),
            before: 0,
        };
        let found = predict_answer(learned, &cpu, model, &asked);
        (found.tokens, found.basis)
    }

    #[test]
    fn the_nearest_that_was_measured_counts_and_the_request_bounds_it() {
        let learned = taught(&[
            sample(Some("editor"), "m", 20, false),
            sample(Some("agent"), "m", 900, false),
            sample(Some("agent"), "n", 100, false),
        ]);
        let near = |found: (u64, PredictionBasis), wanted: u64, samples| {
            assert!(found.0.abs_diff(wanted) <= wanted / 10, "{found:?}");
            assert_eq!(found.1, PredictionBasis::Measured(samples));
        };
        near(tokens(&learned, "editor", "m", None), 20, 3);
        near(tokens(&learned, "agent", "m", None), 900, 3);
        // It never asked this model: it wants what it wants elsewhere.
        near(tokens(&learned, "editor", "n", None), 20, 3);
        let (other, basis) = tokens(&learned, "other", "n", None);
        assert!((100..900).contains(&other), "{other}");
        assert_eq!(basis, PredictionBasis::Measured(9));
        // Titles that a rule sends to a model do not make its other answers short.
        let titles = AnswerSample {
            model_was_chosen: false,
            ..sample(Some("editor"), "n", 5, false)
        };
        let sent = taught(&[sample(Some("editor"), "m", 90, false), titles]);
        let of = |model| tokens(&sent, "editor", model, None).0;
        assert!(of("m") >= 90 && of("n") > 20, "{} {}", of("m"), of("n"));
        let bounded = tokens(&learned, "agent", "m", Some(5));
        assert_eq!(bounded, (5, PredictionBasis::Measured(3)));
        let nothing = Measurements::default();
        assert_eq!(
            tokens(&nothing, "a", "m", None),
            (MEAN_ANSWER, PredictionBasis::Prior)
        );
        assert_eq!(tokens(&nothing, "a", "m", Some(0)).0, 0);
    }

    #[test]
    fn an_answer_that_was_cut_short_teaches_only_that_it_was_longer() {
        let cut = sample(Some("a"), "m", 5, true);
        assert_eq!(
            tokens(&taught(std::slice::from_ref(&cut)), "a", "m", None).1,
            PredictionBasis::Prior
        );
        let long = sample(Some("a"), "m", 100, false);
        let learned = taught(&[long.clone(), cut]);
        assert_eq!(tokens(&learned, "a", "m", None).0, 100);
        let longer = sample(Some("a"), "m", 800, true);
        let learned = taught(&[long, longer]);
        assert!(tokens(&learned, "a", "m", None).0 > 200);
    }

    #[test]
    fn the_output_takes_the_measured_rate_else_that_of_the_device() {
        let mut cpu = engine("e", Device::Cpu, &["m"]);
        let asked = PredictionInput {
            prompt_tokens: 0,
            max_tokens: Some(80),
            client: &ClientId::default(),
            before: 0,
        };
        let nothing = Measurements::default();
        let by = |engine: &EngineView, learned| predict_answer(learned, engine, "m", &asked).output;
        assert_eq!(by(&cpu, &nothing).time, Duration::from_secs(10));
        cpu.device = Device::Gpu;
        assert_eq!(by(&cpu, &nothing).time, Duration::from_secs(2));
        let learned = taught(&[sample(None, "m", 100, false)]);
        let measured = by(&cpu, &learned);
        assert_eq!(measured.basis, PredictionBasis::Measured(3));
        assert!(
            (measured.time.as_secs_f64() - 8.0).abs() < 0.1,
            "{measured:?}"
        );
    }
}
