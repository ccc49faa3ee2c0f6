//! The one owner of the [`Scheduler`]: asks it for permits, keeps its clocks, publishes the view.
//!
//! Whoever comes asks in place, under a lock that is never held across an await: a permit that is
//! free is given without waking anybody. One task is the clock. Nothing here blocks on an engine;
//! loads and unloads are tasks of their own that report back.

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
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, oneshot, watch},
    time::{Instant, sleep_until},
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
    machine::awake::Awake,
    permit::{Note, Permit, Releases},
    refusal::Refusal,
    view::View,
};

/// Between two published views.
const PUBLISH_GAP: Duration = Duration::from_millis(20);

/// Everything the desk needs of the engines; the fleet in production.
pub trait SchedulerEngines: Send + Sync + 'static {
    /// Facts of every engine as of the last poll.
    fn facts(&self) -> Vec<EngineFacts>;
    /// Changes when these do.
    fn changed(&self) -> watch::Receiver<u64>;
    /// The view without the scheduler's part.
    fn view(&self) -> View;
    /// Control side.
    fn control(&self, engine: &str) -> Option<Arc<dyn Engine>>;
    /// The engine's own token.
    fn token(&self, engine: &str) -> Option<Arc<str>>;
    /// Poll soon.
    fn poll_soon(&self, engine: &str);
    /// Something happened.
    fn emit(&self, event: &Event);
}

pub(crate) type PermitReply = Result<Permit, Refusal>;

/// What an arrival gets at once.
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart where it is given"
)]
pub(crate) enum PermitAnswer {
    /// The permit, or why there is none.
    Now(PermitReply),
    /// It waits; a sender that is dropped means that Crucible ends.
    Later(oneshot::Receiver<PermitReply>),
}

pub(crate) struct SchedulerActor {
    pub(super) engines: Arc<dyn SchedulerEngines>,
    pub(super) releases: Arc<Releases>,
    published: Arc<ArcSwap<View>>,
    pub(super) tracker: TaskTracker,
    pub(super) cancel: CancellationToken,
    state: Mutex<ActorState>,
    /// The clock is to look when it rings next.
    clock_changed: Notify,
}

/// Somebody who has no permit yet.
pub(super) struct PendingReply {
    pub(super) request: Arc<PermitRequest>,
    pub(super) asked_at: Instant,
    /// `None` while it is at the desk.
    pub(super) reply: Option<oneshot::Sender<PermitReply>>,
}

/// What the desk owns besides its connections.
pub(super) struct ActorState {
    pub(super) core: Scheduler,
    pub(super) pending: HashMap<u64, PendingReply>,
    /// Its clock, on which all moments here are told.
    clock: Awake,
    /// The answer to who is at the desk.
    pub(super) immediate_answer: Option<PermitReply>,
    /// Permits whose engine is not free yet.
    grace_ends: BinaryHeap<Reverse<(Instant, u64)>>,
    /// When the view is published next, if it is not current.
    publish_at: Option<Instant>,
    published_at: Instant,
    /// When the clock rings, as it was set last.
    clock_deadline: Option<Instant>,
    drain_done: Vec<oneshot::Sender<()>>,
    /// Ends loads early.
    pub(super) cancel_loads: CancellationToken,
    /// `None` once it is over.
    persist: Option<watch::Sender<PersistedState>>,
    /// Of the memory that was kept last.
    revision: u64,
    actions: Vec<Action>,
}

// === impl Desk ===

impl SchedulerActor {
    /// With what an earlier run left in `store`, as soon as that is ours; `None`: nothing outlives the
    /// run.
    pub(crate) fn new(
        engines: Arc<dyn SchedulerEngines>,
        board: Arc<ArcSwap<View>>,
        tracker: TaskTracker,
        cancel: CancellationToken,
        store: Option<ResidentStore>,
    ) -> Arc<Self> {
        let state = ActorState {
            core: Scheduler::default(),
            pending: HashMap::new(),
            clock: Awake::new(Instant::now()),
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

    /// Takes what an earlier run left, and keeps what is to outlive this one there.
    fn restore_from(self: &Arc<Self>, store: ResidentStore) {
        let memory = store.read();
        self.with_state(|this, state, now| {
            if let Some(kept) = &state.persist {
                this.tracker.spawn(store.write_updates(kept.subscribe()));
            }
            this.step(state, Input::Restore(memory), now);
        });
    }

    /// Takes what the owner of the folder loaded.
    fn note_owner_state(self: &Arc<Self>, memory: PersistedState) {
        self.with_state(|this, state, now| this.step(state, Input::OwnerState(memory), now));
    }

    /// What guards give back.
    pub(crate) fn releases(&self) -> &Arc<Releases> {
        &self.releases
    }

    /// Keeps the clocks until the end, which refuses all who still wait.
    pub(crate) async fn run_clock(self: Arc<Self>) {
        let mut fleet = self.engines.changed();
        self.publish_now();
        loop {
            let (rings, beat) = self.next_wakeups();
            tokio::select! {
                () = self.cancel.cancelled() => break,
                Ok(()) = fleet.changed() => self.with_state(Self::apply_polls),
                () = self.releases.arrived.notified() => self.with_state(|_, _, _| {}),
                () = self.clock_changed.notified() => {}
                () = sleep_until(rings.unwrap_or(beat)) => {
                    self.tick(&mut self.state.lock());
                }
                () = sleep_until(beat) => {
                    self.state.lock().clock.look(Instant::now());
                }
            }
        }
        let mut state = self.state.lock();
        state.persist = None;
        state.pending.clear();
    }

    /// Asks for a permit.
    pub(crate) fn request_permit(self: &Arc<Self>, mut request: PermitRequest) -> PermitAnswer {
        self.with_state(|this, state, now| {
            request.deadline = state.clock.of_std(request.deadline);
            request.commits_at = request.commits_at.map(|at| state.clock.of_std(at));
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

    /// The context that such a request would get.
    pub(crate) fn preview_context(
        self: &Arc<Self>,
        request: PermitRequest,
    ) -> (u64, ContextReason) {
        let request = Arc::new(request);
        self.with_state(|this, state, now| {
            this.apply_polls(state, now);
            state.core.preview_context(&request, now.into_std())
        })
    }

    /// The largest contexts of an earlier run; what it loaded stays its own.
    pub(crate) fn recall_contexts(self: &Arc<Self>, folder: &Path) {
        let memory = PersistedState {
            owned: Vec::new(),
            ..ResidentStore::read_in(folder)
        };
        self.with_state(|this, state, now| this.step(state, Input::Restore(memory), now));
    }

    /// Takes the end of a load or an unload.
    pub(super) fn operation_ended(self: &Arc<Self>, input: Input) {
        self.with_state(|this, state, now| {
            // After the end nothing new is begun.
            if state.persist.is_some() {
                this.step(state, input, now);
            }
        });
    }

    /// The exact view of this moment, which is published.
    pub(crate) fn publish_now(self: &Arc<Self>) -> Arc<View> {
        self.with_state(|this, state, now| {
            this.apply_polls(state, now);
            this.publish(state, now)
        })
    }

    /// Ends; `unload`: what Crucible loaded. Answers when that is done.
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

    /// Everything goes through here: first what guards gave back, then the visitor, then the clock
    /// is set for what follows from it. All of it at one moment.
    fn with_state<T>(
        self: &Arc<Self>,
        visitor: impl FnOnce(&Arc<Self>, &mut ActorState, Instant) -> T,
    ) -> T {
        let mut state = self.state.lock();
        let now = state.clock.look(Instant::now());
        self.take_releases(&mut state, now);
        let said = visitor(self, &mut state, now);
        // From here on guards wake the clock, if anybody waits for them. What came before that was
        // seen lies there now.
        self.releases
            .await_by(state.pending.len() + state.drain_done.len());
        self.take_releases(&mut state, now);
        let next = (state.published_at + PUBLISH_GAP).max(now);
        state.publish_at.get_or_insert(next);
        let earlier = state
            .next_deadline(now)
            .is_some_and(|at| state.clock_deadline.is_none_or(|rings| at < rings));
        drop(state);
        if earlier {
            self.clock_changed.notify_one();
        }
        said
    }

    /// When it rings and when it is looked at next, on the clock that goes on.
    fn next_wakeups(&self) -> (Option<Instant>, Instant) {
        let mut state = self.state.lock();
        let now = state.clock.look(Instant::now());
        state.clock_deadline = state.next_deadline(now);
        let rings = state.clock_deadline.map(|at| state.clock.meant(at));
        (rings, state.clock.next())
    }

    fn apply_polls(self: &Arc<Self>, state: &mut ActorState, now: Instant) {
        let mut facts = self.engines.facts();
        for cards in facts.iter_mut().filter_map(|f| f.gpu_memory.as_mut()) {
            cards.read_at = state.clock.of_std(cards.read_at);
        }
        self.step(state, Input::Fleet(facts), now);
    }

    /// Takes what guards gave back.
    fn take_releases(self: &Arc<Self>, state: &mut ActorState, now: Instant) {
        for note in self.releases.take() {
            match note {
                Note::Released {
                    ticket,
                    grace,
                    for_tools,
                } if grace.is_zero() => {
                    let input = if for_tools {
                        Input::ReleasedForTools(ticket)
                    } else {
                        Input::Released(ticket)
                    };
                    self.step(state, input, now);
                }
                Note::Released { ticket, grace, .. } => {
                    let due = now + grace;
                    state.grace_ends.push(Reverse((due, ticket)));
                }
                Note::Cancelled(ticket) => {
                    state.pending.remove(&ticket);
                    self.step(state, Input::Cancelled(ticket), now);
                }
            }
        }
    }

    fn tick(self: &Arc<Self>, state: &mut ActorState) {
        let now = state.clock.look(Instant::now());
        let publish = state.publish_at.is_some_and(|at| at <= now);
        if publish {
            // Before the notes are taken: one that comes later wakes the clock again.
            self.releases.forget();
        }
        self.take_releases(state, now);
        while let Some(Reverse((due, ticket))) = state.grace_ends.peek().copied()
            && due <= now
        {
            state.grace_ends.pop();
            self.step(state, Input::Released(ticket), now);
        }
        let due = state.core.next_deadline(now.into_std());
        if due.is_some_and(|at| at <= now.into_std()) {
            self.step(state, Input::Tick, now);
        }
        if publish {
            self.publish(state, now);
        } else {
            state.publish_at.get_or_insert(now);
        }
    }

    fn step(self: &Arc<Self>, state: &mut ActorState, input: Input, now: Instant) {
        let mut actions = std::mem::take(&mut state.actions);
        state.core.step(input, now.into_std(), &mut actions);
        for action in actions.drain(..) {
            self.perform(state, action, now);
        }
        state.actions = actions;
        if state.revision != state.core.revision() {
            state.revision = state.core.revision();
            if let Some(kept) = &state.persist {
                // Without a file, nobody listens.
                kept.send_replace(state.core.persisted_state());
            }
        }
        if !state.drain_done.is_empty() && state.core.drained() {
            for done in state.drain_done.drain(..) {
                // Who waited for it may have given up.
                let _ = done.send(());
            }
        }
    }

    fn publish(&self, state: &mut ActorState, now: Instant) -> Arc<View> {
        let mut view = self.engines.view();
        for engine in &mut view.engines {
            state.core.describe_engine(engine, now.into_std());
        }
        view.queue = state.core.queue_view(now.into_std());
        view.draining = state.core.is_draining();
        let view = Arc::new(view);
        self.published.store(Arc::clone(&view));
        state.publish_at = None;
        state.published_at = now;
        view
    }
}

// === impl Open ===

impl ActorState {
    /// To who is at the desk, or has left it to wait.
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

    /// When there is something to do without a message.
    fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let grace = self.grace_ends.peek().map(|Reverse((at, _))| *at);
        let deadline = self.core.next_deadline(now.into_std());
        let deadline = deadline.map(Instant::from_std);
        [grace, deadline, self.publish_at]
            .into_iter()
            .flatten()
            .min()
    }
}

#[cfg(test)]
mod tests;
