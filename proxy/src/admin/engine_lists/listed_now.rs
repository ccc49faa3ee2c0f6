//! The list of models at one moment, and the model that a name means.

use std::{collections::HashMap, sync::Arc};

use crucible_config::checked::ClientKey;
use crucible_router::{
    catalog::ModelKind,
    demand::Demand,
    plan::{Listed, Plan},
    refusal::Refusal,
    view::View,
};

use crate::{
    dialect::engine_lists::ListedModel,
    error::{Error, ErrorKind},
    reply::printable,
    state::AppState,
};

/// The list of models at one moment.
pub(super) struct ListedNow {
    pub(super) view: Arc<View>,
    pub(super) listing: Vec<Listed>,
    contexts: HashMap<(Arc<str>, Arc<str>), Option<u64>>,
}

// === impl ListedNow ===

impl ListedNow {
    /// The list as it is for a client with this key; the first one waits for the first poll of every engine.
    pub(super) async fn of(app: &AppState, key: Option<&Arc<ClientKey>>) -> Self {
        app.router.settled().await;
        let listing = app.router.listing();
        let view = app.router.fresh_view();
        let mut contexts = HashMap::new();
        for listed in &listing {
            let of = (Arc::clone(&listed.engine), Arc::clone(&listed.model));
            contexts
                .entry(of)
                .or_insert_with(|| app.router.context_limit(&listed.engine, &listed.model, key));
        }
        Self {
            view,
            listing,
            contexts,
        }
    }

    /// The names with the models behind them.
    pub(super) fn models(&self) -> Vec<ListedModel<'_>> {
        let each = self.listing.iter();
        each.filter_map(|listed| self.model(&listed.id, &listed.engine, &listed.model))
            .collect()
    }

    pub(super) fn model<'a>(
        &'a self,
        name: &'a str,
        engine: &Arc<str>,
        model: &Arc<str>,
    ) -> Option<ListedModel<'a>> {
        let view = self.view.engine(engine)?;
        let of = (Arc::clone(engine), Arc::clone(model));
        Some(ListedModel {
            name,
            engine: view,
            model: view.models.iter().find(|known| known.id == *model)?,
            context: self.contexts.get(&of).copied().flatten(),
        })
    }

    /// The name under which a model of an engine is listed: with the engine where another one has it too.
    pub(super) fn name(&self, engine: &str, model: &str) -> String {
        let prefixed = format!("{engine}/{model}");
        let is_listed = self.listing.iter().any(|listed| *listed.id == *prefixed);
        if is_listed {
            prefixed
        } else {
            model.to_owned()
        }
    }
}

/// Finds the model that a name means, in the list or as a request for it would: engine and model.
pub(super) async fn find(app: &AppState, name: &str) -> Result<(Arc<str>, Arc<str>), Error> {
    app.router.settled().await;
    let listing = app.router.listing();
    let is = |listed: &&Listed| *listed.id == *name;
    let alike = |listed: &&Listed| listed.id.eq_ignore_ascii_case(name);
    let listed = listing
        .iter()
        .find(is)
        .or_else(|| listing.iter().find(alike));
    if let Some(listed) = listed {
        return Ok((Arc::clone(&listed.engine), Arc::clone(&listed.model)));
    }
    let plan = match plan(app, name, ModelKind::Generation).await {
        Err(Refusal::Incapable { .. }) => plan(app, name, ModelKind::Embedding).await,
        planned => planned,
    };
    let unknown = || not_found(name);
    let planned = plan.map_err(|refusal| match refusal {
        Refusal::UnknownModel { .. } => unknown(),
        other => other.into(),
    })?;
    let best = planned.candidates.into_iter().next().ok_or_else(unknown)?;
    Ok((best.engine, best.model))
}

async fn plan(app: &AppState, name: &str, kind: ModelKind) -> Result<Plan, Refusal> {
    let demand = Demand {
        model: name.to_owned(),
        kind,
        ..Demand::default()
    };
    app.router.plan_asking(&demand).await
}

/// The error for a name that no engine has, in Ollama's words, which its clients look for.
pub(super) fn not_found(name: &str) -> Error {
    let message = format!("model '{}' not found", printable(name));
    Error::new(ErrorKind::ModelNotFound, message)
}
