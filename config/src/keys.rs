//! Every key of `crucible.toml`: name, shape, default and one line of documentation.
//!
//! The walk over a file, the environment names, the JSON schema and the reference page read this
//! one table; the `[tuning.*]` keys come from [`TUNINGS`].

use std::borrow::Cow;

use crate::{
    kind::Kind,
    tuning::{Group, TUNINGS},
};

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name in its table.
    pub name: &'static str,
    /// What stands there.
    pub shape: Shape,
    /// The default as text; empty where there is none.
    pub default: &'static str,
    /// One line.
    pub doc: &'static str,
}

/// What stands at a key.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// A value.
    Value(Kind),
    /// `[name]`.
    Table(&'static [Key]),
    /// `[[name]]`.
    Tables(&'static [Key]),
    /// `[name.ANY]`.
    Named(&'static [Key]),
    /// `ANY = value`.
    NamedValues(Kind),
    /// `false`, or a table.
    OffOr(&'static [Key]),
    /// `[tuning]` with its three tables.
    Tuning,
    /// `[tuning.group]`.
    Rows(Group),
}

const fn key(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    Key {
        name,
        shape: Shape::Value(kind),
        default,
        doc,
    }
}

const fn part(name: &'static str, shape: Shape, doc: &'static str) -> Key {
    Key {
        name,
        shape,
        default: "",
        doc,
    }
}

const TIME: Kind = Kind::Duration { min_ms: 1 };
const BYTES: Kind = Kind::Size {
    min: 1,
    max: i64::MAX as u64,
};
const TOKENS: Kind = Kind::Integer {
    min: 1,
    max: 1 << 30,
};
const COUNT: Kind = Kind::Integer {
    min: 1,
    max: 1_000_000,
};
const FIT: Kind = Kind::OneOf(&["grow", "reject"]);

/// The whole file.
pub const ROOT: &[Key] = &[
    key(
        "listen",
        Kind::Addresses,
        "127.0.0.1:8484",
        "Address for clients, or a list; port 0 lets the system choose. Needs a restart.",
    ),
    key(
        "profile",
        Kind::OneOf(&["hybrid", "agent"]),
        "hybrid",
        "Built-in values under all other layers; `agent` is `hybrid` with context 32768, no sampling defaults, and longer budgets: first token 900s, tool call and response 1800s.",
    ),
    key(
        "default_model",
        Kind::Text,
        "",
        "Model that answers to unknown names; without it they are 404.",
    ),
    key(
        "on_exit",
        Kind::OneOf(&["unload", "leave"]),
        "unload",
        "What to do at a graceful end with models that Crucible loaded.",
    ),
    key(
        "allow_unauthenticated",
        Kind::Boolean,
        "false",
        "May bind beyond loopback without a key.",
    ),
    key(
        "metrics_listen",
        Kind::Address,
        "",
        "Second listener for `/metrics` and the page. Needs a restart.",
    ),
    key(
        "builtin_rules",
        Kind::Boolean,
        "true",
        "Whether the built-in routing rules follow the configured ones.",
    ),
    key(
        "allowed_hosts",
        Kind::Texts,
        "[]",
        "Host names allowed beyond the built-in rule.",
    ),
    key(
        "allowed_origins",
        Kind::Texts,
        "[]",
        "Origins allowed beyond editors' schemes and localhost.",
    ),
    key(
        "state_dir",
        Kind::Text,
        "",
        "Folder of the ownership file, the predictor and the event log; default: the user's state folder. Needs a restart.",
    ),
    part(
        "engine",
        Shape::Tables(ENGINE),
        "An engine. Without any, the default ports are searched.",
    ),
    part(
        "model",
        Shape::Tables(MODEL),
        "Settings of the models whose name matches.",
    ),
    part(
        "pool",
        Shape::Named(POOL),
        "Memory that models compete for; any name that an engine uses.",
    ),
    part(
        "timeouts",
        Shape::Table(TIMEOUTS),
        "Time budgets; each has its own error.",
    ),
    part("limits", Shape::Table(LIMITS), "Size and count bounds."),
    part(
        "context",
        Shape::Table(CONTEXT),
        "What happens when a prompt does not fit.",
    ),
    part("routing", Shape::Table(ROUTING), "Routing by prediction."),
    part(
        "scheduler",
        Shape::Table(SCHEDULER),
        "Loads, evictions, overtaking.",
    ),
    part("startup", Shape::Table(STARTUP), "What happens at start."),
    part("log", Shape::Table(LOG), "Log lines on stderr."),
    part("guard", Shape::Table(GUARD), "Closed management paths."),
    part(
        "rule",
        Shape::Tables(RULE),
        "Ordered; the first that matches decides a virtual model.",
    ),
    part(
        "virtual",
        Shape::NamedValues(Kind::Texts),
        "A virtual model: ordered patterns `engine/model`, or other virtual models.",
    ),
    part("key", Shape::Tables(CLIENT), "A client's key."),
    part(
        "tuning",
        Shape::Tuning,
        "The 39 settings; see the page of tunings.",
    ),
];

const ENGINE: &[Key] = &[
    key(
        "name",
        Kind::Text,
        "",
        "Required. Its name in `engine/model`, headers and labels; without a slash.",
    ),
    key(
        "kind",
        Kind::OneOf(&["lmstudio", "ollama", "llamacpp", "openai"]),
        "",
        "Required. What it speaks.",
    ),
    key(
        "url",
        Kind::Text,
        "the kind's default port on this machine",
        "Its address, without a path; required for `openai`.",
    ),
    key(
        "device",
        Kind::OneOf(&["gpu", "cpu", "auto"]),
        "gpu for lmstudio and openai, auto for ollama, cpu for llamacpp",
        "Where it computes.",
    ),
    key(
        "pool",
        Kind::Text,
        "its device on its host",
        "The memory that it shares with others.",
    ),
    key(
        "api_key_env",
        Kind::Text,
        "",
        "Name of the environment variable with the engine's own token.",
    ),
    key(
        "manage",
        Kind::OneOf(&["observe", "models", "spawn"]),
        "models for lmstudio and ollama, spawn for llamacpp with a model_path, else observe",
        "How much of it Crucible manages; `spawn` starts llama.cpp's server or `ollama serve` as a child.",
    ),
    key(
        "permits",
        Kind::Integer {
            min: 1,
            max: 1_000_000,
        },
        "2; openai 32",
        "Requests at once per resident model.",
    ),
    key(
        "queue",
        Kind::Integer {
            min: 0,
            max: 1_000_000,
        },
        "10 for ollama, 64 for lmstudio and llamacpp, 256 for openai",
        "Requests that may wait.",
    ),
    key(
        "defaults",
        Kind::Boolean,
        "true",
        "Whether sampling defaults are injected here.",
    ),
    key(
        "allow_cloud",
        Kind::Boolean,
        "false",
        "Whether Ollama's `:cloud` models may be used.",
    ),
    key(
        "passthrough",
        Kind::Texts,
        "[]",
        "Dialects that pass through untranslated: `responses`, `messages`.",
    ),
    key(
        "websocket",
        Kind::Boolean,
        "false",
        "LM Studio: generation models are loaded over its WebSocket API, which alone takes and shows rows 2, 9 and 10, and gives LM Studio an idle clock of its own behind row 5 (none for pinned models); REST where no socket can be had. A found engine has none: name it in a block; `url` is needed only beyond the default port.",
    ),
    key(
        "command",
        Kind::Texts,
        "[\"llama-server\"]; for ollama [\"ollama\"]",
        "Command of a spawned engine; Crucible adds the flags, for ollama `serve`.",
    ),
    key(
        "model_path",
        Kind::Text,
        "",
        "Model file of a spawned llama.cpp engine; relative to the configuration file.",
    ),
];

const SAMPLING: &[Key] = &[
    key(
        "temperature",
        Kind::Number { min: 0.0, max: 2.0 },
        "",
        "Sampling temperature.",
    ),
    key(
        "top_p",
        Kind::Number { min: 0.0, max: 1.0 },
        "",
        "Nucleus sampling.",
    ),
    key(
        "frequency_penalty",
        Kind::Number {
            min: -2.0,
            max: 2.0,
        },
        "",
        "Frequency penalty.",
    ),
    key(
        "presence_penalty",
        Kind::Number {
            min: -2.0,
            max: 2.0,
        },
        "",
        "Presence penalty.",
    ),
];

const MODEL: &[Key] = &[
    key(
        "name",
        Kind::Text,
        "",
        "Required. Exact name or glob, any case.",
    ),
    key("engine", Kind::Text, "", "Pins the model to one engine."),
    key("aliases", Kind::Texts, "[]", "Other names; may be globs."),
    key("context", TOKENS, "", "Context per request in tokens."),
    key(
        "fit",
        FIT,
        "that of [context]",
        "What to do when a prompt does not fit.",
    ),
    key(
        "pin",
        Kind::Boolean,
        "false",
        "Loaded at start and never unloaded.",
    ),
    key(
        "spill",
        Kind::Boolean,
        "false",
        "May be offloaded partially.",
    ),
    key(
        "fallback",
        Kind::Texts,
        "[]",
        "Names that may answer instead, in order.",
    ),
    part(
        "defaults",
        Shape::OffOr(SAMPLING),
        "Sampling defaults of this model, or `false`.",
    ),
];

const POOL: &[Key] = &[
    key("memory", BYTES, "", "Total, where it cannot be read."),
    key(
        "budget",
        BYTES,
        "gpu: gpu_memory_fraction x memory; cpu: the smaller of memory_limit and 0.8 x memory",
        "What models may use together.",
    ),
    key(
        "exclusive",
        Kind::Boolean,
        "false",
        "Never load here while another pool loads.",
    ),
];

const TIMEOUTS: &[Key] = &[
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
        "Replaces `idle` where the engine delivers a tool call whole.",
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

const LIMITS: &[Key] = &[
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
        "Open client connections. Each may need two open files: the soft limit is raised as far as allowed.",
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

const CONTEXT: &[Key] = &[
    key(
        "fit",
        FIT,
        "grow",
        "`grow` sizes the context up in steps, `reject` answers 400.",
    ),
    key(
        "max",
        TOKENS,
        "131072",
        "Growth never goes beyond this many tokens.",
    ),
];

const ROUTING: &[Key] = &[key(
    "first_token",
    TIME,
    "60s",
    "A candidate whose predicted first token is later than this is not chosen by `auto`.",
)];

const SCHEDULER: &[Key] = &[
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

const STARTUP: &[Key] = &[key(
    "warm",
    Kind::Texts,
    "[]",
    "Models to load at start, besides the pinned ones.",
)];

const LOG: &[Key] = &[
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
        "Filter, for example `info` or `crucible=debug`. Needs a restart.",
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

const GUARD: &[Key] = &[key(
    "open",
    Kind::Texts,
    "[]",
    "Management paths opened on purpose, for example `/api/pull`.",
)];

const WHEN: &[Key] = &[
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

const RULE: &[Key] = &[
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

const CLIENT: &[Key] = &[
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

// === impl Shape ===

impl Shape {
    /// The keys below; empty for values and free names.
    pub fn keys(self) -> Cow<'static, [Key]> {
        match self {
            Self::Value(_) | Self::NamedValues(_) => Cow::Borrowed(&[]),
            Self::Table(keys) | Self::Tables(keys) | Self::Named(keys) | Self::OffOr(keys) => {
                Cow::Borrowed(keys)
            }
            Self::Tuning => Group::ALL
                .iter()
                .map(|group| part(group.as_str(), Shape::Rows(*group), group.doc()))
                .collect(),
            Self::Rows(group) => TUNINGS
                .iter()
                .filter(|row| row.group == group)
                .map(|row| key(row.key(), row.kind, row.value, row.short))
                .collect(),
        }
    }
}

// === impl Group ===

impl Group {
    fn doc(self) -> &'static str {
        match self {
            Self::Lmstudio => "Rows 1-20.",
            Self::Ollama => "Rows 21-31.",
            Self::Environment => "Rows 32-39: environment of the Ollama process.",
        }
    }
}

/// Every value outside lists and tables with free names: dotted path and key.
pub fn fixed() -> Vec<(String, Key)> {
    fn descend(prefix: &str, keys: &[Key], all: &mut Vec<(String, Key)>) {
        for key in keys {
            let path = join(prefix, key.name);
            match key.shape {
                Shape::Value(_) => all.push((path, *key)),
                Shape::Table(_) | Shape::Tuning | Shape::Rows(_) => {
                    descend(&path, &key.shape.keys(), all);
                }
                Shape::Tables(_) | Shape::Named(_) | Shape::NamedValues(_) | Shape::OffOr(_) => {}
            }
        }
    }
    let mut all = Vec::new();
    descend("", ROOT, &mut all);
    all
}

/// The environment variable of a path: `timeouts.idle` is `CRUCIBLE_TIMEOUTS__IDLE`.
pub fn variable(path: &str) -> String {
    format!("CRUCIBLE_{}", path.replace('.', "__").to_uppercase())
}

/// A path one level deeper.
pub(crate) fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}.{name}")
    }
}
