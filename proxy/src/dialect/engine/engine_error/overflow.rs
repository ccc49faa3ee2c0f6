//! The words by which engines refuse a prompt that does not fit the context, and the token counts in
//! them.
//!
//! They come with any status and in any form, so only the text is looked at, in lower case.

use crate::error::Overflow;

/// Each of these alone means that the prompt does not fit.
const WORDS: &[&str] = &[
    // llama.cpp's server (b10488), which LM Studio and Ollama pass on.
    "exceed_context_size",
    "exceeds the available context size",
    "context size has been exceeded",
    "is too large to process. increase the physical batch size",
    // LM Studio 0.3 and 0.4.
    "cannot truncate prompt with n_keep",
    "when context the overflows",
    "when the context overflows",
    "is loaded with context length of only",
    "greater than the context length",
    "context overflow",
    "reached context length of",
    // Ollama 0.33.
    "longer than the context length",
    "exceeds the context length",
    "exceeds context length",
    "exceeded max context length",
    // vLLM and other servers with OpenAI's API.
    "maximum context length",
    "longer than the maximum model length",
    "exceeds the maximum model length",
    "longer than the model's context length",
    "exceeds the model's context length",
    "exceeds the context window",
    "exceeds the model's context window",
    "context length exceeded",
    "context_length_exceeded",
    "context window exceeded",
    "prompt is too long",
    "prompt too long",
    "input is too long for requested model",
];

/// All words of one of these together mean it: LM Studio's other form of `n_keep`, and the two of
/// text-generation-inference.
const TOGETHER: &[&[&str]] = &[
    &["n_keep", "n_ctx"],
    &["`inputs` tokens + `max_new_tokens` must be <="],
    &["`inputs` must have less than", "tokens"],
];

/// Words before the number of tokens of the prompt, the surest first. Escapes of JSON in a string may
/// stand between word and number.
const BEFORE: &[&str] = &[
    "n_prompt_tokens",
    "request (",
    "input (",
    "n_keep",
    "to keep the first",
    "(length",
    "prompt is too long:",
    "prompt contains at least",
    "messages resulted in",
    "the input (",
    "given:",
];

/// Words after the number of tokens of the prompt, in errors of vLLM, `SGLang` and `OpenAI`.
const AFTER: &[&str] = &[
    " in the messages",
    " in your prompt",
    " input tokens",
    " tokens from the input messages",
];

/// Words before the number of tokens by which the prompt is too long (Ollama 0.33).
const BEYOND: &str = "exceeded max context length by";

/// Returns the counts in a lower-cased text that refuses a prompt for its length, and the place where
/// it does so; `None` for a text about something else.
pub(super) fn overflow(lower: &str) -> Option<(Overflow, usize)> {
    let one = WORDS.iter().filter_map(|word| lower.find(word)).min();
    let all = |words: &&[&str]| {
        let places = words.iter().map(|word| lower.find(word));
        places.collect::<Option<Vec<_>>>()?.into_iter().min()
    };
    let at = one.or_else(|| TOGETHER.iter().find_map(all))?;
    let overflow = Overflow {
        counted: counted(lower),
        beyond: number_after(lower, BEYOND),
        suspected: false,
    };
    Some((overflow, at))
}

fn counted(lower: &str) -> Option<u64> {
    let before = BEFORE.iter().find_map(|word| number_after(lower, word));
    before.or_else(|| {
        AFTER.iter().find_map(|word| {
            let mut places = lower.match_indices(word);
            places.find_map(|(at, _)| trailing(&lower[..at]))
        })
    })
}

fn number_after(text: &str, word: &str) -> Option<u64> {
    let mut places = text.match_indices(word);
    places.find_map(|(at, word)| leading(&text[at + word.len()..]))
}

/// Reads the number that a text begins with, behind quotes, colons and the like.
fn leading(text: &str) -> Option<u64> {
    let text = text.trim_start_matches(['\\', '"', ':', ' ', '=', '(']);
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text[..digits].parse().ok()
}

/// Reads the number that a text ends with.
fn trailing(text: &str) -> Option<u64> {
    let digits = text.bytes().rev().take_while(u8::is_ascii_digit).count();
    text[text.len() - digits..].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What engines say of a prompt that is too long, and the tokens that they count in it.
    const OVERFLOWS: &[(&str, Option<u64>)] = &[
        // LM Studio.
        (
            "Trying to keep the first 9001 tokens when context the overflows. However, the \
                 model is loaded with context length of only 4096 tokens, which is not enough. Try \
                 to load the model with a larger context length, or provide a shorter input",
            Some(9001),
        ),
        (
            "Trying to keep the first 9001 tokens when the context overflows.",
            Some(9001),
        ),
        (
            "Cannot truncate prompt with n_keep (5000) >= n_ctx (4096)",
            Some(5000),
        ),
        ("n_keep: 5000 >= n_ctx: 4096", Some(5000)),
        ("n_keep >= n_ctx", None),
        (
            "The number of tokens to keep from the initial prompt is greater than the context \
                 length (n_keep: 11513>= n_ctx: 4096)",
            Some(11513),
        ),
        (
            "Reached context length of 4096 tokens with model (arch: gemma3) that does not \
                 currently support mid-generation context overflow. Try reloading with a larger \
                 context length or shortening the prompt/chat.",
            None,
        ),
        (
            "request (9 tokens) exceeds the available context size (4 tokens), try increasing it",
            Some(9),
        ),
        // llama.cpp.
        (
            r#"{"code":400,"message":"request (4200 tokens) exceeds the available context size (4096 tokens)","type":"exceed_context_size_error","n_prompt_tokens":4201,"n_ctx":4096}"#,
            Some(4201),
        ),
        (
            r#"{\"type\":\"exceed_context_size_error\",\"n_prompt_tokens\": 4201}"#,
            Some(4201),
        ),
        ("Context size has been exceeded.", None),
        // Ollama.
        ("the prompt is longer than the context length (4096)", None),
        ("the input length exceeds the context length", None),
        (
            "prompt too long; exceeded max context length by 4 tokens",
            None,
        ),
        // vLLM and other servers with OpenAI's API.
        (
            "This model's maximum context length is 4096 tokens. However, you requested 5000 \
                 tokens (4900 in the messages, 100 in the completion). Please reduce the length of \
                 the messages or completion.",
            Some(4900),
        ),
        (
            "This model's maximum context length is 4096 tokens. However, your request has \
                 9000 input tokens. Please reduce the length of the input messages.",
            Some(9000),
        ),
        (
            "This model's maximum context length is 4097 tokens, however you requested 4360 \
                 tokens (3336 in your prompt; 1024 for the completion).",
            Some(3336),
        ),
        (
            "This model's maximum context length is 4097 tokens. However, your messages \
                 resulted in 5021 tokens.",
            Some(5021),
        ),
        (
            "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
            Some(5000),
        ),
        (
            "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
            Some(5000),
        ),
        (
            "Requested token count exceeds the model's maximum context length of 4096 tokens. \
                 You requested a total of 5100 tokens: 5000 tokens from the input messages and 100 \
                 tokens for the completion.",
            Some(5000),
        ),
        ("prompt is too long: 5000 tokens > 4096 maximum", Some(5000)),
        (
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. \
                 Given: 5000 `inputs` tokens and 100 `max_new_tokens`",
            Some(5000),
        ),
        (
            "Input validation error: `inputs` must have less than 4096 tokens. Given: 5000",
            Some(5000),
        ),
    ];

    #[test]
    fn every_engines_words_are_known_and_what_they_count_is_read() {
        for (words, tokens) in OVERFLOWS {
            let (found, _) = overflow(&words.to_lowercase()).unwrap_or_else(|| panic!("{words}"));
            assert_eq!(found.counted, *tokens, "{words}");
        }
    }

    #[test]
    fn a_text_to_be_embedded_that_is_longer_than_the_batch_is_too_long() {
        let words = "input (701 tokens) is too large to process. increase the physical batch size \
                     (current batch size: 512)";
        assert_eq!(overflow(words).unwrap().0.counted, Some(701));
    }

    #[test]
    fn what_is_too_much_is_told_apart_from_what_there_is() {
        let ollama = overflow("prompt too long; exceeded max context length by 4 tokens");
        assert_eq!(ollama.unwrap().0.beyond, Some(4));
        let other = overflow("request (9 tokens) exceeds the available context size (4 tokens)");
        assert_eq!(other.unwrap().0.beyond, None);
    }

    #[test]
    fn other_troubles_are_none() {
        for words in [
            "the model has crashed without additional information. (exit code: 6)",
            "failed to load model",
            "'max_tokens' must be at least 1",
            "context_length must be positive",
            "unsupported n_ctx",
            "the name is too long",
            "",
        ] {
            assert_eq!(overflow(words), None, "{words}");
        }
    }
}
