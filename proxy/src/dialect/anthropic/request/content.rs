//! The content of a chat message, written from texts and images whose JSON is the client's.

use super::json;
use crate::dialect::chat::json_text::inner;

/// What stands between two texts of one content: a blank line, as engines themselves join parts.
const BETWEEN: &str = "\\n\\n";

/// One part of a content.
enum ContentPart {
    /// The JSON of a text, and of the `cache_control` that is kept with it.
    Text(String, Option<String>),
    /// The JSON of a whole part.
    Image(String),
}

/// The parts of one content so far.
#[derive(Default)]
pub(super) struct ContentWriter {
    parts: Vec<ContentPart>,
}

/// Joins texts, given as JSON, into the JSON of one text.
#[derive(Default)]
pub(super) struct TextJoiner {
    inside: String,
}

// === impl TextJoiner ===

impl TextJoiner {
    /// Adds a text; an empty one adds nothing.
    pub(super) fn push(&mut self, text: &str) {
        let inside = inner(text);
        if inside.is_empty() {
            return;
        }
        if !self.inside.is_empty() {
            self.inside.push_str(BETWEEN);
        }
        self.inside.push_str(inside);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.inside.is_empty()
    }

    /// Returns the JSON of the joined text.
    pub(super) fn json(&self) -> String {
        json::with_quotes(&self.inside)
    }
}

// === impl ContentWriter ===

impl ContentWriter {
    /// Adds the JSON of a text, with the `cache_control` that is to be kept; an empty text adds nothing.
    pub(super) fn text(&mut self, text: &str, cache_control: Option<&str>) {
        if !inner(text).is_empty() {
            let kept = cache_control.map(str::to_owned);
            self.parts.push(ContentPart::Text(text.to_owned(), kept));
        }
    }

    /// Adds an image by its address, of which this is the text with its escapes.
    pub(super) fn image(&mut self, url: &str) {
        self.parts.push(ContentPart::Image(format!(
            r#"{{"type":"image_url","image_url":{{"url":"{url}"}}}}"#
        )));
    }

    /// Adds the images of another content.
    pub(super) fn take_images(&mut self, other: &mut Self) {
        let is_image = |part: &mut ContentPart| matches!(part, ContentPart::Image(_));
        self.parts.extend(other.parts.extract_if(.., is_image));
    }

    /// Moves the parts of another content behind these.
    pub(super) fn append(&mut self, other: &mut Self) {
        self.parts.append(&mut other.parts);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Returns the JSON of the content: one text, or a list of parts where there are images.
    pub(super) fn json(&self) -> String {
        let is_plain = |part: &ContentPart| matches!(part, ContentPart::Text(_, None));
        if self.parts.iter().all(is_plain) {
            let mut joined = TextJoiner::default();
            for part in &self.parts {
                if let ContentPart::Text(text, _) = part {
                    joined.push(text);
                }
            }
            return joined.json();
        }
        let each = self.parts.iter().map(|part| match part {
            ContentPart::Text(text, None) => format!(r#"{{"type":"text","text":{text}}}"#),
            ContentPart::Text(text, Some(kept)) => {
                format!(r#"{{"type":"text","text":{text},"cache_control":{kept}}}"#)
            }
            ContentPart::Image(json) => json.clone(),
        });
        format!("[{}]", each.collect::<Vec<_>>().join(","))
    }
}
