//! Keys of what stands before the engines: budgets, limits, clients, the log.

use super::{BYTES, COUNT, Key, Shape, TIME, TOKENS, engines::SAMPLING, key, part};
use crate::kind::Kind;

pub(super) const TIMEOUTS: &[Key] = &[
    key("queue", TIME, "300s", "Waiting for a permit."),
    key(
        "commit",
        TIME,
        "20s",
        "No byte to the client before this or the engine's first event.",
    ),
    key("load", TIME, "300s", "One model load."),
    key("first_token", TIME, "300s", "Request sent to first token."),
    key(
        "idle",
        TIME,
        "30s",
        "Longest gap between an engine's bytes after the first token; the same as `tuning.lmstudio.stream_timeout`.",
    ),
    key(
        "tool_call",
        TIME,
        "600s",
        "In place of `idle` for a request with tools, as long as the engine, asked after each `idle` of silence, is well and, where it tells, at work.",
    ),
    key(
        "response",
        TIME,
        "600s",
        "A passed-through answer that is not streamed.",
    ),
    key("drain", TIME, "30s", "From SIGTERM to the end."),
    key("connect", TIME, "2s", "TCP connect to an engine."),
    key("header", TIME, "10s", "A client's header."),
    key("body", TIME, "30s", "A client's body without progress."),
    key("client_stall", TIME, "60s", "A client that does not read."),
];

pub(super) const LIMITS: &[Key] = &[
    key(
        "body",
        Kind::Size {
            min: 1024,
            max: 1 << 32,
        },
        "32MB",
        "Request body, after decompression.",
    ),
    key(
        "connections",
        COUNT,
        "1024",
        "Open client connections; for one more the longest idle one is closed. Each may need two open files: the soft limit is raised as far as allowed, and fewer are taken where that is not enough.",
    ),
    key(
        "header",
        Kind::Size {
            min: 1024,
            max: 1 << 20,
        },
        "16KB",
        "Request header.",
    ),
    key(
        "body_rate",
        Kind::Size {
            min: 0,
            max: 1 << 30,
        },
        "1KB",
        "Least bytes per second, over 30 s, of a body that is being sent; 0: no least.",
    ),
    key(
        "json_depth",
        Kind::Integer { min: 1, max: 1024 },
        "64",
        "Nesting of a JSON body.",
    ),
    key(
        "event",
        Kind::Size {
            min: 16_384,
            max: 1 << 30,
        },
        "8MB",
        "One event or line of an engine that a translator must hold.",
    ),
];

pub(super) const STARTUP: &[Key] = &[key(
    "warm",
    Kind::Texts,
    "[]",
    "Models to load at start, besides the pinned ones.",
)];

pub(super) const LOG: &[Key] = &[
    key(
        "format",
        Kind::OneOf(&["text", "json"]),
        "text",
        "For people or for machines. Needs a restart.",
    ),
    key(
        "level",
        Kind::Text,
        "info",
        "Filter, for example `info` or `crucible=debug`; of libraries nothing finer than `info` is written, since that would show keys and prompts. Needs a restart.",
    ),
    key(
        "events",
        Kind::Boolean,
        "true",
        "Whether `state_dir` keeps a log of requests and loads for `crucible replay`, without prompts. Needs a restart.",
    ),
    key(
        "events_size",
        BYTES,
        "10MB",
        "Most that this event log takes on disk; the older half is dropped. Needs a restart.",
    ),
];

pub(super) const GUARD: &[Key] = &[key(
    "open",
    Kind::Texts,
    "[]",
    "Management paths opened on purpose, for example `/api/pull`: they are passed on to the first engine of their kind, or to the one that the client names in `x-crucible-engine`.",
)];

pub(super) const CLIENT: &[Key] = &[
    key(
        "name",
        Kind::Text,
        "",
        "Required. Name for logs and limits.",
    ),
    key(
        "hash",
        Kind::Secret,
        "",
        "Required. Made by `crucible key new`.",
    ),
    key("rate", Kind::Rate, "", "Requests allowed per period."),
    key(
        "class",
        Kind::OneOf(&["interactive", "background"]),
        "interactive",
        "Whether a person waits.",
    ),
    key(
        "context",
        TOKENS,
        "",
        "Context for models that nothing else configures.",
    ),
    part(
        "defaults",
        Shape::OffOr(SAMPLING),
        "Sampling defaults of this client, or `false`.",
    ),
];
