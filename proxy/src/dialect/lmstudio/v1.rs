//! `GET /api/v1/models`, the list of LM Studio 0.4.

use crucible_config::checked::EngineKind;
use crucible_router::{plan::Listed, view::ResidentView};
use serde_json::{Map, Value, json};

use crate::dialect::{
    anthropic::models as anthropic, listed_model::ListedModel, openai::models as openai,
};

/// Returns the whole list. Its `data` is OpenAI's list, or Anthropic's: a client of these APIs whose base URL is
/// `/api/v1`, or `/api`, asks the same path.
pub(crate) fn list(models: &[ListedModel<'_>], listing: &[Listed], for_anthropic: bool) -> Value {
    let mut document = if for_anthropic {
        anthropic::list(listing, &anthropic::ModelPage::default())
    } else {
        openai::list(listing, false)
    };
    let entries: Vec<Value> = models.iter().map(entry).collect();
    document["models"] = entries.into();
    document
}

/// Returns one model: its entry, with OpenAI's members beside it.
pub(crate) fn one(listed: &ListedModel<'_>, open: Value) -> Value {
    let mut document = entry(listed);
    if let (Value::Object(members), Value::Object(open)) = (&mut document, open) {
        members.extend(open);
    }
    document
}

/// An LM Studio's own entry is repeated, with the name and the context that hold here.
fn entry(listed: &ListedModel<'_>) -> Value {
    let told = listed.described_by(EngineKind::Lmstudio);
    let mut entry = told.map_or_else(|| described(listed), |told| Map::clone(told));
    entry.insert("key".into(), json!(listed.name));
    if let Some(context) = listed.context {
        entry.insert("max_context_length".into(), json!(context));
    }
    entry.insert("loaded_instances".into(), instances(listed));
    Value::Object(entry)
}

/// The entry of a model that LM Studio would not know.
fn described(listed: &ListedModel<'_>) -> Map<String, Value> {
    let (model, metadata) = (listed.model, &listed.model.metadata);
    let quantization = model.quantization.as_ref();
    let shown = metadata.display_name.as_deref().unwrap_or(listed.name);
    let mut entry = Map::new();
    let members = [
        (
            "type",
            json!(if listed.embeds() { "embedding" } else { "llm" }),
        ),
        ("publisher", json!(listed.publisher())),
        ("display_name", json!(shown)),
        ("architecture", json!(listed.architecture())),
        (
            "quantization",
            json!(quantization.map(|name| json!({ "name": name, "bits_per_weight": bits(name) }))),
        ),
        ("size_bytes", json!(model.size_bytes.unwrap_or(0))),
        ("params_string", json!(metadata.parameter_size)),
        (
            "format",
            json!(if listed.is_mlx() { "mlx" } else { "gguf" }),
        ),
        ("description", Value::Null),
    ];
    entry.extend(members.map(|(key, value)| (key.to_owned(), value)));
    if !listed.embeds() {
        let mut able = json!({
            "vision": model.capabilities.vision == Some(true),
            "trained_for_tool_use": model.capabilities.trained_for_tools.unwrap_or(listed.takes_tools()),
        });
        if model.capabilities.thinking == Some(true) {
            able["reasoning"] = json!({ "allowed_options": ["off", "on"], "default": "on" });
        }
        entry.insert("capabilities".into(), able);
    }
    entry
}

/// The bits of each weight, as the name of a quantization says (`Q4_K_M`, `IQ2_XS`, `F16`, `4bit`); 0 where
/// it says nothing.
fn bits(quantization: &str) -> u32 {
    let digits = quantization.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = digits.find(|c: char| !c.is_ascii_digit());
    digits[..end.unwrap_or(digits.len())].parse().unwrap_or(0)
}

fn instances(listed: &ListedModel<'_>) -> Value {
    let instances = listed
        .residents()
        .map(|resident| instance(listed, resident));
    instances.collect()
}

fn instance(listed: &ListedModel<'_>, resident: &ResidentView) -> Value {
    let mut config = json!({});
    let context = listed.context.or(resident.info.context);
    let members = [
        ("context_length", context),
        ("parallel", resident.info.parallel.map(u64::from)),
        ("eval_batch_size", resident.info.batch_size.map(u64::from)),
    ];
    for (key, value) in members {
        if let Some(value) = value {
            config[key] = json!(value);
        }
    }
    if let Some(flash) = resident.info.flash_attention {
        config["flash_attention"] = json!(flash);
    }
    json!({ "id": resident.info.instance, "config": config })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_read_from_the_name() {
        for (name, expected) in [
            ("Q4_K_M", 4),
            ("IQ2_XS", 2),
            ("F16", 16),
            ("8bit", 8),
            ("", 0),
            ("MXFP4", 4),
        ] {
            assert_eq!(bits(name), expected, "{name}");
        }
    }
}
