//! Keys of what stands before the engines: budgets, limits, clients, the log.

use std::time::Duration;

use super::{
    engines::SAMPLING_KEYS,
    shape::{
        BOOLEAN, BYTES, COUNT, DAILY_TOKENS, KeyShape, REQUESTS_PER_TIME, SECRET, TEXT, TEXTS,
        TIME, TOKENS, integer, one_of, size,
    },
    typed::{FixedKey, SubTable, TableKey},
};
use crate::checked::{Class, LogFormat, Rate};

keys! {
    /// Keys of `[timeouts]`: time budgets, each of which has an error of its own.
    FixedKey timeouts at "timeouts" = TIMEOUTS_KEYS;

    /// Waiting for a permit.
    QUEUE "queue": Duration = TIME, "300s";

    /// No byte to the client before this or the engine's first event.
    COMMIT "commit": Duration = TIME, "20s";

    /// One model load.
    LOAD "load": Duration = TIME, "300s";

    /// Request sent, or the engine's last progress with the prompt where it reports that, to first
    /// token.
    FIRST_TOKEN "first_token": Duration = TIME, "300s", agent "900s";

    /// Longest gap between an engine's bytes after the first token; the same as
    /// `tuning.lmstudio.stream_timeout`.
    IDLE "idle": Duration = TIME, "30s";

    /// In place of `idle` for a request with tools, as long as the engine, asked after each `idle`
    /// of silence, is well and, where it tells, at work.
    TOOL_CALL "tool_call": Duration = TIME, "600s", agent "1800s";

    /// A passed-through answer that is not streamed.
    RESPONSE "response": Duration = TIME, "600s", agent "1800s";

    /// From SIGTERM to the end.
    DRAIN "drain": Duration = TIME, "30s";

    /// TCP connect to an engine.
    CONNECT "connect": Duration = TIME, "2s";

    /// A client's header.
    HEADER "header": Duration = TIME, "10s";

    /// A client's body without progress.
    BODY "body": Duration = TIME, "30s";

    /// A client that does not read.
    CLIENT_STALL "client_stall": Duration = TIME, "60s";
}

keys! {
    /// Keys of `[limits]`: bounds of sizes and counts.
    FixedKey limits at "limits" = LIMITS_KEYS;

    /// Request body, after decompression.
    BODY "body": u64 = size(1024, 1 << 32), "32MB";

    /// Open client connections; for one more the longest idle one is closed. Each may need two open
    /// files: the soft limit is raised as far as allowed, and fewer are taken where that is not
    /// enough.
    CONNECTIONS "connections": usize = COUNT, "1024";

    /// Request header.
    HEADER "header": usize = size(1024, 1 << 20), "16KB";

    /// Least bytes per second, over 30 s, of a body that is being sent; 0: no least.
    BODY_RATE "body_rate": u64 = size(0, 1 << 30), "1KB";

    /// Nesting of a JSON body.
    JSON_DEPTH "json_depth": usize = integer(1, 1024), "64";

    /// One event or line of an engine that a translator must hold.
    EVENT "event": usize = size(16_384, 1 << 30), "8MB";
}

keys! {
    /// Keys of `[startup]`.
    FixedKey startup at "startup" = STARTUP_KEYS;

    /// Models to load at start, besides the pinned ones.
    WARM "warm": Vec<String> = TEXTS, "[]";
}

keys! {
    /// Keys of `[log]`: log lines and the event log.
    FixedKey log at "log" = LOG_KEYS;

    /// For people or for machines. Needs a restart.
    FORMAT "format": LogFormat = one_of(&["text", "json"]), "text";

    /// Filter, for example `info` or `crucible=debug`; of libraries nothing finer than `info` is
    /// written, since that would show keys and prompts. Needs a restart.
    LEVEL "level": Option<String> = TEXT, "info";

    /// Whether `state_dir` keeps a log of requests and loads for `crucible replay`, without
    /// prompts. Needs a restart.
    EVENTS "events": bool = BOOLEAN, "true";

    /// Most that this event log takes on disk; the older half is dropped. Needs a restart.
    EVENTS_SIZE "events_size": u64 = BYTES, "10MB";
}

keys! {
    /// Keys of `[otlp]`: spans of requests for a collector of OpenTelemetry.
    FixedKey otlp at "otlp" = OTLP_KEYS;

    /// Address of a collector that takes OTLP over HTTP, for example `http://127.0.0.1:4318`; the path
    /// `/v1/traces` is added. Without it no spans are made. Needs a restart.
    ENDPOINT "endpoint": Option<String> = TEXT;
}

keys! {
    /// Keys of `[guard]`: paths that manage engines.
    FixedKey guard at "guard" = GUARD_KEYS;

    /// Management paths opened on purpose, for example `/api/pull`: they are passed on to the first
    /// engine of their kind, or to the one that the client names in `x-crucible-engine`.
    OPEN "open": Vec<String> = TEXTS, "[]";
}

keys! {
    /// Keys of `[[key]]`: one client and what it may do.
    TableKey client at "key" = CLIENT_KEYS;

    /// Required. Name for logs and limits.
    NAME "name": Option<String> = TEXT;

    /// Required. Made by `crucible key new`.
    HASH "hash": Option<String> = SECRET;

    /// Requests allowed per period.
    RATE "rate": Option<Rate> = REQUESTS_PER_TIME;

    /// Most tokens of prompts and answers in a day of this machine's time zone (UTC where it has none); beyond it
    /// 429 until the day ends.
    TOKENS_PER_DAY "tokens_per_day": Option<u64> = DAILY_TOKENS;

    /// Whether a person waits.
    CLASS "class": Class = one_of(&["interactive", "background"]), "interactive";

    /// Context for models that nothing else configures.
    CONTEXT "context": Option<u64> = TOKENS;

    /// Sampling defaults of this client, or `false`.
    DEFAULTS "defaults": SubTable = KeyShape::OffOr(SAMPLING_KEYS);
}
