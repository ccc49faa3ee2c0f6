//! `[pool.*]`, and the pools that engines name.

use std::collections::BTreeMap;

use url::Host;

use super::agree::warn_if_different;
use crate::{
    checked::{Device, Engine, Pool},
    kind,
    settings::{Report, Settings},
    tuning::TuningId,
};

/// Pools that are there without a table.
const OWN: [&str; 2] = ["gpu", "cpu"];

pub(super) fn pools(
    settings: &mut Settings,
    engines: &[Engine],
    report: &mut Report,
) -> BTreeMap<String, Pool> {
    {
        let (budget, tuning) = ("pool.cpu.budget", TuningId::OllamaMemoryLimit.path());
        warn_if_different(settings, report, budget, tuning);
        if settings.layer(tuning) > settings.layer(budget) {
            settings.entries.shift_remove(budget);
        }
    }
    if settings.layer(TuningId::LmstudioGpuMemoryFraction.path())
        > settings.layer("pool.gpu.budget")
    {
        settings.entries.shift_remove("pool.gpu.budget");
    }
    let names: Vec<String> = settings
        .tables
        .keys()
        .filter_map(|t| t.strip_prefix("pool."))
        .map(str::to_owned)
        .collect();
    named_by_engines(settings, engines, &names, report);
    let mut used: Vec<&str> = OWN.to_vec();
    used.extend(engines.iter().filter_map(|engine| engine.pool.as_deref()));
    let mut pools = BTreeMap::new();
    for name in names {
        let table = format!("pool.{name}");
        let source = settings.source(&table);
        if !used.contains(&name.as_str()) {
            let hint = near(&name, used.iter().copied());
            let expected = format!("a pool that an engine uses: {}", used.join(", "));
            report.error(&table, &source, "a pool without engines", &expected, &hint);
        }
        let pool = Pool {
            memory: settings.integer(&format!("{table}.memory")),
            budget: settings.integer(&format!("{table}.budget")),
            exclusive: settings.flag(&format!("{table}.exclusive")),
        };
        if let (Some(memory), Some(budget)) = (pool.memory, pool.budget)
            && budget > memory
        {
            let path = format!("{table}.budget");
            let expected = format!("at most the pool's memory, {memory} bytes");
            report.error(
                &path,
                &settings.source(&path),
                &budget.to_string(),
                &expected,
                "",
            );
        }
        pools.insert(name, pool);
    }
    pools
}

fn near<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    kind::nearest(name, known)
        .map(|near| format!("did you mean {near:?}?"))
        .unwrap_or_default()
}

/// Names that are likely misspelled, and pools whose engines share no memory.
fn named_by_engines(
    settings: &Settings,
    engines: &[Engine],
    tables: &[String],
    report: &mut Report,
) {
    for (i, engine) in engines.iter().enumerate() {
        let Some(pool) = engine.pool.as_deref() else {
            continue;
        };
        let path = format!("engine[{i}].pool");
        let source = settings.source(&path);
        let found = kind::quoted(pool);
        let known = || OWN.into_iter().chain(tables.iter().map(String::as_str));
        let alone = engines.iter().filter(|e| e.pool == engine.pool).count() == 1;
        let hint = near(pool, known());
        if alone && !known().any(|name| name == pool) && !hint.is_empty() {
            let expected = "gpu, cpu, or a pool with a table [pool.NAME]";
            report.warn(&path, &source, &found, expected, &hint);
        }
        let other = match (pool, engine.device) {
            ("gpu", Device::Cpu) => Some("cpu"),
            ("cpu", Device::Gpu) => Some("gpu"),
            _ => None,
        };
        if let Some(other) = other {
            let expected = format!("{other:?}, since its device is {other:?}");
            let hint = "a pool is the memory that its engines share";
            report.warn(&path, &source, &found, &expected, hint);
        }
        let mut before = engines[..i].iter().filter(|e| e.pool == engine.pool);
        if let Some(far) = before.find(|e| host(e) != host(engine)) {
            let expected = format!(
                "another pool than {:?}, which is on another machine",
                far.name
            );
            let hint = "a pool is the memory that its engines share";
            report.warn(&path, &source, &found, &expected, hint);
        }
    }
}

/// The machine, as far as its address tells; `None`: this one.
fn host(engine: &Engine) -> Option<String> {
    let host = engine.url.as_ref()?.host()?;
    let here = match &host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(ip) => ip.is_loopback() || ip.is_unspecified(),
        Host::Ipv6(ip) => ip.is_loopback() || ip.is_unspecified(),
    };
    (!here).then(|| host.to_string())
}
