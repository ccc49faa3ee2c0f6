//! The members of a request that continues a raw prompt, OpenAI's `/v1/completions`.

use serde_json::value::RawValue;

use crate::{
    body::peek::found,
    dialect::chat::{
        ChatRequest,
        field_error::{invalid_type, missing, unsupported},
    },
    error::Error,
};

/// A raw prompt, as far as it has to be understood.
#[derive(Debug)]
pub(crate) struct RawPrompt<'a> {
    /// The JSON of the text, where the prompt is one text; a list of one is that text.
    pub(crate) text: Option<&'a str>,
    /// Whether the answer is to stand before another text.
    pub(crate) has_suffix: bool,
}

// === impl RawPrompt ===

impl<'a> RawPrompt<'a> {
    /// Reads `prompt`, which is a text, a list of texts, a list of tokens or a list of such lists, and
    /// `suffix`.
    ///
    /// # Errors
    /// `missing_field`, `invalid_type` and `unsupported_value`, each with the path of the field.
    pub(crate) fn read(request: &'a ChatRequest) -> Result<Self, Error> {
        let ChatRequest { body, peek, .. } = request;
        let raw = peek.raw(body, "prompt").ok_or_else(|| missing("prompt"))?;
        let suffix = peek.typed::<String>(body, "suffix", "a string")?;
        let has_suffix = suffix.is_some_and(|suffix| !suffix.is_empty());
        if let Some(options) = peek.raw(body, "stream_options")
            && !options.starts_with('{')
        {
            return Err(invalid_type("stream_options", "an object", found(options)));
        }
        if raw.starts_with('"') {
            let text = Some(raw);
            return Ok(Self { text, has_suffix });
        }
        let list: Vec<&RawValue> = serde_json::from_str(raw).map_err(|_| {
            let expected = "a string, a list of strings, or lists of tokens";
            invalid_type("prompt", expected, found(raw))
        })?;
        if list.is_empty() {
            return Err(unsupported("prompt", "`prompt` must not be an empty list"));
        }
        for (at, element) in list.iter().map(|raw| raw.get()).enumerate() {
            if !element.starts_with(|c: char| c == '"' || c == '[' || c.is_ascii_digit()) {
                let path = format!("prompt[{at}]");
                let expected = "a string, a token or a list of tokens";
                return Err(invalid_type(&path, expected, found(element)));
            }
        }
        let text = match list[..] {
            [only] => Some(only.get()).filter(|text| text.starts_with('"')),
            _ => None,
        };
        Ok(Self { text, has_suffix })
    }

    /// Returns the text on behalf of an engine that takes one text alone.
    ///
    /// # Errors
    /// `unsupported_value`, where the prompt is tokens, several texts, or an empty text.
    pub(crate) fn need_one_text(&self, product: &str) -> Result<&'a str, Error> {
        let Some(text) = self.text else {
            let message = format!(
                "{product} takes one text as `prompt`, and neither tokens nor several texts: send a \
                 request for each"
            );
            return Err(unsupported("prompt", message));
        };
        if text == "\"\"" {
            return Err(unsupported("prompt", "`prompt` must not be empty"));
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dialect::{chat::RequestTask, engine::format_of, engine::testing::request},
        error::ErrorKind,
    };
    use crucible_config::checked::EngineKind;

    fn check(kind: EngineKind, members: &str) -> Result<(), Error> {
        format_of(kind).check(&request(RequestTask::Completion, members))
    }

    #[test]
    fn what_is_wrong_is_named_for_every_kind() {
        for (members, code, param) in [
            (r#""x":1"#, ErrorKind::MissingField, "prompt"),
            (r#""prompt":null"#, ErrorKind::MissingField, "prompt"),
            (r#""prompt":7"#, ErrorKind::InvalidType, "prompt"),
            (r#""prompt":{}"#, ErrorKind::InvalidType, "prompt"),
            (r#""prompt":[]"#, ErrorKind::UnsupportedValue, "prompt"),
            (
                r#""prompt":["a",null]"#,
                ErrorKind::InvalidType,
                "prompt[1]",
            ),
            (r#""prompt":[{}]"#, ErrorKind::InvalidType, "prompt[0]"),
            (
                r#""prompt":"a","suffix":7"#,
                ErrorKind::InvalidType,
                "suffix",
            ),
            (
                r#""prompt":"a","max_tokens":"7""#,
                ErrorKind::InvalidType,
                "max_tokens",
            ),
            (
                r#""prompt":"a","temperature":"7""#,
                ErrorKind::InvalidType,
                "temperature",
            ),
            (
                r#""prompt":"a","logprobs":"7""#,
                ErrorKind::InvalidType,
                "logprobs",
            ),
            (
                r#""prompt":"a","stream_options":7"#,
                ErrorKind::InvalidType,
                "stream_options",
            ),
        ] {
            for kind in EngineKind::ALL {
                let error = check(kind, members).unwrap_err();
                assert_eq!(
                    (error.kind, error.param.as_deref()),
                    (code, Some(param)),
                    "{members}"
                );
            }
        }
    }

    #[test]
    fn each_kind_takes_what_it_reads() {
        use EngineKind::{Llamacpp, Lmstudio, Ollama, Openai};
        for (members, taking) in [
            (r#""prompt":"a","logprobs":2"#, &EngineKind::ALL[..]),
            (r#""prompt":["a"],"suffix":"""#, &EngineKind::ALL),
            (r#""prompt":["a","b"]"#, &[Llamacpp, Openai]),
            (r#""prompt":[1,2]"#, &[Llamacpp, Openai]),
            (r#""prompt":[[1],[2]]"#, &[Llamacpp, Openai]),
            (r#""prompt":"""#, &[Llamacpp, Openai]),
            (r#""prompt":"a","suffix":"b""#, &[Ollama, Openai]),
            (r#""prompt":"a","n":2"#, &[Llamacpp, Openai]),
        ] {
            for kind in EngineKind::ALL {
                let taken = check(kind, members).is_ok();
                assert_eq!(taken, taking.contains(&kind), "{kind:?} {members}");
            }
        }
        let error = check(Lmstudio, r#""prompt":"a","suffix":"b""#).unwrap_err();
        assert!(error.message.contains("would be lost"), "{error}");
    }
}
