//! From a chat request to its plan, for a request and for its explanation alike.

use std::{sync::Arc, time::Duration};

use crucible_config::Config;
use crucible_router::{demand::Demand, handle::RouterHandle, plan::Plan};
use http::HeaderMap;
use tokio::time::timeout;

use super::demand;
use crate::{
    dialect::{chat::ChatRequest, engine::format_of},
    error::{Error, Kind},
    guard::AdmittedClient,
};

/// How long a request waits that comes before the engines were asked for the first time.
const FIRST_REFRESH: Duration = Duration::from_secs(2);

/// The demand of a request and the candidates for it, of which there is at least one.
///
/// # Errors
/// A header or a key of the request is wrong, no model or engine answers to its name, or the engine of
/// the first candidate needs something of a chat request that this one lacks.
pub(crate) async fn plan(
    router: &RouterHandle,
    config: &Config,
    headers: &HeaderMap,
    chat: &ChatRequest,
    request_id: &Arc<str>,
    admitted: &AdmittedClient,
) -> Result<(Demand, Plan), Error> {
    let demand = demand::of(headers, chat, config, request_id, admitted)?;
    if !router.view().settled {
        // Where they do not settle by then, the plan is made with what is known.
        let _ = timeout(FIRST_REFRESH, router.settled()).await;
    }
    let plan = router.plan_asking(&demand).await?;
    let best = plan
        .candidates
        .first()
        .ok_or_else(|| Error::new(Kind::Internal, "the plan is empty"))?;
    if let Some(engine) = router.engine_config(&best.engine) {
        format_of(engine.kind).check(chat)?;
    }
    Ok((demand, plan))
}
