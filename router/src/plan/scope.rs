//! What a plan is made from, and what a name may mean.

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

/// Everything that one plan is made from.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) view: &'a View,
    pub(super) demand: &'a Demand,
    pub(super) config: &'a Config,
}

/// A model on an engine that a name means, and the reason why it was chosen.
#[derive(Clone, Copy)]
pub(super) struct Hit<'a> {
    pub(super) engine: &'a EngineView,
    pub(super) model: &'a ModelInfo,
    pub(super) reason: Reason,
}

/// The meaning of a name.
pub(super) enum Found<'a> {
    /// One model per engine; never empty, all of the kind asked for.
    Models(Vec<Hit<'a>>),
    /// A name that the policy resolves.
    Virtual(&'a str),
    /// Models, but none of the kind asked for.
    WrongKind,
    /// Known, but not where it would have to be; the words say why.
    Away(String),
    /// Nothing has this name.
    Absent,
}
