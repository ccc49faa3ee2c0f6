//! Lists: `/api/tags`, `/api/ps`, `/api/show`, `/v1/models`. Ollama 0.33.0-rc2.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::http::{self, Call, Reply};
use crate::ollama::errors::native;
use crate::ollama::native::timestamp;
use crate::ollama::scheduler::Scheduler;
use crate::options::ModelSpec;
use crate::sim::Core;

/// A name with its tag.
pub(crate) fn full_name(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains(':') {
        name.to_owned()
    } else {
        format!("{name}:latest")
    }
}

/// Names match without the tag `latest` and in any case.
pub(crate) fn find<'a>(core: &'a Core, name: &str) -> Option<&'a ModelSpec> {
    let wanted = full_name(name);
    available(core).find(|model| full_name(&model.name).eq_ignore_ascii_case(&wanted))
}

/// The models that nobody deleted.
fn available(core: &Core) -> impl Iterator<Item = &ModelSpec> {
    let models = core.options.models.iter();
    models.filter(|model| !core.deleted.has(&model.name))
}

fn capabilities(model: &ModelSpec) -> Vec<&'static str> {
    if model.embedding {
        return vec!["embedding"];
    }
    let mut list = vec!["completion"];
    list.extend(model.sees().then_some("vision"));
    list.extend(model.takes_tools().then_some("tools"));
    list.extend(model.thinks().then_some("thinking"));
    list
}

/// Tags of Ollama's library name the quantization; without one it is `Q4_K_M`.
fn quantization(name: &str) -> String {
    let levels = ["q4_0", "q8_0", "q5_k_m", "fp16"];
    let named = levels
        .iter()
        .find(|level| name.to_lowercase().ends_with(**level));
    named.map_or("Q4_K_M".to_owned(), |level| level.to_uppercase())
}

fn details(name: &str) -> Value {
    json!({
        "parent_model": "", "format": "gguf", "family": "llama", "families": ["llama"],
        "parameter_size": "8.0B", "quantization_level": quantization(name),
    })
}

fn digest(name: &str) -> String {
    let mut bytes = String::new();
    for byte in name.bytes() {
        bytes.extend(
            [byte >> 4, byte & 15]
                .map(|half| char::from_digit(half.into(), 16))
                .into_iter()
                .flatten(),
        );
    }
    format!("{bytes:0<64.64}")
}

pub(crate) fn tags(core: &Core) -> Reply {
    let entry = |model: &ModelSpec| {
        let name = full_name(&model.name);
        json!({
            "name": name, "model": name, "modified_at": "2026-01-01T00:00:00Z",
            "size": model.bytes, "digest": digest(&model.name), "details": details(&model.name),
            "capabilities": capabilities(model),
        })
    };
    let models: Vec<Value> = available(core).map(entry).collect();
    http::json(200, &json!({"models": models}))
}

/// Loaded runners; one that still loads is not listed. `size_vram` 0 is CPU only.
pub(crate) fn ps(core: &Core) -> Reply {
    let runners = Scheduler::of(core).map(Scheduler::all).unwrap_or_default();
    let entry = |runner: &crate::ollama::scheduler::Runner| {
        let name = full_name(&runner.model.name);
        // For ever is a date centuries ahead.
        let left = runner
            .expires
            .map_or(Duration::from_hours(2_500_000), |at| {
                at.saturating_duration_since(Instant::now())
            });
        json!({
            "name": name, "model": name, "size": runner.bytes, "digest": digest(&runner.model.name),
            "details": details(&runner.model.name), "expires_at": timestamp(SystemTime::now() + left),
            "size_vram": if runner.tuple.num_gpu == 0 { 0 } else { runner.bytes },
            "context_length": runner.tuple.num_ctx,
        })
    };
    let models: Vec<Value> = runners.iter().map(entry).collect();
    http::json(200, &json!({"models": models}))
}

pub(crate) fn show(core: &Core, call: &Call) -> Reply {
    let name = call
        .get("model")
        .or_else(|| call.get("name"))
        .and_then(Value::as_str);
    let name = name.unwrap_or_default();
    if name.is_empty() {
        return native(400, "model is required");
    }
    let Some(model) = find(core, name) else {
        return native(404, &format!("model '{name}' not found"));
    };
    http::json(
        200,
        &json!({
            "license": "", "modelfile": "", "parameters": "temperature 0.7", "template": "{{ .Prompt }}",
            "details": details(&model.name),
            "model_info": {
                "general.architecture": "llama",
                "llama.context_length": model.max_context,
                "llama.embedding_length": 4096,
            },
            "capabilities": capabilities(model),
            "modified_at": "2026-01-01T00:00:00Z",
        }),
    )
}

/// With no models `data` is null, not an empty list (`ToListCompletion`).
pub(crate) fn openai(core: &Core) -> Reply {
    let entry = |model: &ModelSpec| {
        json!({
            "id": full_name(&model.name), "object": "model", "created": 1_767_225_600,
            "owned_by": "library",
        })
    };
    let list: Vec<Value> = available(core).map(entry).collect();
    let data = if list.is_empty() {
        Value::Null
    } else {
        Value::Array(list)
    };
    http::json(200, &json!({"object": "list", "data": data}))
}
