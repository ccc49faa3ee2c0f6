//! Keys of routing, contexts and the scheduler.

use std::time::Duration;

use super::{
    shape::{BOOLEAN, GROW_OR_REJECT, KeyShape, TEXT, TEXTS, TIME, TIME_OR_NONE, TOKENS, integer},
    typed::{FixedKey, SubTable, TableKey},
};
use crate::{checked::Fit, kind::SettingKind};

keys! {
    /// Keys of `[context]`: what happens to prompts that do not fit.
    FixedKey context at "context" = CONTEXT_KEYS;

    /// `grow` sizes the context up in steps, `reject` answers 400.
    FIT "fit": Fit = GROW_OR_REJECT, "grow";

    /// May load a model anew with more context that a person loaded with too little, once it is
    /// idle.
    GROW_FOREIGN "grow_foreign": bool = BOOLEAN, "true";

    /// Growth never goes beyond this many tokens.
    MAX "max": u64 = TOKENS, "131072";
}

keys! {
    /// Keys of `[routing]`.
    FixedKey routing at "routing" = ROUTING_KEYS;

    /// A candidate whose predicted first token is later than this is not chosen by `auto`.
    FIRST_TOKEN "first_token": Duration = TIME, "60s";
}

keys! {
    /// Keys of `[prefix]`: what is changed in prompts so that engines recognise the part that they have
    /// read before.
    FixedKey prefix at "prefix" = PREFIX_KEYS;

    /// Leaves out the block of accounting that Claude Code writes before its system prompt
    /// (`x-anthropic-billing-header: ...`): it differs from request to request, so that an engine would
    /// read the whole prompt again on every turn.
    BILLING_BLOCK "billing_block": bool = BOOLEAN, "true";

    /// Leaves out `cache_control`, which moves to another block on every turn and means nothing to local
    /// engines.
    CACHE_CONTROL "cache_control": bool = BOOLEAN, "true";

    /// Sends Ollama a system message that stands after the first user message as a tagged user text at
    /// its place. Ollama's templates would join it to the system prompt at the front, which changes the
    /// beginning of the whole prompt.
    LATER_SYSTEM "later_system": bool = BOOLEAN, "true";
}

keys! {
    /// Keys of `[scheduler]`: loads, evictions, overtaking.
    FixedKey scheduler at "scheduler" = SCHEDULER_KEYS;

    /// May evict models that a person loaded.
    EVICT_FOREIGN "evict_foreign": bool = BOOLEAN, "false";

    /// Requests that may overtake a waiting swap between two loads; up to 4 times as many where
    /// loads are slow.
    OVERTAKE_COUNT "overtake_count": u32 = integer(0, 1_000_000), "8";

    /// Age of a waiting swap, from the last load on, after which nobody overtakes it; up to 4 times
    /// that where loads are slow.
    OVERTAKE_AGE "overtake_age": Duration = TIME_OR_NONE, "20s";

    /// After an answer that ended in tool calls its model is not unloaded for another one for so
    /// long, nor for longer than half of what that takes to load: the agent comes back. 0 switches
    /// it off.
    LINGER "linger": Duration = TIME_OR_NONE, "500ms";

    /// Measured or real wait for a permit after which a model's `fallback` takes over; for a stream
    /// at 0.9 of `timeouts.commit` at the latest.
    OVERFLOW_AFTER "overflow_after": Duration = TIME_OR_NONE, "30s";

    /// Model that answers short requests for virtual models (titles, summaries) while the GPU is
    /// busy or would have to load.
    SMALL_MODEL "small_model": Option<String> = TEXT;

    /// Drop an autocomplete request that a newer one replaces.
    SUPERSEDE "supersede": bool = BOOLEAN, "false";
}

keys! {
    /// Keys of `[rule.when]`: the conditions of one rule.
    TableKey when at "rule.when" = WHEN_KEYS;

    /// The virtual model asked for.
    MODEL "model": Option<String> = TEXT;

    /// More estimated prompt tokens than this.
    TOKENS_OVER "tokens_over": Option<u64> = integer(0, 1 << 30);

    /// Fewer estimated prompt tokens than this.
    TOKENS_UNDER "tokens_under": Option<u64> = integer(0, 1 << 30);

    /// Whether tools are offered.
    TOOLS "tools": Option<bool> = BOOLEAN;

    /// Whether images are attached.
    IMAGES "images": Option<bool> = BOOLEAN;

    /// Any of these whole words in the last user message, any case.
    WORDS "words": Vec<String> = TEXTS;

    /// Headers that must have these values.
    HEADER "header": SubTable = KeyShape::NamedValues(SettingKind::Text);
}

keys! {
    /// Keys of `[[rule]]`: one routing rule.
    TableKey rule at "rule" = RULE_KEYS;

    /// Conditions; all that are present are needed.
    WHEN "when": SubTable = KeyShape::Table(WHEN_KEYS);

    /// Required. A virtual model, a model or an engine.
    USE "use": Option<String> = TEXT;
}
