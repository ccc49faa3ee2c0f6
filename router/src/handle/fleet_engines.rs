//! The fleet as the scheduler sees it: facts about engines, and the view without the scheduler's part.

use std::{collections::HashSet, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::{
    conflicts::conflicts,
    differing_options::Conflicts,
    facts::{facts, load_control},
    source::ConfigSource,
};
use crate::{
    engine::{Engine, token_of},
    event::{Event, EventObserver, LoadOutcome},
    fleet::{EngineStatus, Fleet},
    machine::{gpu::CardMemoryReader, memory::MachineMemory},
    measurements::MeasurementStore,
    scheduler::{EngineFacts, GpuMemory, SchedulerEngines},
    state_dir::StateDir,
    view::{Conflict, EngineView, ResidentView, View},
};

/// The fleet with everything else that the scheduler asks for.
pub(super) struct FleetEngines {
    fleet: Fleet,
    config: ConfigSource,
    predictor: Arc<MeasurementStore>,
    observer: Arc<dyn EventObserver>,
    state: Arc<StateDir>,
    cards: CardMemoryReader,
    /// The conflicts that were logged already.
    logged: Mutex<HashSet<Conflict>>,
}

/// Describes an engine without the scheduler's part.
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
        models_limit: None,
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
    /// Joins the parts that the scheduler needs of the engines: the fleet's polls, the
    /// configuration, the measurements of the predictor, the observer of events, and the state
    /// folder.
    pub(super) fn new(
        fleet: Fleet,
        config: ConfigSource,
        predictor: Arc<MeasurementStore>,
        observer: Arc<dyn EventObserver>,
        state: Arc<StateDir>,
    ) -> Self {
        Self {
            fleet,
            config,
            predictor,
            observer,
            state,
            cards: CardMemoryReader::default(),
            logged: Mutex::default(),
        }
    }

    /// Logs the conflicts that are new.
    fn log_new(&self, conflicts: &Conflicts) {
        if conflicts.is_empty() {
            return;
        }
        let mut logged = self.logged.lock();
        for (engine, conflict) in conflicts
            .iter()
            .flat_map(|(e, all)| all.iter().map(move |c| (e, c)))
        {
            if logged.insert(conflict.clone()) {
                tracing::warn!(engine = &**engine, "{}; {}", conflict.found, conflict.fix);
            }
        }
    }
}

impl SchedulerEngines for FleetEngines {
    fn facts(&self) -> Vec<EngineFacts> {
        let config = (self.config)();
        let fleet = self.fleet.view();
        let learned = self.predictor.current();
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
        self.log_new(&conflicts);
        let described = fleet.engines.iter().map(|engine| EngineView {
            conflicts: conflicts.remove(&engine.config.name).unwrap_or_default(),
            ..describe(engine)
        });
        View {
            engines: described.collect(),
            settled: fleet.settled,
            measurements: self.predictor.current(),
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
            self.predictor.record_load(engine, model, *took);
        }
        self.observer.observe(event);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crucible_config::checked::{Config, Manage};

    use super::{
        super::{
            facts::facts,
            permit_request::permit_request,
            testing::{pinned, status},
        },
        *,
    };
    use crate::{demand::Demand, measurements::Measurements, plan::Candidate};

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
                facts(&config, &status, &Measurements::default()).load_control,
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
            &Measurements::default(),
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
        let told = facts(&config, &engine, &Measurements::default());
        assert_eq!(
            (told.pool_budget, told.on_gpu),
            (Some(1_000_000_000), false)
        );
        assert_eq!(told.model_ttl, Some(Duration::from_mins(5)));
        assert!(told.pinned_models.is_empty());
        config.models.push(pinned("b"));
        assert_eq!(
            facts(&config, &engine, &Measurements::default()).pinned_models,
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
            let request = permit_request(
                &config,
                &engine,
                &Measurements::default(),
                &candidate(),
                &demand,
            );
            assert_eq!(request.supersede_key, expected);
            assert_eq!(request.class, demand.class);
        }
    }
}
