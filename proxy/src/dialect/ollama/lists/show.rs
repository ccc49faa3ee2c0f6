//! `POST /api/show`: the description of one model.

use crucible_config::checked::EngineKind;
use serde_json::{Map, Value, json};

use super::facts::{capabilities, details, modified_at};
use crate::dialect::listed_model::ListedModel;

/// The members that Ollama leaves out where they are empty and that clients read all the same.
const TEXTS: [&str; 3] = ["modelfile", "parameters", "template"];

/// Returns the description of a model: an Ollama's own where one has it, else what its engine tells in
/// Ollama's words. `basename` is set where a client shows `general.basename` for the name, as Ollama does for Copilot Chat.
/// `at_length` is what its own Ollama answers in full, where it was asked.
pub(crate) fn show(
    listed: &ListedModel<'_>,
    basename: Option<&str>,
    at_length: Option<Map<String, Value>>,
) -> Value {
    let polled = || listed.described_by(EngineKind::Ollama);
    let told = at_length.or_else(|| polled().map(|told| Map::clone(told)));
    let mut shown = told.unwrap_or_else(|| described(listed));
    for key in TEXTS {
        if !shown.get(key).is_some_and(Value::is_string) {
            shown.insert(key.to_owned(), json!(""));
        }
    }
    let info = shown.remove("model_info");
    let mut info = match info {
        Some(Value::Object(info)) => info,
        _ => Map::new(),
    };
    let family = listed.architecture();
    info.entry("general.architecture")
        .or_insert_with(|| json!(family));
    if let Some(context) = listed.context {
        info.insert(format!("{family}.context_length"), json!(context));
    }
    if let Some(name) = basename {
        info.insert("general.basename".to_owned(), json!(name));
    }
    shown.insert("model_info".to_owned(), Value::Object(info));
    shown.insert("details".to_owned(), details(listed));
    shown.insert("capabilities".to_owned(), json!(capabilities(listed)));
    shown.insert("modified_at".to_owned(), json!(modified_at(listed)));
    Value::Object(shown)
}

/// What is said of a model that no Ollama has.
fn described(listed: &ListedModel<'_>) -> Map<String, Value> {
    let product = listed.engine.kind.profile().product;
    let (engine, model) = (&listed.engine.name, &listed.model.id);
    let modelfile = format!(
        "# {model} of {engine}, {product}, through Crucible\nFROM {}\n",
        listed.name
    );
    // Editors look for this word to tell that a model takes a suffix.
    let inserts = listed.model.capabilities.insert == Some(true);
    let template = if inserts {
        "{{ .Prompt }}{{ .Suffix }}"
    } else {
        "{{ .Prompt }}"
    };
    let mut shown = Map::new();
    shown.insert("modelfile".to_owned(), json!(modelfile));
    shown.insert("template".to_owned(), json!(template));
    shown.insert(
        "model_info".to_owned(),
        json!({ "general.basename": listed.name }),
    );
    shown
}
