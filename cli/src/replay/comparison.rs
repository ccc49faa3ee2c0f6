//! The comparison that `crucible replay` makes: the logged requests as they were served, and as
//! they would have been served under other settings and policies.

use crucible_config::Config;
use crucible_router::{
    replay::{
        BaselinePolicy, ReplayOutcome, ServiceOrder, SimulatedMachine, fewest_loads, simulate,
    },
    scheduler::Scheduler,
};

use super::logged_traffic::LoggedTraffic;

/// The outcome of serving the logged requests in one way.
pub(super) struct ReplayedRun {
    /// The key of the run in the JSON form: `logged`, `current`, `changed`, `collate` or `first_come`.
    pub(super) name: &'static str,
    /// The name of the run in the tables.
    pub(super) title: String,
    /// The loads and waiting times that the requests had in this run.
    pub(super) outcome: ReplayOutcome,
}

/// The outcomes of the same requests under different settings and policies.
pub(super) struct ReplayComparison {
    /// The requests and engines as the event log has them.
    pub(super) traffic: LoggedTraffic,
    /// The runs: as logged, under the current settings, under the changed ones if there are any, then
    /// under two simple policies.
    pub(super) runs: Vec<ReplayedRun>,
    /// The smallest number of loads with which any policy could serve the requests in their order.
    pub(super) fewest_loads: usize,
    /// The number of lines of the log that are no events.
    pub(super) corrupt: usize,
    /// The number of events that the log itself reports as lost.
    pub(super) dropped: u64,
    /// The changed settings as they were given, `KEY=VALUE`.
    pub(super) set: Vec<String>,
}

// === impl ReplayComparison ===

impl ReplayComparison {
    /// Replays the logged traffic under the `current` configuration, under the `changed` one where there
    /// is one, and under two simple policies for comparison. `set` holds the settings as they were given;
    /// the counts of the log's faulty lines are 0 until the caller fills them in.
    pub(super) fn simulate(
        traffic: LoggedTraffic,
        current: Config,
        changed: Option<Config>,
        set: &[String],
    ) -> Self {
        let trace = &traffic.trace;
        let machine = |config| SimulatedMachine {
            config,
            engines: traffic.engines.clone(),
        };
        let ours = |machine: &SimulatedMachine| simulate(&mut Scheduler::default(), trace, machine);
        let current = machine(current);
        let mut runs = vec![
            ReplayedRun {
                name: "logged",
                title: "as it was".to_owned(),
                outcome: traffic.logged.clone(),
            },
            ReplayedRun {
                name: "current",
                title: "replayed".to_owned(),
                outcome: ours(&current),
            },
        ];
        if let Some(changed) = changed {
            runs.push(ReplayedRun {
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
            runs.push(ReplayedRun {
                name,
                title: title.to_owned(),
                outcome: simulate(&mut BaselinePolicy::new(order, &current), trace, &current),
            });
        }
        Self {
            fewest_loads: fewest_loads(trace, &current),
            runs,
            corrupt: 0,
            dropped: 0,
            set: set.to_vec(),
            traffic,
        }
    }
}
