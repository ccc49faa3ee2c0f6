//! A text of which a bounded number of bytes is kept: all of it, or its beginning and its end.

use std::{collections::VecDeque, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use crucible_documents::inspector::KeptTextDoc;

/// The most bytes of one text that are kept.
pub(crate) const MOST_BODY: usize = 8 << 20;

/// The bytes at the end of a longer text that are kept; the rest of the bound is its beginning.
const MOST_END: usize = MOST_BODY / 4;

/// The bytes by which room for a text grows.
const GROWTH: usize = 4096;

/// A text as far as it is kept. Its bytes are a person's prompts, so `Debug` writes their number alone.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct KeptText {
    /// The beginning, or all of it.
    beginning: Vec<u8>,
    /// The last bytes of what had no room in the beginning.
    end: VecDeque<u8>,
    /// The length of the text.
    bytes: u64,
}

// === impl KeptText ===

impl fmt::Debug for KeptText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.bytes)
    }
}

impl KeptText {
    /// Keeps a text that is there at once.
    pub(super) fn of(text: &[u8]) -> Self {
        let mut kept = Self::default();
        kept.push(text);
        kept
    }

    /// Adds bytes at the end.
    pub(super) fn push(&mut self, mut more: &[u8]) {
        let was_cut = self.end.is_empty() && !self.is_whole();
        self.bytes = self
            .bytes
            .saturating_add(u64::try_from(more.len()).unwrap_or(u64::MAX));
        if was_cut {
            return;
        }
        if self.end.is_empty() {
            // A text that fits is kept whole; of another one the beginning gives its last part away.
            let room = MOST_BODY - self.beginning.len();
            let fitting = more.len().min(room);
            self.make_room(fitting);
            self.beginning.extend_from_slice(&more[..fitting]);
            more = &more[fitting..];
            if more.is_empty() {
                return;
            }
            let last = self.beginning.split_off(MOST_BODY - MOST_END);
            self.beginning.shrink_to_fit();
            self.end = last.into();
        }
        let gone = (self.end.len() + more.len()).saturating_sub(MOST_END);
        self.end.drain(..gone.min(self.end.len()));
        let more = &more[more.len().saturating_sub(MOST_END)..];
        self.end.extend(more);
    }

    /// Makes room for that many bytes more, without twice as much as is needed of a large text.
    fn make_room(&mut self, more: usize) {
        let needed = self.beginning.len() + more;
        if needed > self.beginning.capacity() {
            let grown = (self.beginning.len() / 4).max(GROWTH).max(more);
            let room = MOST_BODY - self.beginning.len();
            self.beginning.reserve_exact(grown.min(room));
        }
    }

    /// Returns the bytes of memory that it takes.
    pub(super) fn size(&self) -> usize {
        self.beginning.capacity() + self.end.capacity()
    }

    /// Returns the length of the text.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the whole text; `None` where it is not kept whole, or is no UTF-8.
    pub(super) fn whole(&self) -> Option<&str> {
        self.is_whole()
            .then(|| std::str::from_utf8(&self.beginning).ok())
            .flatten()
    }

    /// Returns the beginning, or all of it.
    pub(super) fn beginning(&self) -> &[u8] {
        &self.beginning
    }

    /// Reports whether all of it is kept.
    pub(super) fn is_whole(&self) -> bool {
        u64::try_from(self.beginning.len()).is_ok_and(|kept| kept == self.bytes)
    }

    /// Keeps the first `most` bytes of it alone; of what is added then the length is counted.
    pub(super) fn cut(&mut self, most: usize) {
        if self.beginning.len() > most {
            self.beginning.truncate(most);
            self.beginning.shrink_to_fit();
            self.end = VecDeque::new();
        }
    }

    /// Returns the text as a document. In its text bytes that are no UTF-8 become replacement characters; of a whole
    /// one the document has the bytes too.
    pub(super) fn document(&self) -> KeptTextDoc {
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let end = || {
            let end: Vec<u8> = self.end.iter().copied().collect();
            lossy(&end)
        };
        KeptTextDoc {
            bytes: self.bytes,
            text: lossy(&self.beginning),
            end: (!self.is_whole()).then(end),
            base64: (self.is_whole() && self.whole().is_none())
                .then(|| STANDARD.encode(&self.beginning)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_kept_is_in_no_debug_text() {
        assert_eq!(format!("{:?}", KeptText::of(b"secret")), "6 bytes");
    }

    #[test]
    fn a_text_within_the_bound_is_whole() {
        let mut kept = KeptText::of(b"one ");
        kept.push("zwölf".as_bytes());
        assert_eq!(kept.whole(), Some("one zwölf"));
        assert_eq!(kept.document().end, None);
        let full = vec![b'x'; MOST_BODY];
        let kept = KeptText::of(&full);
        assert_eq!(kept.whole().map(str::len), Some(MOST_BODY));
        assert!(kept.size() <= MOST_BODY + GROWTH);
    }

    #[test]
    fn of_a_text_that_is_no_utf_8_the_document_has_the_bytes() {
        let kept = KeptText::of(b"caf\xe9");
        assert_eq!(kept.whole(), None);
        let document = kept.document();
        assert_eq!(document.text, "caf\u{fffd}");
        assert_eq!(document.base64.as_deref(), Some("Y2Fm6Q=="));
        assert_eq!(KeptText::of("café".as_bytes()).document().base64, None);
    }

    #[test]
    fn of_a_long_text_beginning_and_end_are_kept_in_pieces_and_at_once() {
        let long: Vec<u8> = (0..30_000_000_u32).map(|i| b'a' + (i % 26) as u8).collect();
        let mut in_pieces = KeptText::default();
        for piece in long.chunks(61_003) {
            in_pieces.push(piece);
        }
        for kept in [in_pieces, KeptText::of(&long)] {
            assert!(kept.size() <= MOST_BODY + MOST_BODY / 4, "{}", kept.size());
            assert_eq!(kept.whole(), None);
            let document = kept.document();
            assert_eq!(document.bytes, 30_000_000);
            let end = document.end.unwrap();
            assert_eq!(document.text.as_bytes(), &long[..MOST_BODY - MOST_END]);
            assert_eq!(end.as_bytes(), &long[long.len() - MOST_END..]);
        }
    }

    #[test]
    fn of_a_text_that_was_cut_the_beginning_and_the_length_are_told() {
        let mut kept = KeptText::of(b"0123456789");
        kept.cut(10);
        assert_eq!(kept.whole(), Some("0123456789"));
        kept.cut(4);
        kept.push(b"abc");
        let document = kept.document();
        assert_eq!((kept.whole(), &*document.text), (None, "0123"));
        assert_eq!((document.bytes, document.end.as_deref()), (13, Some("")));
        let mut long = KeptText::of(&vec![b'x'; 2 * MOST_BODY]);
        long.cut(1000);
        assert!(long.size() <= 2000, "{}", long.size());
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_are_the_whole(pieces in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..300), 0..40,
        )) {
            let mut kept = KeptText::default();
            for piece in &pieces {
                kept.push(piece);
            }
            prop_assert_eq!(kept.beginning(), &pieces.concat()[..]);
            prop_assert_eq!(kept.bytes(), pieces.concat().len() as u64);
        }
    }
}
