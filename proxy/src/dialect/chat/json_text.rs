//! Texts in JSON, as they stand between their quotes and as they are meant.
//!
//! Texts of engines and clients are spliced into other JSON without being decoded, so that every escape
//! stays as it was written.

use std::borrow::Cow;

/// Returns what stands between the quotes of a JSON string, with its escapes; nothing where the value is
/// no string.
pub(crate) fn inner(raw: &str) -> &str {
    raw.strip_prefix('"')
        .and_then(|raw| raw.strip_suffix('"'))
        .unwrap_or_default()
}

/// Decodes a raw JSON string.
pub(crate) fn decoded(raw: &str) -> Cow<'_, str> {
    let plain = inner(raw);
    if plain.contains('\\') {
        Cow::Owned(serde_json::from_str(raw).unwrap_or_default())
    } else {
        plain.into()
    }
}

/// Writes a text as a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
