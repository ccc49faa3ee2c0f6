//! What a prompt weighs: its bytes, its images, and whether it goes on from an answer.
//!
//! Told from the strings that a scan of the body passes, so that no text is searched for it.

use std::ops::Range;

/// Tokens counted for one image, whatever the length of its data URL.
const IMAGE_TOKENS: u64 = 512;

/// Of the members that a prompt is made of.
#[derive(Clone, Debug, Default)]
pub(super) struct Weight {
    /// Without those of images.
    bytes: u64,
    images: u64,
    /// Image parts are attached to the messages.
    pub(super) has_images: bool,
    /// The messages hold the word of an assistant's.
    pub(super) later_turn: bool,
    /// Each message has a content, and none has a part or a call with a type.
    pub(super) plain: bool,
}

/// What the strings of one member tell.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Strings {
    images: u64,
    image_bytes: u64,
    image_parts: bool,
    assistant: bool,
    roles: u32,
    contents: u32,
    types: u32,
    /// The last string names what may be an image.
    named: bool,
}

// === impl Strings ===

impl Strings {
    pub(super) fn pass(&mut self, string: &[u8]) {
        let named = std::mem::replace(
            &mut self.named,
            matches!(string, b"url" | b"image_url" | b"data"),
        );
        match string {
            b"assistant" => self.assistant = true,
            b"role" => self.roles = self.roles.saturating_add(1),
            b"content" => self.contents = self.contents.saturating_add(1),
            b"type" | b"tool_calls" => self.types = self.types.saturating_add(1),
            b"image_url" | b"input_image" => self.image_parts = true,
            _ if string.starts_with(b"data:image/") || named && is_image(string) => {
                self.images += 1;
                self.image_bytes += string.len() as u64;
            }
            _ => {}
        }
    }
}

/// A data URL of an image, in whatever case and under whatever name, or long base64 that begins as
/// one does. In a text, such as a tool's result, it is no image but a long text.
fn is_image(string: &[u8]) -> bool {
    /// What PNG, JPEG, WebP and GIF files begin with.
    const BEGINNINGS: [&[u8]; 4] = [b"iVBORw0KGgo", b"/9j/", b"UklGR", b"R0lGOD"];
    /// Shorter ones weigh no more than a text.
    const LONG: usize = 2048;
    let Some((head, rest)) = string.split_at_checked(5) else {
        return false;
    };
    match head[0] {
        b'd' | b'D' if head.eq_ignore_ascii_case(b"data:") => {
            let media = &rest[..rest.len().min(128)];
            let named = media
                .get(..6)
                .is_some_and(|kind| kind.eq_ignore_ascii_case(b"image/"));
            named || media.windows(7).any(|w| w.eq_ignore_ascii_case(b"base64,"))
        }
        b'i' | b'/' | b'U' | b'R' if string.len() >= LONG => {
            BEGINNINGS.iter().any(|begin| string.starts_with(begin))
                && !string[..64].contains(&b' ')
        }
        _ => false,
    }
}

// === impl Weight ===

impl Weight {
    pub(super) fn add(&mut self, name: &str, value: Range<usize>, strings: Strings) {
        let length = value.len() as u64;
        match name {
            "tools" => self.bytes += length,
            "messages" | "prompt" | "input" => {
                self.bytes += length - strings.image_bytes;
                self.images += strings.images;
            }
            _ => return,
        }
        if name == "messages" {
            self.has_images = strings.image_parts || strings.images > 0;
            self.later_turn = strings.assistant;
            self.plain = strings.types == 0 && strings.roles <= strings.contents;
        }
    }

    /// Bytes / 4, and the images.
    pub(super) fn tokens(&self) -> u64 {
        self.bytes / 4 + self.images * IMAGE_TOKENS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_in_a_text_is_a_text() {
        let long = format!("iVBORw0KGgo{}", "A".repeat(4000));
        for (key, images) in [("url", 1), ("data", 1), ("image_url", 1), ("content", 0)] {
            let mut strings = Strings::default();
            for string in [key, &long, &long] {
                strings.pass(string.as_bytes());
            }
            assert_eq!(strings.images, images, "{key}");
        }
    }

    #[test]
    fn images_are_known_in_every_spelling() {
        let long = format!("/9j/{}", "A".repeat(4000));
        let words = format!("/9j/ {}", "a b ".repeat(1000));
        for (text, image) in [
            ("data:image/png;base64,QUJD", true),
            ("DATA:IMAGE/PNG;BASE64,QUJD", true),
            ("data:application/octet-stream;base64,QUJD", true),
            ("data:;base64,QUJD", true),
            (&*long, true),
            (&*words, false),
            ("/9j/short", false),
            ("data: see the base below", false),
            ("database64,", false),
            ("data:", false),
            ("", false),
        ] {
            assert_eq!(is_image(text.as_bytes()), image, "{text:.40}");
        }
    }
}
