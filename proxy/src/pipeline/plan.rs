//! The plan of a chat request, made in the same way for its answer and for its explanation.

use std::{sync::Arc, time::Duration};

use crucible_config::Config;
use crucible_router::{
    demand::Demand,
    handle::RouterHandle,
    plan::{Candidate, Plan},
    refusal::Refusal,
};
use http::HeaderMap;
use tokio::time::timeout;

use super::demand;
use crate::{
    dialect::{
        chat::{ChatRequest, RequestTask},
        engine::format_of,
    },
    error::{Error, ErrorKind},
    guard::AdmittedClient,
};

/// The longest wait of a request that comes before the engines were polled for the first time.
const FIRST_REFRESH: Duration = Duration::from_secs(2);

/// Returns the demand of a request and its plan, which has at least one candidate.
///
/// # Errors
///
/// A header or a key of the request is wrong, no model or engine has its name, the engine of the
/// first candidate requires something that the request lacks, or no engine can do its task.
pub(crate) async fn plan(
    router: &RouterHandle,
    config: &Config,
    headers: &HeaderMap,
    chat: &ChatRequest,
    request_id: &Arc<str>,
    admitted: &AdmittedClient,
) -> Result<(Demand, Plan), Error> {
    let demand = demand::of(headers, chat, config, request_id, admitted)?;
    first_refresh(router).await;
    let mut plan = match router.plan_asking(&demand).await {
        // It is no question of the model, where its engine ranks nothing at all.
        Err(Refusal::Incapable { .. }) if chat.task == RequestTask::Rerank => {
            return Err(ranks_nothing(router, &demand.model));
        }
        plan => plan?,
    };
    let format = |candidate: &Candidate| {
        let engine = router.engine_config(&candidate.engine);
        engine.map(|engine| format_of(engine.kind))
    };
    plan.candidates
        .retain(|candidate| format(candidate).is_none_or(|format| format.can(chat.task)));
    let Some(best) = plan.candidates.first() else {
        return Err(ranks_nothing(router, &demand.model));
    };
    if let Some(format) = format(best) {
        format.check(chat)?;
    }
    Ok((demand, plan))
}

/// Waits until all engines were polled once, for at most two seconds; after that the plan is made
/// with what is known.
pub(super) async fn first_refresh(router: &RouterHandle) {
    if !router.view().settled {
        let _ = timeout(FIRST_REFRESH, router.settled()).await;
    }
}

/// Returns the error for a model whose engine ranks no documents; it names the engines that could.
fn ranks_nothing(router: &RouterHandle, model: &str) -> Error {
    let view = router.view();
    let able = view
        .engines
        .iter()
        .filter(|engine| format_of(engine.kind).can(RequestTask::Rerank));
    let able: Vec<String> = able.map(|engine| format!("'{}'", engine.name)).collect();
    let able = match able.len() {
        0 => "none of that kind is there".to_owned(),
        _ => format!("here: {}", able.join(", ")),
    };
    let model: String = model.chars().take(200).collect();
    Error::new(
        ErrorKind::UnknownEndpoint,
        format!(
            "the engine of '{model}' ranks no documents; llama.cpp's server that is started with \
             --rerank does, and so do OpenAI-compatible servers that have /v1/rerank ({able})"
        ),
    )
    .param("model")
}
