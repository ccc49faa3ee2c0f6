//! `/api/v1/models/load` and `/unload`. LM Studio 0.4.25: strict bodies; a load blocks until it
//! is done and always makes a new instance; an unload names the instance.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::http::{self, Call, Reply};
use crate::lmstudio::residents::{Instance, LoadConfig, Refused, Residents};
use crate::lmstudio::routes;
use crate::model_spec::ModelSpec;
use crate::sim::Core;

const KEYS: [&str; 7] = [
    "model",
    "context_length",
    "eval_batch_size",
    "flash_attention",
    "num_experts",
    "offload_kv_cache_to_gpu",
    "echo_load_config",
];

/// The models whose files nobody deleted; that a deleted one is in no list any more is supposed, not
/// reported.
pub(crate) fn models(core: &Core) -> impl Iterator<Item = &ModelSpec> {
    let models = core.options.models.iter();
    models.filter(|model| !core.deleted.has(&model.name))
}

/// A downloaded model; keys match case-insensitively. "Names that work on the server: the key, ...
/// `key@variant`" (reported, not seen).
pub(crate) fn find<'a>(core: &'a Core, key: &str) -> Option<&'a ModelSpec> {
    models(core).find(|model| {
        let variants = model.variant_keys();
        let mut keys = variants.iter().chain([&model.name]);
        keys.any(|known| known.eq_ignore_ascii_case(key))
    })
}

#[expect(
    clippy::unnecessary_box_returns,
    reason = "a refusal stays small on its way up"
)]
fn refuse(status: u16, kind: &str, message: &str, code: Option<&str>) -> Box<Reply> {
    Box::new(routes::error(status, kind, message, code))
}

fn object(call: &Call) -> Result<&Map<String, Value>, Box<Reply>> {
    call.json
        .as_ref()
        .and_then(Value::as_object)
        .ok_or_else(|| {
            refuse(
                400,
                "invalid_request",
                "the body is not a JSON object",
                None,
            )
        })
}

/// 0.4.25: any other key is refused.
fn strict(body: &Map<String, Value>, known: &[&str]) -> Result<(), Box<Reply>> {
    let unknown: Vec<String> = body
        .keys()
        .filter(|key| !known.contains(&key.as_str()))
        .map(|key| format!("'{key}'"))
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let text = format!("Unrecognized key(s) in object: {}", unknown.join(", "));
    Err(refuse(
        400,
        "invalid_request",
        &text,
        Some("unrecognized_keys"),
    ))
}

fn field<T>(
    body: &Map<String, Value>,
    key: &str,
    read: impl Fn(&Value) -> Option<T>,
    default: T,
) -> Result<T, Box<Reply>> {
    match body.get(key) {
        None => Ok(default),
        Some(value) => read(value).ok_or_else(|| {
            refuse(
                400,
                "invalid_request",
                &format!("Invalid value for '{key}'"),
                Some("invalid_type"),
            )
        }),
    }
}

pub(crate) async fn load(core: &Arc<Core>, call: &Call) -> Reply {
    match try_load(core, call).await {
        Ok(reply) => reply,
        Err(refusal) => *refusal,
    }
}

async fn try_load(core: &Arc<Core>, call: &Call) -> Result<Reply, Box<Reply>> {
    let body = object(call)?;
    let unknown = &core.options.unknown_keys;
    let known = KEYS
        .into_iter()
        .filter(|key| !unknown.iter().any(|u| u == key));
    strict(body, &known.collect::<Vec<_>>())?;
    let model = asked_model(core, body)?;
    let config = load_config(body, model)?;
    let echo = field(body, "echo_load_config", Value::as_bool, false)?;
    let began = Instant::now();
    let kind = if model.embedding { "embedding" } else { "llm" };
    match loaded(core, call, model, config).await {
        Some(Ok(instance)) => {
            let mut reply = json!({
                "type": kind,
                "instance_id": instance.id,
                "load_time_seconds": began.elapsed().as_secs_f64(),
                "status": "loaded",
            });
            if echo {
                reply["load_config"] = instance.config.to_json(core.options.parallel);
            }
            Ok(http::json(200, &reply))
        }
        // The status is [?]; the code is documented.
        Some(Err(refused)) => Err(refuse(
            500,
            "internal_error",
            refused.text(),
            Some("model_load_failed"),
        )),
        None => Err(refuse(
            500,
            "internal_error",
            "the server is stopping",
            None,
        )),
    }
}

fn asked_model<'a>(core: &'a Core, body: &Map<String, Value>) -> Result<&'a ModelSpec, Box<Reply>> {
    let key = body.get("model").and_then(Value::as_str).ok_or_else(|| {
        refuse(
            400,
            "invalid_request",
            "'model' is required",
            Some("missing_required_parameter"),
        )
    })?;
    find(core, key).ok_or_else(|| {
        refuse(
            404,
            "model_not_found",
            &format!("Model \"{key}\" not found"),
            Some("model_not_found"),
        )
    })
}

fn load_config(body: &Map<String, Value>, model: &ModelSpec) -> Result<LoadConfig, Box<Reply>> {
    let positive = |value: &Value| value.as_u64().filter(|n| *n > 0);
    // Without it the model's maximum was reported (an MLX machine, 0.4.21).
    let context = field(body, "context_length", positive, model.max_context)?;
    field(body, "num_experts", positive, 1)?;
    Ok(LoadConfig {
        context: context.min(model.max_context),
        eval_batch_size: field(body, "eval_batch_size", positive, 512)?,
        flash_attention: field(body, "flash_attention", Value::as_bool, true)?,
        offload_kv_cache_to_gpu: field(body, "offload_kv_cache_to_gpu", Value::as_bool, true)?,
        jit_ttl: None,
        ttl: None,
        identifier: None,
        fields: Vec::new(),
    })
}

/// Loads in a task of its own: a load goes on when the client leaves [?]. `None` where the server stops.
async fn loaded(
    core: &Arc<Core>,
    call: &Call,
    model: &ModelSpec,
    config: LoadConfig,
) -> Option<Result<Instance, Refused>> {
    let (owner, model, seq) = (Arc::clone(core), model.clone(), call.seq);
    let path = call.path.clone();
    let task = core.tracker.spawn(async move {
        let stop = owner.stop.clone();
        let work = async {
            let residents = Residents::of(&owner)?;
            Some(residents.load(&owner, seq, &model, config, &path).await)
        };
        stop.run_until_cancelled(work).await.flatten()
    });
    task.await.ok().flatten()
}

pub(crate) fn unload(core: &Core, call: &Call) -> Reply {
    let body = match object(call).and_then(|body| strict(body, &["instance_id"]).map(|()| body)) {
        Ok(body) => body,
        Err(refusal) => return *refusal,
    };
    let Some(id) = body.get("instance_id").and_then(Value::as_str) else {
        return routes::error(400, "invalid_request", "'instance_id' is required", None);
    };
    if Residents::of(core).is_some_and(|residents| residents.unload(core, id)) {
        return http::json(200, &json!({"instance_id": id}));
    }
    // The status for an unknown instance is [?].
    let text = format!("Model instance \"{id}\" not found");
    routes::error(404, "model_not_found", &text, Some("model_not_found"))
}
