//! The parts of a message's content, in the spelling that engines read.

use serde_json::{Value, json, value::RawValue};

use super::editor::MessageEditor;
use crate::{
    body::object::JsonObject,
    dialect::engine::messages::{image::MessageImage, part::MessagePart},
};

// === impl MessageEditor ===

impl<'a> MessageEditor<'a> {
    /// Rewrites the parts of a content, or one part without its list, as texts and images. The thoughts of
    /// an assistant move to a member of their own.
    pub(super) fn content(&mut self, message: &JsonObject<'a>, raw: &'a str, assistant: bool) {
        let alone = raw.starts_with('{');
        let parts = if alone {
            serde_json::from_str(raw).map(|part| vec![part])
        } else {
            serde_json::from_str::<Vec<&RawValue>>(raw)
        };
        let Ok(parts) = parts else {
            return;
        };
        let mut thoughts = Vec::new();
        let mut sent = Vec::with_capacity(parts.len());
        let mut changed = alone || parts.is_empty();
        for part in parts {
            let value: Value = serde_json::from_str(part.get()).unwrap_or_default();
            let is = |kind: &str| value["type"] == kind;
            let text = |text: String| json!({ "type": "text", "text": text }).to_string();
            let with = match MessagePart::of(&value) {
                MessagePart::Text(_) if is("text") && value["text"].is_string() => None,
                MessagePart::Thinking(said) if assistant => {
                    thoughts.push(said);
                    Some(String::new())
                }
                MessagePart::Text(said) | MessagePart::Thinking(said) => Some(text(said)),
                MessagePart::Nothing => Some(String::new()),
                MessagePart::Image(Some(url)) => self.image(&value, url),
                MessagePart::Image(None)
                | MessagePart::Sound(_)
                | MessagePart::Other(_)
                | MessagePart::NoText(_) => None,
            };
            changed |= with.is_some();
            self.has_rewritten_parts |=
                with.is_some() && !matches!(MessagePart::of(&value), MessagePart::Image(_));
            match with {
                None => sent.push(part.get().to_owned()),
                Some(with) if with.is_empty() => {}
                Some(with) => sent.push(with),
            }
        }
        if !changed {
            return;
        }
        let list = if sent.is_empty() {
            r#""""#.to_owned()
        } else {
            format!("[{}]", sent.join(","))
        };
        self.set(raw, list);
        let known = message
            .get("reasoning_content")
            .filter(|raw| *raw != "null");
        if !thoughts.is_empty() && known.is_none() {
            let thoughts = Value::from(thoughts.join("\n\n"));
            self.add(message, &format!("\"reasoning_content\":{thoughts}"));
        }
    }

    /// Returns an image whose spelling the engine may not know as a plain data URL; `None` where it may
    /// stay.
    fn image(&mut self, part: &Value, url: &str) -> Option<String> {
        let plain = part["type"] == "image_url" && part["image_url"]["url"].is_string();
        let spelt = match MessageImage::of(url) {
            Ok(image) => image.url(),
            Err(_) => None,
        };
        // Declared as something else than it is, and still read by the bytes alone.
        let known = url.starts_with("data:image/")
            && url.split_once(";base64,").is_some_and(|(media, data)| {
                !media.contains(';') && spelt.as_ref().is_none_or(|spelt| spelt.ends_with(data))
            });
        if plain && (known || spelt.is_none()) {
            return None;
        }
        let url = if known {
            url
        } else {
            spelt.as_deref().unwrap_or(url)
        };
        self.has_rewritten_images = true;
        Some(json!({ "type": "image_url", "image_url": { "url": url } }).to_string())
    }
}
