//! The one owner of the [`Scheduler`]: asks it for permits, keeps its clocks, publishes the view.
//!
//! Whoever comes asks in place, under a lock that is never held across an await: a permit that is
//! free is given without waking anybody. One task is the clock. Nothing here blocks on an engine;
//! loads and unloads are tasks of their own that report back.

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

use super::{
    given::Because,
    memory::Memory,
    state::Scheduler,
    store::Store,
    types::{Action, Arrival, Facts, Input},
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
pub trait Engines: Send + Sync + 'static {
    /// Facts of every engine as of the last poll.
    fn facts(&self) -> Vec<Facts>;
    /// Changes when these do.
    fn changed(&self) -> watch::Receiver<u64>;
    /// The view without the scheduler's part.
    fn view(&self) -> View;
    /// Control side.
    fn control(&self, engine: &str) -> Option<Arc<dyn Engine>>;
    /// The engine's own token.
    fn token(&self, engine: &str) -> Option<Arc<str>>;
    /// Poll soon.
    fn poke(&self, engine: &str);
    /// Something happened.
    fn tell(&self, event: &Event);
}

pub(crate) type Reply = Result<Permit, Refusal>;

/// What an arrival gets at once.
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart where it is given"
)]
pub(crate) enum Answer {
    /// The permit, or why there is none.
    Now(Reply),
    /// It waits; a sender that is dropped means that Crucible ends.
    Later(oneshot::Receiver<Reply>),
}

pub(crate) struct Desk {
    pub(super) engines: Arc<dyn Engines>,
    pub(super) releases: Arc<Releases>,
    board: Arc<ArcSwap<View>>,
    pub(super) tracker: TaskTracker,
    pub(super) cancel: CancellationToken,
    open: Mutex<Open>,
    /// The clock is to look when it rings next.
    set: Notify,
}

/// Somebody who has no permit yet.
pub(super) struct Waiter {
    pub(super) arrival: Arc<Arrival>,
    pub(super) since: Instant,
    /// `None` while it is at the desk.
    pub(super) reply: Option<oneshot::Sender<Reply>>,
}

/// What the desk owns besides its connections.
pub(super) struct Open {
    pub(super) core: Scheduler,
    pub(super) waiters: HashMap<u64, Waiter>,
    /// Its clock, on which all moments here are told.
    awake: Awake,
    /// The answer to who is at the desk.
    pub(super) answer: Option<Reply>,
    /// Permits whose engine is not free yet.
    graces: BinaryHeap<Reverse<(Instant, u64)>>,
    /// When the view is published next, if it is not current.
    publish: Option<Instant>,
    published: Instant,
    /// When the clock rings, as it was set last.
    rings: Option<Instant>,
    drained: Vec<oneshot::Sender<()>>,
    /// Ends loads early.
    pub(super) loads: CancellationToken,
    /// `None` once it is over.
    kept: Option<watch::Sender<Memory>>,
    /// Of the memory that was kept last.
    revision: u64,
    actions: Vec<Action>,
}

// === impl Desk ===

impl Desk {
    /// With what an earlier run left in `store`, as soon as that is ours; `None`: nothing outlives the
    /// run.
    pub(crate) fn new(
        engines: Arc<dyn Engines>,
        board: Arc<ArcSwap<View>>,
        tracker: TaskTracker,
        cancel: CancellationToken,
        store: Option<Store>,
    ) -> Arc<Self> {
        let open = Open {
            core: Scheduler::default(),
            waiters: HashMap::new(),
            awake: Awake::new(Instant::now()),
            answer: None,
            graces: BinaryHeap::new(),
            publish: None,
            published: Instant::now(),
            rings: None,
            drained: Vec::new(),
            loads: cancel.child_token(),
            kept: Some(watch::Sender::default()),
            revision: 0,
            actions: Vec::new(),
        };
        let desk = Arc::new(Self {
            engines,
            releases: Arc::default(),
            board,
            tracker,
            cancel,
            open: Mutex::new(open),
            set: Notify::new(),
        });
        match store {
            Some(store) if store.is_ours() => desk.inherit(store),
            Some(store) => {
                let (heir, stop) = (Arc::clone(&desk), desk.cancel.clone());
                desk.tracker.spawn(async move {
                    let reading = store.follow(|memory| heir.learn_of(memory));
                    let waiting = async {
                        tokio::select! {
                            () = store.owned() => {}
                            () = reading => {}
                        }
                    };
                    if stop.run_until_cancelled(waiting).await.is_some() {
                        heir.inherit(store);
                    }
                });
            }
            None => {}
        }
        desk
    }

    /// Takes what an earlier run left, and keeps what is to outlive this one there.
    fn inherit(self: &Arc<Self>, store: Store) {
        let memory = store.read();
        self.visit(|this, open, now| {
            if let Some(kept) = &open.kept {
                this.tracker.spawn(store.keep(kept.subscribe()));
            }
            this.step(open, Input::Adopt(memory), now);
        });
    }

    /// Takes what the owner of the folder loaded.
    fn learn_of(self: &Arc<Self>, memory: Memory) {
        self.visit(|this, open, now| this.step(open, Input::Others(memory), now));
    }

    /// What guards give back.
    pub(crate) fn releases(&self) -> &Arc<Releases> {
        &self.releases
    }

    /// Keeps the clocks until the end, which refuses all who still wait.
    pub(crate) async fn keep_time(self: Arc<Self>) {
        let mut fleet = self.engines.changed();
        self.view();
        loop {
            let (rings, beat) = self.set_clock();
            tokio::select! {
                () = self.cancel.cancelled() => break,
                Ok(()) = fleet.changed() => self.visit(Self::observe),
                () = self.releases.arrived.notified() => self.visit(|_, _, _| {}),
                () = self.set.notified() => {}
                () = sleep_until(rings.unwrap_or(beat)) => {
                    self.tick(&mut self.open.lock());
                }
                () = sleep_until(beat) => {
                    self.open.lock().awake.look(Instant::now());
                }
            }
        }
        let mut open = self.open.lock();
        open.kept = None;
        open.waiters.clear();
    }

    /// Asks for a permit.
    pub(crate) fn arrive(self: &Arc<Self>, mut arrival: Arrival) -> Answer {
        self.visit(|this, open, now| {
            arrival.deadline = open.awake.of_std(arrival.deadline);
            arrival.commits = arrival.commits.map(|at| open.awake.of_std(at));
            let arrival = Arc::new(arrival);
            if open.kept.is_none() {
                return Answer::Now(Err(Refusal::Draining));
            }
            if !open.core.knows(&arrival.engine) {
                this.observe(open, now);
            }
            let ticket = arrival.ticket;
            let waiter = Waiter {
                arrival: Arc::clone(&arrival),
                since: now,
                reply: None,
            };
            open.waiters.insert(ticket, waiter);
            // What a panic left here would be another's.
            open.answer = None;
            this.step(open, Input::Arrive(arrival), now);
            if let Some(answer) = open.answer.take() {
                return Answer::Now(answer);
            }
            let (reply, answer) = oneshot::channel();
            if let Some(waiter) = open.waiters.get_mut(&ticket) {
                waiter.reply = Some(reply);
            }
            Answer::Later(answer)
        })
    }

    /// The context that such a request would get.
    pub(crate) fn context_given(self: &Arc<Self>, arrival: Arrival) -> (u64, Because) {
        let arrival = Arc::new(arrival);
        self.visit(|this, open, now| {
            this.observe(open, now);
            open.core.context_given(&arrival, now.into_std())
        })
    }

    /// The largest contexts of an earlier run; what it loaded stays its own.
    pub(crate) fn recall_contexts(self: &Arc<Self>, folder: &Path) {
        let memory = Memory {
            owned: Vec::new(),
            ..Store::read_in(folder)
        };
        self.visit(|this, open, now| this.step(open, Input::Adopt(memory), now));
    }

    /// Takes the end of a load or an unload.
    pub(super) fn done(self: &Arc<Self>, input: Input) {
        self.visit(|this, open, now| {
            // After the end nothing new is begun.
            if open.kept.is_some() {
                this.step(open, input, now);
            }
        });
    }

    /// The exact view of this moment, which is published.
    pub(crate) fn view(self: &Arc<Self>) -> Arc<View> {
        self.visit(|this, open, now| {
            this.observe(open, now);
            this.publish(open, now)
        })
    }

    /// Ends; `unload`: what Crucible loaded. Answers when that is done.
    pub(crate) fn drain(self: &Arc<Self>, unload: bool) -> oneshot::Receiver<()> {
        let (done, answer) = oneshot::channel();
        self.visit(|this, open, now| {
            open.loads.cancel();
            open.drained.push(done);
            let graces = std::mem::take(&mut open.graces);
            for Reverse((_, ticket)) in graces {
                this.step(open, Input::Released(ticket), now);
            }
            this.step(open, Input::Drain(unload), now);
        });
        answer
    }

    /// Everything goes through here: first what guards gave back, then the visitor, then the clock
    /// is set for what follows from it. All of it at one moment.
    fn visit<T>(self: &Arc<Self>, visitor: impl FnOnce(&Arc<Self>, &mut Open, Instant) -> T) -> T {
        let mut open = self.open.lock();
        let now = open.awake.look(Instant::now());
        self.settle(&mut open, now);
        let said = visitor(self, &mut open, now);
        // From here on guards wake the clock, if anybody waits for them. What came before that was
        // seen lies there now.
        self.releases
            .await_by(open.waiters.len() + open.drained.len());
        self.settle(&mut open, now);
        let next = (open.published + PUBLISH_GAP).max(now);
        open.publish.get_or_insert(next);
        let earlier = open
            .wake(now)
            .is_some_and(|at| open.rings.is_none_or(|rings| at < rings));
        drop(open);
        if earlier {
            self.set.notify_one();
        }
        said
    }

    /// When it rings and when it is looked at next, on the clock that goes on.
    fn set_clock(&self) -> (Option<Instant>, Instant) {
        let mut open = self.open.lock();
        let now = open.awake.look(Instant::now());
        open.rings = open.wake(now);
        let rings = open.rings.map(|at| open.awake.meant(at));
        (rings, open.awake.next())
    }

    fn observe(self: &Arc<Self>, open: &mut Open, now: Instant) {
        let mut facts = self.engines.facts();
        for cards in facts.iter_mut().filter_map(|f| f.cards.as_mut()) {
            cards.at = open.awake.of_std(cards.at);
        }
        self.step(open, Input::Fleet(facts), now);
    }

    /// Takes what guards gave back.
    fn settle(self: &Arc<Self>, open: &mut Open, now: Instant) {
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
                    self.step(open, input, now);
                }
                Note::Released { ticket, grace, .. } => {
                    let due = now + grace;
                    open.graces.push(Reverse((due, ticket)));
                }
                Note::Cancelled(ticket) => {
                    open.waiters.remove(&ticket);
                    self.step(open, Input::Cancelled(ticket), now);
                }
            }
        }
    }

    fn tick(self: &Arc<Self>, open: &mut Open) {
        let now = open.awake.look(Instant::now());
        let publish = open.publish.is_some_and(|at| at <= now);
        if publish {
            // Before the notes are taken: one that comes later wakes the clock again.
            self.releases.forget();
        }
        self.settle(open, now);
        while let Some(Reverse((due, ticket))) = open.graces.peek().copied()
            && due <= now
        {
            open.graces.pop();
            self.step(open, Input::Released(ticket), now);
        }
        let due = open.core.next_deadline(now.into_std());
        if due.is_some_and(|at| at <= now.into_std()) {
            self.step(open, Input::Tick, now);
        }
        if publish {
            self.publish(open, now);
        } else {
            open.publish.get_or_insert(now);
        }
    }

    fn step(self: &Arc<Self>, open: &mut Open, input: Input, now: Instant) {
        let mut actions = std::mem::take(&mut open.actions);
        open.core.step(input, now.into_std(), &mut actions);
        for action in actions.drain(..) {
            self.perform(open, action, now);
        }
        open.actions = actions;
        if open.revision != open.core.revision() {
            open.revision = open.core.revision();
            if let Some(kept) = &open.kept {
                // Without a file, nobody listens.
                kept.send_replace(open.core.memory());
            }
        }
        if !open.drained.is_empty() && open.core.drained() {
            for done in open.drained.drain(..) {
                // Who waited for it may have given up.
                let _ = done.send(());
            }
        }
    }

    fn publish(&self, open: &mut Open, now: Instant) -> Arc<View> {
        let mut view = self.engines.view();
        for engine in &mut view.engines {
            open.core.describe(engine, now.into_std());
        }
        view.queue = open.core.waiting(now.into_std());
        view.draining = open.core.draining.is_some();
        let view = Arc::new(view);
        self.board.store(Arc::clone(&view));
        open.publish = None;
        open.published = now;
        view
    }
}

// === impl Open ===

impl Open {
    /// To who is at the desk, or has left it to wait.
    pub(super) fn answer(&mut self, to: Option<oneshot::Sender<Reply>>, answer: Reply) {
        match to {
            // A permit that nobody receives gives itself back when it is dropped here.
            Some(reply) => drop(reply.send(answer)),
            None => self.answer = Some(answer),
        }
    }

    /// When there is something to do without a message.
    fn wake(&self, now: Instant) -> Option<Instant> {
        let grace = self.graces.peek().map(|Reverse((at, _))| *at);
        let deadline = self.core.next_deadline(now.into_std());
        let deadline = deadline.map(Instant::from_std);
        [grace, deadline, self.publish].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests;
