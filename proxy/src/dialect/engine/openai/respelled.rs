//! The key `reasoning` of some engines, under the name by which clients know it.

use bytes::{Bytes, BytesMut};
use memchr::memmem;

use crate::dialect::chat::event_keys::value_at;

/// Returns an event, or a whole answer, with its keys `reasoning` written as `reasoning_content`;
/// every other byte stays.
pub(crate) fn respelled(event: &[u8]) -> Bytes {
    const WORD: &[u8] = b"\"reasoning\"";
    let is_key =
        |at: &usize| value_at(event, at + WORD.len()).is_some_and(|v| v.starts_with(b"\""));
    let mut out = BytesMut::with_capacity(event.len() + 8);
    let mut from = 0;
    for at in memmem::find_iter(event, WORD).filter(is_key) {
        let cut = at + WORD.len() - 1;
        out.extend_from_slice(&event[from..cut]);
        out.extend_from_slice(b"_content");
        from = cut;
    }
    out.extend_from_slice(&event[from..]);
    out.freeze()
}
