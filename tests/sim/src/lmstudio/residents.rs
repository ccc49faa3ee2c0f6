//! Loaded instances. LM Studio 0.4.25: a load of a loaded model makes a second instance
//! (`key:2`); at most one model loaded on request (JIT) stays, explicit ones are exempt; an
//! unload cuts the answers of its instance.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use crate::loading::{self, LoadFailure};
use crate::log::LoadOutcome;
use crate::memory;
use crate::model_spec::ModelSpec;
use crate::sim::{Core, Engine};
use crate::wire::play::Kill;

/// What a load asks for.
#[derive(Clone, Debug)]
pub(crate) struct LoadConfig {
    pub(crate) context: u64,
    pub(crate) eval_batch_size: u64,
    pub(crate) flash_attention: bool,
    pub(crate) offload_kv_cache_to_gpu: bool,
    /// `Some` for a load on request: its idle time.
    pub(crate) jit_ttl: Option<Duration>,
    /// Idle time of a load over the WebSocket API, which is no load on request.
    pub(crate) ttl: Option<Duration>,
    /// The user's own name for the instance, of a load over the WebSocket API or by `lms load`.
    pub(crate) identifier: Option<String>,
    /// The fields that such a load carried.
    pub(crate) fields: Vec<Value>,
}

/// A loaded model.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) id: String,
    pub(crate) model: ModelSpec,
    pub(crate) config: LoadConfig,
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) kill: Kill,
    /// Whether it makes vectors right now.
    pub(crate) embedding: Arc<AtomicBool>,
    bytes: u64,
    last_used: Instant,
    /// Answers being given and prompts being read.
    active: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
pub(crate) struct Residents {
    list: Mutex<Vec<Instance>>,
    /// Ids being loaded: they are taken already.
    loading: Mutex<Vec<(String, u64)>>,
    changed: Notify,
}

/// Holds an instance busy; its end restarts the idle time.
pub(crate) struct Busy {
    core: Arc<Core>,
    id: String,
    active: Arc<AtomicU64>,
}

/// Why a load was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The memory guardrail.
    Guardrail,
    /// An instance has that identifier.
    Taken,
    Failed(LoadFailure),
}

// === impl LoadConfig ===

impl LoadConfig {
    /// The whole of it; what the list shows of it depends on the model's format.
    pub(crate) fn to_json(&self, parallel: usize) -> Value {
        json!({
            "context_length": self.context,
            "eval_batch_size": self.eval_batch_size,
            "parallel": parallel,
            "flash_attention": self.flash_attention,
            "offload_kv_cache_to_gpu": self.offload_kv_cache_to_gpu,
        })
    }

    /// The same, with the fields of a load over the WebSocket API.
    fn logged(&self, parallel: usize) -> Value {
        let mut told = self.to_json(parallel);
        if !self.fields.is_empty() {
            told["fields"] = json!(self.fields);
        }
        told
    }
}

// === impl Refused ===

impl Refused {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Guardrail => {
                "Failed to load model: Model loading was stopped due to insufficient system resources."
            }
            // "already exists" (`neomjs/neo#17234`); the other words are [?].
            Self::Taken => "Failed to load model: a model with this identifier already exists.",
            // bt#2295: a generic message that hides the engine's out-of-memory.
            Self::Failed(_) => "Failed to load model. Error loading model.",
        }
    }
}

// === impl Residents ===

impl Residents {
    pub(crate) fn of(core: &Core) -> Option<&Self> {
        match &core.engine {
            Engine::LmStudio(residents) => Some(residents),
            _ => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Instance>> {
        self.list.lock()
    }

    fn lock_loading(&self) -> MutexGuard<'_, Vec<(String, u64)>> {
        self.loading.lock()
    }

    pub(crate) fn all(&self) -> Vec<Instance> {
        self.lock().clone()
    }

    pub(crate) fn of_key(&self, key: &str) -> Option<Instance> {
        self.lock()
            .iter()
            .find(|instance| instance.model.name.eq_ignore_ascii_case(key))
            .cloned()
    }

    /// Loads an instance; never finds an existing one.
    pub(crate) async fn load(
        &self,
        core: &Core,
        seq: u64,
        model: &ModelSpec,
        mut config: LoadConfig,
        path: &str,
    ) -> Result<Instance, Refused> {
        let parallel = core.options.parallel.max(1);
        // The unified cache (default on) is one context for all slots.
        let bytes = memory::footprint(model, config.context, 1);
        let jit = config.jit_ttl.is_some();
        let wanted = config.identifier.as_deref();
        let (id, used) = self
            .reserve(&model.name, wanted, bytes)
            .ok_or(Refused::Taken)?;
        let mark = core
            .log
            .load_begins(seq, &model.name, &id, config.logged(parallel), jit);
        // bt#1562: the guardrail does not subtract what auto-evict is about to free.
        if !memory::fits(core.options.memory, used, bytes) {
            self.release(&id);
            core.log.load_ends(mark, LoadOutcome::Failed);
            return Err(Refused::Guardrail);
        }
        if jit && core.options.auto_evict {
            self.evict_other_jit(core, &model.name);
        }
        let loaded = loading::take_time(core, seq, path).await;
        self.release(&id);
        match loaded {
            Err(failure) => {
                core.log.load_ends(mark, LoadOutcome::Failed);
                Err(Refused::Failed(failure))
            }
            Ok(wrong_context) => {
                if wrong_context {
                    config.context /= 2;
                }
                let instance = Instance {
                    id,
                    model: model.clone(),
                    config,
                    slots: Arc::new(Semaphore::new(parallel)),
                    kill: Kill::default(),
                    embedding: Arc::default(),
                    bytes,
                    last_used: Instant::now(),
                    active: Arc::default(),
                };
                self.lock().push(instance.clone());
                core.log.load_ends(mark, LoadOutcome::Loaded);
                self.changed.notify_one();
                Ok(instance)
            }
        }
    }

    /// Takes the wanted id, else the next free one of a key; tells the memory in use. `None`: the
    /// wanted one is taken.
    fn reserve(&self, key: &str, wanted: Option<&str>, bytes: u64) -> Option<(String, u64)> {
        let list = self.lock();
        let mut loading = self.lock_loading();
        let taken = |id: &str| {
            list.iter().any(|instance| instance.id == id)
                || loading.iter().any(|(other, _)| other == id)
        };
        if wanted.is_some_and(taken) {
            return None;
        }
        let mut id = wanted.unwrap_or(key).to_owned();
        let mut number: u64 = 2;
        while taken(&id) {
            id = format!("{key}:{number}");
            number += 1;
        }
        let used = list.iter().map(|instance| instance.bytes).sum::<u64>()
            + loading.iter().map(|(_, bytes)| bytes).sum::<u64>();
        loading.push((id.clone(), bytes));
        Some((id, used))
    }

    fn release(&self, id: &str) {
        self.lock_loading().retain(|(other, _)| other != id);
    }

    /// "Only keep last JIT loaded model": also while it answers (bt#671, bt#1796).
    fn evict_other_jit(&self, core: &Core, key: &str) {
        let victim =
            |instance: &Instance| instance.config.jit_ttl.is_some() && instance.model.name != key;
        self.remove(core, victim, "evicted", "Model unloaded.");
    }

    /// Unloads by instance id (not by model key). False: unknown.
    pub(crate) fn unload(&self, core: &Core, id: &str) -> bool {
        self.remove(
            core,
            |instance| instance.id == id,
            "request",
            "Model unloaded.",
        ) > 0
    }

    pub(crate) fn crash(&self, core: &Core) {
        let words = "The model has crashed without additional information. (Exit code: 6)";
        self.remove(core, |_| true, "crash", words);
    }

    fn remove(
        &self,
        core: &Core,
        victim: impl Fn(&Instance) -> bool,
        cause: &str,
        words: &str,
    ) -> usize {
        let gone: Vec<Instance> = {
            let mut list = self.lock();
            let (gone, kept) = std::mem::take(&mut *list).into_iter().partition(&victim);
            *list = kept;
            gone
        };
        for instance in &gone {
            let active = instance.active_count();
            core.log.unload(&instance.id, cause, active);
            instance.kill.strike(words);
        }
        self.changed.notify_one();
        gone.len()
    }

    /// Marks an instance busy. `None`: it went meanwhile.
    pub(crate) fn busy(&self, core: &Arc<Core>, id: &str) -> Option<Busy> {
        let list = self.lock();
        let instance = list.iter().find(|instance| instance.id == id)?;
        instance.active.fetch_add(1, Ordering::SeqCst);
        Some(Busy {
            core: Arc::clone(core),
            id: id.to_owned(),
            active: Arc::clone(&instance.active),
        })
    }

    /// Unloads what was idle for its TTL.
    pub(crate) async fn reap(&self, core: &Core) {
        loop {
            let now = Instant::now();
            self.remove_expired(core, now);
            let next = self.lock().iter().filter_map(Instance::expires).min();
            let changed = self.changed.notified();
            match next {
                Some(at) => {
                    let _ = tokio::time::timeout_at(at, changed).await;
                }
                None => changed.await,
            }
        }
    }

    fn remove_expired(&self, core: &Core, now: Instant) {
        if self
            .lock()
            .iter()
            .any(|instance| instance.expires().is_some_and(|at| at <= now))
        {
            let due = |instance: &Instance| instance.expires().is_some_and(|at| at <= now);
            self.remove(core, due, "expired", "Model unloaded.");
        }
    }
}

// === impl Instance ===

impl Instance {
    fn active_count(&self) -> u64 {
        self.active.load(Ordering::SeqCst)
    }

    /// When it goes if nothing uses it; a busy one does not.
    fn expires(&self) -> Option<Instant> {
        let ttl = self.config.jit_ttl.or(self.config.ttl)?;
        if self.active_count() > 0 {
            return None;
        }
        self.last_used.checked_add(ttl)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.active.fetch_sub(1, Ordering::SeqCst);
        if let Some(residents) = Residents::of(&self.core) {
            if let Some(instance) = residents
                .lock()
                .iter_mut()
                .find(|instance| instance.id == self.id)
            {
                instance.last_used = Instant::now();
            }
            residents.changed.notify_one();
        }
    }
}
