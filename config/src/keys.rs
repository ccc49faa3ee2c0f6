//! Every key of `crucible.toml`: its name, what it takes, its default and its documentation.
//!
//! A key is one entry of one table, and everything else is made from it: the walk over a file, the
//! environment names, the JSON schema, the reference page, and a constant with the Rust type of its
//! values by which the checks read it. So a mistyped name does not compile:
//!
//! ```text
//! keys! {
//!     /// Keys of `[timeouts]`: time budgets, each of which has an error of its own.
//!     FixedKey timeouts at "timeouts" = TIMEOUTS_KEYS;
//!
//!     /// Request sent to first token.
//!     FIRST_TOKEN "first_token": Duration = TIME, "300s", agent "900s";
//! }
//!
//! let budget: Duration = settings.get(&timeouts::FIRST_TOKEN.path(), report);
//! ```
//!
//! The keys of `[tuning.*]` are made from [`TUNINGS`].

#[macro_use]
mod typed;

mod engines;
mod planning;
mod server;

use std::{borrow::Cow, net::SocketAddr};

use self::{
    engines::{ENGINE_KEYS, MODEL_KEYS, POOL_KEYS},
    planning::{CONTEXT_KEYS, ROUTING_KEYS, RULE_KEYS, SCHEDULER_KEYS},
    server::{CLIENT_KEYS, GUARD_KEYS, LIMITS_KEYS, LOG_KEYS, STARTUP_KEYS, TIMEOUTS_KEYS},
};
pub(crate) use self::{
    engines::{engine, model, pool, sampling},
    planning::{context, routing, rule, scheduler, when},
    server::{client, guard, limits, log, startup, timeouts},
    typed::{FixedKey, KeyPath, Part},
};
use crate::{
    checked::{OnExit, ProfileName},
    kind::Kind,
    tuning::{TUNINGS, TuningGroup, TuningId},
};

/// One key of one table, as the pages and the walk over a file know it.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The name in its table.
    pub name: &'static str,
    /// What may stand there.
    pub shape: Shape,
    /// The default of the profile `hybrid` as text, or words that say it; empty where there is none.
    pub default: &'static str,
    /// The default of the profile `agent`, where it is another one.
    pub agent: Option<&'static str>,
    /// One line that says what it sets.
    pub doc: &'static str,
    /// The setting that it belongs to, where it is one of the 39.
    pub tuning: Option<TuningId>,
}

/// What may stand at a key.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// A value.
    Value(Kind),
    /// A table, `[name]`.
    Table(&'static [Key]),
    /// A list of tables, `[[name]]`.
    Tables(&'static [Key]),
    /// Tables with names of the user's choice, `[name.ANY]`.
    Named(&'static [Key]),
    /// Values under names of the user's choice, `ANY = value`.
    NamedValues(Kind),
    /// The word `false`, or a table.
    OffOr(&'static [Key]),
    /// `[tuning]` with its three tables.
    Tuning,
    /// The settings of one group, `[tuning.group]`.
    Rows(TuningGroup),
}

const BOOLEAN: Shape = Shape::Value(Kind::Boolean);
const TEXT: Shape = Shape::Value(Kind::Text);
const TEXTS: Shape = Shape::Value(Kind::Texts);
const SECRET: Shape = Shape::Value(Kind::Secret);
const ADDRESS: Shape = Shape::Value(Kind::Address);
const ADDRESSES: Shape = Shape::Value(Kind::Addresses);
const REQUESTS_PER_TIME: Shape = Shape::Value(Kind::Rate);
const TIME: Shape = Shape::Value(Kind::Duration { min_ms: 1 });
const TIME_OR_NONE: Shape = Shape::Value(Kind::Duration { min_ms: 0 });
const BYTES: Shape = size(1, i64::MAX as u64);
const TOKENS: Shape = integer(1, 1 << 30);
const COUNT: Shape = integer(1, 1_000_000);
const GROW_OR_REJECT: Shape = one_of(&["grow", "reject"]);

const fn integer(min: i64, max: i64) -> Shape {
    Shape::Value(Kind::Integer { min, max })
}

const fn number(min: f64, max: f64) -> Shape {
    Shape::Value(Kind::Number { min, max })
}

const fn size(min: u64, max: u64) -> Shape {
    Shape::Value(Kind::Size { min, max })
}

const fn one_of(words: &'static [&'static str]) -> Shape {
    Shape::Value(Kind::OneOf(words))
}

keys! {
    /// Keys at the top of the file, and the tables below it.
    FixedKey root at "" = ROOT;

    /// Address for clients, or a list; port 0 lets the system choose. Needs a restart.
    LISTEN "listen": Vec<SocketAddr> = ADDRESSES, "127.0.0.1:8484";

    /// Built-in values under all other layers; `agent` is `hybrid` with context 32768, no sampling
    /// defaults, and longer budgets: first token 900s, tool call and response 1800s.
    PROFILE "profile": ProfileName = one_of(&["hybrid", "agent"]), "hybrid";

    /// Model that answers to unknown names; without it they are 404.
    DEFAULT_MODEL "default_model": Option<String> = TEXT;

    /// What to do at a graceful end with models that Crucible loaded.
    ON_EXIT "on_exit": OnExit = one_of(&["unload", "leave"]), "unload";

    /// May bind beyond loopback without a key.
    ALLOW_UNAUTHENTICATED "allow_unauthenticated": bool = BOOLEAN, "false";

    /// Second listener for `/metrics` and the page. Needs a restart.
    METRICS_LISTEN "metrics_listen": Option<SocketAddr> = ADDRESS;

    /// Whether the built-in routing rules follow the configured ones.
    BUILTIN_RULES "builtin_rules": bool = BOOLEAN, "true";

    /// Host names allowed beyond the built-in rule.
    ALLOWED_HOSTS "allowed_hosts": Vec<String> = TEXTS, "[]";

    /// Origins allowed beyond editors' schemes and localhost.
    ALLOWED_ORIGINS "allowed_origins": Vec<String> = TEXTS, "[]";

    /// Folder of the ownership file, the predictor and the event log, which one Crucible owns at a
    /// time; default: the user's state folder. Needs a restart.
    STATE_DIR "state_dir": Option<String> = TEXT;

    /// An engine. Without any, the default ports are searched.
    ENGINE "engine": Part = Shape::Tables(ENGINE_KEYS);

    /// Settings of the models whose name matches.
    MODEL "model": Part = Shape::Tables(MODEL_KEYS);

    /// Memory that models compete for; any name that an engine uses.
    POOL "pool": Part = Shape::Named(POOL_KEYS);

    /// Time budgets; each has its own error.
    TIMEOUTS "timeouts": Part = Shape::Table(TIMEOUTS_KEYS);

    /// Size and count bounds.
    LIMITS "limits": Part = Shape::Table(LIMITS_KEYS);

    /// What happens when a prompt does not fit.
    CONTEXT "context": Part = Shape::Table(CONTEXT_KEYS);

    /// Routing by prediction.
    ROUTING "routing": Part = Shape::Table(ROUTING_KEYS);

    /// Loads, evictions, overtaking.
    SCHEDULER "scheduler": Part = Shape::Table(SCHEDULER_KEYS);

    /// What happens at start.
    STARTUP "startup": Part = Shape::Table(STARTUP_KEYS);

    /// Log lines on stderr.
    LOG "log": Part = Shape::Table(LOG_KEYS);

    /// Closed management paths.
    GUARD "guard": Part = Shape::Table(GUARD_KEYS);

    /// Ordered; the first that matches decides a virtual model.
    RULE "rule": Part = Shape::Tables(RULE_KEYS);

    /// A virtual model: ordered patterns `engine/model`, or other virtual models.
    VIRTUAL "virtual": Part = Shape::NamedValues(Kind::Texts);

    /// A client's key.
    KEY "key": Part = Shape::Tables(CLIENT_KEYS);

    /// The 39 settings; see the page of tunings.
    TUNING "tuning": Part = Shape::Tuning;
}

// === impl Shape ===

impl Shape {
    /// The keys below; empty for values and free names.
    pub fn keys(self) -> Cow<'static, [Key]> {
        match self {
            Self::Value(_) | Self::NamedValues(_) => Cow::Borrowed(&[]),
            Self::Table(keys) | Self::Tables(keys) | Self::Named(keys) | Self::OffOr(keys) => {
                Cow::Borrowed(keys)
            }
            Self::Tuning => TuningGroup::ALL.into_iter().map(Key::of_group).collect(),
            Self::Rows(group) => TUNINGS
                .iter()
                .filter(|row| row.group == group)
                .map(|row| Key::of_tuning(row.id))
                .collect(),
        }
    }
}

// === impl Key ===

impl Key {
    fn of_group(group: TuningGroup) -> Self {
        Self {
            name: group.as_str(),
            shape: Shape::Rows(group),
            default: "",
            agent: None,
            doc: group.doc(),
            tuning: None,
        }
    }

    fn of_tuning(id: TuningId) -> Self {
        let row = id.row();
        Self {
            name: id.key(),
            shape: Shape::Value(row.kind),
            default: row.hybrid,
            agent: row.agent,
            doc: row.short,
            tuning: Some(id),
        }
    }

    /// The value in a profile, as text; `None` where the profile sets nothing.
    pub fn literal(&self, profile: ProfileName) -> Option<&'static str> {
        if let Some(id) = self.tuning {
            return id.row().literal(profile);
        }
        let hybrid = Some(self.default).filter(|text| !text.is_empty());
        match profile {
            ProfileName::Hybrid => hybrid,
            ProfileName::Agent => self.agent.or(hybrid),
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

#[cfg(test)]
mod tests;
