//! The scheduler as a pure step function.

mod abandoned_load;
mod admission;
mod context_preview;
mod context_size;
mod detached;
mod engine_reload;
mod fair_share;
mod foreign_memory;
mod grants;
mod growth;
mod linger;
mod load_failure;
mod maintenance;
mod memory_fit;
mod model_queue;
mod model_size;
mod operation_end;
mod operations;
mod polls;
mod resident_match;
mod runner_names;
mod spare_context;
mod state;
mod view;
mod wait_estimate;

#[cfg(test)]
mod properties;
#[cfg(test)]
pub(in crate::scheduler) mod tests;

pub(super) use self::operations::UNLOAD_BUDGET;
pub use self::{context_preview::ContextReason, state::Scheduler};
