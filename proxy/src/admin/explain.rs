//! `POST /crucible/explain` and the command `explain`: where a request would go and why. Nothing is
//! sent; the functions are those that a request walks.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use crucible_config::Config;
use crucible_documents::{
    ExplainDoc,
    explain::{CandidateDoc, PrefixDoc, StandbyDoc},
    seconds,
};
use crucible_router::{handle::RouterHandle, verify::evidence::Probes};
use http::{HeaderMap, Uri};
use indexmap::IndexMap;
use parking_lot::Mutex;

use crate::{
    body::decode,
    dialect::{self, ClientDialect, ClientRequest},
    error::{Error, ErrorKind},
    guard::AdmittedClient,
    pipeline::{defaults::request_defaults, plan, prefix_trace},
    prefix::tracer::PrefixTracer,
    reply::{self, or_refuse},
    state::AppState,
};

pub(super) async fn handle(
    State(app): State<AppState>,
    Extension(verdict): Extension<AdmittedClient>,
    request: Request,
) -> Response {
    or_refuse(respond_to(&app, verdict, request).await)
}

async fn respond_to(
    app: &AppState,
    verdict: AdmittedClient,
    request: Request,
) -> Result<Response, Error> {
    let config = app.config.current();
    let (head, body) = request.into_parts();
    let body = decode::receive(&head.headers, body, &config).await?;
    let dialect = match path_in(&head.uri) {
        None => dialect::of_body(&head.headers, &body),
        Some(path) => dialect::of_path(&path).ok_or_else(|| {
            Error::new(
                ErrorKind::UnsupportedValue,
                format!("`path` is {path}, and no requests are read there; see docs/api.md"),
            )
            .param("path")
        })?,
    };
    app.router.settled().await;
    let explained = {
        let probes = Arc::clone(&app.probes.read());
        explain(
            &app.router,
            &config,
            &head.headers,
            &probes,
            (dialect, &body),
            &verdict,
            Some(app.ledger.prefixes()),
        )
        .await?
    };
    Ok(reply::document(&explained))
}

/// The path to which the request would go, where the query names it.
fn path_in(uri: &Uri) -> Option<String> {
    let pairs = url::form_urlencoded::parse(uri.query()?.as_bytes());
    let mut paths = pairs.filter(|(name, _)| name == "path");
    Some(paths.next()?.1.into_owned())
}

/// The decision on a request with this body, as it would be made now. `prefixes` are the last prompts of
/// conversations, where an instance runs.
pub(crate) async fn explain(
    router: &RouterHandle,
    config: &Arc<Config>,
    headers: &HeaderMap,
    probes: &Probes,
    (dialect, body): (&'static dyn ClientDialect, &Bytes),
    verdict: &AdmittedClient,
    prefixes: Option<&Mutex<PrefixTracer>>,
) -> Result<ExplainDoc, Error> {
    let chat = dialect.read(ClientRequest {
        headers,
        body: body.clone(),
        config,
    })?;
    let request_id = Arc::from("explain");
    let (demand, plan) = plan::plan(router, config, headers, &chat, &request_id, verdict).await?;
    let standby = router.standby(&plan, 0, &demand).and_then(|standby| {
        let candidate = plan.candidates.get(standby.to)?;
        Some(StandbyDoc {
            engine: Arc::clone(&candidate.engine),
            model: Arc::clone(&candidate.model),
            after_s: seconds(standby.after),
        })
    });
    let mut defaults = IndexMap::new();
    let mut context = None;
    let best = plan.candidates.first();
    if let Some(best) = best {
        let key = verdict.key.as_deref();
        let filled = request_defaults(router, config, probes, &chat, best, key);
        for (name, value) in filled.named() {
            defaults.insert(name.to_owned(), value.into());
        }
        if let Some(context_given) = router.context_given(best, &demand) {
            defaults.insert("context".to_owned(), context_given.configured.into());
            context = Some(context_given.into());
        }
    }
    let compared = prefixes.and_then(|known| prefix_trace::compare(known, &chat, &demand));
    Ok(ExplainDoc {
        model: best.map(|best| Arc::clone(&best.model)),
        engine: best.map(|best| Arc::clone(&best.engine)),
        reason: best.map(|best| best.reason),
        candidates: plan.candidates.iter().map(CandidateDoc::of).collect(),
        standby,
        defaults,
        context,
        prefix: compared.map(|(turn, divergence)| PrefixDoc {
            turn,
            differs: divergence.map(|divergence| divergence.words()),
        }),
    })
}
