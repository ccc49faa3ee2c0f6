//! The end of a JSON string, found 64 bytes at a time.
//!
//! Prompts are long strings full of escapes, so the bytes that matter in a string (its quote,
//! backslashes, control characters) are found in bit masks instead of byte by byte (as in simdjson:
//! Langdale and Lemire, "Parsing Gigabytes of JSON per Second", 2019, section 3.1).

use wide::u8x16;

/// The bytes of a register, enough for most keys and names.
const LANE: usize = 16;
/// The bytes that are looked at together in a long string.
const BLOCK: usize = 64;

/// The characters that may stand alone behind a backslash (RFC 8259, section 7).
const SIMPLE: [bool; 256] = {
    let mut simple = [false; 256];
    let known = b"\"\\/bfnrt";
    let mut n = 0;
    while n < known.len() {
        simple[known[n] as usize] = true;
        n += 1;
    }
    simple
};

/// Returns the place of the closing quote of the string whose text begins at `from`; `None` for a string
/// with a control character, an unknown escape or no end. `has_surrogates` becomes true where the string
/// has the escape of half of a surrogate pair.
pub(super) fn end(text: &[u8], from: usize, has_surrogates: &mut bool) -> Option<usize> {
    let mut at = from;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let (mut stops, width) = if at == from {
            start(rest)
        } else {
            stretch(rest)
        };
        if width == 0 {
            return None;
        }
        if stops == 0 {
            at += width;
            at += plain(text.get(at..).unwrap_or_default());
            continue;
        }
        let mut behind = width;
        while stops != 0 {
            let stop = stops.trailing_zeros() as usize;
            let found = *rest.get(stop)?;
            if found != b'\\' {
                return (found == b'"').then_some(at + stop);
            }
            let escaped = *rest.get(stop + 1)?;
            if !SIMPLE[usize::from(escaped)] {
                let code = rest.get(stop + 2..).unwrap_or_default();
                if escaped != b'u' || !is_code(code) {
                    return None;
                }
                *has_surrogates |= is_half(code);
            }
            // The byte behind the backslash is none, and may be the next stretch's first.
            stops &= !0b11 << stop;
            behind = stop + 2;
        }
        at += width.max(behind);
    }
}

/// Looks at the first bytes of a string as [`stretch`], but at fewer, because most strings are short.
fn start(rest: &[u8]) -> (u64, usize) {
    match rest.first_chunk::<LANE>() {
        Some(lane) => (stops_in(lane).to_bitmask().into(), LANE),
        None => stretch(rest),
    }
}

/// Returns the stops in the next bytes, and the number of these bytes.
fn stretch(rest: &[u8]) -> (u64, usize) {
    if let Some(block) = rest.first_chunk::<BLOCK>() {
        return (stops_of(block), BLOCK);
    }
    let mut block = [b' '; BLOCK];
    block[..rest.len()].copy_from_slice(rest);
    (stops_of(&block), rest.len())
}

/// Returns the number of bytes in the blocks that `rest` begins with and that have no stops, which one mask for
/// all lanes tells. It is asked behind a stretch without stops, since a text with escapes in one has them in the next.
fn plain(rest: &[u8]) -> usize {
    let (blocks, _) = rest.as_chunks::<BLOCK>();
    let has_none = |block: &&[u8; BLOCK]| {
        let (lanes, _) = block.as_chunks::<LANE>();
        let none = u8x16::splat(0);
        let any = lanes.iter().fold(none, |any, lane| any | stops_in(lane));
        any.to_bitmask() == 0
    };
    blocks.iter().take_while(has_none).count() * BLOCK
}

/// Returns a bit for each byte that may not pass unseen: quotes, backslashes, control characters.
fn stops_of(block: &[u8; BLOCK]) -> u64 {
    let (lanes, _) = block.as_chunks::<LANE>();
    lanes.iter().rev().fold(0, |mask, lane| {
        mask << LANE | u64::from(stops_in(lane).to_bitmask())
    })
}

/// Returns all ones for each byte that may not pass unseen.
fn stops_in(lane: &[u8; LANE]) -> u8x16 {
    let lane = u8x16::new(*lane);
    // Quote and space change places: then the wanted ones are the lowest.
    let swapped = lane ^ u8x16::splat(b' ' ^ b'"');
    let control_or_quote = swapped.min(u8x16::splat(b' ')).simd_eq(swapped);
    control_or_quote | lane.simd_eq(u8x16::splat(b'\\'))
}

/// Reports whether the four characters behind `\u` are hexadecimal digits.
fn is_code(text: &[u8]) -> bool {
    text.first_chunk::<4>()
        .is_some_and(|code| code.iter().all(u8::is_ascii_hexdigit))
}

/// Reports whether the code of an escape is that of half of a surrogate pair: D800 to DFFF.
fn is_half(code: &[u8]) -> bool {
    matches!(code, [b'd' | b'D', second, ..] if !matches!(second, b'0'..=b'7'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    fn end(text: &[u8], from: usize) -> Option<usize> {
        super::end(text, from, &mut false)
    }

    /// The same, byte by byte.
    fn slowly(text: &[u8], mut at: usize) -> Option<usize> {
        loop {
            match text.get(at)? {
                b'"' => return Some(at),
                0..b' ' => return None,
                b'\\' => {
                    let code = || {
                        text.get(at + 2..at + 6)?
                            .iter()
                            .all(u8::is_ascii_hexdigit)
                            .then_some(())
                    };
                    match text.get(at + 1)? {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                        b'u' => code()?,
                        _ => return None,
                    }
                    at += 2;
                }
                _ => at += 1,
            }
        }
    }

    #[test]
    fn escapes_cross_blocks() {
        for before in 0..200 {
            let string = format!("{}\\\\\\\"\\u00e9,", "x".repeat(before));
            for after in [0, 1, 15, 16, 63, 64, 65, 200] {
                let text = format!("{string}\"{}", "\"".repeat(after));
                assert_eq!(end(text.as_bytes(), 0), Some(string.len()), "{text}");
            }
        }
    }

    #[test]
    fn bad_strings_are_faults_wherever_they_stand() {
        for bad in [
            "",
            "\\\"",
            "\\x\"",
            "\\u12g4\"",
            "\\u12",
            "\n\"",
            "\u{1f}\"",
            "\\",
        ] {
            for before in 0..200 {
                let text = format!("{}{bad}", "x".repeat(before));
                assert_eq!(end(text.as_bytes(), 0), None, "{text:?}");
            }
        }
        for good in ["!", " ", "#", "\u{7f}", "é", "[", "]"] {
            let text = format!("{good}\"");
            assert_eq!(end(text.as_bytes(), 0), Some(good.len()), "{text:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(4000)))]

        /// Long plain stretches put quotes, escapes and their halves at every place of a block.
        #[test]
        fn ends_where_a_walk_by_bytes_ends(
            pieces in prop::collection::vec(
                (
                    prop::sample::select(vec![
                        "\\\"", "\\\\", "\\n", "\\u00e9", "\\\\\\\"", "é", " ", "\"", "\\u12",
                        "\\", "\n",
                    ]),
                    prop_oneof![Just(0_usize), 0..4_usize, 10..18_usize, 55..70_usize],
                ),
                0..12,
            ),
        ) {
            let text: String = pieces
                .iter()
                .flat_map(|(piece, plain)| [(*piece).to_owned(), "x".repeat(*plain)])
                .collect();
            for from in (0..=text.len()).filter(|from| text.is_char_boundary(*from)) {
                let found = end(text.as_bytes(), from);
                prop_assert_eq!(found, slowly(text.as_bytes(), from), "{} from {}", text, from);
            }
        }
    }
}
