//! Numbers in what engines say of a prompt that does not fit them.

/// Before the number of tokens that the engine can have, lower-cased: vLLM, LM Studio 0.3 and 0.4,
/// llama.cpp. Where several stand there, the first of this list counts.
const LIMIT: &[&str] = &[
    "maximum context length is ",
    "context length of only ",
    "maximum model length of ",
    "maximum model length (",
    "n_ctx",
    "available context size (",
    "context size of ",
    "context window of ",
];

/// Before the number of tokens that the prompt has: vLLM's and `OpenAI`'s words.
const PROMPT: &[&str] = &["your request has ", "prompt contains at least ", "tokens ("];

/// Tokens of context that the engine says it has.
pub(crate) fn limit(words: &str) -> Option<u64> {
    let lower = words.to_lowercase();
    LIMIT.iter().find_map(|before| after(&lower, before))
}

/// What is left for the answer beside a prompt that fits by itself, where the engine refuses only
/// because the request asks for a longer answer than that.
pub(crate) fn left_for_answer(words: &str) -> Option<u64> {
    let lower = words.to_lowercase();
    let limit = after(&lower, LIMIT[0])?;
    let asks_too_much = lower.contains("max_tokens")
        || lower.contains("max_completion_tokens")
        || lower.contains("in the completion");
    let prompt = PROMPT.iter().find_map(|before| after(&lower, before))?;
    (asks_too_much && prompt < limit).then(|| limit - prompt)
}

/// The number that follows; quotes, colons and the like may stand between.
fn after(text: &str, before: &str) -> Option<u64> {
    text.match_indices(before).find_map(|(at, found)| {
        let rest = text[at + found.len()..].trim_start_matches(['\\', '"', ':', ' ', '=', '(']);
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        rest[..digits].parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_read_from_every_engines_words() {
        for (words, limit_told) in [
            (
                "request (9 tokens) exceeds the available context size (4096 tokens), try increasing it",
                Some(4096),
            ),
            (
                "Trying to keep the first 5000 tokens when context the overflows. However, the \
                 model is loaded with context length of only 4096 tokens",
                Some(4096),
            ),
            (
                "Cannot truncate prompt with n_keep (5000) >= n_ctx (4096)",
                Some(4096),
            ),
            (r#"{\"n_prompt_tokens\":4201,\"n_ctx\":4096}"#, Some(4096)),
            (
                "The decoder prompt (length 9000) is longer than the maximum model length of 4096.",
                Some(4096),
            ),
            ("Context length exceeded", None),
            ("", None),
        ] {
            assert_eq!(limit(words), limit_told, "{words}");
        }
    }

    #[test]
    fn what_is_left_for_the_answer_is_told_where_the_prompt_fits() {
        for (words, left) in [
            (
                "'max_tokens' or 'max_completion_tokens' is too large: 2048. This model's maximum \
                 context length is 2048 tokens and your request has 12 input tokens \
                 (2048 > 2048 - 12).",
                Some(2036),
            ),
            (
                "This model's maximum context length is 4096 tokens. However, you requested 5000 \
                 tokens (3000 in the messages, 2000 in the completion). Please reduce the length \
                 of the messages or completion.",
                Some(1096),
            ),
            (
                "This model's maximum context length is 4096 tokens. However, you requested 6000 \
                 tokens (5000 in the messages, 1000 in the completion).",
                None,
            ),
            (
                "This model's maximum context length is 4096 tokens. However, your request has \
                 9000 input tokens.",
                None,
            ),
            (
                "request (9 tokens) exceeds the available context size (4 tokens)",
                None,
            ),
        ] {
            assert_eq!(left_for_answer(words), left, "{words}");
        }
    }
}
