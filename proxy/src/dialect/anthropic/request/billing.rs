//! Claude Code's block of accounting, which stands before its system prompt and differs from request to
//! request.
//!
//! An engine that keeps its cache of the prompt would read the whole prompt again on every turn for it:
//! 1,894 of 1,915 tokens instead of 14 on llama.cpp's server. llama.cpp's own `/v1/messages` takes it
//! out too.

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::prefix::begins_with_block;

/// Returns the client's body without the block, for an engine that is asked in the client's own format.
/// `system` is the member's text in `body`; every other byte stays.
pub(super) fn without_block(body: &Bytes, system: Option<&str>) -> Bytes {
    #[derive(Deserialize)]
    struct TextBlock<'a> {
        #[serde(borrow)]
        text: &'a RawValue,
    }
    let cut = system.and_then(|system| {
        let blocks: Vec<&RawValue> = serde_json::from_str(system).ok()?;
        let first = blocks.first()?.get();
        let block: TextBlock<'_> = serde_json::from_str(first).ok()?;
        begins_with_block(block.text.get()).then(|| {
            let start = place(body, first);
            let end = match blocks.get(1) {
                // With the comma behind it.
                Some(next) => place(body, next.get()),
                None => start + first.len(),
            };
            start..end
        })
    });
    let Some(cut) = cut else {
        return body.clone();
    };
    let mut rest = BytesMut::with_capacity(body.len());
    rest.extend_from_slice(body.get(..cut.start).unwrap_or_default());
    rest.extend_from_slice(body.get(cut.end..).unwrap_or_default());
    rest.freeze()
}

/// The offset of a part of the body in it.
fn place(body: &Bytes, part: &str) -> usize {
    part.as_ptr().addr().saturating_sub(body.as_ptr().addr())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_block_is_cut_out_of_the_clients_bytes() {
        let block = r#"{"type":"text","text":"x-anthropic-billing-header: cc_version=1;"}"#;
        let rest = r#"{"type":"text", "text":"Be kind.","cache_control":{"type":"ephemeral"}}"#;
        for (system, becomes) in [
            (format!("[{block}, {rest}]"), format!("[{rest}]")),
            (format!("[ {block} ]"), "[  ]".to_owned()),
            (format!("[{rest},{block}]"), format!("[{rest},{block}]")),
            (r#""Be kind.""#.to_owned(), r#""Be kind.""#.to_owned()),
        ] {
            let with = |system: &str| format!(r#"{{"z": 1.0,"system":{system},"messages":[]}}"#);
            let body = Bytes::from(with(&system));
            let text = std::str::from_utf8(&body).unwrap();
            let at = text.find(&*system).unwrap();
            let sent = without_block(&body, Some(&text[at..at + system.len()]));
            assert_eq!(sent, with(&becomes));
        }
        let body = Bytes::from_static(b"{}");
        assert_eq!(without_block(&body, None), body);
    }
}
