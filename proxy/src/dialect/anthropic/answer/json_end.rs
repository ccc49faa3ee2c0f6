//! The end of a JSON object that comes in pieces.

/// Finds the place where an object ends, by counting brackets outside strings. Each byte is looked at once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct JsonEnd {
    depth: usize,
    in_string: bool,
    escaped: bool,
    ended: bool,
}

// === impl JsonEnd ===

impl JsonEnd {
    /// Takes the next piece of the text.
    pub(super) fn push(&mut self, piece: &str) {
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
    pub(super) fn is_whole(self) -> bool {
        self.ended
    }
}
