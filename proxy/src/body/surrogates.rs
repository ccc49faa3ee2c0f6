//! Halves of surrogate pairs in the escapes of a JSON text, which no UTF-8 has.
//!
//! A client that cuts its text by UTF-16 units writes half an emoji as `\ud83d`. Engines disagree:
//! Ollama (Go) and LM Studio (JavaScript) read it as U+FFFD, llama.cpp's server (b11434) refuses
//! the whole body. So it is written as U+FFFD before anything reads the text, wherever it stands:
//! in a text, a key, a name.

use std::{borrow::Cow, ops::Range, sync::LazyLock};

use bytes::Bytes;
use memchr::{memchr_iter, memmem::Finder};

/// The hexadecimal digits of U+FFFD, which are as long as the half that they replace, so that no byte
/// moves.
pub(crate) const REPLACEMENT: &str = "fffd";

/// The note on a body in which half a character was replaced.
pub(crate) const NOTE: &str = "half a character (a lone surrogate) is sent as U+FFFD";

static UNIT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\\u"));

/// Returns the body without halves, and whether it had some. The same `Bytes` are returned where it
/// had none.
pub(crate) fn mended(body: Bytes) -> (Bytes, bool) {
    let halves = halves(&body);
    if halves.is_empty() {
        return (body, false);
    }
    let mut text = body.to_vec();
    for half in halves {
        text[half].copy_from_slice(REPLACEMENT.as_bytes());
    }
    (text.into(), true)
}

/// Returns a JSON text without halves, such as one inside a string of another JSON text.
pub(crate) fn mended_text(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut from = 0;
    for half in halves(text.as_bytes()) {
        out.push_str(&text[from..half.start]);
        out.push_str(REPLACEMENT);
        from = half.end;
    }
    if from == 0 {
        return text.into();
    }
    out.push_str(&text[from..]);
    out.into()
}

/// Returns the ranges of the digits of halves.
pub(crate) fn halves(text: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    // As good as every body has none, and this is told faster than a walk from escape to escape.
    let may_be_half = |at: usize| matches!(text.get(at + 2), Some(b'd' | b'D'));
    if !UNIT.find_iter(text).any(may_be_half) {
        return found;
    }
    // Behind the last escape that was read.
    let mut read = 0;
    for at in memchr_iter(b'\\', text) {
        if at < read {
            continue;
        }
        // Whatever is escaped is no backslash of its own.
        read = at + 2;
        let Some(unit) = unit(text, at) else {
            continue;
        };
        read = at + 6;
        match unit {
            0xd800..=0xdbff => match self::unit(text, read) {
                Some(0xdc00..=0xdfff) => read += 6,
                _ => found.push(at + 2..at + 6),
            },
            0xdc00..=0xdfff => found.push(at + 2..at + 6),
            _ => {}
        }
    }
    found
}

/// Reads the UTF-16 unit of an escape that begins at `at`.
pub(crate) fn unit(text: &[u8], at: usize) -> Option<u16> {
    let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0_u16, |unit, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(unit << 4 | u16::try_from(digit).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_become_the_replacement_character_and_nothing_else_changes() {
        for (text, becomes) in [
            (r#""a\ud83db""#, r#""a\ufffdb""#),
            (r#""a\uD83Db""#, r#""a\ufffdb""#),
            (r#""\ude00""#, r#""\ufffd""#),
            (r#""\ud83d""#, r#""\ufffd""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\ude00\ud83d""#, r#""\ufffd\ufffd""#),
            (r#""\ud83d\n\ude00""#, r#""\ufffd\n\ufffd""#),
            (r#""\ud83d\\ude00""#, r#""\ufffd\\ude00""#),
            (r#"{"k\udfff":1}"#, r#"{"k\ufffd":1}"#),
            (r#""\\\ud83d""#, r#""\\\ufffd""#),
            // Whole pairs, other escapes, and words that only look like one.
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""\u00e9\n\"""#, r#""\u00e9\n\"""#),
            (r#""\\ud83d""#, r#""\\ud83d""#),
            (r#""C:\\\\ud83d""#, r#""C:\\\\ud83d""#),
            (r#""ud83d""#, r#""ud83d""#),
            // What is no JSON is refused elsewhere.
            (r#""\ud8"#, r#""\ud8"#),
            (r"\", r"\"),
            (r#""\ud83d\"#, r#""\ufffd\"#),
        ] {
            assert_eq!(mended_text(text), becomes, "{text}");
            let (body, changed) = mended(Bytes::copy_from_slice(text.as_bytes()));
            assert_eq!((&*body, changed), (becomes.as_bytes(), text != becomes));
        }
    }

    #[test]
    fn a_body_without_halves_is_no_copy() {
        let body = Bytes::from_static(br#"{"a":"\ud83d\ude00 \\ud83d"}"#);
        let (same, _) = mended(body.clone());
        assert_eq!(same.as_ptr(), body.as_ptr());
    }
}
