//! How far the prompt of a request is read, by what its engine reports or else by a prediction.

use std::time::Duration;

use crucible_documents::state::PrefillSource;
use tokio::time::Instant;

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
pub(super) fn times(time: Duration, factor: f64) -> Duration {
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
    pub(super) fn remaining(&self, sent_at: Instant, now: Instant) -> Option<Duration> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{progress, secs};

    #[test]
    fn only_tokens_that_were_read_are_progress() {
        let start = Instant::now();
        let source = PrefillSource::Engine;
        let first = PromptReading::after(
            None,
            progress(100, 60, 60, 0),
            source,
            (start, start + secs(1)),
        );
        assert_eq!((first.grew_at, first.percent()), (start, 60));
        let more = progress(100, 60, 80, 2000);
        let second = PromptReading::after(Some(first), more, source, (start, start + secs(3)));
        assert_eq!(second.grew_at, start + secs(3));
        let same = PromptReading::after(Some(second), more, source, (start, start + secs(9)));
        assert_eq!((same.grew_at, same.percent()), (start + secs(3), 80));
    }

    #[test]
    fn a_missed_first_token_says_how_far_the_prompt_was_read() {
        let start = Instant::now();
        let reading = PromptReading::after(
            None,
            progress(1000, 0, 620, 9000),
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
