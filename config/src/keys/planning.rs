//! Keys of routing, contexts and the scheduler.

use super::{FIT, Key, Shape, TIME, TOKENS, key, part};
use crate::kind::Kind;

pub(super) const CONTEXT: &[Key] = &[
    key(
        "fit",
        FIT,
        "grow",
        "`grow` sizes the context up in steps, `reject` answers 400.",
    ),
    key(
        "grow_foreign",
        Kind::Boolean,
        "true",
        "May load a model anew with more context that a person loaded with too little, once it is idle.",
    ),
    key(
        "max",
        TOKENS,
        "131072",
        "Growth never goes beyond this many tokens.",
    ),
];

pub(super) const ROUTING: &[Key] = &[key(
    "first_token",
    TIME,
    "60s",
    "A candidate whose predicted first token is later than this is not chosen by `auto`.",
)];

pub(super) const SCHEDULER: &[Key] = &[
    key(
        "evict_foreign",
        Kind::Boolean,
        "false",
        "May evict models that a person loaded.",
    ),
    key(
        "overtake_count",
        Kind::Integer {
            min: 0,
            max: 1_000_000,
        },
        "8",
        "Requests that may overtake a waiting swap between two loads; up to 4 times as many where loads are slow.",
    ),
    key(
        "overtake_age",
        Kind::Duration { min_ms: 0 },
        "20s",
        "Age of a waiting swap, from the last load on, after which nobody overtakes it; up to 4 times that where loads are slow.",
    ),
    key(
        "linger",
        Kind::Duration { min_ms: 0 },
        "500ms",
        "After an answer that ended in tool calls its model is not unloaded for another one for so long, nor for longer than half of what that takes to load: the agent comes back. 0 switches it off.",
    ),
    key(
        "overflow_after",
        Kind::Duration { min_ms: 0 },
        "30s",
        "Measured or real wait for a permit after which a model's `fallback` takes over; for a stream at 0.9 of `timeouts.commit` at the latest.",
    ),
    key(
        "small_model",
        Kind::Text,
        "",
        "Model that answers short requests for virtual models (titles, summaries) while the GPU is busy or would have to load.",
    ),
    key(
        "supersede",
        Kind::Boolean,
        "false",
        "Drop an autocomplete request that a newer one replaces.",
    ),
];

pub(super) const WHEN: &[Key] = &[
    key("model", Kind::Text, "", "The virtual model asked for."),
    key(
        "tokens_over",
        Kind::Integer {
            min: 0,
            max: 1 << 30,
        },
        "",
        "More estimated prompt tokens than this.",
    ),
    key(
        "tokens_under",
        Kind::Integer {
            min: 0,
            max: 1 << 30,
        },
        "",
        "Fewer estimated prompt tokens than this.",
    ),
    key("tools", Kind::Boolean, "", "Whether tools are offered."),
    key("images", Kind::Boolean, "", "Whether images are attached."),
    key(
        "words",
        Kind::Texts,
        "",
        "Any of these whole words in the last user message, any case.",
    ),
    part(
        "header",
        Shape::NamedValues(Kind::Text),
        "Headers that must have these values.",
    ),
];

pub(super) const RULE: &[Key] = &[
    part(
        "when",
        Shape::Table(WHEN),
        "Conditions; all that are present are needed.",
    ),
    key(
        "use",
        Kind::Text,
        "",
        "Required. A virtual model, a model or an engine.",
    ),
];
