//! The reading of the `[pool.*]` tables, and the check of the pools that engines name.

use std::collections::BTreeMap;

use url::Host;

use super::agree::warn_if_different;
use crate::{
    checked::{Device, EngineConfig, PoolSettings},
    keys::{KeyPath, engine, join, pool},
    kind,
    settings::{ProblemReport, Settings},
    tuning::TuningId,
};

/// The pools that exist without a table.
const OWN: [&str; 2] = ["gpu", "cpu"];

/// Reads the tables `[pool.NAME]` by their names. Reports pools that no engine uses, budgets above
/// the pool's memory, names of pools in engines that are likely misspelled, and engines in one pool
/// that share no memory.
pub(super) fn pools(
    settings: &mut Settings,
    engines: &[EngineConfig],
    report: &mut ProblemReport,
) -> BTreeMap<String, PoolSettings> {
    let (budget, tuning) = (budget_of("cpu"), TuningId::OllamaMemoryLimit.path());
    warn_if_different(settings, report, &budget, tuning);
    if settings.layer(tuning) > settings.layer(&budget) {
        settings.entries.shift_remove(&*budget);
    }
    let budget = budget_of("gpu");
    if settings.layer(TuningId::LmstudioGpuMemoryFraction.path()) > settings.layer(&budget) {
        settings.entries.shift_remove(&*budget);
    }
    let names: Vec<String> = settings.names_of_tables(pool::TABLE);
    named_by_engines(settings, engines, &names, report);
    let mut used: Vec<&str> = OWN.to_vec();
    used.extend(engines.iter().filter_map(|engine| engine.pool.as_deref()));
    let mut pools = BTreeMap::new();
    for name in names {
        let table = join(pool::TABLE, &name);
        let source = settings.source(&table);
        if !used.contains(&name.as_str()) {
            let hint = near(&name, used.iter().copied());
            let expected = format!("a pool that an engine uses: {}", used.join(", "));
            report.error(&table, &source, "a pool without engines", &expected, &hint);
        }
        let found = PoolSettings {
            memory: settings.find(&pool::MEMORY.at(&table)),
            budget: settings.find(&pool::BUDGET.at(&table)),
            exclusive: settings.get(&pool::EXCLUSIVE.at(&table), report),
        };
        if let (Some(memory), Some(budget)) = (found.memory, found.budget)
            && budget > memory
        {
            let path = pool::BUDGET.at(&table);
            let expected = format!("at most the pool's memory, {memory} bytes");
            report.error(
                &path,
                &settings.source(&path),
                &budget.to_string(),
                &expected,
                "",
            );
        }
        pools.insert(name, found);
    }
    pools
}

fn budget_of(name: &str) -> KeyPath<Option<u64>> {
    pool::BUDGET.at(&join(pool::TABLE, name))
}

fn near<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    kind::nearest(name, known)
        .map(|near| format!("did you mean {near:?}?"))
        .unwrap_or_default()
}

/// Warns about pools of engines whose names are likely misspelled, and about pools whose engines
/// share no memory.
fn named_by_engines(
    settings: &Settings,
    engines: &[EngineConfig],
    tables: &[String],
    report: &mut ProblemReport,
) {
    for (i, one) in engines.iter().enumerate() {
        let Some(name) = one.pool.as_deref() else {
            continue;
        };
        let path = engine::POOL.item(i);
        let source = settings.source(&path);
        let found = kind::quoted(name);
        let known = || OWN.into_iter().chain(tables.iter().map(String::as_str));
        let alone = engines.iter().filter(|e| e.pool == one.pool).count() == 1;
        let hint = near(name, known());
        if alone && !known().any(|other| other == name) && !hint.is_empty() {
            let expected = "gpu, cpu, or a pool with a table [pool.NAME]";
            report.warn(&path, &source, &found, expected, &hint);
        }
        let other = match (name, one.device) {
            ("gpu", Device::Cpu) => Some("cpu"),
            ("cpu", Device::Gpu) => Some("gpu"),
            _ => None,
        };
        if let Some(other) = other {
            let expected = format!("{other:?}, since its device is {other:?}");
            let hint = "a pool is the memory that its engines share";
            report.warn(&path, &source, &found, &expected, hint);
        }
        let mut before = engines[..i].iter().filter(|e| e.pool == one.pool);
        if let Some(far) = before.find(|e| host(e) != host(one)) {
            let expected = format!(
                "another pool than {:?}, which is on another machine",
                far.name
            );
            let hint = "a pool is the memory that its engines share";
            report.warn(&path, &source, &found, &expected, hint);
        }
    }
}

/// Returns the machine of an engine as far as its address tells; `None` for this machine.
fn host(engine: &EngineConfig) -> Option<String> {
    let host = engine.url.as_ref()?.host()?;
    let here = match &host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(ip) => ip.is_loopback() || ip.is_unspecified(),
        Host::Ipv6(ip) => ip.is_loopback() || ip.is_unspecified(),
    };
    (!here).then(|| host.to_string())
}
