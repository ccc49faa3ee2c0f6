//! The members of a request beside its conversation and its tools.

use std::fmt::Write as _;

use super::{json, notes::MessagesNotes};
use crate::{
    body::{number::JsonNumber, peek::found},
    dialect::chat::{
        client_object::{ClientObject, elements},
        field_error::{invalid_type, missing},
        field_path::FieldPath,
    },
    error::Error,
};

/// Members that only Anthropic's servers could serve, and what the client loses without them.
const LOST: [(&str, &str); 2] = [
    (
        "mcp_servers",
        "mcp_servers are not connected: only Anthropic's servers do so",
    ),
    (
        "container",
        "container is ignored: nothing is run beside the model",
    ),
];

/// Numbers that have the same name and meaning in a chat request.
const NUMBERS: [&str; 3] = ["temperature", "top_p", "top_k"];

/// Appends the members of the chat request that these members of the client's become.
///
/// # Errors
/// A member has the wrong type; the error names it.
pub(super) fn write_fields(
    request: &ClientObject<'_>,
    notes: &mut MessagesNotes,
    out: &mut String,
) -> Result<(), Error> {
    limit(request, notes, out)?;
    for name in NUMBERS {
        if let Some(raw) = request.get(name) {
            // Writing to a String cannot fail.
            let _ = write!(out, r#","{name}":{}"#, number(raw, name)?);
        }
    }
    stops(request, out)?;
    thinking(request, out)?;
    format(request, out)?;
    for (name, note) in LOST {
        let empty = |raw: &str| matches!(raw, "[]" | "{}");
        if request.get(name).is_some_and(|raw| !empty(raw)) {
            notes.say(note);
        }
    }
    if request.get("context_management").is_some_and(edits_more) {
        notes.say("context_management is ignored: the conversation is sent as it is");
    }
    Ok(())
}

fn number<'a>(raw: &'a str, name: &str) -> Result<&'a str, Error> {
    match raw.as_bytes().first() {
        Some(b'-' | b'0'..=b'9') => Ok(raw),
        _ => Err(invalid_type(FieldPath::Named(name), "a number", found(raw))),
    }
}

/// Writes `max_tokens`. To Anthropic 0 reads the prompt into the cache and answers nothing; to some engines
/// it is no limit.
fn limit(
    request: &ClientObject<'_>,
    notes: &mut MessagesNotes,
    out: &mut String,
) -> Result<(), Error> {
    const NAME: &str = "max_tokens";
    let Some(raw) = request.get(NAME) else {
        return Ok(());
    };
    let raw = number(raw, NAME)?;
    let written = match JsonNumber::of(raw) {
        Some(JsonNumber::Whole(0)) => {
            notes.say("max_tokens 0 is sent as 1: the engine reads the prompt into its cache");
            "1"
        }
        Some(JsonNumber::Whole(limit)) if limit < 0 => {
            return Err(json::unsupported(
                FieldPath::Named(NAME),
                "is negative: send at least 1",
            ));
        }
        _ => raw,
    };
    let _ = write!(out, r#","{NAME}":{written}"#);
    Ok(())
}

fn stops(request: &ClientObject<'_>, out: &mut String) -> Result<(), Error> {
    let top = FieldPath::Named("stop_sequences");
    let Some(raw) = request.get("stop_sequences") else {
        return Ok(());
    };
    let all = elements(raw, top)?;
    for (number, stop) in all.iter().enumerate() {
        json::text(stop, FieldPath::Element(&top, number))?;
    }
    if !all.is_empty() {
        let _ = write!(out, r#","stop":{raw}"#);
    }
    Ok(())
}

/// Writes the switch of chat templates where thinking is switched off. Its levels (`budget_tokens`,
/// `output_config.effort`) are left out: a template that does not know them fails the request.
fn thinking(request: &ClientObject<'_>, out: &mut String) -> Result<(), Error> {
    let top = FieldPath::Named("thinking");
    let Some(raw) = request.get("thinking") else {
        return Ok(());
    };
    if ClientObject::of(raw, top)?.kind() == "disabled" {
        out.push_str(r#","chat_template_kwargs":{"enable_thinking":false}"#);
    }
    Ok(())
}

/// Writes `response_format` for `output_config.format`, or for `output_format`, its older name.
fn format(request: &ClientObject<'_>, out: &mut String) -> Result<(), Error> {
    let top = FieldPath::Named("output_config");
    let config = match request.get("output_config") {
        Some(raw) => ClientObject::of(raw, top)?.get("format"),
        None => None,
    };
    let place = match config {
        Some(_) => FieldPath::Member(&top, "format"),
        None => FieldPath::Named("output_format"),
    };
    let Some(raw) = config.or_else(|| request.get("output_format")) else {
        return Ok(());
    };
    let format = ClientObject::of(raw, place)?;
    if format.kind() != "json_schema" {
        return Err(json::unsupported(
            FieldPath::Member(&place, "type"),
            "must be json_schema",
        ));
    }
    let here = FieldPath::Member(&place, "schema");
    let schema = format.get("schema").ok_or_else(|| missing(here))?;
    if !schema.starts_with('{') {
        return Err(invalid_type(here, "an object", found(schema)));
    }
    let _ = write!(
        out,
        r#","response_format":{{"type":"json_schema","json_schema":{{"name":"output","schema":{schema},"strict":true}}}}"#
    );
    Ok(())
}

/// Reports whether `context_management` asks for an edit of the conversation other than that of earlier
/// thinking, which chat templates make themselves.
fn edits_more(raw: &str) -> bool {
    let place = FieldPath::Named("context_management");
    let Ok(management) = ClientObject::of(raw, place) else {
        return true;
    };
    let edits = management.get("edits").unwrap_or("[]");
    elements(edits, place).is_ok_and(|edits| {
        edits.iter().any(|edit| {
            let edit = ClientObject::of(edit, place);
            edit.is_ok_and(|edit| !edit.kind().starts_with("clear_thinking"))
        })
    })
}
