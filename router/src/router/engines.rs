//! The fleet as the scheduler sees it: facts, arrivals, the view without the scheduler's part.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crucible_config::checked::{Config, Device, Fit, Manage};
use tokio::sync::watch;

use super::{
    Source,
    budget::budget,
    pinned::{Conflicts, conflicts},
    shared,
};
use crate::{
    catalog::{ModelKind, ResidentInfo},
    demand::Demand,
    engine::{Engine, token_of},
    event::{Event, LoadOutcome, LoadTrigger, Observer},
    fleet::{EngineStatus, Fleet},
    machine::{gpu::CardMemoryReader, memory::MachineMemory, physical_cores},
    options::{Tuple, tuple_for},
    plan::Candidate,
    predict::{self, Learned, Predictor},
    scheduler::{EngineFacts, GpuMemory, PermitRequest, SchedulerEngines},
    state_dir::StateDir,
    view::{Conflict, EngineView, ResidentView, View},
};

pub(super) struct FleetEngines {
    fleet: Fleet,
    config: Source,
    predictor: Arc<Predictor>,
    observer: Arc<dyn Observer>,
    state: Arc<StateDir>,
    cards: CardMemoryReader,
    /// Conflicts that the log has.
    told: Mutex<HashSet<Conflict>>,
}

/// Whether loads may be ordered: an engine that is only observed has none, whatever it can do.
fn load_control(engine: &EngineStatus) -> bool {
    engine.load_control && engine.config.manage != Manage::Observe
}

pub(crate) fn facts(config: &Config, engine: &EngineStatus, learned: &Learned) -> EngineFacts {
    let name = &engine.config.name;
    let pool = config.pools.get(&*engine.pool);
    let pinned = |model: &Arc<str>| config.model_settings(name, model).is_some_and(|m| m.pin);
    let any_pin = config.models.iter().any(|m| m.pin);
    let listed = engine.models.iter().filter(|_| any_pin);
    let listed = listed.filter(|m| pinned(&m.id)).map(|m| &m.runner);
    let held = engine.residents.iter().map(|r| &r.model);
    let mut pins: Vec<Arc<str>> = held.filter(|m| pinned(m)).chain(listed).cloned().collect();
    pins.sort_unstable();
    pins.dedup();
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
        load_times: engine
            .models
            .iter()
            .filter_map(|m| {
                let took = predict::measured_load(learned, name, &m.id)?;
                Some((Arc::clone(&m.runner), took))
            })
            .collect(),
        service_time: predict::measured_service(learned, name),
        polls: engine.polls,
        last_poll_answered: engine.error.is_none(),
        listing_poll: engine.listed,
        residents: engine.residents.to_vec(),
        pinned_models: pins,
        option_variants: shared::variants(&engine.models, |kind| options(config, engine, kind)),
    }
}

/// The options of a load, but for its context.
pub(super) fn options(config: &Config, engine: &EngineStatus, kind: ModelKind) -> Tuple {
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

/// What a request asks of the scheduler; ticket, trigger and deadline are the caller's.
pub(crate) fn permit_request(
    config: &Config,
    engine: &EngineStatus,
    learned: &Learned,
    candidate: &Candidate,
    demand: &Demand,
) -> PermitRequest {
    let model = engine.models.iter().find(|m| m.id == candidate.model);
    let max = model.and_then(|m| m.max_context);
    let settings = config.model_settings(&engine.config.name, &candidate.model);
    let models = &engine.models;
    let key = demand.key.as_deref();
    let wanted = shared::context(config, &engine.config, models, &candidate.model, key).value;
    let (name, id) = (&candidate.engine, &candidate.model);
    let tokens = predict::prompt_tokens(learned, name, id, demand.prompt_tokens);
    let base = max.map_or(wanted, |max| wanted.min(max.max(1)));
    let fit = settings.and_then(|m| m.fit).unwrap_or(config.context.fit);
    let cap = config.context.max.min(max.unwrap_or(u64::MAX)).max(base);
    // A client's own wish sizes a load like the configuration; nothing is loaded anew for it.
    let base = match fit {
        Fit::Grow => base.max(demand.num_ctx.unwrap_or(0).min(cap)),
        Fit::Reject => base,
    };
    let configured = shared::context(config, &engine.config, models, &candidate.model, None).value;
    PermitRequest {
        ticket: 0,
        request_id: Arc::clone(&demand.request_id),
        engine: Arc::clone(&candidate.engine),
        model: shared::runner(models, &candidate.model),
        name: Arc::clone(&candidate.model),
        kind: demand.kind,
        prompt_tokens: demand.prompt_for(tokens),
        answer_tokens: demand.reserve(),
        configured_context: configured,
        expected_context: match demand.kind {
            ModelKind::Generation => predict::needed(learned, &demand.client, configured),
            ModelKind::Embedding => 0,
        },
        growing_prompts: demand.tools || demand.session.is_some(),
        base_context: base,
        context_cap: cap,
        fit,
        tuple: tuple_for(
            engine.config.kind,
            &config.tuning,
            base,
            demand.kind,
            engine.device == Device::Cpu,
            physical_cores(),
            max,
        ),
        pin: shared::pinned(config, &engine.config.name, models, &candidate.model),
        resident_only: false,
        trigger: LoadTrigger::Request,
        deadline: tokio::time::Instant::now().into_std(),
        client: demand.client.clone(),
        commits_at: demand.commits,
        class: demand.class,
        session: demand.session,
        supersede_key: demand.supersedes.filter(|_| config.scheduler.supersede),
    }
}

/// Names no instance: a spawned engine has only one.
pub(super) fn nothing() -> ResidentInfo {
    ResidentInfo::named(Arc::from(""), ModelKind::Generation)
}

fn describe(engine: &EngineStatus) -> EngineView {
    let reported = engine.residents.iter().map(|info| ResidentView {
        info: info.clone(),
        tuple: None,
        active: 0,
        idle: Duration::ZERO,
        pinned: false,
        owned: false,
    });
    EngineView {
        name: Arc::clone(&engine.config.name),
        kind: engine.config.kind,
        device: engine.device,
        pool: Arc::clone(&engine.pool),
        url: engine.url.clone(),
        health: engine.health,
        breaker: engine.breaker,
        left_alone: engine.left_alone,
        error: engine.error.clone(),
        refused_access: engine.refused_access,
        advice: Arc::clone(&engine.advice),
        conflicts: Vec::new(),
        version: engine.version.clone(),
        load_control: load_control(engine),
        discovered: engine.discovered,
        wedged: engine.wedged,
        limit: engine.limit.clone(),
        budget: None,
        others: None,
        used: 0,
        peak: 0,
        ttl: None,
        models: Arc::clone(&engine.models),
        residents: reported.collect(),
        permits: engine.config.permits,
        queue_limit: engine.config.queue,
        queued: 0,
        active: 0,
        loading: None,
    }
}

// === impl FleetEngines ===

impl FleetEngines {
    pub(super) fn new(
        fleet: Fleet,
        config: Source,
        predictor: Arc<Predictor>,
        observer: Arc<dyn Observer>,
        state: Arc<StateDir>,
    ) -> Self {
        Self {
            fleet,
            config,
            predictor,
            observer,
            state,
            cards: CardMemoryReader::default(),
            told: Mutex::default(),
        }
    }

    /// Says what is new among the conflicts.
    fn say(&self, conflicts: &Conflicts) {
        if conflicts.is_empty() {
            return;
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for (engine, conflict) in conflicts
            .iter()
            .flat_map(|(e, all)| all.iter().map(move |c| (e, c)))
        {
            if told.insert(conflict.clone()) {
                tracing::warn!(engine = &**engine, "{}; {}", conflict.found, conflict.fix);
            }
        }
    }
}

impl SchedulerEngines for FleetEngines {
    fn facts(&self) -> Vec<EngineFacts> {
        let config = (self.config)();
        let fleet = self.fleet.view();
        let learned = self.predictor.learned();
        let owner = self.state.is_ours();
        let cards = self.cards.read().map(|cards| GpuMemory {
            total: cards.total,
            free: cards.free,
            read_at: cards.at,
        });
        let facts = |engine: &EngineStatus| {
            let facts = facts(&config, engine, &learned);
            let here = facts.on_gpu && !engine.pool.contains('@');
            EngineFacts {
                owns_state: owner,
                gpu_memory: cards.filter(|_| here),
                ..facts
            }
        };
        fleet.engines.iter().map(facts).collect()
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.fleet.subscribe()
    }

    fn view(&self) -> View {
        let fleet = self.fleet.view();
        let mut conflicts = conflicts(&(self.config)(), &fleet.engines, MachineMemory::here());
        self.say(&conflicts);
        let described = fleet.engines.iter().map(|engine| EngineView {
            conflicts: conflicts.remove(&engine.config.name).unwrap_or_default(),
            ..describe(engine)
        });
        View {
            engines: described.collect(),
            settled: fleet.settled,
            learned: self.predictor.learned(),
            owns_state: self.state.is_ours(),
            ..View::default()
        }
    }

    fn control(&self, engine: &str) -> Option<Arc<dyn Engine>> {
        let handle = self.fleet.handle(engine)?;
        Some(Arc::clone(&handle.control))
    }

    fn token(&self, engine: &str) -> Option<Arc<str>> {
        let handle = self.fleet.handle(engine)?;
        token_of(&handle.config).map(Arc::from)
    }

    fn poll_soon(&self, engine: &str) {
        self.fleet.poke(engine);
    }

    fn emit(&self, event: &Event) {
        if let Event::Load {
            engine,
            model,
            outcome: LoadOutcome::Ok,
            took,
            ..
        } = event
        {
            self.predictor.loaded(engine, model, *took);
        }
        self.observer.observe(event);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use crucible_config::checked::EngineKind;

    use super::*;
    use crate::view::{Breaker, Health};

    pub(in crate::router) fn status(config: &Config, manage: Manage) -> EngineStatus {
        let url = "http://127.0.0.1:11434".parse().unwrap();
        let mut engine = config.discovered(EngineKind::Ollama, "o", url);
        engine.manage = manage;
        EngineStatus {
            config: Arc::new(engine),
            device: Device::Cpu,
            pool: "cpu".into(),
            url: String::new(),
            health: Health::Up,
            breaker: Breaker::Closed,
            left_alone: None,
            wedged: false,
            error: None,
            refused_access: false,
            version: None,
            advice: Arc::default(),
            load_control: true,
            max_loaded: None,
            limit: None,
            discovered: false,
            models: Arc::default(),
            residents: Arc::default(),
            polls: 1,
            listed: 1,
        }
    }

    pub(in crate::router) fn pinned(name: &str) -> crucible_config::checked::Model {
        crucible_config::checked::Model {
            name: name.to_owned(),
            engine: None,
            aliases: Vec::new(),
            context: Some(16_384),
            fit: None,
            pin: true,
            spill: false,
            fallback: Vec::new(),
            defaults: crucible_config::checked::ModelDefaults::Inherit,
            modelfile_context: true,
        }
    }

    fn candidate() -> Candidate {
        Candidate {
            engine: "o".into(),
            model: "qwen2.5:7b".into(),
            reason: crate::plan::Reason::Exact,
            predicted: None,
        }
    }

    #[test]
    fn an_engine_that_is_only_observed_has_no_load_control() {
        let config = Config::builtin();
        for (manage, controlled) in [(Manage::Observe, false), (Manage::Models, true)] {
            let status = status(&config, manage);
            assert_eq!(
                facts(&config, &status, &Learned::default()).load_control,
                controlled
            );
            assert_eq!(describe(&status).load_control, controlled);
        }
    }

    #[test]
    fn an_arrival_brings_its_models_settings_and_the_need_of_prompt_and_answer() {
        let mut config = Config::builtin();
        config.models.push(pinned("qwen*"));
        let demand = Demand {
            prompt_tokens: 100,
            ..Demand::default()
        };
        let request = permit_request(
            &config,
            &status(&config, Manage::Models),
            &Learned::default(),
            &candidate(),
            &demand,
        );
        assert_eq!(
            (request.base_context, request.needed_context()),
            (16_384, 1124)
        );
        assert_eq!(request.tuple.context, Some(16_384));
        assert!(request.pin);
    }

    #[test]
    fn facts_carry_the_budget_and_all_pinned_models() {
        let mut config = Config::builtin();
        let generation = crate::plan::fixture::generation;
        let mut engine = status(&config, Manage::Models);
        engine.models = Arc::new(vec![generation("a"), generation("b")]);
        config.tuning.ollama.memory_limit = 1_000_000_000;
        let told = facts(&config, &engine, &Learned::default());
        assert_eq!(
            (told.pool_budget, told.on_gpu),
            (Some(1_000_000_000), false)
        );
        assert_eq!(told.model_ttl, Some(Duration::from_mins(5)));
        assert!(told.pinned_models.is_empty());
        config.models.push(pinned("b"));
        assert_eq!(
            facts(&config, &engine, &Learned::default()).pinned_models,
            [Arc::from("b")]
        );
    }

    #[test]
    fn a_request_is_replaceable_only_where_that_is_switched_on() {
        let mut config = Config::builtin();
        let demand = Demand {
            supersedes: Some(7),
            class: crucible_config::checked::Class::Background,
            ..Demand::default()
        };
        for (on, expected) in [(false, None), (true, Some(7))] {
            config.scheduler.supersede = on;
            let engine = status(&config, Manage::Models);
            let request =
                permit_request(&config, &engine, &Learned::default(), &candidate(), &demand);
            assert_eq!(request.supersede_key, expected);
            assert_eq!(request.class, demand.class);
        }
    }
}
