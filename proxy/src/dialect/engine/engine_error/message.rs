//! The sentence that an engine's error says, found in the JSON around it.

use serde_json::Value;

/// Keys under which engines put the sentence, the surest first. `detail` and `msg` are `FastAPI`'s.
const MESSAGE_KEYS: &[&str] = &["error", "errors", "message", "detail", "msg", "title"];

/// Levels down to which JSON in a string of JSON is opened.
const LEVELS: u8 = 6;

/// Returns the innermost message of an error's JSON; `None` where it holds no text.
///
/// A list says what its first member says, and LM Studio's `cause` is joined to the title that stands
/// beside it.
pub(super) fn message(value: &Value) -> Option<String> {
    lift(value, 0)
}

fn lift(value: &Value, level: u8) -> Option<String> {
    if level > LEVELS {
        return None;
    }
    match value {
        Value::String(text) => {
            let inner = text
                .trim_start()
                .starts_with(['{', '['])
                .then(|| serde_json::from_str::<Value>(text).ok())
                .flatten()
                .and_then(|inner| lift(&inner, level + 1));
            Some(inner.unwrap_or_else(|| text.clone()))
        }
        Value::Object(map) => {
            let said = |key: &&str| lift(map.get(*key)?, level + 1);
            let full = |text: &String| !text.is_empty();
            let title = MESSAGE_KEYS.iter().find_map(|key| said(key).filter(full));
            let title = title.or_else(|| MESSAGE_KEYS.iter().find_map(said));
            let cause = said(&"cause").filter(full);
            match (title, cause) {
                (Some(title), Some(cause)) if !title.contains(&cause) => {
                    Some(format!("{title}: {cause}"))
                }
                (title, cause) => title.or(cause),
            }
        }
        Value::Array(list) => list.iter().find_map(|value| lift(value, level + 1)),
        _ => None,
    }
}
