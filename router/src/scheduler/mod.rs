//! Queues, permits and loads: a pure [`core`] inside one [`actor`].

pub mod actor;
pub mod core;
