//! Claude Code's block of accounting, which stands before its system prompt and differs from request to
//! request.
//!
//! An engine that keeps its cache of the prompt would read the whole prompt again on every turn for it:
//! 1,894 of 1,915 tokens instead of 14 on llama.cpp's server. llama.cpp's own `/v1/messages` takes it
//! out too.

/// How the block begins, as JSON.
const BEGINNING: &str = "\"x-anthropic-billing-header:";

/// Reports whether the JSON of the first system text is that block.
pub(super) fn is_billing_block(text: &str) -> bool {
    text.starts_with(BEGINNING)
}
