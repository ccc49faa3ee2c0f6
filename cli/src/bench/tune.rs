//! The search of `--tune` over threads, batch size and requests at once. The module is pure: the
//! runs are done elsewhere.
//!
//! This is successive halving: all combinations run once, those nearest to the profile first; then
//! the better half runs again, until one is left. Where time is short, the first sweep covers only
//! the combinations that change a single axis.

use super::{
    stats::{DifferenceVerdict, RunSample, SampleSummary, percent},
    variant::{BenchSetting, BenchVariant},
};

/// The batch sizes to try, in tokens.
pub(super) const BATCHES: [u32; 4] = [128, 256, 512, 1024];
/// The numbers of requests at once to try.
pub(super) const PARALLEL: [u32; 3] = [1, 2, 4];

/// The values to try on each axis; an empty axis keeps the profile's value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TuneAxes {
    /// The numbers of CPU threads to try.
    pub(super) threads: Vec<u32>,
    /// The batch sizes to try, in tokens.
    pub(super) batch: Vec<u32>,
    /// The numbers of requests at once to try.
    pub(super) parallel: Vec<u32>,
    /// Comments for the result: what is not searched or not known, and why.
    pub(super) notes: Vec<&'static str>,
}

/// The candidates of the search with their samples so far.
pub(super) struct TuneSearch {
    /// All combinations of the axes: the profile's first, then those that differ from it on the
    /// fewest axes.
    pub(super) candidates: Vec<BenchVariant>,
    samples: Vec<Vec<RunSample>>,
    /// The indices of the candidates that may still win.
    alive: Vec<usize>,
    /// The memory budget in bytes, which the winner must not exceed.
    budget: Option<u64>,
}

/// The place of a setting in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TunedKey {
    /// A key of the table of tuning settings.
    Table,
    /// A key of the engine's own block.
    Engine,
}

/// The keys of the configuration that a found setting is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TunedKeys {
    /// The header of the table of tuning settings that reach the engine.
    pub(super) table: &'static str,
    /// Whether the table has the number of threads; else the engine does not take it.
    pub(super) threads: bool,
    /// The place of the batch size; in the engine's block it is a flag of its command.
    pub(super) batch: TunedKey,
    /// The place of the number of requests at once: `num_parallel` of the table, which is written
    /// where it was searched, or `permits` of the engine.
    pub(super) parallel: TunedKey,
}

/// The engine whose configuration block is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct TunedEngine<'a> {
    /// The keys that the setting is written to.
    pub(super) keys: TunedKeys,
    /// The engine's name in the configuration.
    pub(super) name: &'a str,
    /// Whether the number of requests at once was searched.
    pub(super) parallel: bool,
    /// Comments for the block: axes that were not searched, facts that are not known, and why.
    pub(super) notes: &'a [&'static str],
}

/// Returns the numbers of threads to try, up to the number of cores.
pub(super) fn threads(cores: u32) -> Vec<u32> {
    let mut counts = vec![cores, cores / 2, cores / 4, 1];
    counts.retain(|n| *n > 0);
    counts.dedup();
    counts
}

// === impl TuneAxes ===

impl TuneAxes {
    /// Whether no axis has a value to try, so that there is nothing to search.
    pub(super) fn is_empty(&self) -> bool {
        self.threads.is_empty() && self.batch.is_empty() && self.parallel.is_empty()
    }

    /// Returns every combination: the start first, then by the number of axes that differ from it.
    fn candidates(&self, start: BenchSetting) -> Vec<BenchVariant> {
        let values = |axis: &[u32], own: Option<u32>| {
            let others = axis.iter().copied().map(Some).filter(move |n| *n != own);
            std::iter::once(own).chain(others).collect::<Vec<_>>()
        };
        let threads = values(&self.threads, start.tuple.threads);
        let batches = values(&self.batch, start.tuple.batch);
        let parallel = values(&self.parallel, Some(start.parallel));
        let mut settings = Vec::new();
        for (i, &threads) in threads.iter().enumerate() {
            for (j, &batch) in batches.iter().enumerate() {
                for (k, &parallel) in parallel.iter().enumerate() {
                    let mut setting = start;
                    setting.tuple.threads = threads;
                    setting.tuple.batch = batch;
                    setting.parallel = parallel.unwrap_or(start.parallel);
                    let differing = [i, j, k].into_iter().filter(|n| *n > 0).count();
                    settings.push((differing, setting));
                }
            }
        }
        settings.sort_by_key(|(differing, _)| *differing);
        settings
            .into_iter()
            .map(|(_, setting)| BenchVariant {
                name: named(&setting),
                setting,
                against: None,
            })
            .collect()
    }
}

fn named(setting: &BenchSetting) -> String {
    let word = |n: Option<u32>| n.map_or_else(|| "auto".to_owned(), |n| n.to_string());
    format!(
        "threads {}, batch {}, parallel {}",
        word(setting.tuple.threads),
        word(setting.tuple.batch),
        setting.parallel
    )
}

// === impl TuneSearch ===

impl TuneSearch {
    /// Begins a search at `start`; `budget` is in bytes, `None` without a limit.
    pub(super) fn new(start: BenchSetting, axes: &TuneAxes, budget: Option<u64>) -> Self {
        let candidates = axes.candidates(start);
        Self {
            samples: vec![Vec::new(); candidates.len()],
            alive: (0..candidates.len()).collect(),
            candidates,
            budget,
        }
    }

    /// Returns the indices of the next sweep, in alternating directions, or `None` when the search
    /// is decided.
    pub(super) fn sweep(&self, number: usize) -> Option<Vec<usize>> {
        let mut order = self.alive.clone();
        if !number.is_multiple_of(2) {
            order.reverse();
        }
        (order.len() > 1).then_some(order)
    }

    /// Adds the sample of a run of the candidate at this index; an index beyond the candidates is
    /// ignored.
    pub(super) fn note(&mut self, candidate: usize, sample: RunSample) {
        if let Some(samples) = self.samples.get_mut(candidate) {
            samples.push(sample);
        }
    }

    /// Keeps the better half of the candidates that were measured and fit into the budget.
    pub(super) fn halve(&mut self) {
        let ranked = self.ranked();
        self.alive = ranked[..ranked.len().div_ceil(2)].to_vec();
        self.alive.sort_unstable();
    }

    /// Returns the best setting so far, or the start where none fits.
    pub(super) fn best(&self) -> Option<BenchSetting> {
        let best = self.ranked().first().copied().unwrap_or(0);
        self.candidates.get(best).map(|c| c.setting)
    }

    /// Returns the number of measured candidates and the number of all candidates.
    pub(super) fn measured(&self) -> (usize, usize) {
        let measured = self.samples.iter().filter(|runs| !runs.is_empty());
        (measured.count(), self.candidates.len())
    }

    /// Returns the candidates that may still win, the best first.
    fn ranked(&self) -> Vec<usize> {
        let mut rates: Vec<(usize, f64)> = self
            .alive
            .iter()
            .filter_map(|&index| {
                let runs = self.samples.get(index)?;
                let fits = runs.iter().all(|run| self.fits(run));
                let rate = throughput(runs).filter(|_| fits)?;
                Some((index, rate.median))
            })
            .collect();
        rates.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        rates.into_iter().map(|(index, _)| index).collect()
    }

    /// Returns whether the sample's memory is within the budget; an unknown size is.
    #[expect(clippy::cast_precision_loss, reason = "bytes of memory are below 2^53")]
    fn fits(&self, sample: &RunSample) -> bool {
        match (sample.memory_bytes, self.budget) {
            (Some(bytes), Some(budget)) => bytes <= budget as f64,
            _ => true,
        }
    }
}

fn throughput(runs: &[RunSample]) -> Option<SampleSummary> {
    SampleSummary::of(runs.iter().map(|sample| sample.tokens_per_s))
}

/// Returns the configuration block to paste, below comments with the measured gain of `tuned` over
/// `profile`.
pub(super) fn block(
    engine: TunedEngine<'_>,
    setting: &BenchSetting,
    profile: &[RunSample],
    tuned: &[RunSample],
) -> String {
    let gain = match (throughput(profile), throughput(tuned)) {
        (Some(before), Some(now)) => {
            let spread =
                |s: &SampleSummary| format!("{:.1} ({:.1}..{:.1})", s.median, s.min, s.max);
            let verdict = now.against(&before, true);
            let change = percent(now.median, before.median)
                .map_or_else(String::new, |p| format!("{p:+.0} %"));
            let advice = match verdict {
                DifferenceVerdict::Better => "",
                _ => "; nothing here proves it better than the profile",
            };
            format!(
                "# {} tok/s in total, profile {} tok/s: {change}, {}{advice}",
                spread(&now),
                spread(&before),
                verdict.word()
            )
        }
        _ => "# not measured against the profile: the time was over".to_owned(),
    };
    let mut lines = vec![format!("# {}", named(setting)), gain];
    lines.extend(engine.notes.iter().map(|note| format!("# {note}")));
    lines.extend(keys(engine, setting));
    lines.join("\n")
}

// === impl TunedKeys ===

impl TunedKeys {
    /// The keys of a server whose other options are flags of its command, such as llama.cpp's.
    pub(super) const FLAGS: Self = Self {
        table: "[tuning.ollama]",
        threads: true,
        batch: TunedKey::Engine,
        parallel: TunedKey::Engine,
    };
}

/// Returns the settings as lines of configuration. Keys of an engine's own block are comments that
/// name the block.
fn keys(engine: TunedEngine<'_>, setting: &BenchSetting) -> Vec<String> {
    let TunedKeys {
        table,
        threads,
        batch,
        parallel,
    } = engine.keys;
    let mut lines = vec![table.to_owned()];
    let mut own = Vec::new();
    if let Some(n) = setting.tuple.threads.filter(|_| threads) {
        lines.push(format!("num_threads = {n}"));
    }
    if parallel == TunedKey::Engine {
        own.push(format!("# permits = {}", setting.parallel));
    }
    if let Some(n) = setting.tuple.batch {
        match batch {
            TunedKey::Table => lines.push(format!("batch_size = {n}")),
            TunedKey::Engine => own.push(format!(
                "# command = [..., \"-b\", \"{n}\", \"-ub\", \"{n}\"]"
            )),
        }
    }
    if parallel == TunedKey::Table && engine.parallel {
        lines.push(format!("num_parallel = {}", setting.parallel));
    }
    if !own.is_empty() {
        lines.push(format!(
            "# and in the [[engine]] block of \"{}\":",
            engine.name
        ));
        lines.append(&mut own);
    }
    lines
}

#[cfg(test)]
mod tests;
