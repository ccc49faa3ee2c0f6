//! Effective values for `crucible config show`, and the origins by which later problems name their place.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    keys,
    settings::{Settings, ValueOrigin},
};

/// One effective value, as `config show` prints it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EffectiveValue {
    /// The dotted path of the key, `timeouts.idle` or `engine[0].url`.
    pub path: String,
    /// The value in JSON: durations in seconds, sizes in bytes.
    pub value: serde_json::Value,
    /// The value as a person writes it in the file.
    #[serde(skip)]
    pub text: String,
    /// The layer and the place that set it.
    pub origin: ValueOrigin,
}

/// The origin of every value that is set, by the path of its key; problems that are found after loading, such
/// as a file that is missing, name their place by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValueOrigins(BTreeMap<String, ValueOrigin>);

/// Returns every value that is set with its origin, in the order of the documentation; values of
/// tables that repeat or have free names come last.
pub(crate) fn shown(settings: &Settings) -> Vec<EffectiveValue> {
    let order: BTreeMap<String, usize> = keys::fixed()
        .into_iter()
        .enumerate()
        .map(|(i, (path, _))| (path, i))
        .collect();
    let mut all: Vec<EffectiveValue> = settings
        .entries
        .iter()
        .map(|(path, entry)| EffectiveValue {
            path: path.clone(),
            value: entry.value.to_json(),
            text: entry.value.to_text(),
            origin: entry.origin.clone(),
        })
        .collect();
    // Stable: what has a free name or a number keeps its order and comes last.
    all.sort_by_key(|one| order.get(&one.path).copied().unwrap_or(usize::MAX));
    all
}

// === impl ValueOrigins ===

impl ValueOrigins {
    /// Copies the origins of all values of a reading.
    pub(crate) fn new(settings: &Settings) -> Self {
        let all = settings
            .entries
            .iter()
            .map(|(path, e)| (path.clone(), e.origin.clone()));
        Self(all.collect())
    }

    /// The origin of the value at a path; `None` where nothing is set.
    pub fn get(&self, path: &str) -> Option<&ValueOrigin> {
        self.0.get(path)
    }
}
