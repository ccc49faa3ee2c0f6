//! The simulated machine: engines with their models, and how fast they are.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crucible_config::{
    checked::{Class, ClientKey, Config, Device, EngineKind, ModelDefaults},
    engine_profile::SlotContext,
};
use url::Url;

use super::trace::TraceRequest;
use crate::{
    catalog::{Capabilities, ModelInfo, ModelKind, ResidentInfo},
    client::ClientId,
    demand::Demand,
    fleet::EngineStatus,
    handle::{facts::facts, permit_request::permit_request},
    measurements::Measurements,
    options::instance_context,
    plan::{Candidate, Reason},
    scheduler::{EngineFacts, LoadCommand, PermitRequest},
    view::{BreakerState, Health},
};

/// The engines of a configuration as the replay imagines them: pools, memory and load times without any
/// process.
#[derive(Clone, Debug)]
pub struct SimulatedMachine {
    /// The configuration, from which permits, limits and budgets come.
    pub config: Config,
    /// The engines.
    pub engines: Vec<SimulatedEngine>,
}

/// One engine of a replay, with its pool and the models that it has.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulatedEngine {
    /// The name of the engine. Where the configuration has no engine of that name, the defaults of
    /// its kind hold.
    pub name: Arc<str>,
    /// The protocol that it speaks.
    pub kind: EngineKind,
    /// The device that it computes on.
    pub device: Device,
    /// The pool whose memory it shares.
    pub pool: Arc<str>,
    /// The time of one unload.
    pub unload_time: Duration,
    /// The models that it can run.
    pub models: Vec<SimulatedModel>,
}

/// One model of a replayed engine, with its size and its speeds.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulatedModel {
    /// The engine's name for it.
    pub name: Arc<str>,
    /// Generation or embedding.
    pub kind: ModelKind,
    /// The bytes of memory that it takes, where known.
    pub bytes: Option<u64>,
    /// The time of one load.
    pub load_time: Duration,
    /// Prompt tokens per second.
    pub prompt_per_second: u64,
    /// Generated tokens per second.
    pub output_per_second: u64,
}

// === impl SimulatedModel ===

impl SimulatedModel {
    /// Returns the time for which a request holds its permit.
    fn service_time(&self, request: &TraceRequest) -> Duration {
        let time = |tokens: u64, rate: u64| {
            Duration::from_micros(tokens.saturating_mul(1_000_000) / rate.max(1))
        };
        request.service_time.unwrap_or_else(|| {
            time(request.prompt_tokens, self.prompt_per_second)
                + time(request.output_tokens, self.output_per_second)
        })
    }
}

// === impl SimulatedEngine ===

impl SimulatedEngine {
    /// The model of that name.
    pub(super) fn model(&self, name: &str) -> Option<&SimulatedModel> {
        self.models.iter().find(|m| *m.name == *name)
    }
}

// === impl SimulatedMachine ===

impl SimulatedMachine {
    /// The engine of that name.
    pub(super) fn engine(&self, name: &str) -> Option<&SimulatedEngine> {
        self.engines.iter().find(|e| *e.name == *name)
    }

    /// The memory budgets in bytes of the pools that are configured with one.
    pub(super) fn budgets(&self) -> BTreeMap<Arc<str>, u64> {
        let pools = self.config.pools.iter();
        pools
            .filter_map(|(name, pool)| Some((Arc::from(name.as_str()), pool.budget?)))
            .collect()
    }

    /// The facts of all engines for the scheduler, by the code that serves production.
    pub(super) fn facts(&self) -> Vec<EngineFacts> {
        // The trace brings its own times; what was learned since must not change a replay.
        let learned = Measurements::default();
        let facts = |engine| Some(facts(&self.config, &self.status(engine)?, &learned));
        self.engines.iter().filter_map(facts).collect()
    }

    /// A request as the scheduler sees it; `None` where the machine lacks its engine or model.
    pub(super) fn permit_request(
        &self,
        request: &TraceRequest,
        ticket: u64,
        now: Instant,
    ) -> Option<PermitRequest> {
        let engine = self.engine(&request.engine)?;
        engine.model(&request.model)?;
        let demand = Demand {
            request_id: Arc::from(ticket.to_string()),
            model: request.model.to_string(),
            kind: request.kind,
            prompt_tokens: request.prompt_tokens,
            max_tokens: Some(request.output_tokens),
            client: request
                .client
                .as_ref()
                .map_or_else(ClientId::default, |name| ClientId::of_key(name)),
            key: request
                .client
                .as_ref()
                .map(|name| self.key(name, request.class)),
            class: request.class,
            ..Demand::default()
        };
        let candidate = Candidate {
            engine: Arc::clone(&request.engine),
            model: Arc::clone(&request.model),
            reason: Reason::Exact,
            predicted: None,
        };
        let longest = self.config.timeouts.queue;
        Some(PermitRequest {
            ticket,
            deadline: now + request.longest_wait.unwrap_or(longest).min(longest),
            ..permit_request(
                &self.config,
                &self.status(engine)?,
                // The log holds tokens that were counted, not estimated.
                &Measurements::default(),
                &candidate,
                &demand,
            )
        })
    }

    /// The key of that name as configured. One that is not configured any more gets the class that
    /// its request had.
    fn key(&self, name: &Arc<str>, class: Class) -> Arc<ClientKey> {
        let configured = self.config.keys.iter().find(|key| key.name == *name);
        configured.cloned().unwrap_or_else(|| {
            Arc::new(ClientKey {
                name: Arc::clone(name),
                sha256: [0; 32],
                rate: None,
                tokens_per_day: None,
                class,
                defaults: ModelDefaults::Inherit,
                context: None,
            })
        })
    }

    /// Returns the time that the engine takes for the request, without waits and loads; zero where
    /// the engine or the model is unknown.
    pub(super) fn service_time(&self, request: &TraceRequest) -> Duration {
        self.engine(&request.engine)
            .and_then(|e| e.model(&request.model))
            .map_or(Duration::ZERO, |model| model.service_time(request))
    }

    /// The time of a load, and the resident that it makes.
    pub(super) fn load(&self, order: &LoadCommand) -> (Duration, ResidentInfo) {
        let engine = self.engine(&order.engine);
        let model = engine.and_then(|e| e.model(&order.model));
        let context =
            order.tuple.context.zip(engine).map(|(context, engine)| {
                instance_context(engine.kind, context, order.permits, None)
            });
        let info = ResidentInfo {
            context,
            parallel: engine
                .is_some_and(|e| e.kind.profile().slots == SlotContext::Divided)
                .then_some(order.permits),
            bytes: model.and_then(|m| m.bytes),
            ..ResidentInfo::named(Arc::clone(&order.model), order.kind)
        };
        (model.map_or(Duration::ZERO, |m| m.load_time), info)
    }

    /// The engine as the fleet would report it.
    fn status(&self, engine: &SimulatedEngine) -> Option<EngineStatus> {
        let configured = self.config.engines.iter().find(|e| e.name == engine.name);
        let config = if let Some(configured) = configured {
            configured.clone()
        } else {
            let nowhere = Url::parse("http://127.0.0.1").ok()?;
            self.config.discovered(engine.kind, &engine.name, nowhere)
        };
        let models = engine.models.iter().map(|model| ModelInfo {
            id: Arc::clone(&model.name),
            runner: Arc::clone(&model.name),
            load: Arc::default(),
            via: Arc::default(),
            names: Arc::default(),
            kind: model.kind,
            capabilities: Capabilities::default(),
            max_context: None,
            size_bytes: model.bytes,
            context_bytes: None,
            quantization: None,
            format: None,
            cloud: false,
            created: None,
            metadata: Arc::default(),
        });
        Some(EngineStatus {
            config: Arc::new(config),
            device: engine.device,
            pool: Arc::clone(&engine.pool),
            url: String::new(),
            health: Health::Up,
            breaker: BreakerState::Closed,
            left_alone: None,
            wedged: false,
            error: None,
            refused_access: false,
            version: None,
            advice: Arc::default(),
            limit: None,
            load_control: engine.kind.profile().loads(),
            max_loaded: None,
            discovered: configured.is_none(),
            models: Arc::new(models.collect()),
            residents: Arc::default(),
            polls: 1,
            listed: 1,
        })
    }
}
