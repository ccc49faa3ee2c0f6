//! Settings that cannot all be in effect: pinned models that their pool or their engine can never hold
//! together, and names over the same weights with different options.
//!
//! The configuration alone does not show it: sizes are known once an engine has listed its models.

use std::sync::Arc;

use crucible_config::{Config, checked::ModelSettings, glob::is_glob};

use super::{
    budget::budget,
    differing_options::{Conflicts, differing},
    facts::options,
};
use crate::{
    catalog::{ModelInfo, ModelKind},
    fleet::EngineStatus,
    machine::memory::MachineMemory,
    view::Conflict,
};

/// A pinned model on its engine.
struct Pin<'a> {
    engine: &'a EngineStatus,
    model: &'a ModelInfo,
    /// The bytes that its pool must hold; `None` where they are unknown, or the model may spill.
    bytes: Option<u64>,
    /// Whether its block names it in full, so that it is loaded at the start.
    in_full: bool,
}

/// Finds the settings that cannot all be in effect, for each engine that they concern.
pub(super) fn conflicts(
    config: &Config,
    engines: &[EngineStatus],
    machine: MachineMemory,
) -> Conflicts {
    let mut all = Conflicts::new();
    for engine in engines {
        let options = |kind| options(config, engine, kind);
        differing(engine, options, &mut all);
    }
    if config.models.iter().all(|block| !block.pin) {
        return all;
    }
    let pins: Vec<Pin<'_>> = engines.iter().flat_map(|e| pins(config, e)).collect();
    let mut pools: Vec<&Arc<str>> = engines.iter().map(|e| &e.pool).collect();
    pools.sort_unstable();
    pools.dedup();
    for pool in pools {
        let of: Vec<&Pin<'_>> = pins.iter().filter(|p| p.engine.pool == *pool).collect();
        let members = engines.iter().filter(|e| e.pool == *pool);
        let local = !pool.contains('@');
        let budgets = members.map(|e| budget(config, pool, e.device, machine, local).own);
        if let Some(most) = budgets.flatten().min() {
            too_large(pool, &of, most, &mut all);
        }
    }
    for engine in engines {
        let of = pins
            .iter()
            .filter(|p| p.engine.config.name == engine.config.name);
        let of: Vec<&Pin<'_>> = of
            .filter(|p| p.in_full && p.model.kind == ModelKind::Generation)
            .collect();
        too_many(config, engine, &of, &mut all);
    }
    all
}

/// Returns the pinned models of an engine, one for all names of a runner.
fn pins<'a>(config: &'a Config, engine: &'a EngineStatus) -> impl Iterator<Item = Pin<'a>> {
    let settings = move |model: &ModelInfo| {
        let block: &ModelSettings = config.model_settings(&engine.config.name, &model.id)?;
        block.pin.then_some(block)
    };
    let models = engine.models.iter().enumerate();
    models.filter_map(move |(at, model)| {
        let block = settings(model)?;
        let mut before = engine.models[..at].iter();
        let told = before.any(|m| m.runner == model.runner && settings(m).is_some());
        (!told).then(|| Pin {
            engine,
            model,
            bytes: model.size_bytes.filter(|_| !block.spill),
            in_full: !is_glob(&block.name),
        })
    })
}

fn too_large(pool: &str, pins: &[&Pin<'_>], most: u64, all: &mut Conflicts) {
    let mut alone = false;
    for pin in pins {
        let bytes = pin.bytes.unwrap_or(0);
        if bytes > most {
            alone = true;
            add_conflict(all, pin.engine, &pinned_is(pool, &[pin], bytes, most), pool);
        }
    }
    let in_full: Vec<&Pin<'_>> = pins.iter().copied().filter(|p| p.in_full).collect();
    let sizes = in_full.iter().filter_map(|p| p.bytes);
    let together = sizes.fold(0, u64::saturating_add);
    // One that is too large by itself says enough.
    if alone || together <= most {
        return;
    }
    let words = pinned_is(pool, &in_full, together, most);
    for pin in &in_full {
        add_conflict(all, pin.engine, &words, pool);
    }
}

fn pinned_is(pool: &str, pins: &[&Pin<'_>], bytes: u64, most: u64) -> String {
    let names: Vec<String> = pins.iter().map(|p| format!("'{}'", p.model.id)).collect();
    let (is, takes) = match names.len() {
        1 => ("is", "takes"),
        _ => ("are", "take"),
    };
    format!(
        "{} {is} pinned and {takes} {} MB without context, but pool '{pool}' may have {} MB",
        names.join(" and "),
        bytes / 1_000_000,
        most / 1_000_000
    )
}

fn add_conflict(all: &mut Conflicts, engine: &EngineStatus, found: &str, pool: &str) {
    let known = all.entry(Arc::clone(&engine.config.name)).or_default();
    if !known.iter().any(|c| c.found == found) {
        known.push(Conflict {
            found: found.to_owned(),
            fix: format!("raise `[pool.{pool}] budget` or unpin one"),
            of_memory: true,
            of_weights: false,
        });
    }
}

fn too_many(config: &Config, engine: &EngineStatus, pins: &[&Pin<'_>], all: &mut Conflicts) {
    let section = engine.config.kind.profile().section;
    let limit = config.tuning.max_loaded_models(section);
    if pins.len() <= limit.max(1) as usize {
        return;
    }
    let row = format!("{}.max_loaded_models", section.name());
    let conflict = Conflict {
        found: format!("{} models are pinned, but {row} is {limit}", pins.len()),
        fix: format!("raise {row} or unpin one"),
        of_memory: false,
        of_weights: false,
    };
    let name = Arc::clone(&engine.config.name);
    all.entry(name).or_default().push(conflict);
}

#[cfg(test)]
mod tests {
    use crucible_config::checked::{Device, Manage, PoolSettings};

    use super::{
        super::testing::{pinned, status},
        *,
    };
    use crate::plan::fixture::generation;

    const GB: u64 = 1_000_000_000;

    /// An Ollama with these models and a pool of 8 GB.
    fn told(models: &[(&str, u64)], pins: &[&str]) -> Vec<String> {
        let mut config = Config::builtin();
        config.models = pins.iter().map(|name| pinned(name)).collect();
        let pool = PoolSettings {
            budget: Some(8 * GB),
            ..PoolSettings::default()
        };
        config.pools.insert("cpu".to_owned(), pool);
        let mut engine = status(&config, Manage::Models);
        engine.device = Device::Cpu;
        let models = models.iter().map(|(name, gb)| ModelInfo {
            size_bytes: (*gb > 0).then_some(gb * GB),
            ..generation(name)
        });
        engine.models = Arc::new(models.collect());
        let all = conflicts(&config, &[engine], MachineMemory::default());
        let all = all.into_values().flatten();
        all.map(|c| format!("{}; {}", c.found, c.fix)).collect()
    }

    #[test]
    fn a_pinned_model_above_the_budget_is_told() {
        assert_eq!(
            told(&[("a", 20), ("b", 2)], &["a", "b"]),
            [
                "'a' is pinned and takes 20000 MB without context, but pool 'cpu' may have 8000 MB; \
              raise `[pool.cpu] budget` or unpin one"
            ]
        );
        assert_eq!(
            told(&[("a", 5), ("b", 4)], &["a", "b"]),
            [
                "'a' and 'b' are pinned and take 9000 MB without context, but pool 'cpu' may have \
              8000 MB; raise `[pool.cpu] budget` or unpin one"
            ]
        );
    }

    #[test]
    fn more_pinned_models_than_may_be_loaded_are_told() {
        let models = [("a", 1), ("b", 1), ("c", 1)];
        assert_eq!(
            told(&models, &["a", "b", "c"]),
            [
                "3 models are pinned, but tuning.ollama.max_loaded_models is 2; raise \
              tuning.ollama.max_loaded_models or unpin one"
            ]
        );
    }

    #[test]
    fn pinned_names_of_one_runner_are_one_model() {
        let mut config = Config::builtin();
        config.models = ["a", "b", "c"].map(pinned).to_vec();
        let mut engine = status(&config, Manage::Models);
        let models = ["a", "b", "c"].map(|name| ModelInfo {
            runner: "a".into(),
            size_bytes: Some(5 * GB),
            ..generation(name)
        });
        engine.models = Arc::new(models.to_vec());
        let pool = PoolSettings {
            budget: Some(8 * GB),
            ..PoolSettings::default()
        };
        config.pools.insert(engine.pool.to_string(), pool);
        assert!(conflicts(&config, &[engine], MachineMemory::default()).is_empty());
    }

    #[test]
    fn what_may_be_is_not_told() {
        assert!(told(&[("a", 4), ("b", 4)], &["a", "b"]).is_empty());
        assert!(told(&[("a", 20)], &[]).is_empty());
        // Not known.
        assert!(told(&[("a", 0)], &["a"]).is_empty());
        // A glob pins what is loaded, it does not load.
        assert!(told(&[("a1", 5), ("a2", 5), ("a3", 5)], &["a*"]).is_empty());
    }
}
