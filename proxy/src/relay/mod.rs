//! From the engine's bytes to the client's: frames as they come, watched on the side.

pub(crate) mod body;
mod clocks;
pub(crate) mod collect;
mod event;
mod form;
mod framer;
pub(crate) mod headers;
pub(crate) mod keys;
pub(crate) mod late;
pub mod passthrough;
pub(crate) mod prefill;
pub(crate) mod readable;
pub mod transcode;
mod unstreamed;
pub mod upstream;

pub(crate) use clocks::Budgets;
pub(crate) use form::is_event_stream;
