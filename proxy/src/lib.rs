//! Crucible's HTTP side: accept loop, tower stack, dialects, relay, metrics, command line.
//!
//! The life of a request is one straight line, and the modules stand in its order: `server`
//! accepts, `app` is the stack, `guard` judges, `body` peeks and edits, `dialect`
//! translates, [`relay`] streams, `metrics` counts.

pub mod body;
pub mod dialect;
pub mod error;
pub mod relay;
