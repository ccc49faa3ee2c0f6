//! `crucible usage`: what was used, by key, client, model or day, from the event log.
//!
//! ```text
//! $ crucible usage --by model --since 7d
//! model               requests  failed   prompt  cached  answers  on gpu    on cpu     energy
//! lmstudio/qwen-7b         412       3   8.12 M   91 %   402.1 k  2 h 10 m  -          310 Wh
//! ollama/llama3.2:3b        58       0  120.4 k    -      20.3 k  -         31 m 5 s    12 Wh
//! all                      470       3   8.24 M   90 %   422.4 k  2 h 10 m  31 m 5 s   322 Wh
//! ```
//!
//! The command reads the files that `crucible serve` writes and asks nobody. `account` adds the lines up,
//! `energy` divides what the machine's counters measured among the requests that ran meanwhile, and
//! `show` writes tables or JSON.

mod account;
mod energy;
mod grouping;
mod period;
mod show;

use std::path::PathBuf;

use clap::Args;
use jiff::{Timestamp, tz::TimeZone};

pub use self::grouping::UsageGrouping;
use self::{account::UsageAccount, period::UsagePeriod};
use crate::{
    CommandFailure, CommonArgs, OutputArgs, logged_events,
    output::{to_json, write_stderr, write_stdout},
    sources,
};

/// The arguments of `crucible usage`.
#[derive(Args, Debug)]
pub struct UsageArgs {
    /// What the rows are
    #[arg(long, value_enum, default_value = "model", value_name = "ROWS")]
    by: UsageGrouping,
    /// Begin of the period: a day such as 2026-11-01, or a time before now such as 24h or 7d [default: the
    /// whole log]
    #[arg(long, value_name = "DAY|TIME")]
    since: Option<String>,
    /// A log file to read, or the folder of both [default: `state_dir`]
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs `crucible usage`: prints requests, tokens, time and energy by key, client, model or day, from the
/// event log.
///
/// # Errors
/// Exit code 1 where there is no log, 2 where `--since` cannot be read or the configuration is wrong.
pub fn run(common: &CommonArgs, args: &UsageArgs) -> Result<(), CommandFailure> {
    let zone = TimeZone::system();
    if zone.is_unknown() {
        write_stderr(&no_zone(std::env::var("TZ").ok().as_deref()));
    }
    let period = UsagePeriod::since(args.since.as_deref(), Timestamp::now(), &zone)
        .map_err(CommandFailure::usage)?;
    let config = sources::load(common)?.current();
    let (log, _) = logged_events::read(&config.state_dir, args.log.as_deref())?;
    for gap in logged_events::gaps(&log) {
        write_stderr(&gap);
    }
    let account = UsageAccount::of(&log.events, args.by, period, &zone);
    write_stdout(&if args.output.json {
        to_json(&account.document(&log))?
    } else {
        show::text(&account, &zone)
    });
    Ok(())
}

/// Returns what a reader of days should know where the time zone of this machine cannot be told.
fn no_zone(variable: Option<&str>) -> String {
    let why = variable.map_or_else(
        || "this machine tells no time zone".to_owned(),
        |name| format!("TZ={name:?} is no time zone that is known here"),
    );
    format!("{why}; days and times are those of UTC")
}
