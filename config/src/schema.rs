//! The JSON schema of `crucible.toml`, by which editors complete and check the file.

use schemars::{Schema, json_schema};
use serde_json::{Map, Value, json};

use crate::keys::{KeyShape, ROOT, SettingKey};

const REQUIRED: &str = "Required.";

/// The JSON schema of the whole file; `crucible.schema.json` is this text.
pub fn schema() -> Schema {
    let mut schema = json_schema!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "crucible.toml",
        "description": "Settings of Crucible. Durations and sizes may be plain integers: seconds and bytes.",
    });
    for (name, value) in table(ROOT) {
        schema.insert(name, value);
    }
    schema
}

fn table(keys: &[SettingKey]) -> Map<String, Value> {
    let properties: Map<String, Value> = keys
        .iter()
        .map(|key| (key.name.to_owned(), property(key)))
        .collect();
    let required: Vec<&str> = keys
        .iter()
        .filter(|key| key.doc.starts_with(REQUIRED))
        .map(|key| key.name)
        .collect();
    let mut map = Map::new();
    map.insert("type".into(), json!("object"));
    map.insert("additionalProperties".into(), json!(false));
    map.insert("properties".into(), Value::Object(properties));
    if !required.is_empty() {
        map.insert("required".into(), json!(required));
    }
    map
}

fn property(key: &SettingKey) -> Value {
    let mut schema = match key.shape {
        KeyShape::Value(kind) => kind.schema(),
        KeyShape::Table(_) | KeyShape::Tuning | KeyShape::Rows(_) => {
            Value::Object(table(&key.shape.keys()))
        }
        KeyShape::Tables(keys) => json!({"type": "array", "items": table(keys)}),
        KeyShape::Named(keys) => json!({"type": "object", "additionalProperties": table(keys)}),
        KeyShape::NamedValues(kind) => {
            json!({"type": "object", "additionalProperties": kind.schema()})
        }
        KeyShape::OffOr(keys) => json!({"anyOf": [{"const": false}, table(keys)]}),
    };
    if let Some(map) = schema.as_object_mut() {
        let mut doc = key.doc.to_owned();
        if !key.default.is_empty() {
            doc.extend([" Default: ", key.default, "."]);
        }
        map.insert("description".into(), json!(doc));
    }
    schema
}
