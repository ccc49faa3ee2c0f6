//! The time series that finished requests count in, looked up once per engine and model.
//!
//! To find a series by its label values takes longer than to count in it, and a request counts in
//! about 15. So the handles are kept per engine, and per model of an engine, each from the first request
//! that needs it on: models may alternate as they like, and nothing is looked up again.
//!
//! What is kept is bounded: names of models by [`ModelNames`](super::labels::ModelNames), engines by
//! [`MOST_ENGINES`]. A handle that is dropped loses no count, since the series stays in its family.

use std::cell::OnceCell;

use crucible_router::plan::Reason;
use http::StatusCode;
use prometheus::{Counter, Histogram, IntCounter};

use super::{
    families::Collectors,
    labels::{DefaultParam, TimedPhase, TokenType, flag, status},
};
use crate::endpoint::Endpoint;

/// The most engines whose handles are kept. Engines come from the configuration, so that only reloads
/// that rename them again and again get here; then all handles are looked up anew.
const MOST_ENGINES: usize = 256;

/// The most outcomes whose counters are kept per model; those beyond are looked up each time.
const MOST_OUTCOMES: usize = 32;

/// The handles of all series that finished requests count in.
#[derive(Debug, Default)]
pub(super) struct RequestSeries {
    overhead: [OnceCell<Histogram>; Endpoint::ALL.len()],
    /// Sorted by name.
    engines: Vec<EngineSeries>,
}

/// The series whose labels name an engine and no model.
#[derive(Debug)]
pub(super) struct EngineSeries {
    engine: Box<str>,
    /// The histograms by endpoint, each for whole answers and for streamed ones.
    duration: [[OnceCell<Histogram>; 2]; Endpoint::ALL.len()],
    first_token_ratio: OnceCell<Histogram>,
    stream_bytes: OnceCell<IntCounter>,
    stream_flushes: OnceCell<IntCounter>,
    request_tokens: [OnceCell<Histogram>; TokenType::ALL.len()],
    phases: [OnceCell<Counter>; TimedPhase::ALL.len()],
    routed: [OnceCell<IntCounter>; Reason::ALL.len()],
    defaults: [OnceCell<IntCounter>; DefaultParam::ALL.len()],
    /// Sorted by name.
    models: Vec<ModelSeries>,
}

/// The series whose labels name a model of an engine.
#[derive(Debug)]
pub(super) struct ModelSeries {
    engine: Box<str>,
    model: Box<str>,
    requests: Vec<(RequestCountLabels, IntCounter)>,
    first_token: OnceCell<Histogram>,
    prefill: OnceCell<Histogram>,
    output_speed: OnceCell<Histogram>,
    estimated: OnceCell<IntCounter>,
    tokens: [OnceCell<IntCounter>; TokenType::ALL.len()],
}

/// The labels of a finished request beside its engine and its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestCountLabels {
    /// The endpoint that the client asked.
    pub(super) endpoint: Endpoint,
    /// Whether the answer was streamed.
    pub(super) stream: bool,
    /// The status that the client got.
    pub(super) code: StatusCode,
}

// === impl RequestSeries ===

impl RequestSeries {
    /// Returns the histogram of Crucible's own seconds per request: the total without the waits for
    /// queue, load and engine.
    pub(super) fn overhead(&self, v: &Collectors, endpoint: Endpoint) -> &Histogram {
        let labels = [endpoint.as_str()];
        self.overhead[endpoint as usize].get_or_init(|| v.overhead.with_label_values(&labels))
    }

    /// The series of the engine of this name.
    pub(super) fn engine(&mut self, name: &str) -> &mut EngineSeries {
        let found = |engine: &EngineSeries| (*engine.engine).cmp(name);
        let at = match self.engines.binary_search_by(found) {
            Ok(at) => at,
            Err(at) => {
                let at = if self.engines.len() < MOST_ENGINES {
                    at
                } else {
                    self.engines.clear();
                    0
                };
                self.engines.insert(at, EngineSeries::new(name));
                at
            }
        };
        &mut self.engines[at]
    }
}

// === impl EngineSeries ===

impl EngineSeries {
    fn new(engine: &str) -> Self {
        Self {
            engine: engine.into(),
            duration: Default::default(),
            first_token_ratio: OnceCell::new(),
            stream_bytes: OnceCell::new(),
            stream_flushes: OnceCell::new(),
            request_tokens: Default::default(),
            phases: Default::default(),
            routed: Default::default(),
            defaults: Default::default(),
            models: Vec::new(),
        }
    }

    /// The series of the model whose label is `name`.
    pub(super) fn model(&mut self, name: &str) -> &mut ModelSeries {
        let found = |model: &ModelSeries| (*model.model).cmp(name);
        let at = match self.models.binary_search_by(found) {
            Ok(at) => at,
            Err(at) => {
                self.models.insert(at, ModelSeries::new(&self.engine, name));
                at
            }
        };
        &mut self.models[at]
    }

    /// Returns the histogram of seconds from the request line to the last byte of the answer, for
    /// streamed or whole answers.
    pub(super) fn duration(&self, v: &Collectors, endpoint: Endpoint, stream: bool) -> &Histogram {
        let labels = [endpoint.as_str(), &*self.engine, flag(stream)];
        self.duration[endpoint as usize][usize::from(stream)]
            .get_or_init(|| v.request_duration.with_label_values(&labels))
    }

    /// Returns the histogram of the time to the first token divided by the predicted one.
    pub(super) fn first_token_ratio(&self, v: &Collectors) -> &Histogram {
        self.first_token_ratio
            .get_or_init(|| v.first_token_ratio.with_label_values(&[&*self.engine]))
    }

    /// Returns the counter of bytes of streamed answers.
    pub(super) fn stream_bytes(&self, v: &Collectors) -> &IntCounter {
        self.stream_bytes
            .get_or_init(|| v.stream_bytes.with_label_values(&[&*self.engine]))
    }

    /// Returns the counter of writes of streamed answers to clients.
    pub(super) fn stream_flushes(&self, v: &Collectors) -> &IntCounter {
        self.stream_flushes
            .get_or_init(|| v.stream_flushes.with_label_values(&[&*self.engine]))
    }

    /// Returns the histogram of the tokens of one request, of this kind and as the engine counted
    /// them.
    pub(super) fn request_tokens(&self, v: &Collectors, kind: TokenType) -> &Histogram {
        let labels = [&*self.engine, kind.as_str()];
        self.request_tokens[kind as usize]
            .get_or_init(|| v.request_tokens.with_label_values(&labels))
    }

    /// Returns the counter of the seconds that requests spent on this part of their time.
    pub(super) fn phase(&self, v: &Collectors, phase: TimedPhase) -> &Counter {
        let labels = [&*self.engine, phase.as_str()];
        self.phases[phase as usize].get_or_init(|| v.request_phase.with_label_values(&labels))
    }

    /// Returns the counter of requests that were sent to the engine for this reason.
    pub(super) fn routed(&self, v: &Collectors, reason: Reason) -> &IntCounter {
        let labels = [&*self.engine, reason.as_str()];
        self.routed[reason as usize].get_or_init(|| v.routed.with_label_values(&labels))
    }

    /// Returns the counter of requests in which this parameter was filled in.
    pub(super) fn default(&self, v: &Collectors, param: DefaultParam) -> &IntCounter {
        let labels = [param.as_str(), &*self.engine];
        self.defaults[param as usize].get_or_init(|| v.defaults_injected.with_label_values(&labels))
    }
}

// === impl ModelSeries ===

impl ModelSeries {
    fn new(engine: &str, model: &str) -> Self {
        Self {
            engine: engine.into(),
            model: model.into(),
            requests: Vec::new(),
            first_token: OnceCell::new(),
            prefill: OnceCell::new(),
            output_speed: OnceCell::new(),
            estimated: OnceCell::new(),
            tokens: Default::default(),
        }
    }

    /// Counts a request with this outcome.
    pub(super) fn count(&mut self, v: &Collectors, outcome: RequestCountLabels) {
        if let Some((_, counter)) = self.requests.iter().find(|(of, _)| *of == outcome) {
            counter.inc();
            return;
        }
        let labels = [
            outcome.endpoint.as_str(),
            &*self.engine,
            &*self.model,
            flag(outcome.stream),
            status(&outcome.code),
        ];
        let counter = v.requests.with_label_values(&labels);
        counter.inc();
        if self.requests.len() < MOST_OUTCOMES {
            self.requests.push((outcome, counter));
        }
    }

    /// Returns the histogram of seconds from the request to the first event with content.
    pub(super) fn first_token(&self, v: &Collectors) -> &Histogram {
        let labels = [&*self.engine, &*self.model];
        self.first_token
            .get_or_init(|| v.time_to_first_token.with_label_values(&labels))
    }

    /// Returns the histogram of seconds from the sending of a request to the first event with content.
    pub(super) fn prefill(&self, v: &Collectors) -> &Histogram {
        let labels = [&*self.engine, &*self.model];
        self.prefill
            .get_or_init(|| v.prefill.with_label_values(&labels))
    }

    /// Returns the histogram of generated tokens per second, one value per finished stream.
    pub(super) fn output_speed(&self, v: &Collectors) -> &Histogram {
        let labels = [&*self.engine, &*self.model];
        self.output_speed
            .get_or_init(|| v.output_speed.with_label_values(&labels))
    }

    /// Returns the counter of content events in answers for which the engine reported no token
    /// counts.
    pub(super) fn estimated(&self, v: &Collectors) -> &IntCounter {
        let labels = [&*self.engine, &*self.model];
        self.estimated
            .get_or_init(|| v.tokens_estimated.with_label_values(&labels))
    }

    /// Returns the counter of all tokens of this kind, as the engine counted them.
    pub(super) fn tokens(&self, v: &Collectors, kind: TokenType) -> &IntCounter {
        let labels = [&*self.engine, &*self.model, kind.as_str()];
        self.tokens[kind as usize].get_or_init(|| v.tokens.with_label_values(&labels))
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::*;

    #[test]
    fn handles_are_kept_for_each_of_two_models_in_turn_and_bounded() {
        let vectors = Collectors::register(&Registry::new()).unwrap();
        let mut series = RequestSeries::default();
        let outcome = RequestCountLabels {
            endpoint: Endpoint::Chat,
            stream: true,
            code: StatusCode::OK,
        };
        for _ in 0..3 {
            for model in ["b", "a"] {
                let kept = series.engine("gpu").model(model);
                kept.count(&vectors, outcome);
                kept.first_token(&vectors);
            }
        }
        let gpu = series.engine("gpu");
        let names: Vec<_> = gpu.models.iter().map(|model| &*model.model).collect();
        assert_eq!(names, ["a", "b"]);
        for model in &gpu.models {
            assert_eq!(model.requests.len(), 1);
            assert_eq!(model.requests[0].1.get(), 3);
            assert!(model.first_token.get().is_some());
        }
        for n in 0..2 * MOST_ENGINES {
            series
                .engine(&format!("engine-{n}"))
                .stream_bytes(&vectors)
                .inc();
            assert!(series.engines.len() <= MOST_ENGINES);
        }
        for code in 200..300 {
            let code = StatusCode::from_u16(code).unwrap();
            let kept = series.engine("gpu").model("a");
            kept.count(&vectors, RequestCountLabels { code, ..outcome });
            assert!(kept.requests.len() <= MOST_OUTCOMES);
        }
        // The counts are with the family.
        let all = ["chat", "gpu", "a", "true", "200"];
        assert_eq!(vectors.requests.with_label_values(&all).get(), 4);
    }
}
