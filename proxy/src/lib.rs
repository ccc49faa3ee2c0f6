//! Crucible's HTTP side: accept loop, tower stack, dialects, relay, metrics, command line.
//!
//! The life of a request is one straight line, and the rooms stand in its order: [`server`]
//! accepts a connection, `edge` is the outer stack with [`guard`]'s judgement, [`body`] reads the
//! top-level keys, `pipeline` plans, waits for a permit, translates by [`dialect`] and sends
//! ([`upstream`]), [`relay`] streams the answer, and `ledger` counts the request once it has ended.

mod admin;
pub mod body;
pub mod commands;
pub mod dialect;
mod edge;
pub mod endpoint;
pub mod error;
mod events;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
pub mod guard;
mod inspector;
pub mod instance;
mod label;
mod ledger;
mod members;
pub mod metrics;
mod otlp;
mod pipeline;
mod prefix;
pub mod relay;
mod reply;
mod request;
pub mod server;
mod sse;
mod state;
pub mod telemetry;
#[cfg(test)]
mod testing;
pub mod upstream;
pub mod usage;
