//! The top-level keys that Crucible reads or edits.

use std::borrow::Cow;

/// The meaning of a key that stands twice in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// The body is refused, because engines and Crucible may read different ones.
    Refused,
    /// The last one counts, as it does for the engines that read the key.
    LastCounts,
}

/// Every known key, and the meaning of its standing twice.
const KNOWN_KEYS: &[(&str, Repeat)] = &[
    ("model", Repeat::Refused),
    ("messages", Repeat::Refused),
    ("stream", Repeat::Refused),
    ("stream_options", Repeat::Refused),
    ("max_tokens", Repeat::Refused),
    ("max_completion_tokens", Repeat::Refused),
    ("n", Repeat::Refused),
    ("tools", Repeat::Refused),
    ("tool_choice", Repeat::Refused),
    ("parallel_tool_calls", Repeat::Refused),
    ("temperature", Repeat::Refused),
    ("top_p", Repeat::Refused),
    ("top_k", Repeat::Refused),
    ("min_p", Repeat::Refused),
    ("frequency_penalty", Repeat::Refused),
    ("presence_penalty", Repeat::Refused),
    ("stop", Repeat::Refused),
    ("seed", Repeat::Refused),
    ("response_format", Repeat::Refused),
    ("reasoning_effort", Repeat::Refused),
    ("reasoning", Repeat::Refused),
    ("logprobs", Repeat::Refused),
    ("top_logprobs", Repeat::Refused),
    ("logit_bias", Repeat::Refused),
    ("input", Repeat::Refused),
    ("prompt", Repeat::Refused),
    ("num_ctx", Repeat::Refused),
    ("keep_alive", Repeat::Refused),
    ("options", Repeat::Refused),
    ("think", Repeat::LastCounts),
    ("thinking", Repeat::LastCounts),
    ("enable_thinking", Repeat::LastCounts),
    ("chat_template_kwargs", Repeat::LastCounts),
    ("thinking_budget", Repeat::LastCounts),
    ("reasoning_budget", Repeat::LastCounts),
    ("include_reasoning", Repeat::LastCounts),
    ("suffix", Repeat::Refused),
    ("echo", Repeat::Refused),
    ("best_of", Repeat::Refused),
    ("encoding_format", Repeat::Refused),
    ("dimensions", Repeat::Refused),
    ("query", Repeat::Refused),
    ("documents", Repeat::Refused),
    ("top_n", Repeat::Refused),
    ("return_progress", Repeat::LastCounts),
];

/// The length of the longest JSON string that may spell a known key, with each character escaped.
const LONGEST: usize = 2 + 6 * 24;

/// Returns the known key that this JSON string spells, escapes included; `None` for any other key.
pub(super) fn known_key(raw: &str) -> Option<(&'static str, Repeat)> {
    if raw.len() > LONGEST {
        return None;
    }
    let name: Cow<'_, str> = match unescaped(raw) {
        Some(name) => name.into(),
        None => Cow::Owned(serde_json::from_str(raw).ok()?),
    };
    KNOWN_KEYS.iter().copied().find(|(known, _)| *known == name)
}

/// Returns the text of a JSON string without escapes; `None` where it has one, or is no string.
pub(super) fn unescaped(raw: &str) -> Option<&str> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    (!inner.contains('\\')).then_some(inner)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn every_key_is_known_once_and_with_all_its_characters_escaped() {
        for (at, (key, repeat)) in KNOWN_KEYS.iter().enumerate() {
            let mut escaped = String::new();
            for character in key.chars() {
                write!(escaped, "\\u{:04x}", u32::from(character)).unwrap();
            }
            assert_eq!(known_key(&format!("\"{escaped}\"")), Some((*key, *repeat)));
            assert!(
                KNOWN_KEYS[..at].iter().all(|(other, _)| other != key),
                "{key}"
            );
        }
    }
}
