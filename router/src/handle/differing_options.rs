//! Names over the same weights whose descriptions load them differently.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    catalog::{ModelInfo, ModelKind},
    fleet::EngineStatus,
    options::LoadTuple,
    shared_weights::unsent,
    view::Conflict,
};

/// Settings that cannot all be in effect, by engine.
pub(super) type Conflicts = BTreeMap<Arc<str>, Vec<Conflict>>;

/// Adds a conflict for each name of a runner whose load differs from that of the first: each change from
/// one to the other is a load.
pub(super) fn differing(
    engine: &EngineStatus,
    tuple: impl Fn(ModelKind) -> LoadTuple,
    all: &mut Conflicts,
) {
    let models = &engine.models;
    for (at, one) in models.iter().enumerate() {
        let earlier = |m: &&ModelInfo| m.runner == one.runner;
        let Some(first) = models[..at].iter().find(earlier) else {
            continue;
        };
        let tuple = tuple(one.kind);
        let (a, b) = (unsent(first, &tuple), unsent(one, &tuple));
        if a == b {
            continue;
        }
        let mut keys: Vec<&str> = a.iter().chain(&b).map(|(key, _)| key.as_str()).collect();
        keys.retain(|key| {
            let of = |list: &[(String, String)]| list.iter().find(|(k, _)| k == key).cloned();
            of(&a) != of(&b)
        });
        keys.sort_unstable();
        keys.dedup();
        let conflict = Conflict {
            found: format!(
                "'{}' and '{}' have the same weights with different {}: going from one to the \
                 other loads them anew",
                first.id,
                one.id,
                keys.join(", ")
            ),
            fix: "give both the same in their Modelfiles, or ask for one of them".to_owned(),
            of_memory: false,
            of_weights: true,
        };
        let name = Arc::clone(&engine.config.name);
        all.entry(name).or_default().push(conflict);
    }
}

#[cfg(test)]
mod tests {
    use crucible_config::checked::{Config, Manage};

    use super::*;
    use crate::{handle::testing::status, plan::fixture::generation};

    #[test]
    fn options_that_crucible_sends_make_no_difference() {
        let model = |name: &str, load: &[(&str, &str)]| {
            let load = load.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            ModelInfo {
                runner: "a".into(),
                load: Arc::new(load.collect()),
                ..generation(name)
            }
        };
        let models = [
            model("a", &[("num_ctx", "8192"), ("num_thread", "2")]),
            model("b", &[]),
            model("c", &[("num_gpu", "20"), ("num_ctx", "1")]),
            model("d", &[("adapters", "sha256-1 ")]),
        ];
        let sent = |_| LoadTuple {
            context: Some(4096),
            threads: Some(4),
            ..LoadTuple::default()
        };
        let mut engine = status(&Config::builtin(), Manage::Models);
        engine.models = Arc::new(models.to_vec());
        let mut all = Conflicts::new();
        differing(&engine, sent, &mut all);
        let told: Vec<String> = all.into_values().flatten().map(|c| c.found).collect();
        assert_eq!(told.len(), 2);
        assert!(told[0].contains("'a' and 'c'") && told[0].contains("different num_gpu:"));
        assert!(told[1].contains("'a' and 'd'") && told[1].contains("different adapters:"));
    }
}
