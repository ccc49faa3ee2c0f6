//! Settings of Crucible.
//!
//! One static table holds the 39 tunings ([`tuning::TUNINGS`]); the parser, the environment
//! names, the JSON schema, the `tunings` output and the reference pages are derived from it.
//! File-shaped [`settings`] become a [`Config`] that cannot be wrong, or a list of every
//! [`Problem`] found. [`Live`] holds the current one behind a single swap.
//!
//! This crate knows nothing of HTTP or engines' APIs.

pub mod checked;
pub mod problem;

pub use checked::Config;
pub use problem::{Problem, Problems, Severity};
