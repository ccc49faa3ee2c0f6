//! Characters that a reader does not see, or that make the text around them read as another one.
//!
//! Names, prompts and errors come from others, and a person reads them on a terminal or a page. The list is
//! Unicode's property `Default_Ignorable_Code_Point` together with the control characters, the line and paragraph
//! separators, the formatting characters of direction (UAX #9) and the marks of interlinear annotation. Each place
//! that shows such a text decides by the kind whether it leaves the character out, replaces it or writes its number.
//!
//! ```
//! use crucible_documents::UnseenCharacter;
//!
//! assert_eq!(UnseenCharacter::of('a'), None);
//! // An override of direction: `exe.gpj` behind it reads as `jpg.exe`.
//! assert_eq!(UnseenCharacter::of('\u{202e}'), Some(UnseenCharacter::Turning));
//! ```

/// The way in which a character is not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnseenCharacter {
    /// A control character, which a terminal acts on: line feeds, tabs and the beginnings of escape sequences.
    Control,
    /// A line or paragraph separator, or an embedding, override or isolate that turns the direction of the text
    /// behind it.
    Turning,
    /// A joiner or a variation selector, which chooses the shape of the characters beside it. Many languages and
    /// pictures need them; how wide the result is depends on the terminal.
    Shaping,
    /// A character without a width or a shape: a zero-width space, a soft hyphen, a mark of direction, a tag.
    Hidden,
}

// === impl UnseenCharacter ===

impl UnseenCharacter {
    /// Returns the way in which a character is not seen; `None` for one that a reader sees, spaces among them.
    pub fn of(c: char) -> Option<Self> {
        match c {
            c if c.is_control() => Some(Self::Control),
            '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => Some(Self::Turning),
            '\u{34f}'
            | '\u{180b}'..='\u{180d}'
            | '\u{180f}'
            | '\u{200c}'..='\u{200d}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{e0100}'..='\u{e01ef}' => Some(Self::Shaping),
            '\u{ad}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180e}'
            | '\u{200b}'
            | '\u{200e}'..='\u{200f}'
            | '\u{2060}'..='\u{2065}'
            | '\u{206a}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}' => Some(Self::Hidden),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// The list by kind, in ranges of code points, as the script of the live page is compared with it.
    fn list() -> String {
        let mut text = "{".to_owned();
        for (word, kind) in [
            ("control", UnseenCharacter::Control),
            ("turning", UnseenCharacter::Turning),
            ("shaping", UnseenCharacter::Shaping),
            ("hidden", UnseenCharacter::Hidden),
        ] {
            let mut ranges: Vec<[u32; 2]> = Vec::new();
            let of_kind = |c: &char| UnseenCharacter::of(*c) == Some(kind);
            for c in ('\0'..=char::MAX).filter(of_kind).map(u32::from) {
                match ranges.last_mut() {
                    Some([_, last]) if *last + 1 == c => *last = c,
                    _ => ranges.push([c, c]),
                }
            }
            let ranges = ranges
                .iter()
                .map(|[first, last]| format!("\"{first:04x}-{last:04x}\""));
            let ranges = ranges.collect::<Vec<_>>().join(", ");
            let comma = if text.len() > 1 { "," } else { "" };
            // Writing to a String cannot fail.
            let _ = write!(text, "{comma}\n  \"{word}\": [{ranges}]");
        }
        text + "\n}\n"
    }

    /// `tests/page` walks all code points through the page's own list and this file.
    #[test]
    fn the_page_is_compared_with_this_list() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/page/unseen_characters.json"
        );
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, list()).unwrap();
        }
        let found = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(
            found,
            list(),
            "run UPDATE_DOCS=1 cargo test -p crucible-documents unseen, then node --test tests/page"
        );
    }

    #[test]
    fn each_unseen_character_has_a_kind_and_a_seen_one_has_none() {
        for (characters, kind) in [
            ("\n\t\r\0\u{1b}\u{7f}\u{9b}", Some(UnseenCharacter::Control)),
            (
                "\u{2028}\u{2029}\u{202a}\u{202e}\u{2066}\u{2069}",
                Some(UnseenCharacter::Turning),
            ),
            (
                "\u{200c}\u{200d}\u{fe0f}\u{e0100}",
                Some(UnseenCharacter::Shaping),
            ),
            (
                "\u{ad}\u{61c}\u{200b}\u{200e}\u{200f}\u{2060}\u{3164}\u{feff}\u{fff9}\u{e0041}",
                Some(UnseenCharacter::Hidden),
            ),
            ("a é模\u{301}\u{a0}\u{3000}\u{fffd}\u{1f469}", None),
        ] {
            for c in characters.chars() {
                assert_eq!(UnseenCharacter::of(c), kind, "{:04x}", u32::from(c));
            }
        }
    }
}
