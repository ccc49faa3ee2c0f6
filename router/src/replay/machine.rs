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

use super::trace::Request;
use crate::{
    catalog::{Capabilities, ModelInfo, ModelKind, ResidentInfo},
    client::ClientId,
    demand::Demand,
    fleet::EngineStatus,
    handle::{facts::facts, permit_request::permit_request},
    options::instance_context,
    plan::{Candidate, Reason},
    predict::Learned,
    scheduler::{EngineFacts, LoadCommand, PermitRequest},
    view::{Breaker, Health},
};

/// Engines under a configuration.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Permits, limits and budgets come from here.
    pub config: Config,
    /// What is there.
    pub engines: Vec<Engine>,
}

/// One engine.
#[derive(Clone, Debug, PartialEq)]
pub struct Engine {
    /// Its name; where the configuration has none of that name, defaults of its kind hold.
    pub name: Arc<str>,
    /// What it speaks.
    pub kind: EngineKind,
    /// Where it computes.
    pub device: Device,
    /// The memory that it shares.
    pub pool: Arc<str>,
    /// For one unload.
    pub unload: Duration,
    /// What it can run.
    pub models: Vec<Model>,
}

/// One model of an engine.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The engine's name for it.
    pub name: Arc<str>,
    /// Generation or embedding.
    pub kind: ModelKind,
    /// Memory that it takes, where known.
    pub bytes: Option<u64>,
    /// For one load.
    pub load: Duration,
    /// Prompt tokens per second.
    pub prefill: u64,
    /// Generated tokens per second.
    pub generation: u64,
}

// === impl Model ===

impl Model {
    /// How long a request holds its permit.
    fn service(&self, request: &Request) -> Duration {
        let time = |tokens: u64, rate: u64| {
            Duration::from_micros(tokens.saturating_mul(1_000_000) / rate.max(1))
        };
        request.held.unwrap_or_else(|| {
            time(request.prompt_tokens, self.prefill) + time(request.output_tokens, self.generation)
        })
    }
}

// === impl Engine ===

impl Engine {
    pub(super) fn model(&self, name: &str) -> Option<&Model> {
        self.models.iter().find(|m| *m.name == *name)
    }
}

// === impl Machine ===

impl Machine {
    pub(super) fn engine(&self, name: &str) -> Option<&Engine> {
        self.engines.iter().find(|e| *e.name == *name)
    }

    /// Memory budgets of the pools that are configured with one.
    pub(super) fn budgets(&self) -> BTreeMap<Arc<str>, u64> {
        let pools = self.config.pools.iter();
        pools
            .filter_map(|(name, pool)| Some((Arc::from(name.as_str()), pool.budget?)))
            .collect()
    }

    /// What the scheduler is told of the engines: the production code's own words.
    pub(super) fn facts(&self) -> Vec<EngineFacts> {
        // The trace brings its own times; what was learned since must not change a replay.
        let learned = Learned::default();
        let facts = |engine| Some(facts(&self.config, &self.status(engine)?, &learned));
        self.engines.iter().filter_map(facts).collect()
    }

    /// A request as the scheduler sees it; `None` where the machine lacks engine or model.
    pub(super) fn permit_request(
        &self,
        request: &Request,
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
            deadline: now + request.patience.unwrap_or(longest).min(longest),
            ..permit_request(
                &self.config,
                &self.status(engine)?,
                // The log holds tokens that were counted, not estimated.
                &Learned::default(),
                &candidate,
                &demand,
            )
        })
    }

    /// The key of that name as configured; who had one then had it whatever is configured now.
    fn key(&self, name: &Arc<str>, class: Class) -> Arc<ClientKey> {
        let configured = self.config.keys.iter().find(|key| key.name == *name);
        configured.cloned().unwrap_or_else(|| {
            Arc::new(ClientKey {
                name: Arc::clone(name),
                sha256: [0; 32],
                rate: None,
                class,
                defaults: ModelDefaults::Inherit,
                context: None,
            })
        })
    }

    pub(super) fn service(&self, request: &Request) -> Duration {
        self.engine(&request.engine)
            .and_then(|e| e.model(&request.model))
            .map_or(Duration::ZERO, |model| model.service(request))
    }

    /// A load's time and what is resident after it.
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
        (model.map_or(Duration::ZERO, |m| m.load), info)
    }

    fn status(&self, engine: &Engine) -> Option<EngineStatus> {
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
        });
        Some(EngineStatus {
            config: Arc::new(config),
            device: engine.device,
            pool: Arc::clone(&engine.pool),
            url: String::new(),
            health: Health::Up,
            breaker: Breaker::Closed,
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
