//! The fleet's account of one engine: the answers of its polls and the outcomes of its requests.

use std::{sync::Arc, time::Instant};

use crucible_config::checked::{self, Device};
use url::Url;

use super::{devices::default_pool, engine_handle::EngineHandle, status::EngineStatus};
use crate::{
    catalog::{ModelInfo, ResidentInfo},
    engine::{self, EngineError, Listing},
    health::{CircuitBreaker, PollHealth, RequestOutcome, WedgeDetector},
    versions,
    view::Health,
};

/// One engine with its health, its breaker and its last lists.
pub(super) struct EngineEntry {
    /// The driver of the engine, with the signals to its poll loop.
    pub(super) handle: Arc<EngineHandle>,
    /// The configured block of the engine, or the one that was made for a discovered engine.
    pub(super) config: Arc<checked::EngineConfig>,
    /// The health of the engine, as its polls show it.
    pub(super) pulse: PollHealth,
    /// The circuit breaker, which stops requests to an engine that fails them.
    pub(super) breaker: CircuitBreaker,
    /// The detector of an engine that answers polls and no requests.
    pub(super) silence: WedgeDetector,
    /// The number of requests whose answer has begun and not ended.
    pub(super) answering: u32,
    /// The time when anything of an answer came last; before that, when the engine was added.
    pub(super) heard: Instant,
    /// The error of the last poll in words; `None` after one that succeeded.
    pub(super) error: Option<String>,
    /// Whether that error is that the engine wants another token.
    pub(super) refused_access: bool,
    /// The last version that the engine reported; `None` where it never did.
    pub(super) version: Option<String>,
    /// The features that this version lacks, one sentence each.
    pub(super) advice: Arc<Vec<String>>,
    /// Whether the engine has an API that loads and unloads models.
    pub(super) load_control: bool,
    /// The most models that the engine keeps loaded at once; `None` where it reports no limit.
    pub(super) max_loaded: Option<u32>,
    /// The models that the last successful poll listed.
    pub(super) models: Arc<Vec<ModelInfo>>,
    /// The models that are loaded as of the last successful poll; empty once the engine's process
    /// is gone.
    pub(super) residents: Arc<Vec<ResidentInfo>>,
    /// The number of polls that have ended, failed ones included.
    pub(super) polls: u64,
    /// The value of `polls` when the lists of models and residents were last replaced or confirmed.
    pub(super) listed: u64,
}

// === impl EngineEntry ===

impl EngineEntry {
    /// Makes the entry of an engine that no poll has reached yet: health unknown, no models, and a
    /// closed circuit breaker.
    pub(super) fn new(handle: Arc<EngineHandle>, config: checked::EngineConfig) -> Self {
        Self {
            handle,
            config: Arc::new(config),
            pulse: PollHealth::default(),
            breaker: CircuitBreaker::default(),
            silence: WedgeDetector::default(),
            answering: 0,
            heard: Instant::now(),
            error: None,
            refused_access: false,
            version: None,
            advice: Arc::default(),
            load_control: false,
            max_loaded: None,
            models: Arc::default(),
            residents: Arc::default(),
            polls: 0,
            listed: 0,
        }
    }

    /// Takes the result of a poll: updates health, version and lists, or notes the error. After a
    /// failed poll the lists stay; the residents are dropped only where the engine is down and its
    /// process is gone.
    pub(super) fn take(&mut self, result: Result<Listing, EngineError>) {
        let before = self.pulse.health();
        self.pulse = self.pulse.after_poll(result.is_ok());
        let after = self.pulse.health();
        self.silence.note_poll(after);
        self.polls += 1;
        let name = Arc::clone(&self.config.name);
        let engine = &*name;
        match result {
            Ok(listing) => {
                // One that does not tell it this time has the one it had.
                if let Some(version) = listing.version
                    && self.version.as_deref() != Some(&*version)
                {
                    self.advice =
                        Arc::new(versions::missing_feature_notes(self.config.kind, &version));
                    for line in &*self.advice {
                        tracing::warn!(engine, "{line}");
                    }
                    self.version = Some(version);
                }
                self.load_control = listing.load_control;
                self.max_loaded = listing.max_loaded;
                if *self.models != listing.models {
                    self.models = Arc::new(listing.models);
                }
                if *self.residents != listing.residents {
                    self.residents = Arc::new(listing.residents);
                }
                self.listed = self.polls;
                self.error = None;
                self.refused_access = false;
            }
            Err(error) => {
                let refused = engine::refused_access(&self.config, &error);
                self.refused_access = refused.is_some();
                self.error = Some(refused.unwrap_or_else(|| error.to_string()));
                // Who lives holds its memory, whether it answers or not: a process that hangs has its
                // connections time out or break, only one that is gone has them refused.
                let gone = matches!(error, EngineError::NobodyListens(_));
                let lives = !gone || self.handle.control.process().is_some();
                if after == Health::Down && !lives {
                    self.residents = Arc::default();
                    self.listed = self.polls;
                }
            }
        }
        if before != after {
            let error = self.error.as_deref().unwrap_or_default();
            if after == Health::Down {
                tracing::warn!(engine, ?before, ?after, error, "health");
            } else {
                tracing::info!(engine, ?before, ?after, error, "health");
            }
        }
    }

    /// Counts the outcome of a request. `began` says whether its answer had begun before.
    pub(super) fn hear(&mut self, outcome: RequestOutcome, began: bool, now: Instant) {
        match outcome {
            RequestOutcome::Began => self.answering += 1,
            _ if began => self.answering = self.answering.saturating_sub(1),
            _ => {}
        }
        if !matches!(
            outcome,
            RequestOutcome::ConnectFailed | RequestOutcome::Silent | RequestOutcome::Abandoned
        ) {
            self.heard = now;
        }
    }

    /// Returns the public status of the engine for a snapshot. `device` is the resolved device, and
    /// `now` decides whether the circuit breaker is still open.
    pub(super) fn status(&self, device: Device, now: Instant) -> EngineStatus {
        let pool = self.config.pool.clone();
        EngineStatus {
            device,
            pool: pool.unwrap_or_else(|| default_pool(device, self.config.url.as_ref())),
            url: self
                .handle
                .control
                .base_url()
                .map(plain_url)
                .unwrap_or_default(),
            health: self.pulse.health(),
            breaker: self.breaker.state(now),
            left_alone: self.breaker.cooldown(now),
            wedged: self.silence.is_wedged(),
            error: self.error.clone(),
            refused_access: self.refused_access,
            version: self.version.clone(),
            advice: Arc::clone(&self.advice),
            load_control: self.load_control,
            max_loaded: self.max_loaded,
            limit: self.handle.control.limit(),
            discovered: self.handle.discovered,
            models: Arc::clone(&self.models),
            residents: Arc::clone(&self.residents),
            polls: self.polls,
            listed: self.listed,
            config: Arc::clone(&self.config),
        }
    }
}

/// The address without user name and password.
pub(super) fn plain_url(mut url: Url) -> String {
    // These fail only for addresses that cannot have either.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.as_str().trim_end_matches('/').to_owned()
}
