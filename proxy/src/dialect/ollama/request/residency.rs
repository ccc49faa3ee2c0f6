//! Requests without a prompt: Ollama (0.33, `server/routes.go`) loads the model then, or unloads it where
//! `keep_alive` is 0.

use super::fields::{ClientFields, is_empty_text};
use crate::{dialect::chat::NativeApi, error::Error};

/// A wish about memory that a request without a prompt has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dialect::ollama) enum ResidencyWish {
    /// The model is to be loaded.
    Load,
    /// The model is to go.
    Unload,
}

/// Returns the wish of a request; `None` where it has a prompt.
///
/// # Errors
/// The member that would be the prompt has the wrong type.
pub(super) fn of(
    api: NativeApi,
    fields: &ClientFields<'_>,
) -> Result<Option<ResidencyWish>, Error> {
    let is_empty = match api {
        NativeApi::Chat => fields.list("messages")?.is_none_or(|list| list.is_empty()),
        NativeApi::Generate | NativeApi::Embeddings => {
            fields.text("prompt")?.is_none_or(is_empty_text)
        }
        NativeApi::Embed => match fields.get("input") {
            None => true,
            Some(raw) if raw.starts_with('[') => {
                fields.list("input")?.is_none_or(|list| list.is_empty())
            }
            Some(raw) => is_empty_text(raw),
        },
    };
    let goes = || match api {
        NativeApi::Chat | NativeApi::Generate => is_zero(fields.get("keep_alive")),
        NativeApi::Embed | NativeApi::Embeddings => false,
    };
    Ok(is_empty.then(|| {
        if goes() {
            ResidencyWish::Unload
        } else {
            ResidencyWish::Load
        }
    }))
}

/// Reports whether a duration is none: a number of seconds, or a text such as `0s`.
fn is_zero(raw: Option<&str>) -> bool {
    let Some(raw) = raw else {
        return false;
    };
    let text = raw.trim_matches('"');
    let digits = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
    digits.parse::<f64>() == Ok(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_without_a_prompt_is_a_wish_about_memory() {
        use NativeApi::{Chat, Embed, Embeddings, Generate};
        use ResidencyWish::{Load, Unload};

        for (api, body, wish) in [
            (Chat, r#"{"messages":[]}"#, Some(Load)),
            (Chat, "{}", Some(Load)),
            (Chat, r#"{"messages":null,"keep_alive":0}"#, Some(Unload)),
            (Chat, r#"{"messages":[],"keep_alive":"0s"}"#, Some(Unload)),
            (Chat, r#"{"messages":[],"keep_alive":0.0}"#, Some(Unload)),
            (Chat, r#"{"messages":[],"keep_alive":-1}"#, Some(Load)),
            (Chat, r#"{"messages":[],"keep_alive":"5m"}"#, Some(Load)),
            (Chat, r#"{"messages":[{}],"keep_alive":0}"#, None),
            (Generate, r#"{"prompt":""}"#, Some(Load)),
            (Generate, r#"{"keep_alive":"0"}"#, Some(Unload)),
            (Generate, r#"{"prompt":"x"}"#, None),
            (Embed, r#"{"input":[]}"#, Some(Load)),
            (Embed, r#"{"input":"","keep_alive":0}"#, Some(Load)),
            (Embed, r#"{"input":["a"]}"#, None),
            (Embeddings, r#"{"prompt":""}"#, Some(Load)),
        ] {
            let fields = ClientFields::of(body, "").unwrap();
            assert_eq!(of(api, &fields).unwrap(), wish, "{body}");
        }
        let wrong = ClientFields::of(r#"{"messages":{}}"#, "").unwrap();
        assert_eq!(
            of(Chat, &wrong).unwrap_err().param.as_deref(),
            Some("messages")
        );
    }
}
