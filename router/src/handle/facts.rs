//! The facts about an engine that the scheduler decides by.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crucible_config::checked::{Config, Device, Manage};

use super::budget::budget;
use crate::{
    catalog::ModelKind,
    fleet::EngineStatus,
    machine::{memory::MachineMemory, physical_cores},
    measurements::Measurements,
    options::{LoadTuple, tuple_for},
    predict,
    scheduler::EngineFacts,
    shared_weights,
};

/// Reports whether loads may be ordered there. An engine that is only observed gets none, whatever it can
/// do.
pub(super) fn load_control(engine: &EngineStatus) -> bool {
    engine.load_control && engine.config.manage != Manage::Observe
}

/// Computes the load options of a model of that kind, with a context of 1 in the place of its own.
pub(super) fn options(config: &Config, engine: &EngineStatus, kind: ModelKind) -> LoadTuple {
    tuple_for(
        engine.config.kind,
        &config.tuning,
        1,
        kind,
        engine.device == Device::Cpu,
        physical_cores(),
        None,
    )
}

/// Returns the models of an engine that the configuration pins, loaded or listed, each once.
fn pinned_models(config: &Config, engine: &EngineStatus) -> Vec<Arc<str>> {
    let name = &engine.config.name;
    let pinned = |model: &Arc<str>| config.model_settings(name, model).is_some_and(|m| m.pin);
    let any_pin = config.models.iter().any(|m| m.pin);
    let listed = engine.models.iter().filter(|_| any_pin);
    let listed = listed.filter(|m| pinned(&m.id)).map(|m| &m.runner);
    let held = engine.residents.iter().map(|r| &r.model);
    let mut pins: Vec<Arc<str>> = held.filter(|m| pinned(m)).chain(listed).cloned().collect();
    pins.sort_unstable();
    pins.dedup();
    pins
}

/// Returns the mean time of a load in earlier runs, for each model for which one was measured.
fn load_times(engine: &EngineStatus, learned: &Measurements) -> BTreeMap<Arc<str>, Duration> {
    let measured = engine.models.iter().filter_map(|m| {
        let took = predict::measured_load(learned, &engine.config.name, &m.id)?;
        Some((Arc::clone(&m.runner), took))
    });
    measured.collect()
}

/// Gathers the facts about one engine from the configuration, its last polls and what was learned.
pub(crate) fn facts(config: &Config, engine: &EngineStatus, learned: &Measurements) -> EngineFacts {
    let name = &engine.config.name;
    let pool = config.pools.get(&*engine.pool);
    let local = !engine.pool.contains('@');
    let budget = budget(
        config,
        &engine.pool,
        engine.device,
        MachineMemory::here(),
        local,
    );
    let section = engine.config.kind.profile().section;
    let limit = config.tuning.max_loaded_models(section);
    // An engine that unloads by itself must have no cause to.
    let limit = engine.max_loaded.map_or(limit, |most| limit.min(most));
    EngineFacts {
        name: Arc::clone(name),
        kind: engine.config.kind,
        pool: Arc::clone(&engine.pool),
        url: Arc::from(engine.url.as_str()),
        on_gpu: engine.device != Device::Cpu,
        pool_budget: budget.own,
        gpu_memory: None,
        shared_budget: budget.parent,
        model_ttl: Some(config.tuning.lmstudio.model_ttl),
        models: Arc::clone(&engine.models),
        exclusive: pool.is_some_and(|p| p.exclusive),
        load_control: load_control(engine),
        is_child: engine.config.manage == Manage::Spawn,
        permits_per_resident: engine.config.permits,
        queue_limit: engine.config.queue as usize,
        max_loaded_models: limit.max(1) as usize,
        evict_foreign: config.scheduler.evict_foreign,
        owns_state: true,
        grow_foreign: config.context.grow_foreign,
        overtake_count: config.scheduler.overtake_count,
        overtake_age: config.scheduler.overtake_age,
        linger: config.scheduler.linger,
        load_timeout: config.timeouts.load,
        load_times: load_times(engine, learned),
        service_time: predict::measured_service(learned, name),
        polls: engine.polls,
        last_poll_answered: engine.error.is_none(),
        listing_poll: engine.listed,
        residents: engine.residents.to_vec(),
        pinned_models: pinned_models(config, engine),
        option_variants: shared_weights::variants(&engine.models, |kind| {
            options(config, engine, kind)
        }),
    }
}
