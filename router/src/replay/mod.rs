//! Replays on a simulated clock: what would have happened under other settings or another policy.
//!
//! [`simulate`] lets a [`SchedulingPolicy`] serve a [`RequestTrace`] on a [`SimulatedMachine`]. The
//! real [`Scheduler`](crate::scheduler::Scheduler) is one policy; a [`BaselinePolicy`] serves first
//! come first served, or serves everything for what is loaded before it swaps. [`fewest_loads()`] is
//! what the best eviction needs without reordering. Everything is pure: the same input gives the
//! same outcome.

mod baseline;
mod fewest_loads;
mod machine;
mod outcome;
mod simulation;
#[cfg(test)]
mod tests;
mod trace;

pub use baseline::{BaselinePolicy, ServiceOrder};
pub use fewest_loads::fewest_loads;
pub use machine::{SimulatedEngine, SimulatedMachine, SimulatedModel};
pub use outcome::{LoadRecord, ReplayOutcome, RequestFate, WaitSummary, quantile};
pub use simulation::{SchedulingPolicy, simulate};
pub use trace::{RequestTrace, TraceRequest};
