//! The clock of the actor, and the one way in which anything happens to its state:
//! [`SchedulerActor::with_state`].

use std::{cmp::Reverse, sync::Arc};

use tokio::time::{Instant, sleep_until};

use super::{ActorState, PUBLISH_GAP, SchedulerActor};
use crate::{permit::PermitNote, scheduler::messages::Input, view::View};

// === impl SchedulerActor ===

impl SchedulerActor {
    /// Runs the clock until the end of Crucible, and then refuses everybody who still waits.
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

    /// Takes the lock, applies what guards gave back, calls the visitor, and sets the clock for
    /// what follows. All of it happens at one moment.
    pub(super) fn with_state<T>(
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

    /// The next deadline, and the time of the next look at the clock for a pause (the machine
    /// slept, the process was stopped), both on the clock that goes on.
    pub(super) fn next_wakeups(&self) -> (Option<Instant>, Instant) {
        let mut state = self.state.lock();
        let now = state.clock.look(Instant::now());
        state.clock_deadline = state.next_deadline(now);
        let rings = state
            .clock_deadline
            .map(|at| state.clock.on_system_clock(at));
        (rings, state.clock.next())
    }

    /// Takes the facts of the last polls.
    pub(super) fn apply_polls(self: &Arc<Self>, state: &mut ActorState, now: Instant) {
        let mut facts = self.engines.facts();
        for cards in facts.iter_mut().filter_map(|f| f.gpu_memory.as_mut()) {
            cards.read_at = state.clock.running_std(cards.read_at);
        }
        self.step(state, Input::Fleet(facts), now);
    }

    /// Takes the permits that came back and the clients that left.
    pub(super) fn take_releases(self: &Arc<Self>, state: &mut ActorState, now: Instant) {
        for note in self.releases.take() {
            match note {
                PermitNote::Released {
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
                PermitNote::Released { ticket, grace, .. } => {
                    let due = now + grace;
                    state.grace_ends.push(Reverse((due, ticket)));
                }
                PermitNote::Cancelled(ticket) => {
                    state.pending.remove(&ticket);
                    self.step(state, Input::Cancelled(ticket), now);
                }
            }
        }
    }

    /// Does what is due.
    pub(super) fn tick(self: &Arc<Self>, state: &mut ActorState) {
        let now = state.clock.look(Instant::now());
        let publish = state.publish_at.is_some_and(|at| at <= now);
        if publish {
            // Before the notes are taken: one that comes later wakes the clock again.
            self.releases.arm();
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

    /// Takes one step of the state machine, and carries out its actions.
    pub(super) fn step(self: &Arc<Self>, state: &mut ActorState, input: Input, now: Instant) {
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

    /// Publishes the view of this moment.
    pub(super) fn publish(&self, state: &mut ActorState, now: Instant) -> Arc<View> {
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

// === impl ActorState ===

impl ActorState {
    /// The time at which there is something to do although nothing happens.
    pub(super) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let grace = self.grace_ends.peek().map(|Reverse((at, _))| *at);
        let deadline = self.core.next_deadline(now.into_std());
        let deadline = deadline.map(Instant::from_std);
        [grace, deadline, self.publish_at]
            .into_iter()
            .flatten()
            .min()
    }
}
