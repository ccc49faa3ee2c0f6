//! Where a request would go and why; nothing is sent. `POST /crucible/explain` and the command.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use crucible_config::{Config, checked::FilledValue};
use crucible_documents::seconds;
use crucible_router::{
    handle::RouterHandle,
    predict::{Basis, Part, Prediction},
    verify::evidence::Probes,
};
use http::HeaderMap;
use serde_json::{Map, Value, json};

use crate::{
    body::decode,
    dialect,
    error::Error,
    guard::AdmittedClient,
    pipeline::{defaults::request_defaults, plan},
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
    app.router.settled().await;
    let explained = {
        let probes = Arc::clone(&app.probes.read());
        explain(
            &app.router,
            &config,
            &head.headers,
            &probes,
            &body,
            &verdict,
        )
        .await?
    };
    Ok(reply::json(&explained))
}

/// The decision on this body, as it would be made now.
pub(crate) async fn explain(
    router: &RouterHandle,
    config: &Arc<Config>,
    headers: &HeaderMap,
    probes: &Probes,
    body: &Bytes,
    verdict: &AdmittedClient,
) -> Result<Value, Error> {
    let chat = dialect::unasked().read(body.clone(), &config.limits)?;
    let request_id = Arc::from("explain");
    let (demand, plan) = plan::plan(router, config, headers, &chat, &request_id, verdict).await?;
    let candidates: Vec<Value> = plan
        .candidates
        .iter()
        .map(|candidate| {
            json!({
                "engine": candidate.engine,
                "model": candidate.model,
                "reason": candidate.reason,
                "predicted_first_token_s": candidate.predicted.map(|p| seconds(p.first_token())),
                "predicted_end_s": candidate.predicted.map(|p| seconds(p.end())),
                "prediction": candidate.predicted.as_ref().map(prediction),
            })
        })
        .collect();
    let standby = router.standby(&plan, 0, &demand).and_then(|standby| {
        let candidate = plan.candidates.get(standby.to)?;
        Some(json!({
            "engine": candidate.engine,
            "model": candidate.model,
            "after_s": seconds(standby.after),
        }))
    });
    let mut defaults = Map::new();
    let mut context = Value::Null;
    let best = plan.candidates.first();
    if let Some(best) = best {
        let key = verdict.key.as_deref();
        let filled = request_defaults(router, config, probes, &chat, best, key);
        for (name, value) in filled.named() {
            defaults.insert(name.to_owned(), filled_json(value));
        }
        if let Some(context_given) = router.context_given(best, &demand) {
            let configured = context_given.configured;
            defaults.insert(
                "context".to_owned(),
                json!({ "value": configured.value, "from": configured.from }),
            );
            context = json!({
                "needed": context_given.needed,
                "given": context_given.given,
                "because": context_given.because.as_str(),
            });
        }
    }
    Ok(json!({
        "model": best.map(|b| &*b.model),
        "engine": best.map(|b| &*b.engine),
        "reason": best.map(|b| b.reason),
        "candidates": candidates,
        "standby": standby,
        "defaults": defaults,
        "context": context,
    }))
}

/// The parts of a predicted answer and what each rests on.
fn prediction(predicted: &Prediction) -> Value {
    let number = |name: &str, value: Value, basis: Basis| {
        let mut told = Map::from_iter([(name.to_owned(), value)]);
        let (word, samples) = match basis {
            Basis::Known => ("known", None),
            Basis::Prior => ("prior", None),
            Basis::Measured(samples) => ("measured", Some(samples)),
        };
        told.insert("basis".to_owned(), word.into());
        told.extend(samples.map(|samples| ("samples".to_owned(), samples.into())));
        Value::Object(told)
    };
    let part = |part: &Part| number("s", seconds(part.time).into(), part.basis);
    let answer = &predicted.answer;
    json!({
        "queue": part(&predicted.queue),
        "load": part(&predicted.load),
        "prefill": part(&predicted.prefill),
        "output": part(&answer.output),
        "prompt_tokens": predicted.prompt_tokens,
        "answer_tokens": number("count", answer.tokens.into(), answer.basis),
    })
}

fn filled_json(filled: FilledValue<f64>) -> Value {
    json!({ "value": filled.value, "from": filled.from })
}
