//! `text`: the form of the answer's text.

use std::fmt::Write as _;

use super::notes::RequestNotes;
use crate::{
    dialect::chat::{
        client_object::ClientObject,
        field_error::{missing, shown},
    },
    error::Error,
};

/// Returns `response_format` of the chat format; `None` where the answer is plain text.
pub(super) fn response_format(
    text: &ClientObject<'_>,
    notes: &mut RequestNotes,
) -> Result<Option<String>, Error> {
    if text
        .get("verbosity")
        .is_some_and(|raw| raw != r#""medium""#)
    {
        notes.say("text.verbosity is dropped: no engine here has it");
    }
    let path = "text.format";
    let Some(raw) = text.object("format", "text")? else {
        return Ok(None);
    };
    let format = ClientObject::of(raw, path)?;
    let kind = format.decoded_text("type", path)?;
    match kind.as_deref() {
        None => Err(missing("text.format.type")),
        Some("text") => Ok(None),
        Some("json_object") => Ok(Some(r#"{"type":"json_object"}"#.to_owned())),
        Some("json_schema") => schema(&format, path).map(Some),
        Some(other) => {
            let other = shown(other);
            notes.say(format!("text.format is dropped: '{other}' is not known"));
            Ok(None)
        }
    }
}

/// Returns a format with a schema, which keeps its bytes.
fn schema(format: &ClientObject<'_>, path: &str) -> Result<String, Error> {
    let schema = format
        .object("schema", path)?
        .ok_or_else(|| missing("text.format.schema"))?;
    let name = format.text("name", path)?.unwrap_or(r#""response""#);
    let mut json = format!(r#"{{"type":"json_schema","json_schema":{{"name":{name}"#);
    // Writing to a string cannot fail.
    if let Some(description) = format.text("description", path)? {
        let _ = write!(json, r#","description":{description}"#);
    }
    let _ = write!(json, r#","schema":{schema}"#);
    if let Some(strict) = format.boolean("strict", path)? {
        let _ = write!(json, r#","strict":{strict}"#);
    }
    json.push_str("}}");
    Ok(json)
}
