//! Characters that look like TOML's own, or cannot be seen at all: word processors, web pages and
//! old systems leave them in a file, and a parser's own words for them help nobody.

/// A character that TOML cannot have there, with the words of the message about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OddCharacter {
    /// The character by its number, such as `the character U+201C`.
    pub(super) found: String,
    /// The words for what would be right, such as `plain quotes`.
    pub(super) expected: &'static str,
    /// The advice that mends it, such as to delete a character that an editor does not show.
    pub(super) hint: &'static str,
}

/// Returns the first odd character of a line that stands neither in a string nor in a comment;
/// `None` where there is none.
pub(super) fn first(line: &str) -> Option<OddCharacter> {
    let mut quote = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('"' | '\'', None) => quote = Some(c),
            (_, Some(open)) if c == open => quote = None,
            ('\\', Some('"')) => {
                chars.next();
            }
            (_, Some(_)) => {}
            ('#', None) => return None,
            ('\r', None) if chars.peek().is_none() => {}
            (_, None) => {
                if let Some((expected, hint)) = meaning(c) {
                    return Some(OddCharacter {
                        found: format!("the character U+{:04X}", u32::from(c)),
                        expected,
                        hint,
                    });
                }
            }
        }
    }
    None
}

fn meaning(c: char) -> Option<(&'static str, &'static str)> {
    match c {
        '\u{2018}'..='\u{201f}' | '\u{ab}' | '\u{bb}' | '\u{2032}' | '\u{2033}' => {
            Some(("plain quotes", "write \" or ' around the text"))
        }
        '\r' => Some((
            "lines that end in LF or CRLF",
            "save it with such line ends",
        )),
        '\u{a0}' | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{3000}' | '\u{feff}' => {
            Some(("plain spaces", "delete it; an editor may not show it"))
        }
        c if c.is_control() && c != '\t' => Some((
            "text without control characters",
            "delete it; an editor may not show it",
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_characters_are_found_outside_of_texts_and_comments_only() {
        for (line, expected) in [
            (
                "profile = \u{201c}agent\u{201d}",
                Some(("U+201C", "plain quotes")),
            ),
            (
                "profile = \u{2018}agent\u{2019}",
                Some(("U+2018", "plain quotes")),
            ),
            ("profile\u{a0}= 'agent'", Some(("U+00A0", "plain spaces"))),
            (
                "profile\u{200b} = 'agent'",
                Some(("U+200B", "plain spaces")),
            ),
            ("a = 1\u{feff}", Some(("U+FEFF", "plain spaces"))),
            ("\u{1a}", Some(("U+001A", "control"))),
            ("a = 1\0", Some(("U+0000", "control"))),
            ("a = 1\rb = 2\r", Some(("U+000D", "LF or CRLF"))),
            ("a = 1\r", None),
            ("a = \"\u{201c}\" b", None),
            ("a = \"\\\"\u{a0}\" b", None),
            ("a = '\\' # \u{201c}", None),
            ("\ta = = 1", None),
        ] {
            let odd = first(line);
            let same = match (&odd, expected) {
                (Some(odd), Some((found, wanted))) => {
                    odd.found.contains(found) && odd.expected.contains(wanted)
                }
                (None, None) => true,
                _ => false,
            };
            assert!(same, "{line:?}: {odd:?}");
        }
    }
}
