//! The runs of a benchmark: their order, their time limit and their progress bar.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use super::{
    driver::{BenchDriver, RunFailure},
    stats::{RunSample, schedule},
    subject::BenchSubject,
    tune::{self, TuneSearch, TunedEngine},
    variant::{BenchSetting, BenchVariant},
};

/// The runs of one benchmark on one engine, within a time limit.
pub(super) struct BenchRuns<'a> {
    driver: &'a dyn BenchDriver,
    /// The time at which the benchmark must end.
    limit: Instant,
    /// The length of the longest run so far. A run begins only if one of this length would end in
    /// time.
    longest: Duration,
    count: usize,
    bar: ProgressBar,
    /// The settings that the engine refused, each with its variant's name and the engine's message.
    refused: Vec<(BenchSetting, String, String)>,
    ended: Option<String>,
}

/// The reason why a series of runs ended before all rounds were done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SeriesEnd {
    /// The time is over.
    TimeLimit,
    /// The engine cannot be measured any further.
    Final,
}

// === impl BenchRuns ===

impl<'a> BenchRuns<'a> {
    /// Starts the time limit of the benchmark: its runs end `time` from now.
    pub(super) fn new(driver: &'a dyn BenchDriver, time: Duration) -> Self {
        Self {
            driver,
            limit: Instant::now() + time,
            longest: Duration::ZERO,
            count: 0,
            bar: bar(),
            refused: Vec::new(),
            ended: None,
        }
    }

    /// Ends the progress bar. Returns the refused variants with the engine's messages, and the
    /// reason of an early end.
    pub(super) fn finish(self) -> (Vec<(String, String)>, Option<String>) {
        self.bar.finish_and_clear();
        let refused = self.refused.into_iter();
        (
            refused.map(|(_, name, words)| (name, words)).collect(),
            self.ended,
        )
    }

    /// Runs the variants in turn until all rounds are done or the time is over.
    pub(super) async fn compare(
        &mut self,
        variants: &[BenchVariant],
        rounds: usize,
        time: Duration,
        samples: &mut [Vec<RunSample>],
    ) {
        let until = self.limit.min(Instant::now() + time);
        if self.rounds(variants, rounds, until, samples).await == Err(SeriesEnd::TimeLimit) {
            self.ended = Some("the time limit".to_owned());
        }
    }

    async fn rounds(
        &mut self,
        variants: &[BenchVariant],
        rounds: usize,
        until: Instant,
        samples: &mut [Vec<RunSample>],
    ) -> Result<(), SeriesEnd> {
        for index in schedule(variants.len(), rounds) {
            if let (Some(variant), Some(into)) = (variants.get(index), samples.get_mut(index)) {
                into.extend(self.run(variant, until).await?);
            }
        }
        Ok(())
    }

    /// Does one run and returns its sample, or `None` where the engine refuses the setting.
    async fn run(
        &mut self,
        variant: &BenchVariant,
        until: Instant,
    ) -> Result<Option<RunSample>, SeriesEnd> {
        if self.ended.is_some() {
            return Err(SeriesEnd::Final);
        }
        let refused = |(setting, ..): &(BenchSetting, String, String)| *setting == variant.setting;
        if self.refused.iter().any(refused) {
            return Ok(None);
        }
        let began = Instant::now();
        if began + self.longest > until {
            return Err(SeriesEnd::TimeLimit);
        }
        self.bar.inc_length(1);
        self.bar.set_message(variant.name.clone());
        self.count += 1;
        let measured = self.driver.measure(&variant.setting, self.count).await;
        self.longest = self.longest.max(began.elapsed());
        self.bar.inc(1);
        match measured {
            Ok(sample) => Ok(Some(sample)),
            Err(RunFailure::Refused(words)) => {
                self.refused
                    .push((variant.setting, variant.name.clone(), words));
                Ok(None)
            }
            Err(RunFailure::Final(words)) => {
                self.ended = Some(words);
                Err(SeriesEnd::Final)
            }
        }
    }

    /// Searches for three quarters of the time that is left, then compares the winner with the
    /// profile in the rest. Returns the configuration block to paste, with comments.
    pub(super) async fn tune(&mut self, subject: &BenchSubject, rounds: usize) -> String {
        let plan = &subject.plan;
        if plan.axes.is_empty() {
            let notes = plan.axes.notes.iter().map(|note| format!("\n# {note}"));
            return format!("# nothing to search{}", notes.collect::<String>());
        }
        // The comparison's own limit is reported; the search is short by design.
        let time_limit = self.ended.take_if(|words| words == "the time limit");
        let left = self.limit.saturating_duration_since(Instant::now());
        let mut search = TuneSearch::new(plan.profile, &plan.axes, subject.target.view.budget);
        self.search(&mut search, self.limit - left / 4, left / 2)
            .await;
        let best = search.best().unwrap_or(plan.profile);
        let (measured, all) = search.measured();
        let found = if best == plan.profile {
            "# nothing was faster than the profile".to_owned()
        } else {
            let last = [plan.profile, best].map(|setting| BenchVariant {
                name: "profile against the best".to_owned(),
                setting,
                against: None,
            });
            let mut samples = [Vec::new(), Vec::new()];
            // What there is counts.
            let _ = self.rounds(&last, rounds, self.limit, &mut samples).await;
            let engine = TunedEngine {
                keys: plan.keys,
                name: &subject.target.engine.name,
                parallel: !plan.axes.parallel.is_empty(),
                notes: &plan.axes.notes,
            };
            tune::block(engine, &best, &samples[0], &samples[1])
        };
        self.ended = self.ended.take().or(time_limit);
        format!("# {measured} of {all} combinations measured\n{found}")
    }

    /// Sweeps over the candidates until one is left or `until` has come; the first sweep takes at
    /// most `first`.
    async fn search(&mut self, search: &mut TuneSearch, until: Instant, first: Duration) {
        let mut sweep_until = until.min(Instant::now() + first);
        for number in 0.. {
            let Some(order) = search.sweep(number) else {
                return;
            };
            let mut cut = None;
            for index in order {
                let Some(candidate) = search.candidates.get(index).cloned() else {
                    continue;
                };
                match self.run(&candidate, sweep_until).await {
                    Ok(Some(sample)) => search.note(index, sample),
                    Ok(None) => {}
                    Err(end) => {
                        cut = Some(end);
                        break;
                    }
                }
            }
            if cut == Some(SeriesEnd::Final) || (cut.is_some() && number > 0) {
                return;
            }
            search.halve();
            sweep_until = until;
        }
    }
}

/// Returns the progress bar, which is drawn only on a terminal.
fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} {elapsed}") {
        bar.set_style(style);
    }
    bar
}
