//! From the engine's bytes to the client's: frames as they come, watched on the side.

pub(crate) mod body;
mod clocks;
pub(crate) mod collect;
pub(crate) mod headers;
pub(crate) mod late;
pub(crate) mod prefill;

pub(crate) use clocks::Budgets;
