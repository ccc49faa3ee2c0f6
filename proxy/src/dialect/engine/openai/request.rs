//! The OpenAI request: what must hold for any engine, and the edits for those that speak it.
//!
//! Only what Crucible itself must know is checked; unknown fields pass.

use std::collections::HashSet;

use bytes::Bytes;
use crucible_config::checked::{EngineKind, RequestDefaults};
use serde_json::Value;

use crate::{
    body::{
        edit::{self, Edit, New},
        peek::{self, PeekedBody},
    },
    dialect::engine::{
        messages::passed::{Passed, passed},
        openai::{
            lmstudio, numbers, stop,
            tool_choice::{Mode, ToolChoice},
            tools::{self, Offered},
        },
        thinking,
    },
    error::{Error, Kind},
};

/// A body ready for a pass-through engine.
#[derive(Clone, Debug)]
pub struct Edited {
    /// What to send.
    pub body: Bytes,
    /// Names of the values that were filled in.
    pub defaults: Vec<&'static str>,
    /// What was clamped or dropped, for `x-crucible-note`.
    pub notes: Vec<String>,
    /// Usage was asked for on the client's behalf: its extra event must be dropped again.
    pub injected_usage: bool,
    /// Ids of the tool calls in the conversation: a new one is to have another.
    pub call_ids: HashSet<String>,
}

/// Checks a chat request for an engine of this kind.
///
/// Errors: `missing_field`, `invalid_type`, `unsupported_value`, each with its path.
pub fn validate_chat(body: &[u8], peek: &PeekedBody, kind: EngineKind) -> Result<(), Error> {
    let Some(raw) = peek.raw_bytes(body, "messages") else {
        return Err(Error::new(Kind::MissingField, "`messages` is missing").param("messages"));
    };
    if !raw.starts_with(b"[") {
        let found = peek.raw(body, "messages").unwrap_or_default();
        return Err(invalid_type("messages", "an array", peek::found(found)));
    }
    if raw[1..].trim_ascii_start() == b"]" {
        return Err(unsupported("messages", "`messages` must not be empty"));
    }
    numbers::bent(body, peek, kind)?;
    if let Some(raw) = peek.raw(body, "tools")
        && !raw.starts_with('[')
    {
        return Err(invalid_type("tools", "an array", peek::found(raw)));
    }
    if let Some(raw) = peek.raw(body, "stream_options")
        && !raw.starts_with('{')
    {
        return Err(invalid_type(
            "stream_options",
            "an object",
            peek::found(raw),
        ));
    }
    if knows_only_words(kind) {
        ToolChoice::of(body, peek)?;
    }
    Ok(())
}

/// `tool_choice` has no object form there: LM Studio refuses one, llama.cpp's server takes it for
/// `auto`, Ollama has no such field at all.
const fn knows_only_words(kind: EngineKind) -> bool {
    match kind {
        EngineKind::Lmstudio | EngineKind::Llamacpp | EngineKind::Ollama => true,
        EngineKind::Openai => false,
    }
}

/// Edits a request for an engine that speaks OpenAI itself.
///
/// `model` is the engine's name of it. LM Studio documents `max_tokens` only, so a newer client's
/// `max_completion_tokens` is repeated under that name; an unknown server may choke on
/// `stream_options` that the client did not send. What the engine would refuse or misread is bent,
/// and said. Errors: those of `ToolChoice::of` and of `numbers::bent`.
pub fn edit(
    body: &Bytes,
    peek: &PeekedBody,
    model: &str,
    defaults: &RequestDefaults,
    kind: EngineKind,
) -> Result<Edited, Error> {
    let format = (kind == EngineKind::Lmstudio)
        .then(|| lmstudio::response_format(peek.raw(body, "response_format")?))
        .flatten();
    let choice = if knows_only_words(kind) {
        ToolChoice::of(body, peek)?.filter(|choice| choice.bent)
    } else {
        None
    };
    let numbers = numbers::bent(body, peek, kind)?;
    let stop = peek.raw(body, "stop").and_then(stop::bent);
    let messages = peek.raw(body, "messages");
    let messages = messages.filter(|_| !peek.has_plain_messages(body));
    let messages = messages.map_or_else(Passed::default, |raw| passed(raw, kind));
    let switch = (kind == EngineKind::Llamacpp)
        .then(|| thinking::template_switch(body, peek))
        .flatten();
    let mut edits = Vec::with_capacity(8);
    edits.push(Edit::Set("model", New::Text(model)));
    let filled = fill(body, peek, defaults, &mut edits);
    let mut notes = Vec::new();
    if let Some(with) = &messages.with {
        edits.push(Edit::Set("messages", New::Raw(with)));
    }
    notes.extend(messages.notes);
    if let Some((kwargs, path)) = &switch {
        edits.push(Edit::Set("chat_template_kwargs", New::Raw(kwargs)));
        notes.push(format!(
            "{path} is sent as chat_template_kwargs.enable_thinking"
        ));
    }
    for number in numbers.iter().chain(&stop) {
        edits.push(match &number.with {
            Some(with) => Edit::Set(number.name, New::Raw(with)),
            None => Edit::Remove(number.name),
        });
        notes.push(number.note.clone());
    }
    if kind == EngineKind::Lmstudio
        && peek.raw(body, "max_tokens").is_none()
        && let Some(limit) = peek.raw(body, "max_completion_tokens")
    {
        let bent = numbers.iter().find(|n| n.name == "max_completion_tokens");
        let limit = bent.and_then(|n| n.with.as_deref()).unwrap_or(limit);
        edits.push(Edit::Default("max_tokens", New::Raw(limit)));
        notes.push("max_completion_tokens is sent as max_tokens too".to_owned());
    }
    if let Some((format, note)) = &format {
        edits.push(Edit::Set("response_format", New::Raw(format)));
        notes.push((*note).to_owned());
    } else if kind == EngineKind::Lmstudio
        && let Some(raw) = peek.raw(body, "response_format")
        && lmstudio::is_no_format(raw)
    {
        edits.push(Edit::Remove("response_format"));
    }
    let left = choice.as_ref().and_then(|choice| choice.tools.as_deref());
    let offered = match left.or_else(|| peek.raw(body, "tools")) {
        Some(raw) if knows_only_words(kind) => tools::offered(raw),
        _ => None,
    };
    let is_none_left = offered
        .as_ref()
        .is_some_and(|offered| offered.with.is_none());
    if is_none_left {
        // There is nothing to choose from.
        edits.push(Edit::Remove("tool_choice"));
    } else if let Some(choice) = &choice {
        edits.push(Edit::Set("tool_choice", New::Raw(choice.mode.json())));
        notes.push(bent_choice(choice));
    }
    match &offered {
        Some(Offered {
            with: Some(tools), ..
        }) => edits.push(Edit::Set("tools", New::Raw(tools))),
        Some(Offered { with: None, .. }) => edits.push(Edit::Remove("tools")),
        None => edits.extend(left.map(|left| Edit::Set("tools", New::Raw(left)))),
    }
    if kind == EngineKind::Llamacpp && numbers::asks_for_no_alternatives(body, peek) {
        edits.push(Edit::Remove("top_logprobs"));
    }
    let honours_usage = kind != EngineKind::Openai;
    let injected_usage = peek.stream && honours_usage && !include_usage(body, peek);
    if injected_usage {
        edits.push(Edit::IncludeUsage);
    }
    // LM Studio fails on some of them (reported), and what is null is what is absent.
    if kind == EngineKind::Lmstudio {
        edits.push(Edit::RemoveNulls);
    }
    notes.extend(offered.as_ref().and_then(|offered| offered.note.clone()));
    Ok(Edited {
        body: edit::apply(body, peek, &edits),
        defaults: filled,
        notes,
        injected_usage,
        call_ids: messages.ids,
    })
}

/// Fills the gaps; the names of what was one.
fn fill(
    body: &[u8],
    peek: &PeekedBody,
    defaults: &RequestDefaults,
    edits: &mut Vec<Edit<'_>>,
) -> Vec<&'static str> {
    let mut filled = Vec::with_capacity(5);
    for (name, value) in defaults_of(defaults) {
        if peek.raw(body, name).is_none()
            && let Some(value) = value
        {
            edits.push(Edit::Default(name, New::Number(value)));
            filled.push(name);
        }
    }
    filled
}

fn bent_choice(choice: &ToolChoice) -> String {
    let word = match choice.mode {
        Mode::Auto => "auto",
        Mode::None => "none",
        Mode::Required => "required",
    };
    let offer = if choice.tools.is_some() {
        ", and only the tools that it allows are offered"
    } else {
        ""
    };
    format!("tool_choice is sent as {word}{offer}")
}

/// The client asked for a usage event.
pub fn include_usage(body: &[u8], peek: &PeekedBody) -> bool {
    peek.raw(body, "stream_options")
        .and_then(|raw| serde_json::from_str::<Value>(raw).ok())
        .is_some_and(|options| options["include_usage"] == true)
}

/// The four sampling values that may be filled in, by wire name.
pub(crate) fn defaults_of(defaults: &RequestDefaults) -> [(&'static str, Option<f64>); 4] {
    [
        ("temperature", defaults.temperature.map(|f| f.value)),
        ("top_p", defaults.top_p.map(|f| f.value)),
        (
            "frequency_penalty",
            defaults.frequency_penalty.map(|f| f.value),
        ),
        (
            "presence_penalty",
            defaults.presence_penalty.map(|f| f.value),
        ),
    ]
}

pub(crate) fn invalid_type(path: &str, expected: &str, found: &str) -> Error {
    Error::new(
        Kind::InvalidType,
        format!("`{path}` must be {expected}, found {found}"),
    )
    .param(path)
}

pub(crate) fn unsupported(path: &str, message: impl Into<String>) -> Error {
    Error::new(Kind::UnsupportedValue, message.into()).param(path)
}

#[cfg(test)]
mod tests {
    use crucible_config::checked::{Filled, From};

    use super::*;

    fn check(text: &str, kind: EngineKind) -> Result<(), Error> {
        let body = Bytes::copy_from_slice(text.as_bytes());
        let peek = PeekedBody::of(&body, 64).unwrap();
        validate_chat(&body, &peek, kind)
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, kind, param) in [
            ("{}", Kind::MissingField, "messages"),
            (r#"{"messages":"x"}"#, Kind::InvalidType, "messages"),
            (r#"{"messages":[ ]}"#, Kind::UnsupportedValue, "messages"),
            (
                r#"{"messages":[1],"top_p":"1"}"#,
                Kind::InvalidType,
                "top_p",
            ),
            (
                r#"{"messages":[1],"max_tokens":1e400}"#,
                Kind::UnsupportedValue,
                "max_tokens",
            ),
            (r#"{"messages":[1],"tools":{}}"#, Kind::InvalidType, "tools"),
            (r#"{"messages":[1],"n":2}"#, Kind::UnsupportedValue, "n"),
        ] {
            let error = check(text, EngineKind::Ollama).unwrap_err();
            assert_eq!(
                (error.kind, error.param.as_deref()),
                (kind, Some(param)),
                "{text}"
            );
        }
        assert!(check(r#"{"messages":[1],"n":2}"#, EngineKind::Openai).is_ok());
        assert!(
            check(
                r#"{"messages":[1],"tools":[{}],"x":{}}"#,
                EngineKind::Ollama
            )
            .is_ok()
        );
    }

    #[test]
    fn gaps_are_filled_and_zero_is_a_value() {
        let body = Bytes::from_static(
            br#"{"model":"m","stream":true,"temperature":0,"messages":[1],"zz":1.0e2}"#,
        );
        let peek = PeekedBody::of(&body, 64).unwrap();
        let value = |value| {
            Some(Filled {
                value,
                from: From::Profile,
            })
        };
        let defaults = RequestDefaults {
            temperature: value(0.3),
            top_p: value(0.8),
            frequency_penalty: None,
            presence_penalty: None,
        };
        let edited = edit(&body, &peek, "lib/m", &defaults, EngineKind::Llamacpp).unwrap();
        assert_eq!(edited.defaults, ["top_p"]);
        assert!(edited.injected_usage);
        assert_eq!(
            edited.body,
            r#"{"model":"lib/m","stream":true,"temperature":0,"messages":[1],"zz":1.0e2,"top_p":0.8,"stream_options":{"include_usage":true}}"#
        );
    }

    #[test]
    fn what_an_engine_would_refuse_or_misread_is_bent_and_said() {
        use EngineKind::{Llamacpp, Lmstudio, Openai};
        let chosen = r#"{"z":1.0,"tools":[{"type":"function","function":{"name":"f"}}, {"type":"function","function": {"name":"g"}}],"tool_choice":{"type":"function","function":{"name":"g"}},"messages":[1]}"#;
        let sent = r#"{"z":1.0,"tools":[{"type":"function","function": {"name":"g"}}],"tool_choice":"required","messages":[1],"model":"m"}"#;
        let said = "tool_choice is sent as required, and only the tools that it allows are offered";
        let json = r#"{"response_format":{"type":"json_object"},"messages":[1]}"#;
        let schema = r#"{"response_format":{"type":"json_schema","json_schema":{"name":"json_object","schema":{"type":"object"}}},"messages":[1],"model":"m"}"#;
        let plain = |text: &str| format!(r#"{},"model":"m"}}"#, &text[..text.len() - 1]);
        for (kind, text, becomes, note) in [
            (Lmstudio, chosen, sent.to_owned(), Some(said)),
            (Llamacpp, chosen, sent.to_owned(), Some(said)),
            (Openai, chosen, plain(chosen), None),
            (
                Lmstudio,
                json,
                schema.to_owned(),
                Some("response_format json_object is sent as json_schema"),
            ),
            (Llamacpp, json, plain(json), None),
            (Openai, json, plain(json), None),
        ] {
            let body = Bytes::copy_from_slice(text.as_bytes());
            let peek = PeekedBody::of(&body, 64).unwrap();
            let edited = edit(&body, &peek, "m", &RequestDefaults::default(), kind).unwrap();
            assert_eq!(edited.body, becomes, "{kind:?}");
            assert_eq!(
                edited.notes.first().map(String::as_str),
                note,
                "{kind:?} {text}"
            );
        }
    }
}
