//! Where the structure of a JSON text is: brackets, commas and colons outside of strings, and the
//! quotes around them; 64 bytes at a time.
//!
//! Prompts are mostly text full of escapes, so what is in a string is told from bit masks instead
//! of byte by byte (the method of simdjson: Langdale and Lemire, "Parsing Gigabytes of JSON per
//! Second", 2019, section 3.1).

use wide::u8x16;

use super::scan::Fault;

/// Bytes that are looked at together.
const BLOCK: usize = 64;
const EVEN: u64 = 0x5555_5555_5555_5555;

/// One block, a bit for each byte.
struct Masks {
    quotes: u64,
    backslashes: u64,
    controls: u64,
    structure: u64,
}

/// What goes from block to block.
#[derive(Default)]
struct Carry {
    /// 1 where the next block's first byte is escaped.
    escaped: u64,
    /// All ones inside a string.
    in_string: u64,
}

// === impl Masks ===

impl Masks {
    fn of(block: &[u8; BLOCK]) -> Self {
        let mut masks = Self {
            quotes: 0,
            backslashes: 0,
            controls: 0,
            structure: 0,
        };
        let (lanes, _) = block.as_chunks::<16>();
        for (lane, bytes) in lanes.iter().enumerate() {
            let bytes = u8x16::new(*bytes);
            let is = |byte: u8| bytes.simd_eq(u8x16::splat(byte));
            // `[` and `{`, `]` and `}` differ in this bit alone.
            let folded = bytes | u8x16::splat(0x20);
            let folds_to = |byte: u8| folded.simd_eq(u8x16::splat(byte));
            let structure = folds_to(b'{') | folds_to(b'}') | is(b',') | is(b':');
            let control = bytes.min(u8x16::splat(0x1f)).simd_eq(bytes);
            let put = |mask: &mut u64, found: u8x16| {
                *mask |= u64::from(found.to_bitmask()) << (16 * lane);
            };
            put(&mut masks.quotes, is(b'"'));
            put(&mut masks.backslashes, is(b'\\'));
            put(&mut masks.controls, control);
            put(&mut masks.structure, structure);
        }
        masks
    }
}

// === impl Carry ===

impl Carry {
    /// The bytes behind an odd run of backslashes.
    fn escaped(&mut self, backslashes: u64) -> u64 {
        let backslashes = backslashes & !self.escaped;
        let follows = (backslashes << 1) | self.escaped;
        let odd_starts = backslashes & !EVEN & !follows;
        let (even_ends, overflow) = odd_starts.overflowing_add(backslashes);
        self.escaped = u64::from(overflow);
        (EVEN ^ (even_ends << 1)) & follows
    }

    /// From each opening quote to the byte before its closing one.
    fn strings(&mut self, quotes: u64) -> u64 {
        let mut inside = quotes;
        for shift in [1, 2, 4, 8, 16, 32] {
            inside ^= inside << shift;
        }
        inside ^= self.in_string;
        self.in_string = if inside >> 63 == 1 { u64::MAX } else { 0 };
        inside
    }
}

/// Calls `visit` with the place of each mark, in order.
///
/// Errors: those of `visit`; a control character or an unknown escape in a string, a backslash
/// outside of one, a string without an end.
pub(super) fn each(
    text: &[u8],
    mut visit: impl FnMut(usize) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut carry = Carry::default();
    let (blocks, rest) = text.as_chunks::<BLOCK>();
    let mut last = [b' '; BLOCK];
    last[..rest.len()].copy_from_slice(rest);
    for (number, block) in blocks.iter().chain(std::iter::once(&last)).enumerate() {
        let base = number * BLOCK;
        let masks = Masks::of(block);
        let escaped = match masks.backslashes | carry.escaped {
            0 => 0,
            _ => carry.escaped(masks.backslashes),
        };
        let quotes = masks.quotes & !escaped;
        let strings = carry.strings(quotes);
        if (masks.controls & strings) | (masks.backslashes & !strings) != 0 {
            return Err(Fault::Syntax);
        }
        for at in bits(escaped) {
            escape(text, base + at)?;
        }
        for at in bits((masks.structure & !strings) | quotes) {
            visit(base + at)?;
        }
    }
    match carry.in_string | carry.escaped {
        0 => Ok(()),
        _ => Err(Fault::Syntax),
    }
}

/// The character behind a backslash (RFC 8259, section 7).
fn escape(text: &[u8], at: usize) -> Result<(), Fault> {
    let known = match text.get(at) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => true,
        Some(b'u') => text
            .get(at + 1..at + 5)
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)),
        _ => false,
    };
    if known { Ok(()) } else { Err(Fault::Syntax) }
}

fn bits(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        if mask == 0 {
            return None;
        }
        let at = mask.trailing_zeros() as usize;
        mask &= mask - 1;
        Some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(text: &str) -> Option<Vec<usize>> {
        let mut found = Vec::new();
        each(text.as_bytes(), |at| {
            found.push(at);
            Ok(())
        })
        .is_ok()
        .then_some(found)
    }

    #[test]
    fn strings_hide_their_structure() {
        assert_eq!(marks(r#"{"a,[":1}"#).unwrap(), [0, 1, 5, 6, 8]);
        assert_eq!(marks(r#"["\"]\\"]"#).unwrap(), [0, 1, 7, 8]);
    }

    #[test]
    fn escapes_and_strings_cross_blocks() {
        for before in 0..140 {
            let text = format!("[\"{}\\\\\\\",\",7]", "x".repeat(before));
            let end = text.len();
            assert_eq!(
                marks(&text).unwrap(),
                [0, 1, end - 4, end - 3, end - 1],
                "{text}"
            );
        }
    }

    #[test]
    fn bad_strings_are_faults() {
        for text in [
            "\"",
            "\"\\\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\n\"",
            "\\",
            "[\\n]",
        ] {
            assert_eq!(marks(text), None, "{text:?}");
        }
    }
}
