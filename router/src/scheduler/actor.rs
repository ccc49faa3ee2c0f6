//! The one task that owns the [`Scheduler`]: takes messages, keeps its clocks, publishes the view.
//!
//! It never blocks on an engine; loads and unloads are tasks of their own that report back.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    memory::Memory,
    state::Scheduler,
    store::Store,
    types::{Arrival, Facts, Input},
};
use crate::{
    engine::Engine,
    event::Event,
    permit::{Note, Permit, Releases},
    refusal::Refusal,
    view::View,
};

/// Between two published views.
const PUBLISH_GAP: Duration = Duration::from_millis(20);

/// Everything the actor needs of the engines; the fleet in production.
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

pub(crate) enum Mail {
    Arrive(Arrival, oneshot::Sender<Reply>),
    /// Gives the exact view of this moment, and publishes it.
    View(oneshot::Sender<Arc<View>>),
    /// Ends; true: unloads what Crucible loaded. Answers when that is done.
    Drain(bool, oneshot::Sender<()>),
    Done(Input),
}

pub(crate) struct Actor {
    pub(crate) engines: Arc<dyn Engines>,
    pub(crate) mail: mpsc::Receiver<Mail>,
    pub(crate) back: mpsc::Sender<Mail>,
    pub(crate) releases: Arc<Releases>,
    pub(crate) board: Arc<ArcSwap<View>>,
    pub(crate) tracker: TaskTracker,
    pub(crate) cancel: CancellationToken,
    /// What outlives the run; `None`: nothing does.
    pub(crate) store: Option<Store>,
}

/// What the actor owns besides its connections.
pub(super) struct Open {
    pub(super) core: Scheduler,
    pub(super) replies: HashMap<u64, (Arrival, Instant, oneshot::Sender<Reply>)>,
    /// Permits whose engine is not free yet.
    graces: BinaryHeap<Reverse<(Instant, u64)>>,
    /// When the view is published next, if it is not current.
    publish: Option<Instant>,
    published: Instant,
    drained: Vec<oneshot::Sender<()>>,
    /// Ends loads early.
    pub(super) loads: CancellationToken,
    kept: watch::Sender<Memory>,
    /// Of the memory that was kept last.
    revision: u64,
}

// === impl Actor ===

impl Actor {
    pub(crate) async fn run(mut self) {
        let mut open = Open {
            core: Scheduler::default(),
            replies: HashMap::new(),
            graces: BinaryHeap::new(),
            publish: None,
            published: Instant::now(),
            drained: Vec::new(),
            loads: self.cancel.child_token(),
            kept: watch::Sender::default(),
            revision: 0,
        };
        if let Some(store) = self.store.take() {
            let memory = store.read().await;
            self.tracker.spawn(store.keep(open.kept.subscribe()));
            self.step(&mut open, Input::Adopt(memory));
        }
        let mut fleet = self.engines.changed();
        let releases = Arc::clone(&self.releases);
        self.observe(&mut open);
        self.publish(&mut open);
        loop {
            let wake = open.wake();
            let never = Instant::now() + Duration::from_hours(24);
            tokio::select! {
                () = self.cancel.cancelled() => return,
                Ok(()) = fleet.changed() => self.observe(&mut open),
                () = releases.arrived.notified() => self.settle(&mut open),
                Some(mail) = self.mail.recv() => self.open(&mut open, mail),
                () = sleep_until(wake.unwrap_or(never)), if wake.is_some() => {
                    self.tick(&mut open);
                    continue;
                }
            }
            let next = (open.published + PUBLISH_GAP).max(Instant::now());
            open.publish.get_or_insert(next);
        }
    }

    fn open(&self, open: &mut Open, mail: Mail) {
        match mail {
            // Who left while the mailbox was full comes too late for the note of it.
            Mail::Arrive(_, reply) if reply.is_closed() => {}
            Mail::Arrive(arrival, reply) => {
                if !open.core.knows(&arrival.engine) {
                    self.observe(open);
                }
                let entry = (arrival.clone(), Instant::now(), reply);
                open.replies.insert(arrival.ticket, entry);
                self.step(open, Input::Arrive(arrival));
            }
            Mail::Done(input) => self.step(open, input),
            Mail::View(reply) => {
                self.settle(open);
                self.observe(open);
                // A caller that left asked for nothing.
                let _ = reply.send(self.publish(open));
            }
            Mail::Drain(unload, done) => {
                open.loads.cancel();
                open.drained.push(done);
                let graces = std::mem::take(&mut open.graces);
                for Reverse((_, ticket)) in graces {
                    self.step(open, Input::Released(ticket));
                }
                self.step(open, Input::Drain(unload));
            }
        }
    }

    fn observe(&self, open: &mut Open) {
        self.step(open, Input::Fleet(self.engines.facts()));
    }

    /// Takes what guards gave back.
    fn settle(&self, open: &mut Open) {
        for note in self.releases.take() {
            match note {
                Note::Released { ticket, grace } if grace.is_zero() => {
                    self.step(open, Input::Released(ticket));
                }
                Note::Released { ticket, grace } => {
                    let due = Instant::now() + grace;
                    open.graces.push(Reverse((due, ticket)));
                }
                Note::Cancelled(ticket) => {
                    open.replies.remove(&ticket);
                    self.step(open, Input::Cancelled(ticket));
                }
            }
        }
    }

    fn tick(&self, open: &mut Open) {
        let now = Instant::now();
        while let Some(Reverse((due, ticket))) = open.graces.peek().copied()
            && due <= now
        {
            open.graces.pop();
            self.step(open, Input::Released(ticket));
        }
        let due = open.core.next_deadline(now.into_std());
        if due.is_some_and(|at| at <= now.into_std()) {
            self.step(open, Input::Tick);
        }
        if open.publish.is_some_and(|at| at <= now) {
            self.publish(open);
        } else {
            open.publish.get_or_insert(now);
        }
    }

    fn step(&self, open: &mut Open, input: Input) {
        let mut actions = Vec::new();
        let now = Instant::now().into_std();
        open.core.step(input, now, &mut actions);
        for action in actions {
            self.perform(open, action);
        }
        if open.revision != open.core.revision() {
            open.revision = open.core.revision();
            // Without a file, nobody listens.
            open.kept.send_replace(open.core.memory());
        }
        if !open.drained.is_empty() && open.core.drained() {
            for done in open.drained.drain(..) {
                // Who waited for it may have given up.
                let _ = done.send(());
            }
        }
    }

    fn publish(&self, open: &mut Open) -> Arc<View> {
        let now = Instant::now();
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
    /// When there is something to do without a message.
    fn wake(&self) -> Option<Instant> {
        let grace = self.graces.peek().map(|Reverse((at, _))| *at);
        let now = Instant::now().into_std();
        let deadline = self.core.next_deadline(now).map(Instant::from_std);
        [grace, deadline, self.publish].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests;
