//! The scheduler as a pure state machine: [`Scheduler::step`] takes an input and the time, and returns
//! actions.
//!
//! | a step | file |
//! |---|---|
//! | takes its input, and does what follows in a fixed order | `step` |
//! | lets requests in, refuses those beyond a limit | `admission`, `fair_share`, `wait_estimate` |
//! | takes requests and permits that go | `departures` |
//! | takes polls: residents that came, changed or went | `polls`, `engine_reload`, `detached`, `foreign_memory` |
//! | takes the ends of loads and unloads | `load_end`, `unload_end`, `load_failure`, `abandoned_load` |
//! | matches each queue with what is loaded, and grants | `resident_match`, `grants`, `overtaking` |
//! | decides how much context a load gets | `context_plan`, `context_size`, `growth`, `spare_context` |
//! | weighs memory, and chooses what goes | `model_size`, `memory_fit`, `eviction`, `linger` |
//! | starts loads and unloads | `load_candidates`, `operations`, `maintenance` |
//!
//! The state itself is plain data: `state` holds everything, `engine_state` one engine, `resident` one
//! loaded instance, `model_queue` those who wait for one model, `pool_operation` a load or unload in
//! flight. `view` and `context_preview` only read it.

mod abandoned_load;
mod admission;
mod context_plan;
mod context_preview;
mod context_size;
mod departures;
mod detached;
mod engine_reload;
mod engine_state;
mod eviction;
mod fair_share;
mod foreign_memory;
mod grants;
mod growth;
mod limit_scope;
mod linger;
mod load_candidates;
mod load_end;
mod load_failure;
mod maintenance;
mod memory_fit;
mod model_key;
mod model_queue;
mod model_size;

mod operations;
mod overtaking;
mod ownership;
mod polls;
mod pool_operation;
mod resident;
mod resident_match;
mod runner_names;
mod spare_context;
mod state;
mod step;
mod unload_end;
mod view;
mod wait_estimate;

#[cfg(test)]
mod properties;
#[cfg(test)]
pub(in crate::scheduler) mod tests;

pub(super) use self::pool_operation::UNLOAD_BUDGET;
pub use self::{context_preview::ContextReason, state::Scheduler};
