//! The step of the state machine: one input and the time in, actions out.

use std::time::Instant;

use super::{pool_operation::PoolOperation, state::Scheduler};
use crate::scheduler::messages::{Action, Input};

// === impl Scheduler ===

impl Scheduler {
    /// Takes one input at the time `now`, and appends the actions that follow from it, in the order
    /// in which they are to be carried out.
    ///
    /// First the input changes the state. Then operations beyond their timeout fail, requests
    /// beyond their deadline are refused, free permits are granted, the limit of the queue is
    /// enforced, and last loads and unloads start. While Crucible drains, only unloads start.
    pub fn step(&mut self, input: Input, now: Instant, actions: &mut Vec<Action>) {
        let mut newcomer = None;
        let comes_or_goes = matches!(
            input,
            Input::Loaded(..) | Input::FoundLoaded(..) | Input::Fleet(_)
        );
        match input {
            Input::Arrive(request) => newcomer = self.enqueue(request, now, actions),
            Input::Cancelled(ticket) => drop(self.remove_waiter(ticket)),
            Input::Released(ticket) => self.release_permit(ticket, false, now, actions),
            Input::ReleasedForTools(ticket) => self.release_permit(ticket, true, now, actions),
            Input::Loaded(engine, info) => self.load_ended(&engine, info, true, now, actions),
            Input::FoundLoaded(engine, info) => self.load_ended(&engine, info, false, now, actions),
            Input::LoadFailed(engine, failure) => self.load_failed(&engine, &failure, now, actions),
            Input::Unloaded(engine, gone) => self.unload_ended(&engine, gone, now, actions),
            Input::Fleet(fleet) => self.apply_fleet(fleet, now, actions),
            Input::Restore(memory) => self.restore(memory),
            Input::OwnerState(memory) => self.owner_residents = memory.owned,
            Input::Drain(unload) => self.start_drain(unload, actions),
            Input::Tick => {}
        }
        if comes_or_goes {
            self.record_peak_bytes();
        }
        self.expire_operations(now, actions);
        if self.draining.is_some() {
            self.start_exit_unloads(now, actions);
        } else {
            self.refuse_expired(now, actions);
            self.grant_permits(now, actions);
            if let Some(ticket) = newcomer {
                self.enforce_queue_limit(ticket, now, actions);
            }
            self.start_operations(now, actions);
        }
        self.last_step = Some(now);
    }

    /// The time at which [`Input::Tick`] is due at the latest; `None` where nothing is due.
    pub fn next_deadline(&self, now: Instant) -> Option<Instant> {
        // What was due by the last step was looked at then.
        let seen = self.last_step.unwrap_or(now);
        let waits = self.deadlines.first().map(|(at, _)| *at);
        let ends = self
            .operations
            .values()
            .filter_map(PoolOperation::times_out_at);
        let chores = self.maintenance_deadlines().filter(|at| *at > seen);
        let retries = self
            .engines
            .iter()
            .filter(|e| !e.queues.is_empty() || self.draining.is_some())
            .flat_map(|e| &e.residents)
            .filter_map(|r| r.unload_backoff.not_before)
            .filter(|at| *at > seen);
        waits
            .into_iter()
            .chain(ends)
            .chain(chores)
            .chain(self.next_linger_end(seen))
            .chain(retries)
            .min()
    }

    /// Whether nothing is left to do before the end of Crucible.
    pub fn drained(&self) -> bool {
        self.draining.is_some() && self.operations.is_empty() && !self.has_exit_unloads()
    }
}
