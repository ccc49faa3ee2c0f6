//! The text within the arguments of a tool that takes a text: `{"input": "..."}`, while it comes.
//!
//! The arguments of such a call are an object with one member, because engines know only functions.
//! Its string is already escaped as the client's event needs it, so it is passed on piece by piece;
//! arguments of another form are kept until their end, and then read as well as they can be.

use std::fmt::Write as _;

use serde_json::Value;

use crate::dialect::chat::json_text::{inner, quoted};

/// The longest beginning that is waited for before arguments count as of another form, in bytes.
const LONGEST_HEAD: usize = 64;

/// Reads the arguments of one call.
#[derive(Debug, Default)]
pub(super) struct CustomInput {
    /// The arguments until the text begins, or all of them where they are of another form.
    kept: String,
    state: InputState,
    /// The end of the last piece that may be half an escape.
    half: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum InputState {
    /// The text has not begun.
    #[default]
    Head,
    /// Within the text.
    Text,
    /// The text has ended.
    Ended,
    /// The arguments are of another form.
    Odd,
}

/// The result of looking for the beginning of the text.
enum Head {
    /// The text begins at this place.
    At(usize),
    /// What there is may become a beginning.
    Begun,
    /// This is no beginning.
    Odd,
}

// === impl CustomInput ===

impl CustomInput {
    /// Takes the next piece of the arguments, decoded, and appends what is new of the text, as the
    /// inside of a JSON string.
    pub(super) fn push(&mut self, piece: &str, out: &mut String) {
        match self.state {
            InputState::Head => {
                self.kept.push_str(piece);
                match head(&self.kept) {
                    Head::At(at) => {
                        self.state = InputState::Text;
                        let rest = self.kept.split_off(at);
                        self.text(&rest, out);
                    }
                    Head::Begun if self.kept.len() <= LONGEST_HEAD => {}
                    Head::Begun | Head::Odd => self.state = InputState::Odd,
                }
            }
            InputState::Text => {
                if self.half.is_empty() {
                    self.text(piece, out);
                } else {
                    let mut joined = std::mem::take(&mut self.half);
                    joined.push_str(piece);
                    self.text(&joined, out);
                }
            }
            InputState::Odd => self.kept.push_str(piece),
            InputState::Ended => {}
        }
    }

    /// Takes the end of the arguments, and appends what is left of the text.
    pub(super) fn finish(&mut self, out: &mut String) {
        match self.state {
            InputState::Ended | InputState::Text => {}
            InputState::Head | InputState::Odd => out.push_str(inner(&quoted(&odd(&self.kept)))),
        }
        self.state = InputState::Ended;
    }

    /// Appends the text of a piece up to its closing quote, with what models leave unescaped.
    fn text(&mut self, piece: &str, out: &mut String) {
        let bytes = piece.as_bytes();
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            let rest = &bytes[at..];
            match byte {
                b'"' => {
                    self.state = InputState::Ended;
                    return;
                }
                b'\\' => match rest {
                    [_] | [_, b'u'] | [_, b'u', _] | [_, b'u', _, _] | [_, b'u', _, _, _] => {
                        piece[at..].clone_into(&mut self.half);
                        return;
                    }
                    [_, b'u', code @ ..] if code[..4].iter().all(u8::is_ascii_hexdigit) => {
                        out.push_str(&piece[at..at + 6]);
                        at += 6;
                    }
                    [
                        _,
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't',
                        ..,
                    ] => {
                        out.push_str(&piece[at..at + 2]);
                        at += 2;
                    }
                    _ => {
                        // No escape: the backslash is the model's.
                        out.push_str("\\\\");
                        at += 1;
                    }
                },
                0..0x20 => {
                    // Writing to a string cannot fail.
                    let _ = write!(out, "\\u{byte:04x}");
                    at += 1;
                }
                _ => {
                    let plain = |byte: &&u8| !matches!(**byte, b'"' | b'\\' | 0..0x20);
                    let run = rest.iter().take_while(plain).count();
                    out.push_str(&piece[at..at + run]);
                    at += run;
                }
            }
        }
    }
}

/// Looks for `{"input":"` with blanks between its signs.
fn head(text: &str) -> Head {
    let mut rest = text;
    for sign in ["{", "\"input\"", ":", "\""] {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        match rest.strip_prefix(sign) {
            Some(after) => rest = after,
            None if sign.starts_with(rest) => return Head::Begun,
            None => return Head::Odd,
        }
    }
    Head::At(text.len() - rest.len())
}

/// Returns the text of arguments of another form: that of the only string in an object, a string
/// itself, or all of it.
fn odd(arguments: &str) -> String {
    match serde_json::from_str::<Value>(arguments) {
        Ok(Value::String(text)) => text,
        Ok(Value::Object(members)) => {
            let only = members.get("input").or_else(|| {
                let mut values = members.values();
                values.next().filter(|_| members.len() == 1)
            });
            match only {
                Some(Value::String(text)) => text.clone(),
                _ => arguments.to_owned(),
            }
        }
        _ => arguments.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&str]) -> String {
        let mut input = CustomInput::default();
        let mut out = String::new();
        for piece in pieces {
            input.push(piece, &mut out);
        }
        input.finish(&mut out);
        serde_json::from_str(&format!("\"{out}\"")).expect("the inside of a JSON string")
    }

    #[test]
    fn the_text_is_found_in_every_form() {
        for (arguments, text) in [
            (r#"{"input":"a\nb"}"#, "a\nb"),
            ("{ \"input\" :\n \"a\" }", "a"),
            ("{\"input\":\"a\nb\"}", "a\nb"),
            (r#"{"input":"\d\u00e9\u00"#, "\\d\u{e9}"),
            (r#"{"input":""}"#, ""),
            (r#"{"input":{"a":1}}"#, r#"{"input":{"a":1}}"#),
            (r#"{"patch":"a"}"#, "a"),
            (r#"{"x":1,"input":"a"}"#, "a"),
            (r#""a""#, "a"),
            ("a plain text", "a plain text"),
            ("", ""),
        ] {
            assert_eq!(read(&[arguments]), text, "{arguments}");
        }
    }

    proptest! {
        #[test]
        fn the_text_does_not_depend_on_where_it_is_cut(text in ".{0,40}", cuts in prop::collection::vec(0_usize..80, 0..6)) {
            let arguments = serde_json::json!({ "input": text }).to_string();
            let mut cuts: Vec<usize> = cuts
                .into_iter()
                .map(|cut| arguments.floor_char_boundary(cut))
                .chain([0, arguments.len()])
                .collect();
            cuts.sort_unstable();
            let pieces: Vec<&str> = cuts.windows(2).map(|pair| &arguments[pair[0]..pair[1]]).collect();
            prop_assert_eq!(read(&pieces), text);
        }
    }
}
