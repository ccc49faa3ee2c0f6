//! The load scheduler against simple policies, simulated: `crucible-bench schedule`.
//!
//! Prints the page `docs/scheduling-benchmark.md`. The simulation is exact and the traces come
//! from fixed seeds, so all but the cost of a decision is the same on every machine.

mod bounds;
mod cost;
mod page;
#[cfg(test)]
mod tests;
mod traces;

use crucible_router::{
    replay::{
        BaselinePolicy, ReplayOutcome, RequestTrace, ServiceOrder, SimulatedMachine, fewest_loads,
        simulate,
    },
    scheduler::Scheduler,
};

use self::traces::Case;

/// What the policies made of one trace.
struct Compared {
    case: Case,
    crucible: ReplayOutcome,
    strict: ReplayOutcome,
    collated: ReplayOutcome,
    /// Of the best eviction without reordering.
    fewest: usize,
}

/// Runs everything; the page as Markdown.
pub(crate) fn page() -> String {
    let compared: Vec<Compared> = traces::all().into_iter().map(compare).collect();
    page::markdown(&compared, &cost::measure())
}

/// What Crucible makes of it with `scheduler.linger` at 0.
fn without_linger(case: &Case) -> ReplayOutcome {
    let mut machine = case.machine.clone();
    machine.config.scheduler.linger = std::time::Duration::ZERO;
    simulate(&mut Scheduler::default(), &case.trace, &machine)
}

fn compare(case: Case) -> Compared {
    let (trace, machine): (&RequestTrace, &SimulatedMachine) = (&case.trace, &case.machine);
    let baseline = |order| simulate(&mut BaselinePolicy::new(order, machine), trace, machine);
    Compared {
        crucible: simulate(&mut Scheduler::default(), trace, machine),
        strict: baseline(ServiceOrder::Strict),
        collated: baseline(ServiceOrder::Collate),
        fewest: fewest_loads(trace, machine),
        case,
    }
}
