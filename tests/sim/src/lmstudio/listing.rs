//! The three lists: `/v1/models`, `/api/v0/models`, `/api/v1/models`. LM Studio 0.4.25.

use serde_json::{Value, json};

use crate::http::{self, Reply};
use crate::lmstudio::load::models;
use crate::lmstudio::residents::{Instance, Residents};
use crate::model_spec::ModelSpec;
use crate::sim::Core;

fn instances(core: &Core) -> Vec<Instance> {
    Residents::of(core).map(Residents::all).unwrap_or_default()
}

/// JIT on: all downloaded models and second instances; JIT off: only loaded ones. Ids only.
pub(crate) fn openai(core: &Core) -> Reply {
    let loaded = instances(core);
    let mut ids: Vec<String> = Vec::new();
    if core.options.jit {
        ids.extend(models(core).map(|model| model.name.clone()));
    }
    for instance in &loaded {
        if !ids.contains(&instance.id) {
            ids.push(instance.id.clone());
        }
    }
    let object =
        |id: &String| json!({"id": id, "object": "model", "owned_by": "organization_owner"});
    let data: Vec<Value> = ids.iter().map(object).collect();
    http::json(200, &json!({"data": data, "object": "list"}))
}

fn v0_entry(model: &ModelSpec, id: &str, loaded: Option<&Instance>) -> Value {
    let kind = if model.embedding {
        "embeddings"
    } else if model.sees() {
        "vlm"
    } else {
        "llm"
    };
    let mut entry = json!({
        "id": id, "object": "model", "type": kind, "publisher": "sim", "arch": "sim",
        "compatibility_type": if model.is_mlx() { "mlx" } else { "gguf" }, "quantization": "Q4_K_M",
        "state": if loaded.is_some() { "loaded" } else { "not-loaded" },
        "max_context_length": model.max_context,
    });
    if let (Some(instance), Some(entry)) = (loaded, entry.as_object_mut()) {
        entry.insert(
            "loaded_context_length".to_owned(),
            json!(instance.config.context),
        );
    }
    entry
}

/// With JIT off it lists only loaded models (bt#726, bt#816).
pub(crate) fn v0(core: &Core) -> Reply {
    let loaded = instances(core);
    let mut data = Vec::new();
    for model in models(core) {
        let mine: Vec<&Instance> = loaded
            .iter()
            .filter(|instance| instance.model.name == model.name)
            .collect();
        if mine.is_empty() && core.options.jit {
            data.push(v0_entry(model, &model.name, None));
        }
        data.extend(
            mine.iter()
                .map(|instance| v0_entry(model, &instance.id, Some(instance))),
        );
    }
    http::json(200, &json!({"data": data, "object": "list"}))
}

/// One entry of [`v0`], by instance id or key.
pub(crate) fn v0_one(core: &Core, id: &str) -> Option<Reply> {
    let loaded = instances(core);
    if let Some(instance) = loaded.iter().find(|instance| instance.id == id) {
        return Some(http::json(
            200,
            &v0_entry(&instance.model, id, Some(instance)),
        ));
    }
    let mut models = models(core);
    let model = models.find(|model| core.options.jit && model.name == id)?;
    Some(http::json(200, &v0_entry(model, id, None)))
}

/// The richest list: all downloaded models whatever JIT says.
pub(crate) fn v1(core: &Core) -> Reply {
    let loaded = instances(core);
    let entry = |model: &ModelSpec| {
        let mine: Vec<Value> = loaded
            .iter()
            .filter(|instance| instance.model.name == model.name)
            .map(|instance| {
                let mut config = instance.config.to_json(core.options.parallel);
                // "For MLX instances the recorded config holds only context_length and parallel."
                if model.is_mlx()
                    && let Some(config) = config.as_object_mut()
                {
                    config.retain(|key, _| matches!(key.as_str(), "context_length" | "parallel"));
                }
                json!({"id": instance.id, "config": config})
            })
            .collect();
        let mut capabilities =
            json!({"vision": model.sees(), "trained_for_tool_use": model.takes_tools()});
        if model.thinks()
            && let Some(capabilities) = capabilities.as_object_mut()
        {
            let reasoning = json!({"allowed_options": ["off", "on"], "default": "on"});
            capabilities.insert("reasoning".to_owned(), reasoning);
        }
        let variants = model.variant_keys();
        let mut entry = json!({
            "type": if model.embedding { "embedding" } else { "llm" },
            "publisher": "sim",
            "key": model.name,
            "display_name": model.name,
            "architecture": "sim",
            "quantization": {"name": "Q4_K_M", "bits_per_weight": 4},
            "size_bytes": model.bytes,
            "params_string": "8B",
            "loaded_instances": mine,
            "max_context_length": model.max_context,
            "format": if model.is_mlx() { "mlx" } else { "gguf" },
            "capabilities": capabilities,
            "description": null,
        });
        if let (Some(entry), Some(first)) = (entry.as_object_mut(), variants.first()) {
            entry.insert("selected_variant".to_owned(), json!(first));
            entry.insert("variants".to_owned(), json!(variants));
        }
        entry
    };
    let models: Vec<Value> = models(core).map(entry).collect();
    http::json(200, &json!({"models": models}))
}
