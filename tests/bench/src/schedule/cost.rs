//! What one decision costs while a thousand wait.

use std::time::{Duration, Instant};

use crucible_config::checked::Class;
use crucible_router::{
    replay::{RequestTrace, SchedulingPolicy, quantile, simulate},
    scheduler::{Action, Input, Scheduler},
};

use super::traces::{MODELS, machine, request};

/// How many wait.
pub(super) const WAITING: usize = 1000;
/// First so many fill the queue and are not counted.
const ARRIVALS: usize = 1200;

/// Time per input.
pub(super) struct Cost {
    pub(super) inputs: usize,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    pub(super) mean: Duration,
}

/// The scheduler with a watch around each step.
struct Timed {
    core: Scheduler,
    waiting: usize,
    took: Vec<Duration>,
}

impl SchedulingPolicy for Timed {
    fn step(&mut self, input: Input, now: Instant, actions: &mut Vec<Action>) {
        let counted = self.waiting >= WAITING;
        if matches!(input, Input::Arrive(_)) {
            self.waiting += 1;
        }
        let begun = Instant::now();
        self.core.step(input, now, actions);
        let took = begun.elapsed();
        if counted {
            self.took.push(took);
        }
        let settled = |a: &&Action| matches!(a, Action::Grant(_) | Action::Reject(..));
        self.waiting -= actions.iter().filter(settled).count();
    }

    fn next_deadline(&self, now: Instant) -> Option<Instant> {
        self.core.next_deadline(now)
    }
}

pub(super) fn measure() -> Cost {
    let machine = machine(2);
    let trace = (0..ARRIVALS).map(|i| {
        let at = Duration::from_millis(u64::try_from(i).unwrap_or(0));
        request(at, "crowd", Class::Interactive, MODELS[i % MODELS.len()])
    });
    let mut timed = Timed {
        core: Scheduler::default(),
        waiting: 0,
        took: Vec::new(),
    };
    simulate(&mut timed, &RequestTrace::new(trace.collect()), &machine);
    timed.took.sort_unstable();
    let inputs = timed.took.len();
    let total: Duration = timed.took.iter().sum();
    Cost {
        inputs,
        p50: quantile(&timed.took, 0.5),
        p99: quantile(&timed.took, 0.99),
        mean: total / u32::try_from(inputs.max(1)).unwrap_or(u32::MAX),
    }
}
