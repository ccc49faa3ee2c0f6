//! Every key of `crucible.toml`: name, shape, default and one line of documentation.
//!
//! The walk over a file, the environment names, the JSON schema and the reference page read this
//! one table; the `[tuning.*]` keys come from [`TUNINGS`].

mod engines;
mod routing;
mod server;

use std::borrow::Cow;

use self::{
    engines::{ENGINE, MODEL, POOL},
    routing::{CONTEXT, ROUTING, RULE, SCHEDULER},
    server::{CLIENT, GUARD, LIMITS, LOG, STARTUP, TIMEOUTS},
};
use crate::{
    kind::Kind,
    tuning::{TUNINGS, TuningGroup},
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
    Rows(TuningGroup),
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
        "Folder of the ownership file, the predictor and the event log, which one Crucible owns at a time; default: the user's state folder. Needs a restart.",
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

// === impl Shape ===

impl Shape {
    /// The keys below; empty for values and free names.
    pub fn keys(self) -> Cow<'static, [Key]> {
        match self {
            Self::Value(_) | Self::NamedValues(_) => Cow::Borrowed(&[]),
            Self::Table(keys) | Self::Tables(keys) | Self::Named(keys) | Self::OffOr(keys) => {
                Cow::Borrowed(keys)
            }
            Self::Tuning => TuningGroup::ALL
                .iter()
                .map(|group| part(group.as_str(), Shape::Rows(*group), group.doc()))
                .collect(),
            Self::Rows(group) => TUNINGS
                .iter()
                .filter(|row| row.group == group)
                .map(|row| key(row.id.key(), row.kind, row.hybrid, row.short))
                .collect(),
        }
    }
}

// === impl TuningGroup ===

impl TuningGroup {
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
