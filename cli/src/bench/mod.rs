//! The command `crucible bench`, which measures the gain of the configured profile over the
//! engine's defaults on the user's own engine and model.

mod caller;
mod chat;
mod driver;
mod llamacpp;
mod lmstudio;
mod ollama;
mod prompt;
mod report;
mod runs;
mod stats;
mod subject;
mod target;
mod tune;
mod unmanaged;
mod variant;

use std::{path::PathBuf, time::Duration};

use clap::Args;
use crucible_config::{Config, LiveConfig};
use crucible_router::{
    machine::{physical_cores, processor_name},
    state_dir::{Hold, StateDir},
};

use self::{report::BenchReport, runs::BenchRuns, subject::BenchSubject};
use crate::{
    CommandFailure, CommonArgs,
    engine_look::look,
    instance,
    output::{write_stderr, write_stdout},
    runtime::runtime,
    signals::InstanceSignals,
    sources,
};

/// The load average per core above which the machine counts as busy.
const BUSY: f64 = 0.5;

/// The arguments of `crucible bench`, which measures the engines of the configuration.
#[derive(Args, Debug)]
pub struct BenchArgs {
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
    /// Also search threads, batch and parallel for the best throughput; prints a block to paste
    #[arg(long)]
    tune: bool,
}

/// Runs `crucible bench`: measures the configured profile beside the engine's defaults on the user's own
/// engine and model.
///
/// # Errors
/// Exit code 1 where nothing could be measured, or measuring would disturb somebody.
pub fn run(common: &CommonArgs, args: &BenchArgs) -> Result<(), CommandFailure> {
    let (common, name) = common.naming();
    let config = sources::load(&common)?;
    runtime()?.block_on(bench(&config, name.as_deref(), args))
}

async fn bench(
    config: &LiveConfig,
    name: Option<&str>,
    args: &BenchArgs,
) -> Result<(), CommandFailure> {
    let current = config.current();
    check_nothing_serves(&current).await?;
    let view = look(config, async |router| router.view()).await?;
    let subject = BenchSubject::choose(current, name, args.model.as_deref(), &view)?;
    write_stderr(&format!(
        "measures {} on {} again and again, for at most {}",
        subject.target.model.id,
        subject.target.view.name,
        humantime::format_duration(args.time),
    ));
    let load_average = load_average();
    warn_if_busy(load_average);
    let mut signals =
        InstanceSignals::listen().map_err(|e| CommandFailure::wrong(format!("signals: {e}")))?;
    let variants = &subject.plan.variants;
    let mut runs = BenchRuns::new(&*subject.driver, args.time);
    let mut samples = vec![Vec::new(); variants.len()];
    let mut tuned = None;
    let work = async {
        // The comparison gets a third of the time, the search the rest.
        let share = if args.tune { args.time / 3 } else { args.time };
        let rounds = args.rounds.into();
        runs.compare(variants, rounds, share, &mut samples).await;
        if args.tune {
            tuned = Some(runs.tune(&subject, rounds).await);
        }
    };
    let stopped = tokio::select! {
        () = work => None,
        _ = signals.next() => Some("stopped by a signal".to_owned()),
    };
    let (refused, ended) = runs.finish();
    subject.driver.clear().await.map_err(|words| {
        CommandFailure::wrong(format!("what was measured could not be unloaded: {words}"))
    })?;
    let options = variants.iter().map(|v| subject.driver.options(&v.setting));
    let report = BenchReport {
        facts: facts(&subject, load_average),
        options: options.collect(),
        variants: subject.plan.variants,
        samples,
        refused,
        fixed: subject.plan.fixed,
        ended: stopped.or(ended),
        tuned,
    };
    write_report(&report, args)
}

/// Refuses to measure beside a running instance, which could load and unload models meanwhile. An
/// instance that listens at another address is found by its lock on the state directory.
async fn check_nothing_serves(config: &Config) -> Result<(), CommandFailure> {
    if instance::find(config).await.is_some() {
        return Err(CommandFailure::wrong(
            "a Crucible serves at the configured address and would load and unload meanwhile: \
             stop it first",
        ));
    }
    if let Hold::Anothers(process) = StateDir::claim(&config.state_dir).hold() {
        let process = process.map_or_else(String::new, |id| format!(" (process {id})"));
        return Err(CommandFailure::wrong(format!(
            "a Crucible{process} serves with this state_dir and would load and unload meanwhile: \
             stop it first"
        )));
    }
    Ok(())
}

fn warn_if_busy(load_average: Option<f64>) {
    let limit = BUSY * f64::from(physical_cores().max(1));
    if let Some(load) = load_average.filter(|load| *load > limit) {
        write_stderr(&format!(
            "this machine is busy (load average {load:.1}): what others compute meanwhile is \
             measured too"
        ));
    }
}

fn write_report(report: &BenchReport, args: &BenchArgs) -> Result<(), CommandFailure> {
    if args.json {
        write_stdout(&report.json().to_string());
    } else {
        write_stdout(&report.text());
    }
    if let Some(path) = args.report.as_deref().map(crucible_config::home::expand) {
        std::fs::write(&path, report.markdown())
            .map_err(|e| CommandFailure::wrong(format!("--report {}: {e}", path.display())))?;
    }
    if report.samples.iter().all(Vec::is_empty) {
        return Err(CommandFailure::wrong("nothing was measured"));
    }
    Ok(())
}

fn facts(subject: &BenchSubject, load_average: Option<f64>) -> Vec<(&'static str, String)> {
    let (engine, model) = (&subject.target.view, &subject.target.model);
    let product = engine.kind.profile().title;
    let version = engine.version.clone().or_else(|| subject.driver.version());
    let logical = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let mut facts = vec![
        (
            "engine",
            format!(
                "{product} {} ({})",
                version.as_deref().unwrap_or("of unknown version"),
                engine.device.as_str()
            ),
        ),
        (
            "model",
            format!(
                "{} {}",
                model.id,
                model.quantization.as_deref().unwrap_or_default()
            )
            .trim_end()
            .to_owned(),
        ),
        (
            "machine",
            format!(
                "{}, {} {}, {} physical cores, {logical} logical",
                processor_name().unwrap_or_else(|| "processor unknown".to_owned()),
                std::env::consts::OS,
                std::env::consts::ARCH,
                physical_cores()
            ),
        ),
        ("crucible", env!("CARGO_PKG_VERSION").to_owned()),
        (
            "profile",
            serde_json::to_value(subject.target.config.profile)
                .ok()
                .and_then(|v| v.as_str().map(str::to_owned))
                .unwrap_or_default(),
        ),
    ];
    facts.extend(load_average.map(|load| ("load average before", format!("{load:.1}"))));
    facts
}

/// Returns the number of runnable processes, averaged over the last minute (`/proc/loadavg`,
/// proc(5)); `None` where the system does not say.
fn load_average() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().next()?.parse().ok()
}
