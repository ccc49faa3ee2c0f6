//! The check of a chat request for the needs of every kind of engine. Unknown fields pass.

use crate::{
    body::peek::{self, PeekedBody},
    dialect::{
        chat::{
            field_error::{invalid_type, missing, unsupported},
            tool_choice::ToolChoice,
        },
        engine::fields::{number_rules::NumberRules, numbers::rewritten_numbers},
    },
    error::Error,
};

/// Checks the messages, the numbers, `tools` and `stream_options` of a chat request, and `tool_choice`
/// where the engine knows only words for it.
///
/// # Errors
/// `missing_field`, `invalid_type` and `unsupported_value`, each with the path of the field.
pub(crate) fn validate_chat(
    body: &[u8],
    peek: &PeekedBody,
    numbers: &NumberRules,
    tool_choice_words_only: bool,
) -> Result<(), Error> {
    let Some(raw) = peek.raw_bytes(body, "messages") else {
        return Err(missing("messages"));
    };
    if !raw.starts_with(b"[") {
        let found = peek.raw(body, "messages").unwrap_or_default();
        return Err(invalid_type("messages", "an array", peek::found(found)));
    }
    if raw[1..].trim_ascii_start() == b"]" {
        return Err(unsupported("messages", "`messages` must not be empty"));
    }
    rewritten_numbers(body, peek, numbers)?;
    for (name, bracket, expected) in [
        ("tools", '[', "an array"),
        ("stream_options", '{', "an object"),
    ] {
        if let Some(raw) = peek.raw(body, name)
            && !raw.starts_with(bracket)
        {
            return Err(invalid_type(name, expected, peek::found(raw)));
        }
    }
    if tool_choice_words_only {
        ToolChoice::of(body, peek)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use crucible_config::checked::EngineKind;

    use super::*;
    use crate::{
        dialect::{
            chat::{ChatRequest, RequestTask},
            engine::format_of,
        },
        error::ErrorKind,
    };

    fn check(text: &str, kind: EngineKind) -> Result<(), Error> {
        let body = Bytes::copy_from_slice(text.as_bytes());
        let peek = PeekedBody::of(&body, 64).unwrap();
        format_of(kind).check(&ChatRequest {
            task: RequestTask::Chat,
            body,
            peek: Arc::new(peek),
            notes: Vec::new(),
            writer: None,
            shared: None,
            native: None,
        })
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, kind, param) in [
            ("{}", ErrorKind::MissingField, "messages"),
            (r#"{"messages":"x"}"#, ErrorKind::InvalidType, "messages"),
            (
                r#"{"messages":[ ]}"#,
                ErrorKind::UnsupportedValue,
                "messages",
            ),
            (
                r#"{"messages":[1],"top_p":"1"}"#,
                ErrorKind::InvalidType,
                "top_p",
            ),
            (
                r#"{"messages":[1],"max_tokens":1e400}"#,
                ErrorKind::UnsupportedValue,
                "max_tokens",
            ),
            (
                r#"{"messages":[1],"tools":{}}"#,
                ErrorKind::InvalidType,
                "tools",
            ),
            (
                r#"{"messages":[1],"n":2}"#,
                ErrorKind::UnsupportedValue,
                "n",
            ),
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
}
