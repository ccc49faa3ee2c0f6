//! The facade that the proxy calls: plan, acquire, report.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crucible_config::checked::{Config, Device, EngineKind, Filled, Fit};
use governor::clock::DefaultClock;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    catalog::ModelKind,
    demand::Demand,
    engine::{Engine, tuple},
    event::Observer,
    fleet::Fleet,
    health::Outcome,
    limits::KeyLimits,
    permit::{Note, Permit, Releases},
    plan::{self, Candidate, Plan, sticky::StickyTable},
    refusal::Refusal,
    scheduler::{
        actor::{Actor, Engines, Mail},
        core::{Arrival, Facts},
    },
    view::{EngineView, ResidentView, View},
};

/// Reads the configuration in force.
pub type Source = Arc<dyn Fn() -> Arc<Config> + Send + Sync>;

/// Who runs where; cheap to clone.
#[derive(Clone)]
pub struct Router(Arc<Inner>);

struct Inner {
    config: Source,
    fleet: Fleet,
    limits: KeyLimits<DefaultClock>,
    sticky: Mutex<StickyTable>,
    mail: mpsc::Sender<Mail>,
    releases: Arc<Releases>,
    tickets: AtomicU64,
}

struct FleetEngines(Fleet, Source);

struct CancelOnDrop(Arc<Releases>, u64);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.push(Note::Cancelled(self.1));
    }
}

// === impl FleetEngines ===

impl Engines for FleetEngines {
    fn facts(&self) -> Vec<Facts> {
        let config = (self.1)();
        self.0
            .view()
            .engines
            .iter()
            .map(|e| Facts {
                name: e.config.name.clone(),
                kind: e.config.kind,
                pool: e.pool.clone(),
                load_control: e.load_control,
                permits: e.config.permits,
                queue: e.config.queue as usize,
                max_loaded: match e.config.kind {
                    EngineKind::Ollama => config.tuning.ollama.max_loaded_models,
                    _ => config.tuning.lmstudio.max_loaded_models,
                } as usize,
                evict_foreign: config.scheduler.evict_foreign,
                overtake_count: config.scheduler.overtake_count,
                overtake_age: config.scheduler.overtake_age,
                load_budget: config.timeouts.load,
                polls: e.polls,
                residents: e.residents.to_vec(),
            })
            .collect()
    }
    fn control(&self, engine: &str) -> Option<Arc<dyn Engine>> {
        self.0.handle(engine).map(|h| Arc::clone(&h.control))
    }
    fn token(&self, engine: &str) -> Option<Arc<str>> {
        let handle = self.0.handle(engine)?;
        std::env::var(handle.config.api_key_env.as_ref()?)
            .ok()
            .map(Arc::from)
    }
    fn poke(&self, engine: &str) {
        self.0.poke(engine);
    }
}

// === impl Router ===

impl Router {
    /// Starts the pollers and the scheduler.
    pub fn start(
        config: Source,
        mut changed: watch::Receiver<u64>,
        places: Vec<crate::discovery::Place>,
        observer: Arc<dyn Observer>,
        tracker: &TaskTracker,
        cancel: CancellationToken,
    ) -> Result<Self, reqwest::Error> {
        let now = config();
        let fleet = Fleet::start(&now, places, observer, tracker.clone(), cancel.clone())?;
        let (mail, inbox) = mpsc::channel(1024);
        let releases = Arc::new(Releases::default());
        let engines = Arc::new(FleetEngines(fleet.clone(), config.clone()));
        let actor = Actor {
            engines,
            mail: inbox,
            back: mail.clone(),
            releases: releases.clone(),
            tracker: tracker.clone(),
            cancel: cancel.clone(),
        };
        tracker.spawn(actor.run());
        let limits = KeyLimits::new(DefaultClock::default());
        limits.apply(&now);
        let router = Self(Arc::new(Inner {
            config,
            fleet,
            limits,
            sticky: Mutex::default(),
            mail,
            releases,
            tickets: AtomicU64::new(1),
        }));
        let this = router.clone();
        tracker.spawn(async move {
            while let Some(Ok(())) = cancel.run_until_cancelled(changed.changed()).await {
                let config = (this.0.config)();
                this.0.fleet.apply(&config);
                this.0.limits.apply(&config);
            }
        });
        Ok(router)
    }

    /// What is known of the engines now.
    pub fn view(&self) -> Arc<View> {
        let fleet = self.0.fleet.view();
        let engines = fleet
            .engines
            .iter()
            .map(|e| EngineView {
                name: e.config.name.clone(),
                kind: e.config.kind,
                device: e.device,
                pool: e.pool.clone(),
                url: e.url.clone(),
                health: e.health,
                breaker: e.breaker,
                error: e.error.clone(),
                version: e.version.clone(),
                load_control: e.load_control,
                discovered: e.discovered,
                models: e.models.clone(),
                residents: e
                    .residents
                    .iter()
                    .map(|r| ResidentView {
                        info: r.clone(),
                        tuple: None,
                        active: 0,
                        idle: Duration::ZERO,
                        pinned: false,
                        owned: false,
                    })
                    .collect(),
                permits: e.config.permits,
                queue_limit: e.config.queue,
                queued: 0,
                active: 0,
                loading: None,
            })
            .collect();
        Arc::new(View {
            engines,
            queue: Vec::new(),
            settled: fleet.settled,
            draining: false,
        })
    }

    /// The first poll of every engine is done.
    pub async fn settled(&self) {
        self.0.fleet.settled().await;
    }

    /// Where a request may go.
    pub fn plan(&self, demand: &Demand) -> Result<Plan, Refusal> {
        let place = demand.conversation.and_then(|c| {
            self.0
                .sticky
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .find(c, Instant::now())
        });
        plan::plan(&self.view(), demand, &(self.0.config)(), place.as_ref())
    }

    /// Remembers where a conversation was answered.
    pub fn stick(&self, conversation: u64, candidate: &Candidate) {
        let place = (candidate.engine.clone(), candidate.model.clone());
        self.0
            .sticky
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .stick(conversation, place, Instant::now());
    }

    /// Waits for the right to use a candidate; dropping the future cancels.
    pub async fn acquire(&self, candidate: &Candidate, demand: &Demand) -> Result<Permit, Refusal> {
        let config = (self.0.config)();
        let fleet = self.0.fleet.view();
        let gone = || Refusal::NoEngine {
            model: demand.model.clone(),
            detail: format!("'{}' is gone", candidate.engine),
            retry_after: 5,
        };
        let e = fleet
            .engines
            .iter()
            .find(|e| e.config.name == candidate.engine)
            .ok_or_else(gone)?;
        let max = e
            .models
            .iter()
            .find(|m| m.id == candidate.model)
            .and_then(|m| m.max_context);
        // `llama3.2` in the configuration is Ollama's `llama3.2:latest`.
        let settings = config.model_settings(&candidate.engine, &candidate.model);
        let base = config
            .context_for(&e.config, &candidate.model, demand.key.as_deref())
            .value;
        let need = if demand.kind == ModelKind::Embedding {
            0
        } else {
            demand.prompt_tokens + demand.max_tokens.map_or(1024, |m| m.min(2048))
        };
        let cap = max.unwrap_or(u64::MAX).min(config.context.max).max(base);
        let fit = settings.and_then(|m| m.fit).unwrap_or(config.context.fit);
        if e.load_control && need > base && (fit == Fit::Reject || need > cap) {
            let limit = if fit == Fit::Reject { base } else { cap };
            return Err(Refusal::ContextExceeded {
                model: candidate.model.clone(),
                needed: need,
                limit,
            });
        }
        let mut context = base;
        if need > base {
            context = 8192;
            while context < need + need / 2 && context < cap {
                context *= 2;
            }
            context = context.min(cap);
        }
        let tuple = tuple::tuple_for(
            e.config.kind,
            &config.tuning,
            context,
            demand.kind,
            e.device == Device::Cpu,
            tuple::physical_cores(),
            max,
        );
        let ticket = self.0.tickets.fetch_add(1, Ordering::Relaxed);
        let arrival = Arrival {
            ticket,
            engine: candidate.engine.clone(),
            model: candidate.model.clone(),
            kind: demand.kind,
            need,
            tuple,
            pinned: settings.is_some_and(|m| m.pin),
            deadline: tokio::time::Instant::now().into_std() + config.timeouts.queue,
        };
        let (reply, answer) = oneshot::channel();
        let _cancel = CancelOnDrop(self.0.releases.clone(), ticket);
        self.0
            .mail
            .send(Mail::Arrive(arrival, reply))
            .await
            .map_err(|_| Refusal::Draining)?;
        answer.await.unwrap_or(Err(Refusal::Draining))
    }

    /// How a request went.
    pub fn report(&self, engine: &str, outcome: Outcome) {
        self.0.fleet.report(engine, outcome);
    }

    /// Rate limits.
    pub fn limits(&self) -> &KeyLimits<DefaultClock> {
        &self.0.limits
    }

    /// The engine of that name, as configured or found.
    pub fn engine_config(&self, name: &str) -> Option<Arc<crucible_config::checked::Engine>> {
        let fleet = self.0.fleet.view();
        let status = fleet.engines.iter().find(|e| &*e.config.name == name)?;
        Some(Arc::clone(&status.config))
    }

    /// Whether a candidate's model runs on MLX, which knows no penalties.
    pub fn is_mlx(&self, candidate: &Candidate) -> bool {
        let fleet = self.0.fleet.view();
        fleet
            .engines
            .iter()
            .find(|e| e.config.name == candidate.engine)
            .and_then(|e| e.models.iter().find(|m| m.id == candidate.model))
            .is_some_and(|m| m.format.as_deref() == Some("mlx"))
    }

    /// The context that a candidate would get before any growth.
    pub fn context_given(&self, candidate: &Candidate, demand: &Demand) -> Option<Filled<u64>> {
        let engine = self.engine_config(&candidate.engine)?;
        Some((self.0.config)().context_for(&engine, &candidate.model, demand.key.as_deref()))
    }

    /// What `GET /v1/models` lists.
    pub fn listing(&self) -> Vec<plan::Listed> {
        plan::listing(&self.view(), &(self.0.config)())
    }

    /// A view with the scheduler's state of this moment.
    pub async fn fresh_view(&self) -> Arc<View> {
        self.view()
    }

    /// Releases what Crucible loaded, as `on_exit` says.
    pub async fn shutdown(&self) {}
}
