//! The order of the models that a name means, and the choice of those to which a request can be
//! sent.

use std::borrow::Cow;

use crucible_config::checked::Device;

use super::{
    Reason,
    scope::NAME_SHOWN,
    scope::{ModelMatch, PlanScope},
};
use crate::{
    catalog::{ModelInfo, ModelKind},
    predict,
    refusal::Refusal,
    view::{BreakerState, EngineView, Health},
};

/// The seconds until a client may ask again where no engine is up; the engines are polled more
/// often.
const RETRY_AFTER: u64 = 5;

/// Returns the seconds until a request may be sent to the engine again: the rest of its cooldown,
/// else [`RETRY_AFTER`].
fn retry_after(engine: &EngineView) -> u64 {
    match &engine.left_alone {
        Some(left_alone) if engine.health != Health::Down => left_alone.retry_after(),
        _ => RETRY_AFTER,
    }
}

/// Whether requests may be sent to the engine: it is not down, and its circuit breaker is not open.
/// An engine that no poll has reached yet counts as available.
pub(super) fn is_available(engine: &EngineView) -> bool {
    engine.health != Health::Down && engine.breaker != BreakerState::Open
}

/// Returns the state of an engine in words that follow its name in a refusal, such as `is down`.
pub(super) fn state(engine: &EngineView) -> Cow<'_, str> {
    if let (true, Some(error)) = (engine.refused_access, &engine.error) {
        return Cow::Owned(format!("does not let Crucible in: {error}"));
    }
    Cow::Borrowed(match (engine.health, engine.breaker) {
        (Health::Down, _) => "is down",
        (_, BreakerState::Open) if engine.left_alone.is_some_and(|l| l.engine_asked) => {
            "asked to be left alone for a while (429)"
        }
        (_, BreakerState::Open) => "fails its requests and is left alone for a while",
        (Health::Unknown, _) => "has not answered yet",
        (Health::Degraded, _) => "answers not always",
        (Health::Up, _) => "is up",
    })
}

/// Whether the model is loaded on the engine, under any instance.
pub(super) fn is_held(engine: &EngineView, model: &ModelInfo) -> bool {
    engine
        .residents
        .iter()
        .any(|r| r.info.model == model.runner)
}

/// Keeps the first match of each engine, in their order, and drops the later ones.
pub(super) fn one_per_engine(hits: Vec<ModelMatch<'_>>) -> Vec<ModelMatch<'_>> {
    let mut kept: Vec<ModelMatch<'_>> = Vec::with_capacity(hits.len());
    for hit in hits {
        if !kept.iter().any(|k| k.engine.name == hit.engine.name) {
            kept.push(hit);
        }
    }
    kept
}

/// Appends the matches of `more` whose pair of engine and model is not in `hits` yet.
pub(super) fn append<'a>(
    hits: &mut Vec<ModelMatch<'a>>,
    more: impl IntoIterator<Item = ModelMatch<'a>>,
) {
    for hit in more {
        let is_there =
            |h: &ModelMatch<'_>| h.engine.name == hit.engine.name && h.model.id == hit.model.id;
        if !hits.iter().any(is_there) {
            hits.push(hit);
        }
    }
}

/// Sorts the matches of one name and sets their reasons. Engines that are available come first,
/// then pinned models, loaded ones and those on a GPU. The first match keeps the reason for which
/// its name was found; an `Exact` there becomes `Resident` or `Device` where that decided among
/// several engines. The later matches get `Device`, except pinned ones. Nothing changes for a
/// single match.
pub(super) fn settle(hits: &mut [ModelMatch<'_>]) {
    if hits.len() < 2 {
        return;
    }
    hits.sort_by_key(|hit| {
        // Several pins of one model keep the order of the file.
        let free = hit.reason != Reason::Pinned;
        (
            !is_available(hit.engine),
            free,
            free && !is_held(hit.engine, hit.model),
            free && hit.engine.device == Device::Cpu,
        )
    });
    let answering = hits.iter().filter(|hit| is_available(hit.engine)).count();
    let held = hits.iter().filter(|hit| is_held(hit.engine, hit.model));
    let loaded_everywhere = held.count() == hits.len();
    for (at, hit) in hits.iter_mut().enumerate() {
        hit.reason = match (at, hit.reason) {
            (0, Reason::Exact) if answering == 1 => Reason::Exact,
            (0, Reason::Exact) if is_held(hit.engine, hit.model) && !loaded_everywhere => {
                Reason::Resident
            }
            (0, Reason::Exact) => Reason::Device,
            (0, found) | (_, found @ Reason::Pinned) => found,
            _ => Reason::Device,
        };
    }
}

// === impl PlanScope ===

impl<'a> PlanScope<'a> {
    /// Returns the word for the capability (`images` or `tools`) that the request needs and the
    /// model is known to lack; `None` where the model has all of them or the engine does not report
    /// them.
    pub(super) fn lacks(&self, model: &ModelInfo) -> Option<&'static str> {
        if self.demand.images && model.capabilities.vision == Some(false) {
            Some("images")
        } else if self.calls_tools() && model.capabilities.tools == Some(false) {
            Some("tools")
        } else {
            None
        }
    }

    fn prompt_tokens(&self, hit: &ModelMatch<'_>) -> u64 {
        let (engine, model) = (&hit.engine.name, &hit.model.id);
        let estimate = self.demand.prompt_tokens;
        predict::prompt_tokens(&self.view.measurements, engine, model, estimate)
    }

    /// Whether the prompt, with the least room for an answer, fits the longest context of the
    /// model; true where that context is unknown.
    pub(super) fn fits(&self, hit: &ModelMatch<'_>) -> bool {
        let needed = self.demand.least_context_for(self.prompt_tokens(hit));
        hit.model.max_context.is_none_or(|most| needed <= most)
    }

    /// Whether the prompt fits with all the room that the request asks for its answer; true where
    /// the model's longest context is unknown.
    fn fits_whole(&self, hit: &ModelMatch<'_>) -> bool {
        let needed = self.demand.context_for(self.prompt_tokens(hit));
        hit.model.max_context.is_none_or(|most| needed <= most)
    }

    /// Whether the request may be sent there: the engine is available, the model is not known to
    /// lack what the request needs, and the prompt fits the model's longest context as far as that
    /// is known.
    pub(super) fn can_answer(&self, hit: &ModelMatch<'_>) -> bool {
        is_available(hit.engine) && self.lacks(hit.model).is_none() && self.fits(hit)
    }

    /// Keeps the matches to which the request can be sent: those on an available engine whose model
    /// lacks no capability, and among them those with room for prompt and answer, else for the
    /// prompt, where there are any. A single match that is left because the others lack a
    /// capability gets the reason `Capability`.
    ///
    /// # Errors
    ///
    /// `Incapable` where no model can do what the request needs, `NoEngine` where no engine is
    /// available.
    pub(super) fn viable(
        &self,
        mut hits: Vec<ModelMatch<'a>>,
    ) -> Result<Vec<ModelMatch<'a>>, Refusal> {
        let lacking = hits.first().and_then(|hit| self.lacks(hit.model));
        let answering = hits.iter().filter(|hit| is_available(hit.engine)).count();
        hits.retain(|hit| self.lacks(hit.model).is_none());
        if hits.is_empty() {
            return Err(match lacking {
                Some(needs) => Refusal::Incapable {
                    model: self.name_shown(),
                    needs,
                },
                None if self.models().any(|(engine, _)| is_available(engine)) => self.wrong_kind(),
                None => self.no_engine(None),
            });
        }
        if hits.iter().all(|hit| !is_available(hit.engine)) {
            let away = one_per_engine(hits);
            let states: Vec<String> = away
                .iter()
                .map(|hit| format!("'{}' {}", hit.engine.name, state(hit.engine)))
                .collect();
            let soonest = away.iter().map(|hit| retry_after(hit.engine)).min();
            return Err(Refusal::NoEngine {
                model: self.name_shown(),
                detail: states.join(", "),
                retry_after: soonest.unwrap_or(RETRY_AFTER),
            });
        }
        hits.retain(|hit| is_available(hit.engine));
        if hits.iter().any(|hit| self.fits_whole(hit)) {
            hits.retain(|hit| self.fits_whole(hit));
        } else if hits.iter().any(|hit| self.fits(hit)) {
            hits.retain(|hit| self.fits(hit));
        }
        if let [only] = hits.as_mut_slice()
            && answering > 1
            && matches!(
                only.reason,
                Reason::Exact | Reason::Resident | Reason::Device
            )
        {
            only.reason = Reason::Capability;
        }
        Ok(hits)
    }

    /// Returns the refusal of a request where models are known, but none of the kind that it needs
    /// (generation or embedding).
    pub(super) fn wrong_kind(&self) -> Refusal {
        Refusal::Incapable {
            model: self.name_shown(),
            needs: match self.demand.kind {
                ModelKind::Embedding => "embeddings",
                ModelKind::Generation => "generation",
            },
        }
    }

    /// Returns the name that the client sent, cut to [`NAME_SHOWN`] characters for answers.
    pub(super) fn name_shown(&self) -> String {
        self.demand.model.chars().take(NAME_SHOWN).collect()
    }

    /// Returns the refusal with 503 that says, without addresses, which engines were considered and
    /// how they are; `detail` takes the place of these words.
    pub(super) fn no_engine(&self, detail: Option<String>) -> Refusal {
        let engines = &self.view.engines;
        let looked = || {
            if engines.is_empty() {
                return "no engine is configured, and none was found on the usual ports".to_owned();
            }
            let each = engines.iter().map(|e| {
                let state = state(e);
                format!("'{}' {state} ({} models known)", e.name, e.models.len())
            });
            each.collect::<Vec<_>>().join(", ")
        };
        Refusal::NoEngine {
            model: self.name_shown(),
            retry_after: match &detail {
                Some(_) => RETRY_AFTER,
                None => engines.iter().map(retry_after).min().unwrap_or(RETRY_AFTER),
            },
            detail: detail.unwrap_or_else(looked),
        }
    }
}
