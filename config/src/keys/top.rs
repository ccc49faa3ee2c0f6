//! Keys at the top of the file, and the walk over those that stand there at most once.

use std::net::SocketAddr;

use super::{
    engines::{ENGINE_KEYS, MODEL_KEYS, POOL_KEYS},
    planning::{CONTEXT_KEYS, PREFIX_KEYS, ROUTING_KEYS, RULE_KEYS, SCHEDULER_KEYS},
    server::{
        CLIENT_KEYS, GUARD_KEYS, LIMITS_KEYS, LOG_KEYS, OTLP_KEYS, STARTUP_KEYS, TIMEOUTS_KEYS,
    },
    shape::{ADDRESS, ADDRESSES, BOOLEAN, KeyShape, SettingKey, TEXT, TEXTS, join, one_of},
    typed::{FixedKey, SubTable},
};
use crate::{
    checked::{OnExit, ProfileName},
    kind::SettingKind,
};

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

    /// Second listener for `/metrics` and the live page, with the state and the settings that it shows. Needs a restart.
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
    ENGINE "engine": SubTable = KeyShape::Tables(ENGINE_KEYS);

    /// Settings of the models whose name matches.
    MODEL "model": SubTable = KeyShape::Tables(MODEL_KEYS);

    /// Memory that models compete for; any name that an engine uses.
    POOL "pool": SubTable = KeyShape::Named(POOL_KEYS);

    /// Time budgets; each has its own error.
    TIMEOUTS "timeouts": SubTable = KeyShape::Table(TIMEOUTS_KEYS);

    /// Size and count bounds.
    LIMITS "limits": SubTable = KeyShape::Table(LIMITS_KEYS);

    /// What happens when a prompt does not fit.
    CONTEXT "context": SubTable = KeyShape::Table(CONTEXT_KEYS);

    /// What is changed in prompts so that engines recognise what they have read before.
    PREFIX "prefix": SubTable = KeyShape::Table(PREFIX_KEYS);

    /// Routing by prediction.
    ROUTING "routing": SubTable = KeyShape::Table(ROUTING_KEYS);

    /// Loads, evictions, overtaking.
    SCHEDULER "scheduler": SubTable = KeyShape::Table(SCHEDULER_KEYS);

    /// What happens at start.
    STARTUP "startup": SubTable = KeyShape::Table(STARTUP_KEYS);

    /// Log lines on stderr.
    LOG "log": SubTable = KeyShape::Table(LOG_KEYS);

    /// Spans of requests.
    OTLP "otlp": SubTable = KeyShape::Table(OTLP_KEYS);

    /// Closed management paths.
    GUARD "guard": SubTable = KeyShape::Table(GUARD_KEYS);

    /// Ordered; the first that matches decides a virtual model.
    RULE "rule": SubTable = KeyShape::Tables(RULE_KEYS);

    /// A virtual model: ordered patterns `engine/model`, or other virtual models.
    VIRTUAL "virtual": SubTable = KeyShape::NamedValues(SettingKind::Texts);

    /// A client's key.
    KEY "key": SubTable = KeyShape::Tables(CLIENT_KEYS);

    /// The 39 settings; see the page of tunings.
    TUNING "tuning": SubTable = KeyShape::Tuning;
}

/// Every value outside lists and tables with free names: dotted path and key.
pub fn fixed() -> Vec<(String, SettingKey)> {
    fn descend(prefix: &str, keys: &[SettingKey], all: &mut Vec<(String, SettingKey)>) {
        for key in keys {
            let path = join(prefix, key.name);
            match key.shape {
                KeyShape::Value(_) => all.push((path, *key)),
                KeyShape::Table(_) | KeyShape::Tuning | KeyShape::Rows(_) => {
                    descend(&path, &key.shape.keys(), all);
                }
                KeyShape::Tables(_)
                | KeyShape::Named(_)
                | KeyShape::NamedValues(_)
                | KeyShape::OffOr(_) => {}
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
