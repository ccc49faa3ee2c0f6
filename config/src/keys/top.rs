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

    /// The treatment of models that Crucible loaded at its graceful end: they are unloaded, or left as they are.
    ON_EXIT "on_exit": OnExit = one_of(&["unload", "leave"]), "unload";

    /// Whether `listen` may have addresses beyond loopback although no key is configured.
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

    /// The bounds of sizes and counts.
    LIMITS "limits": SubTable = KeyShape::Table(LIMITS_KEYS);

    /// The context of loads, and the treatment of prompts that do not fit.
    CONTEXT "context": SubTable = KeyShape::Table(CONTEXT_KEYS);

    /// Changes of prompts by which engines recognise what they have read before.
    PREFIX "prefix": SubTable = KeyShape::Table(PREFIX_KEYS);

    /// The rules for choosing an engine by its predicted times.
    ROUTING "routing": SubTable = KeyShape::Table(ROUTING_KEYS);

    /// The rules for loads, evictions and the order of the queue.
    SCHEDULER "scheduler": SubTable = KeyShape::Table(SCHEDULER_KEYS);

    /// Actions at the start, before the first request.
    STARTUP "startup": SubTable = KeyShape::Table(STARTUP_KEYS);

    /// The level and the form of the log lines on stderr.
    LOG "log": SubTable = KeyShape::Table(LOG_KEYS);

    /// The collector to which the spans of requests are sent.
    OTLP "otlp": SubTable = KeyShape::Table(OTLP_KEYS);

    /// The engines' management paths, which are closed unless they are opened here.
    GUARD "guard": SubTable = KeyShape::Table(GUARD_KEYS);

    /// A routing rule. Rules are ordered; the first that matches decides a virtual model.
    RULE "rule": SubTable = KeyShape::Tables(RULE_KEYS);

    /// A virtual model: ordered patterns `engine/model`, or other virtual models.
    VIRTUAL "virtual": SubTable = KeyShape::NamedValues(SettingKind::Texts);

    /// A key with which clients are let in, and what they may use.
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
