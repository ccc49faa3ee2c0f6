//! Raw prompts, for engines that speak OpenAI's older completions: the body of `/v1/completions` is
//! passed with a few spliced edits, and the engine puts no chat template around the prompt.
//!
//! LM Studio (0.4) documents one text and no `suffix`; llama.cpp's server (tried with b11549) takes lists
//! and tokens, and ignores `suffix`, `echo` and `best_of` without a word.

use serde_json::value::RawValue;

use super::quirks::OpenAiQuirks;
use crate::{
    dialect::{
        chat::{ChatRequest, field_error::unsupported},
        engine::{
            completion::RawPrompt,
            fields::{number_rules::NumberRules, numbers::rewritten_numbers},
        },
    },
    error::Error,
};

/// Checks a raw prompt for an engine with these quirks.
pub(super) fn check(request: &ChatRequest, quirks: &OpenAiQuirks) -> Result<(), Error> {
    let ChatRequest { body, peek, .. } = request;
    let product = quirks.kind.profile().product;
    let prompt = RawPrompt::read(request)?;
    if request
        .native
        .as_ref()
        .is_some_and(|native| native.images_beside_raw)
    {
        let message = format!(
            "{product} takes no `images` with a raw prompt or a suffix: leave `raw` and `suffix` out, or use /api/chat"
        );
        return Err(unsupported("images", message));
    }
    if quirks.single_prompts {
        prompt.need_one_text(product)?;
    }
    if prompt.has_suffix && !quirks.suffixes {
        let message = format!(
            "{product} does not read `suffix` on /v1/completions, and the text behind the cursor would \
             be lost: use a model with a template for insertion on Ollama, or write the model's own \
             tokens for it into `prompt`"
        );
        return Err(unsupported("suffix", message));
    }
    rewritten_numbers(body, peek, &for_completions(quirks).numbers).map(drop)
}

/// Returns the quirks as they are on `/v1/completions`, where `logprobs` is a count.
pub(super) fn for_completions(quirks: &OpenAiQuirks) -> OpenAiQuirks {
    OpenAiQuirks {
        numbers: NumberRules {
            logprobs_count: true,
            ..quirks.numbers
        },
        ..*quirks
    }
}

/// Returns the only text of a list of one.
pub(super) fn only_text(raw: &str) -> Option<&str> {
    let list: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
    match list[..] {
        [only] => Some(only.get()).filter(|text| text.starts_with('"')),
        _ => None,
    }
}
