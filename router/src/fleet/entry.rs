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
    pub(super) handle: Arc<EngineHandle>,
    pub(super) config: Arc<checked::EngineConfig>,
    pub(super) pulse: PollHealth,
    pub(super) breaker: CircuitBreaker,
    pub(super) silence: WedgeDetector,
    /// The number of requests whose answer has begun and not ended.
    pub(super) answering: u32,
    /// The time when anything of an answer came last; before that, when the engine was added.
    pub(super) heard: Instant,
    pub(super) error: Option<String>,
    /// Whether that error is that the engine wants another token.
    pub(super) refused_access: bool,
    pub(super) version: Option<String>,
    pub(super) advice: Arc<Vec<String>>,
    pub(super) load_control: bool,
    pub(super) max_loaded: Option<u32>,
    pub(super) models: Arc<Vec<ModelInfo>>,
    pub(super) residents: Arc<Vec<ResidentInfo>>,
    pub(super) polls: u64,
    pub(super) listed: u64,
}

// === impl EngineEntry ===

impl EngineEntry {
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
            tracing::info!(engine, ?before, ?after, error, "health");
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
