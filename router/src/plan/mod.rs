//! The planning of a request: its demand becomes an ordered list of candidates, each with a reason.
//!
//! Everything here is pure: a plan depends on the published view, the demand, the configuration and the
//! place of the conversation's earlier turns, and on nothing else.
//!
//! ```
//! use std::sync::Arc;
//!
//! use crucible_config::{
//!     Config,
//!     checked::{Device, EngineKind},
//! };
//! use crucible_router::{
//!     catalog::{ModelInfo, ModelKind},
//!     demand::Demand,
//!     plan::{Reason, plan},
//!     view::{EngineView, Health, View},
//! };
//!
//! let mut engine = EngineView::named("gpu", EngineKind::Ollama, Device::Gpu);
//! engine.health = Health::Up;
//! engine.models = Arc::new(vec![ModelInfo::named("qwen3:8b", ModelKind::Generation)]);
//! let view = View {
//!     engines: vec![engine],
//!     ..View::default()
//! };
//! let demand = Demand {
//!     model: "qwen3:8b".to_owned(),
//!     ..Demand::default()
//! };
//!
//! let plan = plan(&view, &demand, &Config::builtin(), None).unwrap();
//! assert_eq!(&*plan.candidates[0].engine, "gpu");
//! assert_eq!(plan.candidates[0].reason, Reason::Exact);
//! ```

mod builtin;
mod candidate;
#[cfg(test)]
pub(crate) mod fixture;
mod known;
pub mod listing;
mod make;
mod names;
mod order;
mod rules;
mod scope;
mod served;
mod small;
mod standby;
pub mod sticky;
#[cfg(test)]
mod tests;
mod training;
mod unknown;
mod virtuals;

pub use candidate::{Candidate, Plan, Reason};
pub use known::{Absent, absent};
pub use listing::{Listed, listing};
pub use make::{is_virtual, plan};
pub(crate) use names::{same, stem};
pub use standby::standby;
