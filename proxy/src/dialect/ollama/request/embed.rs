//! `/api/embed` and `/api/embeddings`: texts that become vectors.

use super::{fields::ClientFields, notes::OllamaNotes, options, written::TranslatedBody};
use crate::{
    body::peek::found,
    dialect::chat::{NativeApi, RequestTask, field_error::invalid_type},
    error::Error,
};

/// Writes the members of an embeddings request.
///
/// # Errors
/// A field cannot be served.
pub(super) fn write(
    api: NativeApi,
    fields: &ClientFields<'_>,
    body: &mut TranslatedBody,
    notes: &mut OllamaNotes,
) -> Result<RequestTask, Error> {
    // The options of the load are noted, and those of sampling mean nothing here.
    options::write(fields, &mut TranslatedBody::with_room(0), notes)?;
    if api == NativeApi::Embeddings {
        body.set("input", Some(fields.text("prompt")?.unwrap_or("\"\"")));
        return Ok(RequestTask::Embedding);
    }
    let input = fields.get("input").unwrap_or("\"\"");
    if input.starts_with('[') {
        for (at, raw) in fields.list("input")?.into_iter().flatten().enumerate() {
            if !raw.starts_with('"') {
                let path = format!("input[{at}]");
                return Err(invalid_type(&path, "a string", found(raw)));
            }
        }
    } else if !input.starts_with('"') {
        let expected = "a string or a list of strings";
        return Err(invalid_type("input", expected, found(input)));
    }
    body.set("input", Some(input));
    body.set("encoding_format", Some("\"float\""));
    // 0 is as good as none (0.33, `server/routes.go`).
    let dimensions = fields.number("dimensions")?.filter(|raw| *raw != "0");
    body.set("dimensions", dimensions);
    if fields.boolean("truncate")? == Some(true) {
        notes.loses("truncate is dropped: a text that is too long is refused, never cut");
    }
    Ok(RequestTask::Embedding)
}
