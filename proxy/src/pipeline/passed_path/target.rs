//! The model that a request on a path of one kind of engine is for.

use std::sync::Arc;

use crucible_config::{checked::EngineKind, engine_profile::PassedPath};
use crucible_router::{
    catalog::{ModelInfo, ModelKind},
    demand::Demand,
    handle::RouterHandle,
    plan::{Candidate, Reason},
    view::{EngineView, View},
};
use http::HeaderMap;

use crate::{
    error::{Error, ErrorKind},
    reply::{X_ENGINE, printable},
};

/// A path that is passed on, and the kind of engine that has it.
#[derive(Clone, Copy)]
pub(super) struct EnginePath {
    pub(super) kind: EngineKind,
    pub(super) path: &'static PassedPath,
}

/// The model that a request is passed on to.
pub(super) struct PassingTarget {
    pub(super) engine: Arc<str>,
    pub(super) engine_kind: EngineKind,
    pub(super) model: Arc<str>,
    pub(super) kind: ModelKind,
    /// The engine's name of the loaded instance; `None` where it is not loaded.
    pub(super) instance: Option<Arc<str>>,
}

// === impl EnginePath ===

impl EnginePath {
    /// The model of this kind of engine that is named, or the only one there is: the only one that is
    /// loaded, where there are several.
    pub(super) async fn target(
        &self,
        router: &RouterHandle,
        named: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<PassingTarget, Error> {
        // The published view may be older than the load that the client's last prompt caused.
        let view = router.fresh_view();
        let wanted = headers.get(&X_ENGINE).and_then(|name| name.to_str().ok());
        let is_of_it = |engine: &&EngineView| {
            engine.kind == self.kind
                && engine.is_up()
                && wanted.is_none_or(|name| engine.name.eq_ignore_ascii_case(name))
        };
        let engines: Vec<&EngineView> = view.engines.iter().filter(is_of_it).collect();
        if engines.is_empty() {
            return Err(self.no_engine(wanted));
        }
        if let Some(name) = named {
            return self.named(router, &view, &engines, name).await;
        }
        let models = engines.iter().flat_map(|engine| {
            let all = engine.models.iter();
            all.map(move |model| PassingTarget::of(engine, model))
        });
        let models: Vec<PassingTarget> = models.collect();
        let mut loaded: Vec<usize> = Vec::new();
        loaded.extend((0..models.len()).filter(|at| models[*at].instance.is_some()));
        let only = match (models.len(), &*loaded) {
            (1, _) => Some(0),
            (_, [one]) => Some(*one),
            _ => None,
        };
        let count = models.len();
        let found = only.and_then(|at| models.into_iter().nth(at));
        found.ok_or_else(|| {
            let message = format!(
                "{} of {} has {count} models to choose from; name one: `model` in the body, or ?model=NAME",
                self.path.path,
                self.kind.profile().product
            );
            Error::new(ErrorKind::MissingField, message).param("model")
        })
    }

    async fn named(
        &self,
        router: &RouterHandle,
        view: &View,
        engines: &[&EngineView],
        name: &str,
    ) -> Result<PassingTarget, Error> {
        let mut planned = Vec::new();
        for kind in [ModelKind::Generation, ModelKind::Embedding] {
            let demand = Demand {
                model: name.to_owned(),
                kind,
                ..Demand::default()
            };
            match router.plan_asking(&demand).await {
                Ok(plan) => planned.extend(plan.candidates),
                Err(refusal) if planned.is_empty() && kind == ModelKind::Embedding => {
                    return Err(refusal.into());
                }
                Err(_) => {}
            }
        }
        let here = planned.iter().find_map(|candidate| {
            let engine = engines
                .iter()
                .find(|engine| engine.name == candidate.engine)?;
            let model = engine
                .models
                .iter()
                .find(|model| model.id == candidate.model)?;
            Some(PassingTarget::of(engine, model))
        });
        here.ok_or_else(|| {
            let elsewhere = planned.first().and_then(|best| view.engine(&best.engine));
            let where_it_is = elsewhere.map_or("another engine", |e| e.kind.profile().product);
            let message = format!(
                "'{}' is on {where_it_is}, which has no {}; ask it with {}",
                printable(name),
                self.path.path,
                instead(self.path.path)
            );
            Error::new(ErrorKind::UnsupportedValue, message).param("model")
        })
    }

    fn no_engine(&self, wanted: Option<&str>) -> Error {
        let whom = wanted.map_or_else(String::new, |name| format!(" named '{}'", printable(name)));
        let message = format!(
            "{} is a path of {}, and none{whom} is up; every engine is asked with {}",
            self.path.path,
            self.kind.profile().product,
            instead(self.path.path)
        );
        Error::new(ErrorKind::UnknownEndpoint, message)
    }

    pub(super) fn not_loaded(&self, target: &PassingTarget) -> Error {
        let message = format!(
            "'{}' is not loaded on '{}', and {} loads nothing; ask it a prompt first",
            target.model, target.engine, self.path.path
        );
        Error::new(ErrorKind::NoEngine, message).retry_after(5)
    }
}

// === impl PassingTarget ===

impl PassingTarget {
    fn of(engine: &EngineView, model: &ModelInfo) -> Self {
        let resident = engine.holds(&model.id);
        Self {
            engine: engine.name.clone(),
            engine_kind: engine.kind,
            model: Arc::clone(&model.id),
            kind: model.kind,
            instance: resident.map(|resident| Arc::clone(&resident.info.instance)),
        }
    }

    pub(super) fn candidate(&self) -> Candidate {
        Candidate {
            engine: Arc::clone(&self.engine),
            model: Arc::clone(&self.model),
            reason: Reason::Exact,
            predicted: None,
        }
    }
}

/// The path that every kind of engine is asked by, instead of one that a single kind has.
fn instead(path: &str) -> &'static str {
    match path {
        "/embedding" => "POST /v1/embeddings",
        "/completion" | "/infill" => "POST /v1/completions",
        "/props" => "POST /api/show",
        _ => "POST /v1/messages/count_tokens, which counts tokens",
    }
}
