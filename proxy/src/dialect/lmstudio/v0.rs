//! `GET /api/v0/models` and `GET /api/v0/models/{id}`.

use serde_json::{Value, json};

use crate::dialect::listed_model::ListedModel;

/// Returns the answer of `GET /api/v0/models`: all models, as LM Studio lists its own.
pub(crate) fn list(models: &[ListedModel<'_>]) -> Value {
    let data: Vec<Value> = models.iter().map(entry).collect();
    json!({ "object": "list", "data": data })
}

/// Returns one model.
///
/// Clients take `loaded_context_length` for the context that a request has, and `max_context_length` only
/// where the model is not loaded. Crucible loads a model anew for a prompt that needs more, so both are the
/// context that a request can have.
pub(crate) fn entry(listed: &ListedModel<'_>) -> Value {
    let state = match listed.residents().next() {
        Some(_) => "loaded",
        None if listed.is_loading() => "loading",
        None => "not-loaded",
    };
    let sees = listed.model.capabilities.vision == Some(true);
    let kind = match (listed.embeds(), sees) {
        (true, _) => "embeddings",
        (false, true) => "vlm",
        (false, false) => "llm",
    };
    let mut entry = json!({
        "id": listed.name,
        "object": "model",
        "type": kind,
        "publisher": listed.publisher(),
        "arch": listed.architecture(),
        "compatibility_type": if listed.is_mlx() { "mlx" } else { "gguf" },
        "state": state,
        "capabilities": if listed.takes_tools() { vec!["tool_use"] } else { Vec::new() },
    });
    if let Some(quantization) = &listed.model.quantization {
        entry["quantization"] = json!(quantization);
    }
    if let Some(context) = listed.context {
        entry["max_context_length"] = json!(context);
        if state == "loaded" {
            entry["loaded_context_length"] = json!(context);
        }
    }
    entry
}
