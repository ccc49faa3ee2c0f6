//! The making of a plan: a name is resolved, its models are ordered, and the configured fallbacks
//! follow.

use crucible_config::{
    checked::{Config, ModelSettings},
    name::after_engine,
};

use super::{
    candidate::{Candidate, Plan, Reason},
    names::{self, same},
    order::{self, append},
    scope::{ModelMatch, NameMatch, PlanScope},
    sticky::EngineModel,
};
use crate::{demand::Demand, refusal::Refusal, view::View};

/// The name of a model that a request is planned for, and what has it.
struct ResolvedName<'a> {
    name: &'a str,
    found: NameMatch<'a>,
    /// Whether it is `default_model`, which answers for a name that nothing has.
    by_default: bool,
}

/// Plans where a request may go, the best candidate first; a plan is never empty.
///
/// A name is a model's, `engine/model`, an alias or a virtual model; `default_model` answers for
/// any other name. `sticky` is the model that answered the earlier turns of the conversation, which
/// `auto` prefers.
///
/// # Errors
///
/// [`Refusal::UnknownModel`] where nothing has the name, [`Refusal::NoEngine`] where no engine is
/// available, and [`Refusal::Incapable`] where no model can do what the request needs.
pub fn plan(
    view: &View,
    demand: &Demand,
    config: &Config,
    sticky: Option<&EngineModel>,
) -> Result<Plan, Refusal> {
    let scope = PlanScope {
        view,
        demand,
        config,
    };
    let ResolvedName {
        name,
        found,
        by_default,
    } = resolved(&scope);
    let hits = match found {
        NameMatch::Models(mut hits) => {
            order::settle(&mut hits);
            scope.prefer_trained(&mut hits);
            if by_default && let Some(hit) = hits.first_mut() {
                hit.reason = Reason::DefaultModel;
            }
            let more = fallback(&scope, name, hits.first().copied());
            append(&mut hits, more);
            scope.viable(hits)?
        }
        NameMatch::Virtual(known) => {
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

/// Resolves the name that the client sent, or `default_model` where nothing has that name.
fn resolved<'a>(scope: &PlanScope<'a>) -> ResolvedName<'a> {
    let name = scope.demand.model.as_str();
    let found = scope.resolve(name);
    if let (NameMatch::Absent, Some(default)) = (&found, &scope.config.default_model) {
        // A default of the wrong kind answers nothing: the name stays unknown.
        if let found @ (NameMatch::Models(_) | NameMatch::Virtual(_) | NameMatch::Away(_)) =
            scope.resolve(default)
        {
            return ResolvedName {
                name: default,
                found,
                by_default: true,
            };
        }
    }
    ResolvedName {
        name,
        found,
        by_default: false,
    }
}

/// Returns the name without the engine's name before it.
fn without_engine<'n>(scope: &PlanScope<'_>, name: &'n str) -> &'n str {
    let mut engines = scope.view.engines.iter();
    let rest = engines.find_map(|engine| after_engine(name, &engine.name));
    rest.unwrap_or(name)
}

/// Returns the models of the configured `fallback` list: that of the model in `hit`, else that of
/// the block that `name` means. The names are resolved like those of requests; fallbacks of
/// fallbacks do not count.
pub(super) fn fallback<'a>(
    scope: &PlanScope<'a>,
    name: &str,
    hit: Option<ModelMatch<'a>>,
) -> Vec<ModelMatch<'a>> {
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
            NameMatch::Models(hits) => hits,
            NameMatch::Virtual(known) => scope.expand(known),
            NameMatch::WrongKind | NameMatch::Away(_) | NameMatch::Absent => continue,
        };
        order::settle(&mut more);
        for hit in &mut more {
            hit.reason = Reason::Fallback;
        }
        append(&mut hits, more);
    }
    hits
}

/// Refuses a name that gets no plan.
fn refusal(scope: &PlanScope<'_>, found: &NameMatch<'_>) -> Refusal {
    match found {
        NameMatch::WrongKind => scope.wrong_kind(),
        NameMatch::Away(detail) => scope.no_engine(Some(detail.clone())),
        _ if !scope.view.any_up() => scope.no_engine(None),
        _ => scope.unknown(),
    }
}

/// Reports whether the policy may look at the prompt of a request for this name: a virtual model, an alias
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
