//! The scheduler on a simulated clock: what would have happened under other settings or another
//! policy.
//!
//! [`simulate`] lets a [`Policy`] serve a [`Trace`] on a [`Machine`]. The real
//! [`Scheduler`](crate::scheduler::Scheduler) is one policy; [`Baseline`] is first come
//! first served, or serves everything for what is resident before it swaps.
//! [`fewest_loads`] is what the best eviction needs without reordering. Everything is pure: the
//! same input gives the same outcome.

mod baseline;
mod belady;
mod drive;
mod machine;
mod outcome;
#[cfg(test)]
mod tests;
mod trace;

pub use baseline::{Baseline, Order};
pub use belady::fewest_loads;
pub use drive::{Policy, simulate};
pub use machine::{Engine, Machine, Model};
pub use outcome::{Fate, Load, Outcome, Summary, quantile};
pub use trace::{Request, Trace};
