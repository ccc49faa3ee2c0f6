//! Demand to plan: the ordered candidates, each with a reason from one closed enum.

mod builtin;
#[cfg(test)]
pub(crate) mod fixture;
mod known;
pub mod listing;
mod names;
mod order;
mod rules;
mod served;
mod small;
mod standby;
pub mod sticky;
#[cfg(test)]
mod tests;
mod training;
mod unknown;
mod virtuals;

pub use known::{Absent, absent};
pub use listing::{Listed, listing};
pub(crate) use names::{same, stem};
pub use standby::standby;

use std::{fmt, sync::Arc};

use crucible_config::{
    checked::{Config, ModelSettings},
    name::after_engine,
};
use serde::{Deserialize, Serialize};

use self::{
    names::{Found, Hit, Scope},
    order::append,
    sticky::Place,
};
use crate::{demand::Demand, predict::Prediction, refusal::Refusal, view::View};

/// Why a candidate was chosen. The same word stands in header, log, metric and `explain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The name is a model's, and only one engine has it.
    Exact,
    /// `engine/model`.
    Prefixed,
    /// An alias of the configuration.
    Alias,
    /// `default_model` took an unknown name.
    DefaultModel,
    /// `[[model]] engine` pins it.
    Pinned,
    /// Several engines have it; this one holds it loaded.
    Resident,
    /// Several engines have it; its device decided (GPU first), or a virtual model's order did.
    Device,
    /// A rule of the configuration or the built-in set.
    Rule,
    /// A built-in word rule broke a tie.
    Keyword,
    /// The conversation's earlier turns were answered there.
    Sticky,
    /// The predicted end of the answer decided.
    Predicted,
    /// The only one that can (tools, images, context).
    Capability,
    /// A configured `fallback`.
    Fallback,
    /// A configured `fallback` or `small_model`, because the place of the first choice is busy.
    Overload,
}

impl Reason {
    /// All of them, for pre-created metric labels.
    pub const ALL: [Self; 14] = [
        Self::Exact,
        Self::Prefixed,
        Self::Alias,
        Self::DefaultModel,
        Self::Pinned,
        Self::Resident,
        Self::Device,
        Self::Rule,
        Self::Keyword,
        Self::Sticky,
        Self::Predicted,
        Self::Capability,
        Self::Fallback,
        Self::Overload,
    ];

    /// The one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Prefixed => "prefixed",
            Self::Alias => "alias",
            Self::DefaultModel => "default_model",
            Self::Pinned => "pinned",
            Self::Resident => "resident",
            Self::Device => "device",
            Self::Rule => "rule",
            Self::Keyword => "keyword",
            Self::Sticky => "sticky",
            Self::Predicted => "predicted",
            Self::Capability => "capability",
            Self::Fallback => "fallback",
            Self::Overload => "overload",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One place where a request may go.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Engine's name.
    pub engine: Arc<str>,
    /// The engine's exact name of the model.
    pub model: Arc<str>,
    /// Why it stands here.
    pub reason: Reason,
    /// Expected times to the first token and to the end, queue and load included.
    pub predicted: Option<Prediction>,
}

/// The ordered candidates for a request; never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Best first.
    pub candidates: Vec<Candidate>,
}

/// Characters of a client's name that answers and comparisons use.
const NAME_SHOWN: usize = 128;

/// Where a request may go, best first; never empty.
///
/// A name is a model's, `engine/model`, an alias or a virtual model; `default_model` takes what is
/// none of these. Configured fallbacks follow. Errors: [`Refusal::UnknownModel`],
/// [`Refusal::NoEngine`] and [`Refusal::Incapable`].
pub fn plan(
    view: &View,
    demand: &Demand,
    config: &Config,
    sticky: Option<&Place>,
) -> Result<Plan, Refusal> {
    let scope = Scope {
        view,
        demand,
        config,
    };
    let mut name = demand.model.as_str();
    let mut found = scope.resolve(name);
    let mut by_default = false;
    if let (Found::Absent, Some(default)) = (&found, &config.default_model) {
        // A default of the wrong kind answers nothing: the name stays unknown.
        if let default_found @ (Found::Models(_) | Found::Virtual(_) | Found::Away(_)) =
            scope.resolve(default)
        {
            found = default_found;
            name = default;
            by_default = true;
        }
    }
    let hits = match found {
        Found::Models(mut hits) => {
            order::settle(&mut hits);
            scope.prefer_trained(&mut hits);
            if by_default && let Some(hit) = hits.first_mut() {
                hit.reason = Reason::DefaultModel;
            }
            let more = fallback(&scope, name, hits.first().copied());
            append(&mut hits, more);
            scope.viable(hits)?
        }
        Found::Virtual(known) => {
            let mut hits = scope.choose(known, sticky)?;
            let more = fallback(&scope, known, hits.first().copied());
            let more = more.into_iter().filter(|hit| scope.can_answer(hit));
            append(&mut hits, more);
            hits
        }
        refused => {
            let instead = fallback(&scope, name, None);
            if instead.is_empty() {
                return Err(refusal(&scope, &refused));
            }
            scope.viable(instead)?
        }
    };
    let candidates = hits
        .iter()
        .map(|hit| Candidate {
            engine: hit.engine.name.clone(),
            model: hit.model.id.clone(),
            reason: hit.reason,
            predicted: Some(scope.prediction(hit)),
        })
        .collect();
    Ok(Plan { candidates })
}

fn without_engine<'n>(scope: &Scope<'_>, name: &'n str) -> &'n str {
    let mut engines = scope.view.engines.iter();
    let rest = engines.find_map(|engine| after_engine(name, &engine.name));
    rest.unwrap_or(name)
}

/// The configured `fallback` of a model: its names resolved like a request's, without theirs.
fn fallback<'a>(scope: &Scope<'a>, name: &str, hit: Option<Hit<'a>>) -> Vec<Hit<'a>> {
    let block = if let Some(hit) = hit {
        let (engine, model) = (&hit.engine.name, &hit.model.id);
        scope.config.model_settings(engine, model)
    } else {
        // No engine lists it: the name may have an engine's before it, here or there.
        let means = |block: &&ModelSettings| {
            let block = &*block.name;
            same(block, name)
                || same(without_engine(scope, block), name)
                || same(block, without_engine(scope, name))
        };
        let named = scope.config.models.iter().find(means);
        named.or_else(|| names::literal_alias(name, scope.config))
    };
    let mut hits = Vec::new();
    for name in block.into_iter().flat_map(|block| &block.fallback) {
        let mut more = match scope.resolve(name) {
            Found::Models(hits) => hits,
            Found::Virtual(known) => scope.expand(known),
            Found::WrongKind | Found::Away(_) | Found::Absent => continue,
        };
        order::settle(&mut more);
        for hit in &mut more {
            hit.reason = Reason::Fallback;
        }
        append(&mut hits, more);
    }
    hits
}

/// Why a name gets no plan.
fn refusal(scope: &Scope<'_>, found: &Found<'_>) -> Refusal {
    match found {
        Found::WrongKind => scope.wrong_kind(),
        Found::Away(detail) => scope.no_engine(Some(detail.clone())),
        _ if !scope.view.any_up() => scope.no_engine(None),
        _ => scope.unknown(),
    }
}

/// Names that the policy resolves even where nothing is configured.
const BUILTIN_VIRTUAL: [&str; 3] = ["auto", "fast", "quality"];

/// Whether the policy may look at the prompt of a request for this name: a virtual model, an alias
/// of one, or any name where `default_model` is one.
pub fn is_virtual(name: &str, config: &Config) -> bool {
    let reaches = |name: &str| {
        let virtual_name = |name: &str| names::virtual_name(name, config).is_some();
        virtual_name(name)
            || names::literal_alias(name, config)
                .or_else(|| names::glob_alias(name, config))
                .is_some_and(|block| virtual_name(&block.name))
    };
    reaches(name) || config.default_model.as_deref().is_some_and(reaches)
}
