//! The end of a JSON object that comes in pieces.

/// Finds the place where an object or a list ends, by counting brackets outside strings. Each byte is
/// looked at once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct JsonEnd {
    /// Whether the first sign opens an object; `None` while there are only blanks.
    opens: Option<bool>,
    depth: usize,
    in_string: bool,
    escaped: bool,
    ended: bool,
}

// === impl JsonEnd ===

impl JsonEnd {
    /// Takes the next piece of the text.
    pub(crate) fn push(&mut self, piece: &str) {
        if self.opens.is_none() {
            let first = piece.trim_ascii_start().as_bytes().first();
            self.opens = first.map(|first| *first == b'{');
        }
        for byte in piece.bytes() {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.ended |= self.depth == 0;
                }
                _ => {}
            }
        }
    }

    /// Reports whether the object is whole.
    pub(crate) fn is_whole(self) -> bool {
        self.ended
    }

    /// Reports whether the text opens an object and does not close it. A text of another form is never
    /// cut: it is no arguments, and its end cannot be told.
    pub(crate) fn is_cut(self) -> bool {
        self.opens == Some(true) && !self.ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_found_wherever_the_text_is_cut() {
        for (text, whole, cut) in [
            ("", false, false),
            (" \n", false, false),
            ("{}", true, false),
            (" {\"a\":\"}\\\"\",\"b\":[1]} ", true, false),
            ("{\"a\":\"}", false, true),
            ("[1", false, false),
            ("\"{", false, false),
            ("plain", false, false),
        ] {
            for at in 0..=text.len() {
                let mut end = JsonEnd::default();
                end.push(&text[..at]);
                end.push(&text[at..]);
                assert_eq!(
                    (end.is_whole(), end.is_cut()),
                    (whole, cut),
                    "{text} at {at}"
                );
            }
        }
    }
}
