//! The command `crucible replay`, which shows the waits and loads that the requests of the event
//! log would have met under other settings.
//!
//! No engine receives a request and nothing is changed: the log goes through the scheduler on a
//! simulated clock.

mod comparison;
mod logged_traffic;
mod show;

use std::path::PathBuf;

use clap::Args;
use crucible_config::{Config, layers};

use self::{comparison::ReplayComparison, logged_traffic::LoggedTraffic};
use crate::{
    CommandFailure, CommonArgs, OutputArgs, logged_events,
    output::{write_stderr, write_stdout},
    sources,
};

/// The arguments of `crucible replay`, which runs recorded requests through the scheduler without an
/// engine.
#[derive(Args, Debug)]
pub struct ReplayArgs {
    /// Event log to read [default: both files in `state_dir`]
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// A setting to try, for example pool.gpu.budget=12GB; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs `crucible replay`: simulates the logged requests under the present settings and under changed ones.
///
/// # Errors
/// Exit code 1 where there is no log or no request in it, 2 where a setting is wrong.
pub fn run(common: &CommonArgs, args: &ReplayArgs) -> Result<(), CommandFailure> {
    let current = config(common, &[])?;
    let changed = match &args.set[..] {
        [] => None,
        set => Some(config(common, set)?),
    };
    let (log, newest) = logged_events::read(&current.state_dir, args.log.as_deref())?;
    let corrupt = log.corrupt;
    let Some(traffic) = LoggedTraffic::of(&log.events) else {
        return Err(CommandFailure::wrong(format!(
            "{}: no request to replay among {} lines and {corrupt} that are no events; send some \
             traffic through `crucible serve` first",
            newest.display(),
            log.events.len(),
        )));
    };
    for gap in logged_events::gaps(&log) {
        write_stderr(&gap);
    }
    let comparison = ReplayComparison {
        corrupt,
        dropped: log.dropped,
        ..ReplayComparison::simulate(traffic, current, changed, &args.set)
    };
    write_stdout(&if args.output.json {
        show::json(&comparison).to_string()
    } else {
        show::text(&comparison)
    });
    Ok(())
}

/// Loads the configuration with these settings above all layers.
fn config(common: &CommonArgs, set: &[String]) -> Result<Config, CommandFailure> {
    let mut sources = sources::sources(common);
    sources.flags.set = set.to_vec();
    let loaded = layers::load(&sources).map_err(|problems| sources::broken(&problems))?;
    if !loaded.warnings.0.is_empty() && set.is_empty() {
        write_stderr(&loaded.warnings.to_string());
    }
    Ok(loaded.config)
}
