//! One JSON document on one line, as NDJSON has it.
//!
//! JSON of engines and clients is spliced into the lines as it was written, so that it may hold line breaks
//! between its tokens. Its texts may hold characters that JSON allows unescaped and that clients nevertheless
//! split lines at: httpx, below Ollama's Python client, splits at U+0085, U+2028 and U+2029 too.

use std::fmt::Write as _;

use memchr::{memchr2, memchr2_iter};

/// Rewrites the JSON behind the first `from` bytes of `out` so that no client finds a line's end in it. Line
/// feeds and carriage returns, which stand only between the tokens of valid JSON, are left out; U+0085, U+2028
/// and U+2029, which stand only in its strings, become escapes. JSON without any of them is not copied.
pub(super) fn join(out: &mut String, from: usize) {
    if !breaks_lines(&out.as_bytes()[from..]) {
        return;
    }
    let json = out.split_off(from);
    out.reserve(json.len());
    for character in json.chars() {
        match character {
            '\n' | '\r' => {}
            '\u{85}' | '\u{2028}' | '\u{2029}' => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
}

/// Reports whether UTF-8 holds a character at which clients split lines.
fn breaks_lines(json: &[u8]) -> bool {
    // The first bytes of U+0085, and of U+2028 and U+2029, are those of many other characters too.
    let is_separator = |at: usize| {
        let rest = &json[at..];
        rest.starts_with("\u{85}".as_bytes())
            || rest.starts_with("\u{2028}".as_bytes())
            || rest.starts_with("\u{2029}".as_bytes())
    };
    memchr2(b'\n', b'\r', json).is_some() || memchr2_iter(0xc2, 0xe2, json).any(is_separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_ends_a_line_is_rewritten_and_only_behind_the_start() {
        for (json, joined) in [
            ("", ""),
            (
                "{\"a\":\"\u{a9}\u{2026}\u{10ffff}\\n\"}",
                "{\"a\":\"\u{a9}\u{2026}\u{10ffff}\\n\"}",
            ),
            ("{\r\n\t\"a\":\n 1\r}", "{\t\"a\": 1}"),
            (
                "\"\u{85}\u{2028}b\u{2029}\u{2027}\"",
                "\"\\u0085\\u2028b\\u2029\u{2027}\"",
            ),
        ] {
            let mut out = format!("\n\u{2028}{json}");
            join(&mut out, 4);
            assert_eq!(out, format!("\n\u{2028}{joined}"));
        }
    }
}
