//! The relay of an answer: it carries an engine's bytes to the client as they come, and observes
//! them.

pub(crate) mod body;
mod clocks;
pub(crate) mod collect;
pub(crate) mod headers;
pub(crate) mod late;
pub(crate) mod prefill;

pub(crate) use clocks::Budgets;
