//! The bytes of an answer that is one JSON, so that what is odd about them does not cost the answer.

use bytes::Bytes;

/// UTF-8's byte-order mark, which .NET and PowerShell put before a text.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// The same text without a byte-order mark, and with U+FFFD for what is no UTF-8 (a model may end
/// in the middle of a character); the same `Bytes` where it has neither.
pub(crate) fn readable(whole: Bytes) -> Bytes {
    let whole = if whole.starts_with(MARK) {
        whole.slice(MARK.len()..)
    } else {
        whole
    };
    match std::str::from_utf8(&whole) {
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
