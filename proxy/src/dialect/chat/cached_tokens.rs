//! The tokens of a prompt that the engine found in its cache, in the `usage` of a chat answer.

use std::{ops::Range, sync::LazyLock};

use bytes::Bytes;
use memchr::memmem::Finder;
use serde_json::value::RawValue;

use super::event_keys::value_at;

/// The key of the counts, as JSON.
const USAGE: &[u8] = b"\"usage\"";
/// The search for it, whose preparation takes longer than the search.
static SEARCH: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(USAGE));

/// The search for the member that names the cached tokens.
static DETAILS: LazyLock<Finder<'static>> =
    LazyLock::new(|| Finder::new(b"\"prompt_tokens_details\""));
/// The search for the member beside which it is added.
static PROMPT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"prompt_tokens\""));

/// The member of a `usage` that names the cached tokens, with a comma before it, up to their number.
const MEMBER: &str = r#","prompt_tokens_details":{"cached_tokens":"#;

/// Returns the member of a `usage` that names the cached tokens, with a comma before it.
pub(crate) fn cached_details(cached: u64) -> String {
    format!("{MEMBER}{cached}}}")
}

/// Adds the cached tokens to the `usage` of an event or of a whole answer; every other byte stays. `None`
/// where there is no such object, or where it has the member already.
pub(crate) fn with_cached(answer: &[u8], cached: u64) -> Option<Bytes> {
    let usage = SEARCH.find_iter(answer).find_map(|at| {
        let value = value_at(answer, at + USAGE.len())?;
        value.starts_with(b"{").then_some(value)
    })?;
    let raw = serde_json::Deserializer::from_slice(usage)
        .into_iter::<&RawValue>()
        .next()?
        .ok()?
        .get();
    let start = answer.len() - usage.len();
    cached_at(answer, start..start + raw.len(), cached)
}

/// Adds the cached tokens as [`with_cached`] to the `usage` in this range of the answer.
pub(crate) fn cached_at(answer: &[u8], usage: Range<usize>, cached: u64) -> Option<Bytes> {
    let raw = answer.get(usage.clone())?;
    if !raw.ends_with(b"}") || DETAILS.find(raw).is_some() || PROMPT.find(raw).is_none() {
        return None;
    }
    let (before, behind) = answer.split_at_checked(usage.end - 1)?;
    let mut number = itoa::Buffer::new();
    let number = number.format(cached).as_bytes();
    let added = MEMBER.len() + number.len() + 1;
    let mut whole = Vec::with_capacity(answer.len() + added);
    for piece in [before, MEMBER.as_bytes(), number, b"}", behind] {
        whole.extend_from_slice(piece);
    }
    Some(whole.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_member_is_added_and_only_where_it_is_missing() {
        let event = b"data: {\"x\":\"\\\"usage\\\":{}\",\"usage\": {\"prompt_tokens\":9 , \"completion_tokens\":1} ,\"y\":1}\n\n";
        let becomes = "data: {\"x\":\"\\\"usage\\\":{}\",\"usage\": {\"prompt_tokens\":9 , \"completion_tokens\":1,\"prompt_tokens_details\":{\"cached_tokens\":7}} ,\"y\":1}\n\n";
        assert_eq!(with_cached(event, 7).unwrap(), becomes.as_bytes());
        for event in [
            &b"data: {\"usage\":{\"prompt_tokens\":9,\"prompt_tokens_details\":{\"cached_tokens\":0}}}"[..],
            b"data: {\"usage\":null}",
            b"data: {\"usage\":{\"prompt_tokens\":9",
            b"data: {\"usage\":{}}",
            b"data: {}",
        ] {
            assert_eq!(with_cached(event, 7), None);
        }
    }
}
