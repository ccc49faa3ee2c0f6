//! The weight of a prompt: its bytes, its images and sounds, and whether it goes on from an answer.
//!
//! It is counted from the strings that a scan of the body passes, so that no text is searched for it.

use super::scan::JsonMember;

/// The tokens that count for an image, a sound or a file, whatever the length of its base64.
const MEDIUM_TOKENS: u64 = 512;
/// The length from which base64 counts as a medium and not as a text, in bytes.
const LONG: usize = 2048;

/// The weight of the members of which a prompt is made.
#[derive(Clone, Debug, Default)]
pub(super) struct PromptWeight {
    /// The bytes without those of images, sounds and files.
    bytes: u64,
    media: u64,
    /// Whether images are attached to the messages.
    pub(super) has_images: bool,
    /// Whether the messages hold the role of an assistant.
    pub(super) later_turn: bool,
    /// The strings `cache_control` of messages and tools, keys or not.
    pub(super) cache_controls: u32,
    /// Whether each message has one text as its content: each has a content, and none holds a list, an
    /// object or a null, or names a call.
    pub(super) plain: bool,
}

/// The counts of the strings of one member.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MemberStrings {
    images: u64,
    /// The number of sounds and files, which are no images.
    others: u64,
    /// The bytes of all images, sounds and files.
    media_bytes: u64,
    image_parts: bool,
    assistant: bool,
    cache_controls: u32,
    roles: u32,
    contents: u32,
    types: u32,
    /// Whether the last string is a key whose value may be an image.
    named: bool,
}

// === impl MemberStrings ===

impl MemberStrings {
    /// Counts one string of the member, a key or a value, without its quotes.
    pub(super) fn pass(&mut self, string: &[u8], is_key: bool) {
        let named = std::mem::replace(
            &mut self.named,
            matches!(string, b"url" | b"image_url" | b"data" | b"file_data"),
        );
        match string {
            b"assistant" => self.assistant = true,
            b"cache_control" => self.cache_controls += 1,
            b"role" if is_key => self.roles = self.roles.saturating_add(1),
            b"content" if is_key => self.contents = self.contents.saturating_add(1),
            b"type" | b"tool_calls" | b"tool_call_id" => self.types = self.types.saturating_add(1),
            b"image_url" | b"input_image" => self.image_parts = true,
            _ if string.starts_with(b"data:image/") || named && is_image(string) => {
                self.images += 1;
                self.media_bytes += string.len() as u64;
            }
            _ if named && is_base64(string) => {
                self.others += 1;
                self.media_bytes += string.len() as u64;
            }
            _ => {}
        }
    }
}

/// Reports whether a string is the data URL of an image, in any case and under any media type that may
/// be one, or long base64 that begins as one. In a text, such as a tool's result, it would be no image
/// but a long text.
fn is_image(string: &[u8]) -> bool {
    /// The beginnings of PNG, JPEG, WebP and GIF files in base64.
    const BEGINNINGS: [&[u8]; 4] = [b"iVBORw0KGgo", b"/9j/", b"UklGR", b"R0lGOD"];
    let Some((head, rest)) = string.split_at_checked(5) else {
        return false;
    };
    match head[0] {
        b'd' | b'D' if head.eq_ignore_ascii_case(b"data:") => {
            let media = &rest[..rest.len().min(128)];
            // What is called nothing, or only bytes, may be one.
            let kinds: [&[u8]; 5] = [b"image/", b";", b",", b"application/octet", b"binary/octet"];
            kinds.iter().any(|kind| {
                let head = media.get(..kind.len());
                head.is_some_and(|head| head.eq_ignore_ascii_case(kind))
            })
        }
        b'i' | b'/' | b'U' | b'R' if string.len() >= LONG => {
            BEGINNINGS.iter().any(|begin| string.starts_with(begin))
                && !string[..64].contains(&b' ')
        }
        _ => false,
    }
}

/// Reports whether a string is long base64 of anything, alone or in a data URL.
fn is_base64(string: &[u8]) -> bool {
    let is = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_');
    string.len() >= LONG && (string.starts_with(b"data:") || string[..64].iter().all(is))
}

// === impl PromptWeight ===

impl PromptWeight {
    /// Adds a whole member of the top level with its `strings`; `elements` is their number, where it is
    /// a list. Members that are no part of a prompt are ignored.
    pub(super) fn add(
        &mut self,
        name: &str,
        member: &JsonMember,
        elements: usize,
        strings: MemberStrings,
    ) {
        let length = member.value.len() as u64;
        match name {
            "tools" => self.bytes += length,
            "messages" | "prompt" | "suffix" | "input" | "query" | "documents" => {
                self.bytes += length - strings.media_bytes;
                self.media += strings.images + strings.others;
            }
            _ => return,
        }
        self.cache_controls += strings.cache_controls;
        if name == "messages" {
            self.has_images = strings.image_parts || strings.images > 0;
            self.later_turn = strings.assistant;
            let is_flat = member.brackets <= elements + 1 && member.nulls == 0;
            self.plain = is_flat && strings.types == 0 && strings.roles <= strings.contents;
        }
    }

    /// Returns a quarter of the bytes as tokens, and those of the images, sounds and files.
    pub(super) fn tokens(&self) -> u64 {
        self.bytes / 4 + self.media * MEDIUM_TOKENS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_in_a_text_is_a_text() {
        let long = format!("iVBORw0KGgo{}", "A".repeat(4000));
        let sound = "SUQz".repeat(1000);
        let called = format!("data:audio/mp3;base64,{sound}");
        for (text, others) in [(&*sound, 1), (&*called, 1), ("SUQz", 0)] {
            let mut strings = MemberStrings::default();
            for string in ["data", text, "content", text] {
                strings.pass(string.as_bytes(), false);
            }
            assert_eq!((strings.others, strings.images), (others, 0), "{text:.20}");
        }
        for (key, images) in [("url", 1), ("data", 1), ("image_url", 1), ("content", 0)] {
            let mut strings = MemberStrings::default();
            for string in [key, &long, &long] {
                strings.pass(string.as_bytes(), false);
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
            ("data:audio/wav;base64,QUJD", false),
            ("data: see the base below", false),
            ("database64,", false),
            ("data:", false),
            ("", false),
        ] {
            assert_eq!(is_image(text.as_bytes()), image, "{text:.40}");
        }
    }
}
