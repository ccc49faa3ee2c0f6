//! How far the prompt of a request is read, by what its engine reports or else by a prediction.

use std::time::Duration;

use crucible_documents::state::{PrefillDoc, PrefillSource};
use tokio::time::Instant;

use super::facts::{RequestFacts, RequestPhase};
use crate::{
    error::{Error, ErrorKind},
    usage::PromptProgress,
};

/// The last report of an engine on the prompt of one request, and when the engine read on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PromptReading {
    /// The report.
    pub(crate) progress: PromptProgress,
    /// The reporter.
    pub(crate) source: PrefillSource,
    /// The moment of the last report in which more was read than in the one before.
    pub(crate) grew_at: Instant,
}

/// Returns a multiple of a time; what is too long becomes the longest time.
fn times(time: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(time.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

// === impl PromptReading ===

impl PromptReading {
    /// Takes a report that came at `now`. The first one counts as progress where it tells of tokens that
    /// were read.
    pub(crate) fn after(
        before: Option<Self>,
        progress: PromptProgress,
        source: PrefillSource,
        (sent_at, now): (Instant, Instant),
    ) -> Self {
        let (read, grew_at) = before.map_or((0, sent_at), |before| {
            (before.progress.read(), before.grew_at)
        });
        Self {
            progress,
            source,
            grew_at: if progress.read() > read { now } else { grew_at },
        }
    }

    /// Returns the whole percents of the prompt that are behind the engine, cached tokens included.
    pub(crate) fn percent(&self) -> u64 {
        let PromptProgress {
            total, processed, ..
        } = self.progress;
        u64::from(processed) * 100 / u64::from(total.max(1))
    }

    /// Returns an error of a missed time limit with how far the prompt was read; any other error stays as
    /// it is.
    pub(crate) fn told_by(&self, mut error: Error, now: Instant) -> Error {
        if error.kind != ErrorKind::FirstTokenTimeout {
            return error;
        }
        let silent = now.saturating_duration_since(self.grew_at).as_secs();
        let (message, percent) = (&error.message, self.percent());
        error.message =
            format!("{message}: after {percent} % of the prompt, no progress for {silent} s")
                .into();
        error
    }

    /// Estimates the time until the rest of the prompt is read, by the pace so far; `sent_at` is when the
    /// request went to the engine. `None` where nothing was read yet, or where the pace has slackened.
    fn remaining(&self, sent_at: Instant, now: Instant) -> Option<Duration> {
        let progress = self.progress;
        let read = progress.read();
        if progress.left() == 0 {
            return Some(Duration::ZERO);
        }
        let took = match progress.time() {
            Some(time) => time,
            None => self.grew_at.saturating_duration_since(sent_at),
        };
        if read == 0 || took.is_zero() {
            return None;
        }
        let left = times(took, f64::from(progress.left()) / f64::from(read));
        left.checked_sub(now.saturating_duration_since(self.grew_at))
    }
}

// === impl RequestFacts ===

impl RequestFacts {
    /// Returns how far the prompt is read at `now`: by the engine's reports, or else by the predicted time
    /// for its `tokens`; `None` where the request is not in that phase.
    pub(crate) fn prefill(&self, tokens: u64, now: Instant) -> Option<PrefillDoc> {
        if self.phase != RequestPhase::Prefill {
            return None;
        }
        let sent_at = self.sent_at?;
        let Some(reading) = &self.reading else {
            return Some(self.predicted_prefill(tokens, now.saturating_duration_since(sent_at)));
        };
        let progress = reading.progress;
        let by_prediction = || {
            let whole = self.expected_prefill?;
            let left = f64::from(progress.left()) / f64::from(progress.total.max(1));
            let since = now.saturating_duration_since(sent_at);
            times(whole, left).checked_sub(since)
        };
        let remaining = if progress.read() == 0 {
            by_prediction()
        } else {
            reading.remaining(sent_at, now)
        };
        Some(PrefillDoc {
            total: progress.total.into(),
            cached: Some(progress.cached.into()),
            processed: progress.processed.into(),
            ratio: f64::from(progress.processed) / f64::from(progress.total.max(1)),
            remaining_s: remaining.map(crucible_documents::seconds),
            source: reading.source,
        })
    }

    /// The estimate of a prompt whose engine reports nothing. It never says that the prompt is read.
    fn predicted_prefill(&self, tokens: u64, since: Duration) -> PrefillDoc {
        const MOST: f64 = 0.99;
        let expected = self.expected_prefill.filter(|whole| !whole.is_zero());
        let ratio = expected.map_or(0.0, |whole| {
            (since.as_secs_f64() / whole.as_secs_f64()).min(MOST)
        });
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a count of tokens, which is exact far beyond any prompt"
        )]
        let processed = (tokens as f64 * ratio) as u64;
        let remaining = expected.and_then(|whole| whole.checked_sub(since));
        PrefillDoc {
            total: tokens,
            cached: None,
            processed,
            ratio,
            remaining_s: remaining.map(crucible_documents::seconds),
            source: PrefillSource::Estimate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(total: u32, cached: u32, processed: u32, time_ms: u32) -> PromptProgress {
        PromptProgress {
            total,
            cached,
            processed,
            time_ms,
        }
    }

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn sent(at: Instant) -> RequestFacts {
        RequestFacts {
            phase: RequestPhase::Prefill,
            sent_at: Some(at),
            expected_prefill: Some(secs(40)),
            ..RequestFacts::default()
        }
    }

    #[test]
    fn only_tokens_that_were_read_are_progress() {
        let start = Instant::now();
        let source = PrefillSource::Engine;
        let first = PromptReading::after(
            None,
            report(100, 60, 60, 0),
            source,
            (start, start + secs(1)),
        );
        assert_eq!((first.grew_at, first.percent()), (start, 60));
        let more = report(100, 60, 80, 2000);
        let second = PromptReading::after(Some(first), more, source, (start, start + secs(3)));
        assert_eq!(second.grew_at, start + secs(3));
        let same = PromptReading::after(Some(second), more, source, (start, start + secs(9)));
        assert_eq!((same.grew_at, same.percent()), (start + secs(3), 80));
    }

    #[test]
    fn the_rest_is_told_by_the_pace_so_far_and_counts_down() {
        let start = Instant::now();
        let mut facts = sent(start);
        let source = PrefillSource::Engine;
        let at = start + secs(11);
        let reading = PromptReading::after(None, report(1000, 200, 600, 8000), source, (start, at));
        facts.reading = Some(reading);
        let told = facts.prefill(7, at + secs(3)).unwrap();
        assert_eq!(
            (told.total, told.cached, told.processed),
            (1000, Some(200), 600)
        );
        assert!((told.ratio - 0.6).abs() < 1e-9);
        assert_eq!(
            (told.remaining_s, told.source),
            (Some(5.0), PrefillSource::Engine)
        );
        // Without a clock of the engine, the time since sending counts.
        let reading = PromptReading::after(
            None,
            report(1000, 200, 600, 0),
            PrefillSource::Runner,
            (start, at),
        );
        facts.reading = Some(reading);
        assert_eq!(facts.prefill(7, at).unwrap().remaining_s, Some(11.0));
        // Nothing was read yet: the predicted time for this share.
        let reading = PromptReading::after(None, report(1000, 500, 500, 0), source, (start, start));
        facts.reading = Some(reading);
        assert_eq!(facts.prefill(7, at).unwrap().remaining_s, Some(9.0));
        facts.phase = RequestPhase::Stream;
        assert_eq!(facts.prefill(7, at), None);
    }

    #[test]
    fn without_reports_the_prediction_is_shown_and_never_says_that_it_is_done() {
        let start = Instant::now();
        let facts = sent(start);
        let told = facts.prefill(1000, start + secs(10)).unwrap();
        assert_eq!((told.total, told.cached, told.processed), (1000, None, 250));
        assert_eq!(
            (told.remaining_s, told.source),
            (Some(30.0), PrefillSource::Estimate)
        );
        let late = facts.prefill(1000, start + secs(50)).unwrap();
        assert_eq!((late.processed, late.remaining_s), (990, None));
    }

    #[test]
    fn a_missed_first_token_says_how_far_the_prompt_was_read() {
        let start = Instant::now();
        let reading = PromptReading::after(
            None,
            report(1000, 0, 620, 9000),
            PrefillSource::Engine,
            (start, start),
        );
        let late = Error::new(ErrorKind::FirstTokenTimeout, "late");
        let told = reading.told_by(late, start + secs(300));
        assert_eq!(
            told.message,
            "late: after 62 % of the prompt, no progress for 300 s"
        );
        let other = Error::new(ErrorKind::EngineCut, "cut");
        assert_eq!(reading.told_by(other, start).message, "cut");
    }
}
