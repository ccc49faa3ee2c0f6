//! The flag `--set KEY=VALUE`, which sets one value above all other layers.
//!
//! Tables with free names take their name in the path (`pool.gpu.budget`), and so do engines
//! (`engine.ollama.permits`).

use crate::{
    keys::{self, KeyShape, SettingKey, engine, join, pool},
    kind::{SettingKind, nearest, quoted},
    settings::{ConfigLayer, ProblemReport, Settings, ValueOrigin},
};

const EXPECTED: &str = "KEY=VALUE";
const EXAMPLE: &str = "for example scheduler.overtake_count=16 or pool.gpu.budget=12GB";

/// Sets them in order; `flag` is the name for problems and origins.
pub(crate) fn apply(
    all: &[String],
    flag: &str,
    settings: &mut Settings,
    report: &mut ProblemReport,
) {
    for text in all {
        let Some((path, value)) = text.split_once('=') else {
            report.error("", flag, &quoted(text), EXPECTED, EXAMPLE);
            continue;
        };
        let (path, value) = (path.trim(), value.trim());
        let Some((place, kind)) = find(path, settings) else {
            let known: Vec<String> = paths(settings);
            let hint = nearest(path, known.iter().map(String::as_str)).map_or_else(
                || EXAMPLE.to_owned(),
                |near| format!("did you mean {near}?"),
            );
            let found = format!("the unknown key {path:?}");
            report.error(
                path,
                flag,
                &found,
                "the path of a key with one value",
                &hint,
            );
            continue;
        };
        match kind.read_text(value) {
            Ok(value) => {
                let origin = ValueOrigin {
                    layer: ConfigLayer::Flag,
                    source: flag.to_owned(),
                };
                if let Some((table, _)) = place.rsplit_once('.')
                    && table.split('.').next() == Some(pool::TABLE)
                {
                    settings
                        .tables
                        .entry(table.to_owned())
                        .or_insert_with(|| origin.clone());
                }
                settings.set(&place, value, origin);
            }
            Err(wrong) => report.error(path, flag, &wrong.found, &kind.expected(), &wrong.hint),
        }
    }
}

/// Returns the path under which a setting is kept and the kind of its value; `None` where it cannot
/// be overridden.
fn find(path: &str, settings: &Settings) -> Option<(String, SettingKind)> {
    let scalar = |key: SettingKey| match key.shape {
        KeyShape::Value(kind) if kind.is_scalar() => Some(kind),
        _ => None,
    };
    if let Some((_, key)) = keys::fixed().into_iter().find(|(known, _)| known == path) {
        return Some((path.to_owned(), scalar(key)?));
    }
    let (table, rest) = path.split_once('.')?;
    let (name, key) = rest.rsplit_once('.')?;
    let below = keys::ROOT.iter().find(|key| key.name == table)?;
    let kind = below
        .shape
        .keys()
        .iter()
        .find(|known| known.name == key)
        .and_then(|known| scalar(*known))?;
    match below.shape {
        KeyShape::Named(_) => Some((path.to_owned(), kind)),
        KeyShape::Tables(_) if table == engine::TABLE => {
            let same = |i: &usize| settings.find(&engine::NAME.item(*i)).as_deref() == Some(name);
            let at = (0..settings.count(engine::TABLE)).find(same)?;
            Some((format!("{}[{at}].{key}", engine::TABLE), kind))
        }
        _ => None,
    }
}

/// Everything that may be named, for hints.
fn paths(settings: &Settings) -> Vec<String> {
    let mut all: Vec<String> = keys::fixed().into_iter().map(|(path, _)| path).collect();
    let engines = (0..settings.count(engine::TABLE))
        .filter_map(|i| settings.find(&engine::NAME.item(i)))
        .map(|name| join(engine::TABLE, &name));
    let mut tables: Vec<(String, &str)> = engines.map(|path| (path, engine::TABLE)).collect();
    let pools = settings.names_of_tables(pool::TABLE).into_iter();
    tables.extend(pools.map(|name| (join(pool::TABLE, &name), pool::TABLE)));
    tables.push((join(pool::TABLE, "gpu"), pool::TABLE));
    for (path, table) in tables {
        let below = keys::ROOT.iter().find(|key| key.name == table);
        let keys = below.map(|key| key.shape.keys()).unwrap_or_default();
        all.extend(keys.iter().map(|key| format!("{path}.{}", key.name)));
    }
    all
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::{
        layers::{ConfigFlags, LoadedConfig, load_text},
        problem::Problems,
    };

    const ENGINE: &str = "[[engine]]\nname = \"o\"\nkind = \"ollama\"\n";

    fn with(set: &[&str]) -> Result<LoadedConfig, Problems> {
        let flags = ConfigFlags {
            set: set.iter().map(|&text| text.to_owned()).collect(),
            ..ConfigFlags::default()
        };
        let file = (Path::new("crucible.toml"), Ok(ENGINE.to_owned()));
        load_text(Some(file), &[], &flags)
    }

    #[test]
    fn it_wins_over_every_layer() {
        let config = with(&[
            "scheduler.overtake_count=16",
            "pool.gpu.budget = 12GB",
            "engine.o.permits=7",
            "tuning.ollama.max_loaded_models=4",
        ])
        .unwrap()
        .config;
        assert_eq!(config.scheduler.overtake_count, 16);
        assert_eq!(config.pools["gpu"].budget, Some(12_000_000_000));
        assert_eq!(config.engines[0].permits, 7);
        assert_eq!(config.tuning.ollama.max_loaded_models, 4);
    }

    #[test]
    fn what_is_wrong_is_named_with_the_nearest_key() {
        for (text, part) in [
            ("scheduler.overtake_count", "KEY=VALUE"),
            ("scheduler.overtake_cuont=1", "scheduler.overtake_count?"),
            ("engine.o.permit=1", "engine.o.permits?"),
            ("engine.other.permits=1", "unknown key"),
            ("pool.gpu.budget=much", "pool.gpu.budget"),
            ("engine.o.command=x", "unknown key"),
        ] {
            let problems = with(&[text]).unwrap_err().to_string();
            assert!(problems.contains(part), "{text}: {problems}");
            assert!(problems.contains("--set"), "{text}: {problems}");
        }
    }

    #[test]
    fn the_values_of_a_pool_are_not_proposed_as_pools() {
        let problems = with(&["pool.big.budget=1GB", "pool.big.budget.budgt=1"]);
        let problems = problems.unwrap_err().to_string();
        let proposed = problems.contains("did you mean pool.big.budget?");
        assert!(proposed, "{problems}");
    }
}
