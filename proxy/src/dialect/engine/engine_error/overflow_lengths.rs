//! The context and the room for an answer, read from an engine's words about a prompt that does not
//! fit.

/// Words before the number of tokens of the engine's context, in lower case: vLLM, `SGLang`, LM Studio
/// 0.3 and 0.4, Ollama, llama.cpp, text-generation-inference. The first of this list that a text has
/// counts.
const LIMIT: &[&str] = &[
    "maximum context length is ",
    "maximum context length of ",
    "context length of only ",
    "reached context length of ",
    "maximum model length of ",
    "maximum model length (",
    "n_ctx",
    "available context size (",
    "current batch size: ",
    "context size of ",
    "context window of ",
    "context length (",
    "must be <= ",
    "must have less than ",
    " tokens > ",
];

/// Words of errors in which the length of the answer that was asked for is part of the trouble.
const ANSWER: &[&str] = &[
    "max_tokens",
    "max_completion_tokens",
    "max_new_tokens",
    "the completion",
];

/// Returns the tokens of context that the engine names as its own.
pub(crate) fn limit(words: &str) -> Option<u64> {
    let lower = words.to_lowercase();
    LIMIT.iter().find_map(|before| after(&lower, before))
}

/// Returns the tokens that are left for an answer beside a prompt of so many tokens. `None` unless the
/// prompt fits by itself and the engine refuses only because the request asks for a longer answer.
pub(crate) fn left_for_answer(words: &str, prompt: u64) -> Option<u64> {
    let lower = words.to_lowercase();
    let asks_too_much = ANSWER.iter().any(|word| lower.contains(word));
    let most = limit(words).filter(|most| asks_too_much && prompt < *most)?;
    Some(most - prompt)
}

/// Reads the number behind a word; quotes, colons and the like may stand between.
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
            (
                "Reached context length of 4096 tokens with model (arch: gemma3) that does not",
                Some(4096),
            ),
            (
                "the prompt is longer than the context length (4096)",
                Some(4096),
            ),
            ("prompt is too long: 5000 tokens > 4096 maximum", Some(4096)),
            (
                "`inputs` must have less than 4096 tokens. Given: 5000",
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
        for (words, prompt, left) in [
            (
                "'max_tokens' or 'max_completion_tokens' is too large: 2048. This model's maximum \
                 context length is 2048 tokens and your request has 12 input tokens \
                 (2048 > 2048 - 12).",
                12,
                Some(2036),
            ),
            (
                "This model's maximum context length is 4096 tokens. However, you requested 5000 \
                 tokens (3000 in the messages, 2000 in the completion). Please reduce the length \
                 of the messages or completion.",
                3000,
                Some(1096),
            ),
            (
                "Requested token count exceeds the model's maximum context length of 4096 tokens. \
                 You requested a total of 5100 tokens: 4000 tokens from the input messages and 1100 \
                 tokens for the completion.",
                4000,
                Some(96),
            ),
            (
                "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4000 `inputs` tokens \
                 and 100 `max_new_tokens`",
                4000,
                Some(96),
            ),
            (
                "This model's maximum context length is 4096 tokens. However, you requested 6000 \
                 tokens (5000 in the messages, 1000 in the completion).",
                5000,
                None,
            ),
            (
                "This model's maximum context length is 4096 tokens. However, your request has \
                 9000 input tokens.",
                9000,
                None,
            ),
            (
                "request (9 tokens) exceeds the available context size (4 tokens)",
                9,
                None,
            ),
        ] {
            assert_eq!(left_for_answer(words, prompt), left, "{words}");
        }
    }
}
