//! Settings of Crucible.
//!
//! One static table holds the 39 tunings ([`tuning::TUNINGS`]); the parser, the environment
//! names, the JSON schema, the `tunings` output and the reference pages are derived from it.
//! File-shaped [`settings`] become a [`Config`] that cannot be wrong, or a list of every
//! [`Problem`] found. [`Live`] holds the current one behind a single swap.
//!
//! This crate knows nothing of HTTP or engines' APIs.

mod check;
pub mod checked;
pub mod engine_profile;
mod environment;
mod file;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
pub mod glob;
pub mod home;
pub mod keys;
pub mod kind;
pub mod layers;
pub mod live;
mod lookup;
pub mod management;
pub mod name;
mod overrides;
pub mod own_address;
pub mod presence;
pub mod problem;
pub mod program;
pub mod reference;
pub mod references;
pub mod schema;
pub mod settings;
pub mod show;
pub mod tuning;
mod tuning_report;
mod warm;
pub mod watch;

pub use checked::Config;
pub use kind::nearest;
pub use layers::{Flags, Loaded, Sources, load};
pub use live::{Live, Reloaded};
pub use problem::{Problem, Problems, Severity};
pub use settings::{ConfigLayer, ValueOrigin};
pub use watch::{FileWatch, WatchEvent, watch};
