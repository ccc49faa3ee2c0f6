//! `crucible replay`: what the requests of the event log would have met under other settings.
//!
//! Nothing is asked of an engine and nothing is changed: the log goes through the scheduler on a
//! simulated clock.

mod learn;
mod show;

use std::path::PathBuf;

use clap::Args;
use crucible_config::{Config, layers};
use crucible_documents::event_log::{EVENT_LOG_FILE, OLDER_EVENT_LOG_FILE, read_event_log};
use crucible_router::{
    replay::{
        BaselinePolicy, ReplayOutcome, ServiceOrder, SimulatedMachine, fewest_loads, simulate,
    },
    scheduler::Scheduler,
};

use self::learn::Learned;
use crate::{
    CommandFailure, CommonArgs, OutputArgs,
    output::{complain, say},
    sources,
};

/// The arguments of the command.
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

/// One way to serve the log.
struct Run {
    name: &'static str,
    /// For people.
    title: String,
    outcome: ReplayOutcome,
}

/// All that is told.
struct Replayed {
    learned: Learned,
    /// As logged, under the current settings, then under the changed ones, then simple policies.
    runs: Vec<Run>,
    fewest_loads: usize,
    corrupt: usize,
    dropped: u64,
    set: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// Exit code 1 where there is no log or no request in it, 2 where a setting is wrong.
pub fn run(common: &CommonArgs, args: &ReplayArgs) -> Result<(), CommandFailure> {
    let current = config(common, &[])?;
    let changed = match &args.set[..] {
        [] => None,
        set => Some(config(common, set)?),
    };
    let paths = match &args.log {
        Some(path) => vec![crucible_config::home::expand(path)],
        None => [OLDER_EVENT_LOG_FILE, EVENT_LOG_FILE]
            .map(|name| current.state_dir.join(name))
            .to_vec(),
    };
    let log = read_event_log(&paths).map_err(|unreadable| {
        CommandFailure::wrong(format!(
            "{}: {}; `crucible serve` writes it while log.events is true, or name one with --log",
            unreadable.path.display(),
            unreadable.error
        ))
    })?;
    let corrupt = log.corrupt;
    let Some(learned) = Learned::of(&log.events) else {
        let path = paths.last().map(|p| p.display().to_string());
        return Err(CommandFailure::wrong(format!(
            "{}: no request to replay among {} lines and {corrupt} that are no events; send some \
             traffic through `crucible serve` first",
            path.unwrap_or_default(),
            log.events.len(),
        )));
    };
    if corrupt > 0 {
        complain(&format!("{corrupt} lines are no events and were skipped"));
    }
    if log.dropped > 0 {
        complain(&format!(
            "{} events are missing: they came faster than the disk took them",
            log.dropped
        ));
    }
    let replayed = replay(learned, current, changed, &args.set);
    let replayed = Replayed {
        corrupt,
        dropped: log.dropped,
        ..replayed
    };
    say(&if args.output.json {
        show::json(&replayed).to_string()
    } else {
        show::text(&replayed)
    });
    Ok(())
}

/// The configuration with these settings above everything.
fn config(common: &CommonArgs, set: &[String]) -> Result<Config, CommandFailure> {
    let mut sources = sources::sources(common);
    sources.flags.set = set.to_vec();
    let loaded = layers::load(&sources).map_err(|problems| sources::broken(&problems))?;
    if !loaded.warnings.0.is_empty() && set.is_empty() {
        complain(&loaded.warnings.to_string());
    }
    Ok(loaded.config)
}

fn replay(learned: Learned, current: Config, changed: Option<Config>, set: &[String]) -> Replayed {
    let trace = &learned.trace;
    let machine = |config| SimulatedMachine {
        config,
        engines: learned.engines.clone(),
    };
    let ours = |machine: &SimulatedMachine| simulate(&mut Scheduler::default(), trace, machine);
    let current = machine(current);
    let mut runs = vec![
        Run {
            name: "logged",
            title: "as it was".to_owned(),
            outcome: learned.logged.clone(),
        },
        Run {
            name: "current",
            title: "replayed".to_owned(),
            outcome: ours(&current),
        },
    ];
    if let Some(changed) = changed {
        runs.push(Run {
            name: "changed",
            title: set.join(" "),
            outcome: ours(&machine(changed)),
        });
    }
    let simple = [
        (ServiceOrder::Collate, "collate", "by model"),
        (ServiceOrder::Strict, "first_come", "in order"),
    ];
    for (order, name, title) in simple {
        runs.push(Run {
            name,
            title: title.to_owned(),
            outcome: simulate(&mut BaselinePolicy::new(order, &current), trace, &current),
        });
    }
    Replayed {
        fewest_loads: fewest_loads(trace, &current),
        runs,
        corrupt: 0,
        dropped: 0,
        set: set.to_vec(),
        learned,
    }
}
