//! The parts of a message's content in the spellings of all clients.

use serde_json::Value;

/// One part of a message's content by its meaning, whichever of the many spellings of clients it has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum MessagePart<'a> {
    /// A text, or a refusal. An absent text is empty.
    Text(String),
    /// The thoughts of a model before its answer.
    Thinking(String),
    /// An image, by its URL or base64; `None` where it has neither.
    Image(Option<&'a str>),
    /// A sound in base64; `None` where it is absent.
    Sound(Option<&'a str>),
    /// A part that no model could read.
    Nothing,
    /// A part of another type; `None` where it has no type.
    Other(Option<&'a str>),
    /// A part whose text is no string, and the value in its place.
    NoText(&'a Value),
}

// === impl MessagePart ===

impl<'a> MessagePart<'a> {
    /// Reads one part of a message's content, whatever its type is; parts of the formats of other APIs
    /// count as text where they have one.
    pub(crate) fn of(part: &'a Value) -> Self {
        let Some(kind) = part["type"].as_str() else {
            return match part {
                Value::Null => Self::Nothing,
                Value::String(text) => Self::Text(text.clone()),
                _ if part["text"].is_string() => text(part, &["text"]),
                _ if part.get("image_url").is_some() => Self::Image(url(part)),
                _ => Self::Other(None),
            };
        };
        match kind {
            "text" | "input_text" | "output_text" | "summary_text" => {
                text(part, &["text", "content"])
            }
            "tool_result" => match part["content"].as_array() {
                Some(parts) => Self::Text(joined(parts)),
                None => text(part, &["content", "text"]),
            },
            "refusal" => text(part, &["refusal", "text"]),
            "thinking" | "reasoning" | "reasoning_text" | "reasoning_content" => {
                match text(
                    part,
                    &["thinking", "reasoning", "reasoning_content", "text"],
                ) {
                    Self::Text(text) => Self::Thinking(text),
                    other => other,
                }
            }
            // Sealed by somebody else's model.
            "redacted_thinking" => Self::Nothing,
            "image_url" | "input_image" | "image" => Self::Image(url(part)),
            "input_audio" => Self::Sound(part["input_audio"]["data"].as_str()),
            _ if part["text"].is_string() => text(part, &["text"]),
            _ => Self::Other(Some(kind)),
        }
    }
}

/// Reads the first of these members that is present as the text.
fn text<'a>(part: &'a Value, names: &[&str]) -> MessagePart<'a> {
    let mut there = names.iter().filter_map(|name| part.get(*name));
    match there.find(|value| !value.is_null()) {
        None => MessagePart::Text(String::new()),
        Some(Value::String(text)) => MessagePart::Text(text.clone()),
        Some(other) => MessagePart::NoText(other),
    }
}

/// Joins the texts of the parts of a part.
fn joined(parts: &[Value]) -> String {
    let texts = parts.iter().filter_map(|part| match MessagePart::of(part) {
        MessagePart::Text(text) => Some(text),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n\n")
}

/// Returns the URL or base64 of an image, in OpenAI's members of chat and responses or in Anthropic's.
fn url(part: &Value) -> Option<&str> {
    let image = &part["image_url"];
    image["url"]
        .as_str()
        .or_else(|| image.as_str())
        .or_else(|| part["source"]["data"].as_str())
        .or_else(|| part["source"]["url"].as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_of_all_clients_are_read() {
        let said = |text: &str| MessagePart::Text(text.to_owned());
        let thought = |text: &str| MessagePart::Thinking(text.to_owned());
        for (part, read) in [
            (json!({"type": "text", "text": "a"}), said("a")),
            (json!({"type": "text", "text": null}), said("")),
            (json!({"type": "text"}), said("")),
            (json!({"type": "input_text", "text": "a"}), said("a")),
            (
                json!({"type": "output_text", "text": "a", "annotations": []}),
                said("a"),
            ),
            (json!({"type": "text", "content": "a"}), said("a")),
            (json!({"type": "tool_result", "content": "a"}), said("a")),
            (
                json!({"type": "tool_result", "content": [{"type": "text", "text": "a"}, "b", null]}),
                said("a\n\nb"),
            ),
            (json!({"type": "refusal", "refusal": "no"}), said("no")),
            (json!({"type": "refusal", "refusal": null}), said("")),
            (
                json!({"type": "thinking", "thinking": "hm", "signature": "x"}),
                thought("hm"),
            ),
            (json!({"type": "reasoning", "text": "hm"}), thought("hm")),
            (
                json!({"type": "redacted_thinking", "data": "x"}),
                MessagePart::Nothing,
            ),
            (json!(null), MessagePart::Nothing),
            (json!("a"), said("a")),
            (json!({"text": "a"}), said("a")),
            (json!({"type": "note", "text": "a"}), said("a")),
        ] {
            assert_eq!(MessagePart::of(&part), read, "{part}");
        }
        let odd = json!({"type": "text", "text": 7});
        assert_eq!(MessagePart::of(&odd), MessagePart::NoText(&json!(7)));
    }

    #[test]
    fn parts_that_are_no_text_are_told_apart() {
        for (part, read) in [
            (
                json!({"type": "image_url", "image_url": {"url": "u"}}),
                MessagePart::Image(Some("u")),
            ),
            (
                json!({"type": "image_url", "image_url": "u"}),
                MessagePart::Image(Some("u")),
            ),
            (
                json!({"type": "input_image", "image_url": "u"}),
                MessagePart::Image(Some("u")),
            ),
            (
                json!({"type": "image", "source": {"type": "base64", "data": "u"}}),
                MessagePart::Image(Some("u")),
            ),
            (json!({"type": "image_url"}), MessagePart::Image(None)),
            (
                json!({"type": "input_audio", "input_audio": {"data": "u"}}),
                MessagePart::Sound(Some("u")),
            ),
            (json!({"type": "video"}), MessagePart::Other(Some("video"))),
            (json!({}), MessagePart::Other(None)),
            (json!(7), MessagePart::Other(None)),
        ] {
            assert_eq!(MessagePart::of(&part), read, "{part}");
        }
    }
}
