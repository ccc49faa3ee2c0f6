//! The bytes of a whole answer without the oddities that would make its JSON unreadable.

use bytes::Bytes;

/// UTF-8's byte-order mark, which .NET and PowerShell put before a text.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// Returns the same text without a byte-order mark, and with U+FFFD for bytes that are no UTF-8 (a
/// model may end in the middle of a character). The same `Bytes` are returned where the text has
/// neither.
pub(crate) fn readable(whole: Bytes) -> Bytes {
    let whole = if whole.starts_with(MARK) {
        whole.slice(MARK.len()..)
    } else {
        whole
    };
    match simdutf8::basic::from_utf8(&whole) {
        Ok(_) => whole,
        Err(_) => String::from_utf8_lossy(&whole).into_owned().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_broken_characters_are_mended_and_nothing_else() {
        for (from, becomes) in [
            (&b"\xef\xbb\xbf{}"[..], "{}"),
            (b"{\"a\":\"\xf0\x9f\x98\"}", "{\"a\":\"\u{fffd}\"}"),
            (b"\xef\xbb\xbf{\"\xff\"}", "{\"\u{fffd}\"}"),
            (b"\xef\xbb", "\u{fffd}"),
            (b"", ""),
        ] {
            assert_eq!(readable(Bytes::from_static(from)), becomes);
        }
        let good = Bytes::from_static("{\"a\":\"é\"}".as_bytes());
        assert_eq!(readable(good.clone()).as_ptr(), good.as_ptr());
    }
}
