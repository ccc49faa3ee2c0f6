//! One runner per weights file (`schedulerModelKey`), listed by the name that came first. Ollama 0.33.0-rc2, server/sched.go: a compatible loaded runner bypasses
//! the queue and waits on a semaphore without a bound; all else waits in a bounded queue that one
//! loop serves strictly in order, blocking while a model loads or a busy one drains. A load ends
//! with the client that caused it. A request's `keep_alive` overwrites the 0 that an eviction set
//! (useLoadedRunner), which can wedge the loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Mutex as StdMutex, MutexGuard};
use tokio::sync::{Mutex, Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::early::BUSY;
use crate::loading::{self, LoadFailure};
use crate::log::{LoadMark, LoadOutcome, Phase};
use crate::memory;
use crate::model_spec::ModelSpec;
use crate::ollama::duration::KeepAlive;
use crate::ollama::errors::Refusal;
use crate::ollama::runner::RunnerProcess;
use crate::ollama::tuple::Tuple;
use crate::sim::{Core, Engine};
use crate::ticket::Ticket;
use crate::wire::play::Kill;

/// A loaded model.
#[derive(Clone, Debug)]
pub(crate) struct Runner {
    pub(crate) model: ModelSpec,
    pub(crate) tuple: Tuple,
    pub(crate) bytes: u64,
    keep_alive: KeepAlive,
    references: u64,
    /// When it goes, while it is idle.
    pub(crate) expires: Option<Instant>,
    slots: Arc<Semaphore>,
    /// Its process, where this Ollama starts some.
    process: Option<Arc<RunnerProcess>>,
    kill: Kill,
    number: u64,
    /// Why its keep-alive was set to 0.
    leaving: Option<&'static str>,
}

#[derive(Debug, Default)]
pub(crate) struct Scheduler {
    runners: StdMutex<Vec<Runner>>,
    /// The one loop that loads; tokio's mutex is first come, first served.
    turn: Mutex<u64>,
    pending: AtomicUsize,
    /// A runner went or became idle.
    changed: Notify,
    /// The reaper has a new time to wait for.
    timer: Notify,
}

/// A reference to a runner; its end may start the expiry.
pub(crate) struct Lease {
    core: Arc<Core>,
    name: String,
    number: u64,
    pub(crate) tuple: Tuple,
    pub(crate) kill: Kill,
    slots: Arc<Semaphore>,
    /// The process of the runner, where it has one.
    pub(crate) process: Option<Arc<RunnerProcess>>,
    /// From the request to the runner: the queue and evictions count.
    pub(crate) load: Duration,
}

/// Gives a queue place back.
struct Place<'a>(&'a AtomicUsize);

/// Logs a load that its client took with it.
struct Loading<'a> {
    core: &'a Core,
    mark: LoadMark,
    ended: bool,
}

// === impl Scheduler ===

impl Scheduler {
    pub(crate) fn of(core: &Core) -> Option<&Self> {
        match &core.engine {
            Engine::Ollama(scheduler) => Some(scheduler),
            _ => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Runner>> {
        self.runners.lock()
    }

    pub(crate) fn all(&self) -> Vec<Runner> {
        self.lock().clone()
    }

    /// A runner for the request, loaded if need be.
    pub(crate) async fn acquire(
        &self,
        core: &Arc<Core>,
        ticket: &mut Ticket,
        model: &ModelSpec,
        tuple: &Tuple,
        keep_alive: Option<KeepAlive>,
        path: &str,
    ) -> Result<Lease, Refusal> {
        let began = Instant::now();
        ticket.phase = Phase::Queue;
        if let Some(lease) = self.use_loaded(core, model, tuple, keep_alive, began) {
            return Ok(lease);
        }
        if self.pending.fetch_add(1, Ordering::SeqCst) >= core.options.max_queue {
            self.pending.fetch_sub(1, Ordering::SeqCst);
            return Err(Refusal::new(503, BUSY));
        }
        let place = Place(&self.pending);
        let mut turn = self.turn.lock().await;
        drop(place);
        if let Some(lease) = self.use_loaded(core, model, tuple, keep_alive, began) {
            return Ok(lease);
        }
        let old = self
            .lock()
            .iter()
            .find(|runner| runner.model.weights() == model.weights())
            .cloned();
        if let Some(old) = old {
            let (from, to) = (old.tuple.to_json(), tuple.to_json());
            core.log.reload(ticket.seq, &model.name, from, to);
            self.evict(core, &old.model.name, old.number, "reload")
                .await;
        }
        self.make_room(core, model, tuple).await?;
        ticket.phase = Phase::Load;
        *turn += 1;
        self.load(core, ticket, model, tuple, *turn, path).await?;
        let lasting = keep_alive.unwrap_or(core.options.keep_alive);
        let lease = self.lease(core, model, |_| true, Some(lasting), began);
        lease.ok_or_else(|| Refusal::new(500, "model runner has unexpectedly stopped"))
    }

    fn use_loaded(
        &self,
        core: &Arc<Core>,
        model: &ModelSpec,
        tuple: &Tuple,
        keep_alive: Option<KeepAlive>,
        began: Instant,
    ) -> Option<Lease> {
        let fits = |runner: &Runner| !runner.tuple.needs_reload(tuple);
        self.lease(core, model, fits, keep_alive, began)
    }

    fn lease(
        &self,
        core: &Arc<Core>,
        model: &ModelSpec,
        fits: impl Fn(&Runner) -> bool,
        keep_alive: Option<KeepAlive>,
        began: Instant,
    ) -> Option<Lease> {
        let mut runners = self.lock();
        let runner = runners
            .iter_mut()
            .find(|runner| runner.model.weights() == model.weights() && fits(runner))?;
        runner.references += 1;
        runner.expires = None;
        if let Some(keep_alive) = keep_alive {
            runner.keep_alive = keep_alive;
        }
        Some(Lease {
            core: Arc::clone(core),
            name: runner.model.name.clone(),
            number: runner.number,
            tuple: runner.tuple.clone(),
            kill: runner.kill.clone(),
            slots: Arc::clone(&runner.slots),
            process: runner.process.clone(),
            load: began.elapsed().max(Duration::from_nanos(1)),
        })
    }

    async fn load(
        &self,
        core: &Core,
        ticket: &Ticket,
        model: &ModelSpec,
        tuple: &Tuple,
        number: u64,
        path: &str,
    ) -> Result<(), Refusal> {
        let name = &model.name;
        let mark = core
            .log
            .load_begins(ticket.seq, name, name, tuple.to_json(), ticket.answers);
        let mut loading = Loading {
            core,
            mark,
            ended: false,
        };
        let loaded = loading::take_time(core, ticket.seq, path).await;
        let slots = slots(core, model);
        // `-c num_ctx x parallel`: the cache grows with the slots.
        let bytes = memory::footprint(model, tuple.num_ctx, slots);
        // Only the operating system's limit protects main memory: no check comes before the load.
        let used: u64 = self.lock().iter().map(|runner| runner.bytes).sum();
        let starved = tuple.num_gpu == 0 && !memory::fits(core.options.memory, used, bytes);
        let loaded = match loaded {
            Ok(_) if starved => Err(LoadFailure::OutOfMemory),
            other => other,
        };
        let mut tuple = tuple.clone();
        match loaded {
            Ok(wrong_context) if wrong_context => tuple.num_ctx /= 2,
            Ok(_) => {}
            Err(failure) => {
                loading.end(LoadOutcome::Failed);
                return Err(Refusal::new(500, failure_text(failure)));
            }
        }
        let program = core.options.runner.as_deref();
        let process = program
            .map(|program| RunnerProcess::start(program, &core.options, &tuple, slots))
            .transpose()
            .map_err(|error| Refusal::new(500, format!("error starting llama-server: {error}")))?;
        self.lock().push(Runner {
            model: model.clone(),
            process,
            tuple,
            bytes,
            keep_alive: core.options.keep_alive,
            references: 0,
            expires: None,
            slots: Arc::new(Semaphore::new(usize::try_from(slots).unwrap_or(1))),
            kill: Kill::default(),
            number,
            leaving: None,
        });
        loading.end(LoadOutcome::Loaded);
        Ok(())
    }

    /// Evicts until there is room: by count always, by memory unless the load is CPU-only.
    async fn make_room(
        &self,
        core: &Core,
        model: &ModelSpec,
        tuple: &Tuple,
    ) -> Result<(), Refusal> {
        let bytes = memory::footprint(model, tuple.num_ctx, slots(core, model));
        loop {
            let victim = {
                let runners = self.lock();
                let used: u64 = runners.iter().map(|runner| runner.bytes).sum();
                let many = runners.len() >= core.options.max_loaded.max(1);
                let big = tuple.num_gpu != 0 && !memory::fits(core.options.memory, used, bytes);
                if runners.is_empty() || !(many || big) {
                    return Ok(());
                }
                // findRunnerToUnload: by keep-alive, then name; the first idle one, else the
                // first busy one, which is waited for. Not LRU.
                let mut order: Vec<&Runner> = runners.iter().collect();
                order.sort_by_key(|runner| {
                    (
                        runner.keep_alive.unwrap_or(Duration::MAX),
                        runner.model.name.clone(),
                    )
                });
                let idle = order.iter().find(|runner| runner.references == 0);
                idle.or(order.first())
                    .map(|runner| (runner.model.name.clone(), runner.number))
            };
            if let Some((name, number)) = victim {
                self.evict(core, &name, number, "evicted").await;
            }
        }
    }

    /// Sets the keep-alive to 0 and waits until the runner is gone; work is never cut.
    async fn evict(&self, core: &Core, name: &str, number: u64, cause: &'static str) {
        {
            let mut runners = self.lock();
            let runner = runners.iter_mut().find(|runner| runner.number == number);
            if let Some(runner) = runner {
                runner.keep_alive = Some(Duration::ZERO);
                runner.leaving = Some(cause);
                if runner.references == 0 {
                    runners.retain(|runner| runner.number != number);
                    drop(runners);
                    core.log.unload(name, cause, 0);
                    self.changed.notify_waiters();
                    return;
                }
            }
        }
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if !self.lock().iter().any(|runner| runner.number == number) {
                return;
            }
            changed.await;
        }
    }

    /// `keep_alive: 0` on an empty request: unloads once nothing uses it, without being waited for.
    pub(crate) fn expire(&self, core: &Core, model: &ModelSpec) {
        let gone = {
            let mut runners = self.lock();
            let own = |runner: &Runner| runner.model.weights() == model.weights();
            let Some(runner) = runners.iter_mut().find(|runner| own(runner)) else {
                return;
            };
            runner.keep_alive = Some(Duration::ZERO);
            runner.leaving = Some("request");
            let name = runner.model.name.clone();
            let idle = runner.references == 0;
            if idle {
                runners.retain(|runner| !own(runner));
            }
            idle.then_some(name)
        };
        if let Some(name) = gone {
            core.log.unload(&name, "request", 0);
            self.changed.notify_waiters();
        }
    }

    pub(crate) fn crash(&self, core: &Core) {
        let gone = std::mem::take(&mut *self.lock());
        for runner in gone {
            core.log
                .unload(&runner.model.name, "crash", runner.references);
            runner.kill.strike("model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, check ollama server logs for details");
        }
        self.changed.notify_waiters();
    }

    /// Unloads what has expired.
    pub(crate) async fn reap(&self, core: &Core) {
        loop {
            let now = Instant::now();
            let (gone, next) = {
                let mut runners = self.lock();
                let due = |runner: &Runner| runner.expires.is_some_and(|at| at <= now);
                let (gone, kept): (Vec<Runner>, Vec<Runner>) =
                    std::mem::take(&mut *runners).into_iter().partition(due);
                *runners = kept;
                (
                    gone,
                    runners.iter().filter_map(|runner| runner.expires).min(),
                )
            };
            for runner in gone {
                core.log.unload(&runner.model.name, "expired", 0);
                self.changed.notify_waiters();
            }
            let timer = self.timer.notified();
            match next {
                Some(at) => {
                    let _ = tokio::time::timeout_at(at, timer).await;
                }
                None => timer.await,
            }
        }
    }

    fn give_back(&self, core: &Core, name: &str, number: u64) {
        let gone = {
            let mut runners = self.lock();
            let Some(runner) = runners.iter_mut().find(|runner| runner.number == number) else {
                return;
            };
            runner.references = runner.references.saturating_sub(1);
            if runner.references > 0 {
                return;
            }
            let gone = runner.keep_alive == Some(Duration::ZERO);
            runner.expires = runner
                .keep_alive
                .and_then(|keep| Instant::now().checked_add(keep));
            let cause = gone.then_some(runner.leaving.unwrap_or("expired"));
            if gone {
                runners.retain(|runner| runner.number != number);
            }
            cause
        };
        if let Some(cause) = gone {
            core.log.unload(name, cause, 0);
        }
        self.changed.notify_waiters();
        self.timer.notify_one();
    }
}

/// `NUM_PARALLEL`; forced to 1 for embedding models.
fn slots(core: &Core, model: &ModelSpec) -> u64 {
    if model.embedding {
        1
    } else {
        u64::try_from(core.options.parallel.max(1)).unwrap_or(1)
    }
}

fn failure_text(failure: LoadFailure) -> &'static str {
    match failure {
        LoadFailure::Fails => {
            "llama-server process has terminated: error loading model: unable to load model"
        }
        LoadFailure::OutOfMemory => "llama-server process has terminated: signal: killed",
    }
}

// === impl Lease ===

impl Lease {
    /// Waits for one of `NUM_PARALLEL` slots; this queue has no bound.
    pub(crate) async fn slot(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        tokio::select! {
            biased;
            words = self.kill.struck() => Err(Refusal::new(500, words)),
            permit = Arc::clone(&self.slots).acquire_owned() => {
                permit.map_err(|_| Refusal::new(500, "model runner has unexpectedly stopped"))
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(scheduler) = Scheduler::of(&self.core) {
            scheduler.give_back(&self.core, &self.name, self.number);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

// === impl Loading ===

impl Loading<'_> {
    fn end(&mut self, outcome: LoadOutcome) {
        self.ended = true;
        self.core.log.load_ends(self.mark, outcome);
    }
}

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        // "client connection closed before llama-server finished loading, aborting load", 499.
        if !self.ended {
            self.core.log.load_ends(self.mark, LoadOutcome::Aborted);
        }
    }
}
