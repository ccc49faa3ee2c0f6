//! `crucible bench`: what the profile is worth on the user's own engine and model.

mod ollama;
mod report;
mod stats;
mod tune;
mod variant;

use std::{path::PathBuf, time::Duration};

use clap::Args;
use crucible_config::{
    Live,
    checked::{Device, EngineKind},
};
use crucible_router::{
    catalog::{ModelInfo, ModelKind},
    engine::{Tuple, physical_cores, processor, tuple_for},
    view::EngineView,
};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use self::{
    ollama::Ollama,
    report::Report,
    stats::{Sample, schedule},
    variant::{Variant, variants},
};
use super::{
    Common, Failure,
    models::look,
    output::{complain, say},
    serve::runtime,
    sources,
    tunings::ask,
};
use crate::{admin::state::device_word, signals::Signals};

/// Rounds of a step of `--tune`.
const TUNE_ROUNDS: usize = 3;

#[derive(Args, Debug)]
pub(super) struct BenchArgs {
    /// The model to measure [default: the smallest]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// No run begins that would end after this
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = humantime::parse_duration)]
    time: Duration,
    /// Runs of each variant; fewer than 4 decide nothing
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// JSON for scripts
    #[arg(long)]
    json: bool,
    /// Also write a Markdown report
    #[arg(long, value_name = "FILE.md")]
    report: Option<PathBuf>,
    /// Also search threads and batch for the best throughput; prints a block to paste
    #[arg(long)]
    tune: bool,
}

/// What is measured.
struct Subject {
    engine: EngineView,
    model: ModelInfo,
    bare: Tuple,
    profile: Tuple,
}

/// Runs, their clock and their progress.
struct Bench {
    ollama: Ollama,
    until: Instant,
    longest: Duration,
    runs: usize,
    bar: ProgressBar,
    ended: Option<String>,
}

pub(super) fn run(common: &Common, args: &BenchArgs) -> Result<(), Failure> {
    let (common, name) = common.naming();
    let config = sources::load(&common)?;
    runtime()?.block_on(bench(&config, name.as_deref(), args))
}

async fn bench(config: &Live, name: Option<&str>, args: &BenchArgs) -> Result<(), Failure> {
    let current = config.current();
    if ask(&current).await.is_some() {
        return Err(Failure::wrong(
            "a Crucible serves at the configured address and would load and unload meanwhile: \
             stop it first",
        ));
    }
    let view = look(config, async |router| router.view()).await?;
    let subject = subject(config, name, args, &view.engines)?;
    let ollama = Ollama::new(&subject.engine.url, &subject.model.id).map_err(Failure::wrong)?;
    complain(&format!(
        "loads {} on {} again and again, for at most {}",
        subject.model.id,
        subject.engine.name,
        humantime::format_duration(args.time),
    ));
    let mut signals = Signals::listen().map_err(|e| Failure::wrong(format!("signals: {e}")))?;
    let compared = variants(subject.bare, subject.profile);
    let mut bench = Bench {
        ollama,
        until: Instant::now() + args.time,
        longest: Duration::ZERO,
        runs: 0,
        bar: bar(),
        ended: None,
    };
    let mut samples = vec![Vec::new(); compared.len()];
    let mut tuned = None;
    let work = async {
        let limit = bench.until;
        if args.tune {
            // The comparison gets half of the time, the search the rest.
            bench.until -= args.time / 2;
        }
        bench
            .round_robin(&compared, args.rounds.into(), &mut samples)
            .await;
        bench.until = limit;
        if args.tune {
            tuned = Some(bench.tune(&subject, args.rounds.into()).await);
        }
    };
    let stopped = tokio::select! {
        () = work => None,
        _ = signals.next() => Some("stopped by a signal".to_owned()),
    };
    bench.bar.finish_and_clear();
    bench.ollama.clear().await.map_err(|words| {
        Failure::wrong(format!("what was measured could not be unloaded: {words}"))
    })?;
    bench.ended = stopped.or(bench.ended);
    let report = Report {
        facts: facts(&subject, config),
        variants: compared,
        samples,
        ended: bench.ended,
        tuned,
    };
    tell(&report, args)
}

fn tell(report: &Report, args: &BenchArgs) -> Result<(), Failure> {
    if args.json {
        say(&report.json().to_string());
    } else {
        say(&report.text());
    }
    if let Some(path) = &args.report {
        std::fs::write(path, report.markdown())
            .map_err(|e| Failure::wrong(format!("--report {}: {e}", path.display())))?;
    }
    if report.samples.iter().all(Vec::is_empty) {
        return Err(Failure::wrong("nothing was measured"));
    }
    Ok(())
}

/// Chooses engine and model; refuses what would take a model from somebody.
fn subject(
    config: &Live,
    name: Option<&str>,
    args: &BenchArgs,
    engines: &[EngineView],
) -> Result<Subject, Failure> {
    let engine = engines
        .iter()
        .filter(|engine| engine.is_up())
        .find(|engine| match name {
            Some(name) => *engine.name == *name,
            None => engine.kind == EngineKind::Ollama,
        })
        .ok_or_else(|| match name {
            Some(name) => Failure::wrong(format!("--engine {name}: no such engine answers")),
            None => Failure::wrong("no Ollama answers; bench measures Ollama only"),
        })?
        .clone();
    if engine.kind != EngineKind::Ollama {
        return Err(Failure::usage(format!(
            "--engine {}: bench measures Ollama only: it takes load options with each request and \
             tells its own durations",
            engine.name
        )));
    }
    let model = engine
        .models
        .iter()
        .filter(|model| model.kind == ModelKind::Generation && !model.cloud)
        .filter(|model| args.model.as_ref().is_none_or(|name| *model.id == **name))
        .min_by_key(|model| model.size_bytes.unwrap_or(u64::MAX))
        .cloned()
        .ok_or_else(|| match &args.model {
            Some(name) => Failure::wrong(format!(
                "--model {name}: {} has no such local model that generates",
                engine.name
            )),
            None => Failure::wrong(format!("{} has no model that generates", engine.name)),
        })?;
    leaves_all(&engine)?;
    let current = config.current();
    let profile = tuple_for(
        EngineKind::Ollama,
        &current.tuning,
        current.tuning.ollama.context_size,
        ModelKind::Generation,
        engine.device == Device::Cpu,
        physical_cores(),
        model.max_context,
    );
    // Which device is used is no setting of the profile: the defaults stay on the same one.
    let bare = Tuple {
        gpu_layers: profile.gpu_layers,
        ..Tuple::default()
    };
    Ok(Subject {
        engine,
        model,
        bare,
        profile,
    })
}

/// What is loaded is somebody's: it stays, and nothing is measured beside it.
fn leaves_all(engine: &EngineView) -> Result<(), Failure> {
    let Some(resident) = engine.residents.first() else {
        return Ok(());
    };
    let name = &resident.info.model;
    Err(Failure::wrong(format!(
        "{name} is loaded on {}: bench would evict it. Unload it yourself first (ollama stop {name})",
        engine.name
    )))
}

fn facts(subject: &Subject, config: &Live) -> Vec<(&'static str, String)> {
    let engine = &subject.engine;
    let logical = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    vec![
        (
            "engine",
            format!(
                "Ollama {} ({})",
                engine.version.as_deref().unwrap_or("of unknown version"),
                device_word(engine.device)
            ),
        ),
        (
            "model",
            format!(
                "{} {}",
                subject.model.id,
                subject.model.quantization.as_deref().unwrap_or_default()
            )
            .trim_end()
            .to_owned(),
        ),
        (
            "machine",
            format!(
                "{}, {} {}, {} physical cores, {logical} logical",
                processor().unwrap_or_else(|| "processor unknown".to_owned()),
                std::env::consts::OS,
                std::env::consts::ARCH,
                physical_cores()
            ),
        ),
        ("crucible", env!("CARGO_PKG_VERSION").to_owned()),
        (
            "profile",
            serde_json::to_value(config.current().profile)
                .ok()
                .and_then(|v| v.as_str().map(str::to_owned))
                .unwrap_or_default(),
        ),
    ]
}

/// Seen on a terminal only.
fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} {elapsed}") {
        bar.set_style(style);
    }
    bar
}

// === impl Bench ===

impl Bench {
    /// Runs the variants in turn until the rounds or the time are over.
    async fn round_robin(
        &mut self,
        variants: &[Variant],
        rounds: usize,
        samples: &mut [Vec<Sample>],
    ) {
        let order = schedule(variants.len(), rounds);
        self.bar.inc_length(order.len() as u64);
        for index in order {
            let (Some(variant), Some(into)) = (variants.get(index), samples.get_mut(index)) else {
                continue;
            };
            let began = Instant::now();
            if began + self.longest > self.until {
                self.ended = Some("the time limit".to_owned());
                return;
            }
            self.bar.set_message(variant.name.clone());
            self.runs += 1;
            match self.ollama.measure(&variant.tuple, self.runs).await {
                Ok(sample) => into.push(sample),
                Err(words) => {
                    self.ended = Some(words);
                    return;
                }
            }
            self.longest = self.longest.max(began.elapsed());
            self.bar.inc(1);
        }
    }

    /// Threads, then batch, then the winner against the profile.
    async fn tune(&mut self, subject: &Subject, rounds: usize) -> String {
        let (limit, step) = (
            self.until,
            self.until.saturating_duration_since(Instant::now()) / 3,
        );
        let mut best = subject.profile;
        for (n, batch) in [(2, false), (1, true)] {
            self.until = limit - step * n;
            let candidates = if batch {
                tune::batches(best)
            } else {
                tune::threads(best, physical_cores())
            };
            let mut samples = vec![Vec::new(); candidates.len()];
            self.round_robin(&candidates, TUNE_ROUNDS, &mut samples)
                .await;
            best = tune::best(&candidates, &samples, subject.engine.budget);
        }
        self.until = limit;
        if best == subject.profile {
            return "# nothing was faster than the profile".to_owned();
        }
        let last = [subject.profile, best].map(|tuple| Variant {
            name: "profile against the best".to_owned(),
            tuple,
            against: None,
        });
        let mut samples = [Vec::new(), Vec::new()];
        self.round_robin(&last, rounds, &mut samples).await;
        tune::block(&best, &samples[0], &samples[1])
    }
}
