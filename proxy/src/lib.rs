//! Crucible's HTTP side: accept loop, tower stack, dialects, relay, metrics, command line.
//!
//! The life of a request is one straight line, and the modules stand in its order: [`server`]
//! accepts, `app` is the outer stack, [`guard`] judges, [`body`] peeks and edits, `routed` is the
//! inner stack, [`dialect`] translates, [`relay`] streams, [`metrics`] counts.

mod admin;
mod app;
pub mod body;
pub mod cli;
mod demand;
pub mod dialect;
pub mod embedded;
pub mod endpoint;
pub mod error;
mod events;
pub mod guard;
pub mod instance;
mod label;
pub mod metrics;
pub mod relay;
mod routed;
pub mod server;
pub mod signals;
pub mod telemetry;
#[cfg(unix)]
mod terminal;
pub mod usage;
