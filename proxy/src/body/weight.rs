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
}

/// What the strings of one member tell.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Strings {
    images: u64,
    image_bytes: u64,
    image_parts: bool,
    assistant: bool,
}

// === impl Strings ===

impl Strings {
    pub(super) fn pass(&mut self, string: &[u8]) {
        match string {
            b"assistant" => self.assistant = true,
            b"image_url" | b"input_image" => self.image_parts = true,
            _ if string.starts_with(b"data:image/") => {
                self.images += 1;
                self.image_bytes += string.len() as u64;
            }
            _ => {}
        }
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
        }
    }

    /// Bytes / 4, and the images.
    pub(super) fn tokens(&self) -> u64 {
        self.bytes / 4 + self.images * IMAGE_TOKENS
    }
}
