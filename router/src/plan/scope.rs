//! The inputs of a plan, and the possible meanings of a name.

use crucible_config::Config;

use super::candidate::Reason;
use crate::{
    catalog::ModelInfo,
    demand::Demand,
    view::{EngineView, View},
};

/// The number of characters of a client's name that answers and comparisons use.
pub(super) const NAME_SHOWN: usize = 128;

/// The names that the policy resolves even where nothing is configured.
pub(super) const BUILTIN_VIRTUAL: [&str; 3] = ["auto", "fast", "quality"];

/// The inputs that one plan is made from.
#[derive(Clone, Copy)]
pub(super) struct PlanScope<'a> {
    /// The snapshot of engines and models.
    pub(super) view: &'a View,
    /// The facts about the request.
    pub(super) demand: &'a Demand,
    /// The configuration in force.
    pub(super) config: &'a Config,
}

/// A model on an engine that a name means, and the reason why it was chosen.
#[derive(Clone, Copy)]
pub(super) struct ModelMatch<'a> {
    /// The engine that lists the model.
    pub(super) engine: &'a EngineView,
    /// The model, as the engine lists it.
    pub(super) model: &'a ModelInfo,
    /// The reason why the name means this model, or why the engine comes where it does.
    pub(super) reason: Reason,
}

/// The meaning of a name, as it was resolved.
pub(super) enum NameMatch<'a> {
    /// The name means these models, one per engine; there is at least one, and all have the
    /// demanded kind.
    Models(Vec<ModelMatch<'a>>),
    /// The name is a virtual model, which the policy resolves.
    Virtual(&'a str),
    /// The name means models, but none of the demanded kind.
    WrongKind,
    /// The name is known, but no engine that may answer it is there; the text says why.
    Away(String),
    /// No model and no setting has this name.
    Absent,
}
