//! The part of an engine's own description of a model that is kept, for clients that ask in the
//! engine's format.

use serde_json::{Map, Value};

/// The longest text of a description that is kept, in bytes: a license is shorter.
const TEXT_LIMIT: usize = 64 << 10;
/// The longest list of a description that is kept. A tokenizer's has as many entries as it has
/// tokens.
const LIST_LIMIT: usize = 32;

/// Returns the members of an engine's description of a model without `left_out` and without texts and lists
/// that are too long to be kept for each model.
pub(crate) fn bounded(members: &Map<String, Value>, left_out: &str) -> Map<String, Value> {
    let kept = members.iter().filter(|(key, _)| *key != left_out);
    let kept = kept.filter_map(|(key, value)| {
        let value = match value {
            Value::String(text) if text.len() > TEXT_LIMIT => return None,
            Value::Array(list) if list.len() > LIST_LIMIT => return None,
            Value::Object(inner) => Value::Object(bounded(inner, left_out)),
            other => other.clone(),
        };
        Some((key.clone(), value))
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_description_is_kept_without_what_is_long() {
        let long = "x".repeat(TEXT_LIMIT + 1);
        let described = json!({"tensors": [], "template": "t", "license": long, "none": null,
            "model_info": {"a.context_length": 8192, "tokens": vec![0; LIST_LIMIT + 1]}});
        let kept = bounded(described.as_object().unwrap(), "tensors");
        let expected = json!({"template": "t", "none": null,
            "model_info": {"a.context_length": 8192}});
        assert_eq!(Value::Object(kept), expected);
    }
}
