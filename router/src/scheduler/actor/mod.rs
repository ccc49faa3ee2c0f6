//! The actor: the one owner of the [`Scheduler`]. It asks for permits, keeps the clock, carries out
//! actions and publishes the view.
//!
//! A request is answered in place, under a lock that is never held across an await: a permit that
//! is free is granted without waking a task. One task is the clock. Nothing here waits for an
//! engine: loads and unloads are tasks of their own that report back.

mod clock;
mod operations;
mod perform;
pub(crate) mod resident_store;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    path::Path,
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, oneshot, watch},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::resident_store::ResidentStore;
use super::{
    messages::{Action, EngineFacts, Input, PermitRequest},
    persisted::PersistedState,
    state_machine::{ContextReason, Scheduler},
};
use crate::{
    engine::Engine,
    event::Event,
    machine::awake::AwakeClock,
    permit::{Permit, Releases},
    refusal::Refusal,
    view::View,
};

/// The shortest time between two published views.
const PUBLISH_GAP: Duration = Duration::from_millis(20);

/// The engines as the actor needs them: the fleet in production, an engine in memory in tests.
pub trait SchedulerEngines: Send + Sync + 'static {
    /// The facts of every engine as of its last poll.
    fn facts(&self) -> Vec<EngineFacts>;
    /// A receiver that changes whenever the facts do.
    fn changed(&self) -> watch::Receiver<u64>;
    /// The view of all engines, without the part that the scheduler adds.
    fn view(&self) -> View;
    /// The control side of an engine, which loads and unloads; `None` where there is no engine of
    /// that name.
    fn control(&self, engine: &str) -> Option<Arc<dyn Engine>>;
    /// The engine's own access token, if it has one.
    fn token(&self, engine: &str) -> Option<Arc<str>>;
    /// Polls the engine soon, without waiting for the answer.
    fn poll_soon(&self, engine: &str);
    /// Reports an event.
    fn emit(&self, event: &Event);
}

/// The final reply to a request for a permit: the granted permit, or the refusal that the client
/// gets.
pub(crate) type PermitReply = Result<Permit, Refusal>;

/// The immediate result of a request for a permit: the [`PermitReply`] itself, or a receiver that
/// gets it once the request has waited.
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart where it is given"
)]
pub(crate) enum PermitAnswer {
    /// The permit or the refusal, without a wait.
    Now(PermitReply),
    /// The request waits. A sender that is dropped without an answer means that Crucible ends.
    Later(oneshot::Receiver<PermitReply>),
}

/// The owner of the scheduler's state. It is shared by every request and by the task of its clock.
pub(crate) struct SchedulerActor {
    /// The engines that it schedules.
    pub(super) engines: Arc<dyn SchedulerEngines>,
    /// The permits that guards gave back, and the tickets of clients that left.
    pub(super) releases: Arc<Releases>,
    /// The view that everybody else reads.
    published: Arc<ArcSwap<View>>,
    /// The tasks of loads and unloads, which the end of Crucible waits for.
    pub(super) tracker: TaskTracker,
    /// Cancelled when Crucible ends.
    pub(super) cancel: CancellationToken,
    /// The state, locked for as long as one visit takes.
    state: Mutex<ActorState>,
    /// Wakes the clock, because its next deadline has become an earlier one.
    clock_changed: Notify,
}

/// A request that has no answer yet.
pub(super) struct PendingReply {
    /// The request that waits.
    pub(super) request: Arc<PermitRequest>,
    /// The time at which it asked.
    pub(super) asked_at: Instant,
    /// The sender of its answer; `None` while its first step runs.
    pub(super) reply: Option<oneshot::Sender<PermitReply>>,
}

/// The state of the scheduler's actor under its lock: the state machine, the requests that wait for a
/// reply, and the clock.
pub(super) struct ActorState {
    /// The pure state machine.
    pub(super) core: Scheduler,
    /// The requests without an answer, by ticket.
    pub(super) pending: HashMap<u64, PendingReply, RandomState>,
    /// The clock without the pauses of the process, by which the state machine is told the time.
    clock: AwakeClock,
    /// The answer to the request whose first step runs.
    pub(super) immediate_answer: Option<PermitReply>,
    /// Permits that came back before their engine is free again, by the time when it is.
    grace_ends: BinaryHeap<Reverse<(Instant, u64)>>,
    /// The time at which the view is published next; `None` while the published one is current.
    publish_at: Option<Instant>,
    /// The time at which the view was published last.
    published_at: Instant,
    /// The next deadline of the clock, as the clock knows it.
    clock_deadline: Option<Instant>,
    /// Those who wait for the end of the drain.
    drain_done: Vec<oneshot::Sender<()>>,
    /// Ends loads early, when Crucible ends.
    pub(super) cancel_loads: CancellationToken,
    /// The receiver of the state that outlives the process; `None` once Crucible has ended.
    persist: Option<watch::Sender<PersistedState>>,
    /// The revision of the state that was sent last.
    revision: u64,
    /// The actions of a step; the buffer is used again.
    actions: Vec<Action>,
}

// === impl SchedulerActor ===

impl SchedulerActor {
    /// Makes the actor. What an earlier run left in `store` is restored as soon as this Crucible
    /// owns it; without a store nothing outlives the run.
    pub(crate) fn new(
        engines: Arc<dyn SchedulerEngines>,
        board: Arc<ArcSwap<View>>,
        tracker: TaskTracker,
        cancel: CancellationToken,
        store: Option<ResidentStore>,
    ) -> Arc<Self> {
        let state = ActorState {
            core: Scheduler::default(),
            pending: HashMap::default(),
            clock: AwakeClock::new(Instant::now()),
            immediate_answer: None,
            grace_ends: BinaryHeap::new(),
            publish_at: None,
            published_at: Instant::now(),
            clock_deadline: None,
            drain_done: Vec::new(),
            cancel_loads: cancel.child_token(),
            persist: Some(watch::Sender::default()),
            revision: 0,
            actions: Vec::new(),
        };
        let actor = Arc::new(Self {
            engines,
            releases: Arc::default(),
            published: board,
            tracker,
            cancel,
            state: Mutex::new(state),
            clock_changed: Notify::new(),
        });
        match store {
            Some(store) if store.is_claimed() => actor.restore_from(store),
            Some(store) => {
                let (heir, stop) = (Arc::clone(&actor), actor.cancel.clone());
                actor.tracker.spawn(async move {
                    let reading = store.follow(|memory| heir.note_owner_state(memory));
                    let waiting = async {
                        tokio::select! {
                            () = store.claimed() => {}
                            () = reading => {}
                        }
                    };
                    if stop.run_until_cancelled(waiting).await.is_some() {
                        heir.restore_from(store);
                    }
                });
            }
            None => {}
        }
        actor
    }

    /// Restores what an earlier run left, and writes there what is to outlive this one.
    fn restore_from(self: &Arc<Self>, store: ResidentStore) {
        let memory = store.read();
        self.with_state(|this, state, now| {
            if let Some(kept) = &state.persist {
                this.tracker.spawn(store.write_updates(kept.subscribe()));
            }
            this.step(state, Input::Restore(memory), now);
        });
    }

    /// Takes the state of the Crucible that owns the state directory.
    fn note_owner_state(self: &Arc<Self>, memory: PersistedState) {
        self.with_state(|this, state, now| this.step(state, Input::OwnerState(memory), now));
    }

    /// The releases that permits report to.
    pub(crate) fn releases(&self) -> &Arc<Releases> {
        &self.releases
    }

    /// Asks for a permit, and answers at once if that is possible.
    pub(crate) fn request_permit(self: &Arc<Self>, mut request: PermitRequest) -> PermitAnswer {
        self.with_state(|this, state, now| {
            request.deadline = state.clock.running_std(request.deadline);
            request.commits_at = request.commits_at.map(|at| state.clock.running_std(at));
            let request = Arc::new(request);
            if state.persist.is_none() {
                return PermitAnswer::Now(Err(Refusal::Draining));
            }
            if !state.core.has_polled(&request.engine) {
                this.apply_polls(state, now);
            }
            let ticket = request.ticket;
            let waiter = PendingReply {
                request: Arc::clone(&request),
                asked_at: now,
                reply: None,
            };
            state.pending.insert(ticket, waiter);
            // What a panic left here would be another's.
            state.immediate_answer = None;
            this.step(state, Input::Arrive(request), now);
            if let Some(answer) = state.immediate_answer.take() {
                return PermitAnswer::Now(answer);
            }
            let (reply, answer) = oneshot::channel();
            if let Some(waiter) = state.pending.get_mut(&ticket) {
                waiter.reply = Some(reply);
            }
            PermitAnswer::Later(answer)
        })
    }

    /// The context that such a request would get, and the reason; `None` where the engine does not
    /// report it. Nothing is loaded or reserved.
    pub(crate) fn preview_context(
        self: &Arc<Self>,
        request: PermitRequest,
    ) -> Option<(u64, ContextReason)> {
        let request = Arc::new(request);
        self.with_state(|this, state, now| {
            this.apply_polls(state, now);
            state.core.preview_context(&request, now.into_std())
        })
    }

    /// Does the same as [`Self::preview_context`], and returns the refusal of a request that would
    /// get no context.
    pub(crate) fn try_context(
        self: &Arc<Self>,
        request: PermitRequest,
    ) -> Option<Result<(u64, ContextReason), Refusal>> {
        let request = Arc::new(request);
        self.with_state(|this, state, now| {
            this.apply_polls(state, now);
            state.core.try_context(&request, now.into_std())
        })
    }

    /// Takes the largest contexts of an earlier run from a state directory. The residents that it
    /// names stay that run's.
    pub(crate) fn recall_contexts(self: &Arc<Self>, folder: &Path) {
        let memory = PersistedState {
            owned: Vec::new(),
            ..ResidentStore::read_in(folder)
        };
        self.with_state(|this, state, now| this.step(state, Input::Restore(memory), now));
    }

    /// Takes the end of a load or of an unload.
    pub(super) fn operation_ended(self: &Arc<Self>, input: Input) {
        self.with_state(|this, state, now| {
            // After the end nothing new is begun.
            if state.persist.is_some() {
                this.step(state, input, now);
            }
        });
    }

    /// Publishes the exact view of this moment, and returns it.
    pub(crate) fn publish_now(self: &Arc<Self>) -> Arc<View> {
        self.with_state(|this, state, now| {
            this.apply_polls(state, now);
            this.publish(state, now)
        })
    }

    /// The tickets of the permits that are out on an engine at this moment.
    pub(crate) fn tickets_out(self: &Arc<Self>, engine: &str) -> Vec<u64> {
        self.with_state(|_, state, _| state.core.tickets_out(engine))
    }

    /// Begins the end of Crucible; `unload`: what it loaded is unloaded. The receiver is answered
    /// when that is done.
    pub(crate) fn drain(self: &Arc<Self>, unload: bool) -> oneshot::Receiver<()> {
        let (done, answer) = oneshot::channel();
        self.with_state(|this, state, now| {
            state.cancel_loads.cancel();
            state.drain_done.push(done);
            let graces = std::mem::take(&mut state.grace_ends);
            for Reverse((_, ticket)) in graces {
                this.step(state, Input::Released(ticket), now);
            }
            this.step(state, Input::Drain(unload), now);
        });
        answer
    }
}

// === impl ActorState ===

impl ActorState {
    /// Answers a request that waits, or the one whose first step runs.
    pub(super) fn send_answer(
        &mut self,
        to: Option<oneshot::Sender<PermitReply>>,
        answer: PermitReply,
    ) {
        match to {
            // A permit that nobody receives gives itself back when it is dropped here.
            Some(reply) => drop(reply.send(answer)),
            None => self.immediate_answer = Some(answer),
        }
    }
}

#[cfg(test)]
mod tests;
