//! The time that an engine has for the first token, as long as it reads the prompt and no answer of it
//! has begun.

use std::{pin::pin, time::Duration};

use crucible_config::Config;
use crucible_router::{machine::awake::within, predict};
use tokio::time::Instant;

use crate::{error::Error, request::ActiveRequest, state::AppState};

/// The longest time limit, which can be added to any instant without overflow.
const LONGEST: Duration = Duration::from_hours(24);

/// The limits of the time from sending a request to the first token of its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct FirstTokenBudget {
    /// The most time from sending, or from the last report that the engine has read on in the prompt.
    pub(super) silent: Duration,
    /// The most time from sending, however much the engine reports.
    pub(super) longest: Duration,
}

// === impl FirstTokenBudget ===

impl FirstTokenBudget {
    /// Returns `timeouts.first_token`, or three times the predicted time of reading the prompt where that
    /// is longer; as long as the engine reads on, it is `timeouts.response`, where that is longer.
    pub(super) fn of(config: &Config, expected_prefill: Duration) -> Self {
        let first_token = config.timeouts.first_token;
        let silent = first_token
            .max(expected_prefill.saturating_mul(3))
            .min(LONGEST);
        Self {
            silent,
            longest: config.timeouts.response.min(LONGEST).max(silent),
        }
    }

    /// Returns the output of the future that waits for the beginning of an answer; `None` where it is
    /// late although the prompt is not read on.
    pub(super) async fn wait<F: Future>(
        self,
        active: &ActiveRequest,
        sent_at: Instant,
        future: F,
    ) -> Option<F::Output> {
        let mut future = pin!(future);
        let mut from = sent_at;
        loop {
            let deadline = (from + self.silent).min(sent_at + self.longest);
            if let Some(output) = within(deadline, self.silent, future.as_mut()).await {
                return Some(output);
            }
            let reading = active.note(|record| record.reading);
            from = reading.map(|r| r.grew_at).filter(|at| *at > from)?;
        }
    }
}

/// Returns the error of an engine that is late with its first token, with how far it read the prompt.
pub(super) fn late(active: &ActiveRequest, error: Error) -> Error {
    match active.note(|record| record.reading) {
        Some(reading) => reading.told_by(error, Instant::now()),
        None => error,
    }
}

/// Returns the predicted time in which the engine reads a prompt of `estimate` tokens; zero for an
/// unknown engine.
pub(super) fn expected_prefill(
    app: &AppState,
    engine: &str,
    model: &str,
    estimate: u64,
) -> Duration {
    let view = app.router.view();
    view.engine(engine).map_or(Duration::ZERO, |engine| {
        predict::prefill(&view.measurements, engine, model, estimate).time
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crucible_documents::state::PrefillSource;
    use tokio::time::sleep;

    use super::*;
    use crate::{
        dialect, endpoint::Endpoint, pipeline::prompt_watch::note, request::RequestPhase,
        usage::PromptProgress,
    };

    const BUDGET: FirstTokenBudget = FirstTokenBudget {
        silent: Duration::from_secs(300),
        longest: Duration::from_secs(600),
    };

    /// Waits for an answer that never comes, of an engine that reads `every` so many seconds, `times`
    /// times; returns the seconds until it is given up.
    async fn given_up_after(every: u64, times: u32) -> u64 {
        let sent_at = Instant::now();
        let active = Arc::new(ActiveRequest::new(
            "r".into(),
            Endpoint::Chat,
            dialect::unasked(),
        ));
        active.note(|record| {
            record.phase = RequestPhase::Prefill;
            record.sent_at = Some(sent_at);
        });
        let reads = async {
            for n in 1..=times {
                sleep(Duration::from_secs(every)).await;
                let progress = PromptProgress {
                    total: 1000,
                    processed: n * 10,
                    ..PromptProgress::default()
                };
                note(&active, progress, PrefillSource::Runner, Instant::now());
            }
            std::future::pending::<()>().await;
        };
        let answer = BUDGET.wait(&active, sent_at, reads).await;
        assert!(answer.is_none());
        sent_at.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_reads_on_is_waited_for_and_one_that_stops_is_given_up() {
        for (every, times, after) in [(100, 0, 300), (100, 1, 400), (299, 2, 600), (10, 100, 600)] {
            assert_eq!(given_up_after(every, times).await, after, "{every} {times}");
        }
    }
}
