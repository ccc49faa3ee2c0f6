//! The switch of chat templates by which llama.cpp's server turns thinking off.

use serde_json::Value;

use crate::{
    body::peek::PeekedBody,
    dialect::chat::thinking::{ThinkingMode, ThinkingRequest},
};

/// Returns `chat_template_kwargs` with thinking switched off, or with its switch as the boolean that it
/// has to be there (b11434: "expected boolean, got string"), and the path of what asked for it; `None`
/// where they may stay.
pub(super) fn template_switch(body: &[u8], peek: &PeekedBody) -> Option<(String, &'static str)> {
    const NAME: &str = "enable_thinking";
    let asked = ThinkingRequest::of(body, peek).asked?;
    let mut kwargs = match peek.raw(body, "chat_template_kwargs") {
        None => serde_json::Map::new(),
        Some(raw) => serde_json::from_str(raw).ok()?,
    };
    let is_text = kwargs.get(NAME).is_some_and(Value::is_string);
    let off = asked.wish == ThinkingMode::Off;
    let is_off = kwargs.get(NAME) == Some(&Value::Bool(false)) || asked.path == "reasoning_effort";
    if (!off || is_off) && !is_text {
        return None;
    }
    kwargs.insert(NAME.to_owned(), (!off).into());
    Some((Value::from(kwargs).to_string(), asked.path))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn llama_cpp_gets_the_switch_that_it_reads() {
        for (fields, becomes) in [
            ("", None),
            (r#""think":true"#, None),
            (r#""reasoning_effort":"none""#, None),
            (r#""chat_template_kwargs":{"enable_thinking":false}"#, None),
            (r#""think":false"#, Some(r#"{"enable_thinking":false}"#)),
            (
                r#""enable_thinking":false,"chat_template_kwargs":{"z":1,"a":2}"#,
                Some(r#"{"z":1,"a":2,"enable_thinking":false}"#),
            ),
            (
                r#""chat_template_kwargs":{"enable_thinking":"false"}"#,
                Some(r#"{"enable_thinking":false}"#),
            ),
            (
                r#""chat_template_kwargs":{"enable_thinking":"true"}"#,
                Some(r#"{"enable_thinking":true}"#),
            ),
            (
                r#""reasoning":{"enabled":false}"#,
                Some(r#"{"enable_thinking":false}"#),
            ),
            (r#""think":false,"chat_template_kwargs":7"#, None),
        ] {
            let body = Bytes::from(format!("{{{fields}}}"));
            let found = template_switch(&body, &PeekedBody::of(&body, 64).unwrap());
            assert_eq!(
                found.map(|(kwargs, _)| kwargs).as_deref(),
                becomes,
                "{fields}"
            );
        }
    }
}
