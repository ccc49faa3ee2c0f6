//! How fast answers come: each request's tokens per second of this moment, and the last minutes in steps.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use crucible_documents::{state::InFlightDoc, timeline::AnsweredRequest};

/// The time over which the rate of this moment is measured.
const NOW: Duration = Duration::from_secs(3);

/// Seconds of one step of the last minutes.
pub(super) const STEP_SECONDS: f64 = 10.0;

/// The number of steps: five minutes.
pub(super) const STEPS: usize = 30;

/// The tokens of the requests in flight, as they were told.
#[derive(Debug, Default)]
pub(super) struct TokenRates {
    requests: HashMap<Arc<str>, SeenTokens>,
}

/// The tokens of one request as they were told over time.
#[derive(Debug)]
struct SeenTokens {
    first: (Instant, u32),
    recent: VecDeque<(Instant, u32)>,
}

/// The last five minutes, the oldest step first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct LastMinutes {
    /// The median time to first token of each step, in seconds; `None` where no answer began.
    pub(super) first_token: Vec<Option<f64>>,
    /// The tokens per second of all answers together.
    pub(super) tokens_per_second: Vec<f64>,
    /// The median and the 95th percentile of the times to first token.
    pub(super) percentiles: Option<(f64, f64)>,
}

// === impl TokenRates ===

impl TokenRates {
    /// Takes the requests of a new state.
    pub(super) fn note(&mut self, in_flight: &[InFlightDoc], at: Instant) {
        self.requests
            .retain(|id, _| in_flight.iter().any(|request| request.request_id == *id));
        for request in in_flight {
            let sample = (at, request.tokens);
            let seen = self.requests.entry(Arc::clone(&request.request_id));
            let seen = seen.or_insert_with(|| SeenTokens {
                first: sample,
                recent: VecDeque::new(),
            });
            seen.note(sample);
        }
    }

    /// The tokens per second of a request at this moment; `None` while none come.
    pub(super) fn of(&self, request: &str) -> Option<f64> {
        self.requests.get(request)?.rate()
    }

    /// The tokens per second of all requests at this moment.
    pub(super) fn total(&self) -> f64 {
        let rates = self.requests.values().filter_map(SeenTokens::rate);
        // An empty sum would be -0.
        rates.fold(0.0, |sum, rate| sum + rate)
    }
}

// === impl SeenTokens ===

impl SeenTokens {
    fn note(&mut self, sample: (Instant, u32)) {
        if self.first.1 == 0 && sample.1 == 0 {
            self.first = sample;
        }
        // The time before the first tokens is no part of their rate.
        if self.recent.back().is_some_and(|(_, tokens)| *tokens == 0) {
            self.recent.clear();
        }
        self.recent.push_back(sample);
        while self.recent.len() > 2
            && self
                .recent
                .get(1)
                .is_some_and(|(at, _)| sample.0 - *at >= NOW)
        {
            self.recent.pop_front();
        }
    }

    fn rate(&self) -> Option<f64> {
        let (from, before) = self.recent.front()?;
        let (to, now) = self.recent.back()?;
        let seconds = (*to - *from).as_secs_f64();
        let tokens = f64::from(now.saturating_sub(*before));
        (tokens > 0.0 && seconds > 0.0).then(|| tokens / seconds)
    }

    /// The seconds before `now` at which its tokens began to come and last came, and their rate.
    fn span(&self, now: Instant) -> Option<(f64, f64, f64)> {
        let (to, tokens) = self.recent.back()?;
        let seconds = (*to - self.first.0).as_secs_f64();
        let tokens = f64::from(tokens.saturating_sub(self.first.1));
        let age = |at: Instant| now.saturating_duration_since(at).as_secs_f64();
        (tokens > 0.0 && seconds > 0.0).then(|| (age(self.first.0), age(*to), tokens / seconds))
    }
}

// === impl LastMinutes ===

impl LastMinutes {
    /// Adds up the answers that ended, and the tokens of those that have not, at a moment on both clocks.
    pub(super) fn of<'a>(
        answers: impl Iterator<Item = &'a AnsweredRequest>,
        running: &TokenRates,
        (now, unix_ms): (Instant, u64),
    ) -> Self {
        let mut first_tokens: Vec<Vec<f64>> = vec![Vec::new(); STEPS];
        let mut tokens = vec![0.0; STEPS];
        for answer in answers {
            let came = seconds_between(answer.at_ms, unix_ms);
            let ended = came - answer.took_s;
            let first = answer.first_token_s.filter(|_| answer.status < 400);
            if let Some(first) = first
                && let Some(step) = step_of(came - first)
            {
                first_tokens[step].push(first);
            }
            let written = f64::from(u32::try_from(answer.output_tokens).unwrap_or(u32::MAX));
            let began = match answer.tokens_per_second {
                Some(rate) => ended + (written - 1.0).max(1.0) / rate,
                None => came - first.unwrap_or(answer.failed_s + answer.queue_s + answer.load_s),
            };
            spread(&mut tokens, (began, ended), written);
        }
        for seen in running.requests.values() {
            if let Some((began, last, rate)) = seen.span(now) {
                spread(&mut tokens, (began, last), rate * (began - last));
            }
        }
        let mut all: Vec<f64> = first_tokens.iter().flatten().copied().collect();
        let percentiles = percentile(&mut all, 50).zip(percentile(&mut all, 95));
        Self {
            first_token: first_tokens
                .iter_mut()
                .map(|step| percentile(step, 50))
                .collect(),
            tokens_per_second: tokens.iter().map(|tokens| tokens / STEP_SECONDS).collect(),
            percentiles,
        }
    }
}

/// The seconds from the first moment to the second, in milliseconds since 1970; negative where the first
/// is later, as by another machine's clock.
fn seconds_between(from_ms: u64, to_ms: u64) -> f64 {
    let millis = i128::from(to_ms) - i128::from(from_ms);
    let millis = i32::try_from(millis).unwrap_or(i32::MAX);
    f64::from(millis) / 1000.0
}

/// The step in which something happened so many seconds ago.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "0 to 300 by the check before"
)]
fn step_of(seconds_ago: f64) -> Option<usize> {
    let steps_ago = (seconds_ago.max(0.0) / STEP_SECONDS).floor();
    let within = steps_ago < f64::from(u32::try_from(STEPS).unwrap_or(0));
    within.then(|| STEPS - 1 - steps_ago as usize)
}

/// Spreads tokens evenly over the time in which they came, given in seconds before now.
fn spread(steps: &mut [f64], (from, to): (f64, f64), tokens: f64) {
    let (from, to) = (from.max(0.0), to.max(0.0));
    if from - to < 0.001 {
        if let Some(step) = step_of(to) {
            steps[step] += tokens;
        }
        return;
    }
    let mut step_end = 0.0;
    for step in steps.iter_mut().rev() {
        let overlap = (from.min(step_end + STEP_SECONDS) - to.max(step_end)).max(0.0);
        *step += tokens * overlap / (from - to);
        step_end += STEP_SECONDS;
    }
}

/// The smallest value that at least so many per cent of all values do not exceed.
fn percentile(values: &mut [f64], per_cent: usize) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() * per_cent).div_ceil(100);
    values.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(id: &str, tokens: u32) -> InFlightDoc {
        serde_json::from_value(serde_json::json!({
            "request_id": id, "engine": "gpu", "model": "m", "reason": null, "phase": "stream",
            "since_s": 1.0, "tokens": tokens,
        }))
        .unwrap()
    }

    fn answer(at_ms: u64, first_token_s: f64, took_s: f64, tokens: u64) -> AnsweredRequest {
        serde_json::from_value(serde_json::json!({
            "at_ms": at_ms, "request_id": "r", "engine": "gpu", "model": "m", "queue_s": 0.0,
            "first_token_s": first_token_s, "took_s": took_s, "prompt_tokens": 10, "cached_tokens": null,
            "output_tokens": tokens, "tokens_per_second": 10.0, "status": 200, "outcome": "ok",
        }))
        .unwrap()
    }

    #[test]
    fn a_rate_is_that_of_the_last_seconds_and_goes_with_its_request() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut rates = TokenRates::default();
        rates.note(&[request("a", 0), request("b", 5)], at(0));
        assert_eq!(rates.of("a"), None);
        for second in 1..=10 {
            let tokens = u32::try_from(second * if second <= 5 { 100 } else { 10 } + 450).unwrap();
            rates.note(&[request("a", tokens.min(950))], at(second));
        }
        assert_eq!(rates.of("b"), None);
        rates.note(&[request("a", 1000), request("c", 3)], at(20));
        rates.note(&[request("a", 1020), request("c", 9)], at(21));
        rates.note(&[request("a", 1040), request("c", 15)], at(22));
        rates.note(&[request("a", 1060), request("c", 21)], at(23));
        assert_eq!(rates.of("a"), Some(20.0));
        assert_eq!(rates.total().to_string(), "26");
        rates.note(&[request("a", 1080), request("d", 0)], at(24));
        rates.note(&[request("a", 1100), request("d", 5)], at(25));
        rates.note(&[request("a", 1120), request("d", 15)], at(26));
        assert_eq!(rates.of("d"), Some(10.0));
        rates.note(&[], at(27));
        assert_eq!(rates.total().to_string(), "0");
    }

    #[test]
    fn tokens_are_spread_over_the_time_in_which_they_came() {
        let now = 1_000_000;
        // From 30 to 5 seconds ago: 251 tokens at 10 a second, the first after 2 seconds.
        let answers = [answer(now - 32_000, 2.0, 27.0, 251)];
        let running = TokenRates::default();
        let minutes = LastMinutes::of(answers.iter(), &running, (Instant::now(), now));
        let last: Vec<f64> = minutes.tokens_per_second[STEPS - 4..].to_vec();
        assert_eq!(
            last.iter().map(|t| t.round()).collect::<Vec<_>>(),
            [0.0, 10.0, 10.0, 5.0]
        );
        assert_eq!(minutes.first_token[STEPS - 4], Some(2.0));
        assert_eq!(minutes.percentiles, Some((2.0, 2.0)));
        let sum: f64 = minutes.tokens_per_second.iter().sum();
        assert!((sum * STEP_SECONDS - 251.0).abs() < 0.1, "{sum}");
    }

    #[test]
    fn a_clock_that_goes_ahead_and_answers_of_long_ago_do_no_harm() {
        let answers = [
            answer(2_000_000, 1.0, 2.0, 10),
            answer(0, 1.0, 2.0, 10),
            answer(u64::MAX, 1.0, 2.0, 10),
        ];
        let running = TokenRates::default();
        let minutes = LastMinutes::of(answers.iter(), &running, (Instant::now(), 1_000_000));
        assert_eq!(minutes.first_token[..STEPS - 1], vec![None; STEPS - 1]);
    }

    #[test]
    fn a_percentile_is_a_value_that_was_seen() {
        let mut values: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!(percentile(&mut values, 50), Some(10.0));
        assert_eq!(percentile(&mut values, 95), Some(19.0));
        assert_eq!(percentile(&mut [], 50), None);
    }
}
