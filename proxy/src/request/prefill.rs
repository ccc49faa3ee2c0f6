//! The prefill of a request as the state shows it: by its engine's reports, or by a prediction.

use std::time::Duration;

use crucible_documents::state::{PrefillDoc, PrefillSource};
use tokio::time::Instant;

use super::{
    facts::{RequestFacts, RequestPhase},
    prompt_reading::times,
};

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
    use crate::{
        request::PromptReading,
        testing::{progress, secs},
    };

    fn sent(at: Instant) -> RequestFacts {
        RequestFacts {
            phase: RequestPhase::Prefill,
            sent_at: Some(at),
            expected_prefill: Some(secs(40)),
            ..RequestFacts::default()
        }
    }

    #[test]
    fn the_rest_is_told_by_the_pace_so_far_and_counts_down() {
        let start = Instant::now();
        let mut facts = sent(start);
        let source = PrefillSource::Engine;
        let at = start + secs(11);
        let reading =
            PromptReading::after(None, progress(1000, 200, 600, 8000), source, (start, at));
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
            progress(1000, 200, 600, 0),
            PrefillSource::Runner,
            (start, at),
        );
        facts.reading = Some(reading);
        assert_eq!(facts.prefill(7, at).unwrap().remaining_s, Some(11.0));
        // Nothing was read yet: the predicted time for this share.
        let reading =
            PromptReading::after(None, progress(1000, 500, 500, 0), source, (start, start));
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
}
