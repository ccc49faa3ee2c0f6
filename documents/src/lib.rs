//! The documents that Crucible writes for others, as types that serialise and parse alike.
//!
//! The server answers with them, the command line reads them from a running instance or makes them
//! from its own look at the engines, and the tests parse them. Field names, their order and nulls are
//! part of the surface that scripts rely on. Fields that a document does not know are passed over, so
//! that an older command still reads a newer instance.
//!
//! | document | written by |
//! |---|---|
//! | [`StateDoc`] | `GET /crucible/state` |
//! | [`VerifiedDoc`] | `GET /crucible/tunings`, `doctor --json` |
//! | [`TuningReport`](crucible_config::tuning::TuningReport) | `tunings --json` where no instance runs |
//! | [`ExplainDoc`] | `POST /crucible/explain`, `explain --json` |
//! | [`ModelsDoc`] | `models --json` |
//! | [`UsageDoc`] | `usage --json` |
//! | [`StateDoc`], [`timeline`] | `GET /crucible/events` |
//! | [`inspector`] | `GET /crucible/inspect`, `inspect --json` |
//! | [`event_log`] | `events.jsonl` in `state_dir` |
//!
//! [`EndingClass`] divides the requests of these documents into answered, left and failed ones.
//! [`UnseenCharacter`] names what must not come to a terminal from a text of others, for all who show one.
//!
//! [`running`] asks the instance at the configured address for them.

mod ending_class;
pub mod event_log;
pub mod explain;
pub mod headers;
pub mod inspector;
mod models;
mod number;
pub mod running;
pub mod state;
pub mod timeline;
mod unseen_character;
mod usage;
pub mod verified;

pub use self::{
    ending_class::{ANSWERED_OUTCOME, CLIENT_GONE_OUTCOME, CLIENT_GONE_STATUS, EndingClass},
    explain::ExplainDoc,
    models::{ListedEngineDoc, ListedModelDoc, ModelsDoc},
    number::seconds,
    state::StateDoc,
    unseen_character::UnseenCharacter,
    usage::{EnergyCounterDoc, UsageDoc, UsageRowDoc},
    verified::{FindingDoc, VerifiedDoc},
};
