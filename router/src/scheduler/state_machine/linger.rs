//! Lingering: a model is kept for a moment after an answer that ended in tool calls.
//!
//! Its agent comes back as soon as the tools are done, and would else find the model gone for
//! whoever waits. Only those who wait are kept waiting, and only for as long as the agent may still
//! overtake them; so a model lingers no longer than the bounds on overtaking allow anyway.

use std::time::Instant;

use crucible_config::checked::Class;

use super::{
    engine_state::EngineState,
    model_key::deadline_after,
    model_queue::ModelQueue,
    resident::{AgentLinger, Resident},
    state::{ActivePermit, Scheduler},
    wait_estimate::UNMEASURED_LOAD,
};
use crate::scheduler::messages::PermitRequest;

// === impl EngineState ===

impl EngineState {
    /// Expects the next turn of the agent that gave this permit back.
    pub(super) fn start_linger(&mut self, active: ActivePermit, now: Instant) {
        let linger = self.facts.linger;
        let mut residents = self.residents.iter_mut();
        let held = residents.find(|r| r.info.instance == active.instance);
        let Some(resident) = held.filter(|_| !linger.is_zero()) else {
            return;
        };
        let ActivePermit {
            client,
            session,
            class,
            ..
        } = active;
        resident.lingers.retain(|h| {
            let again = h.client == client && h.session == session;
            !again && deadline_after(h.started, linger).is_none_or(|end| now < end)
        });
        resident.lingers.push(AgentLinger {
            client,
            session,
            class,
            started: now,
        });
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// Ends the lingering for an agent that asks again.
    pub(super) fn end_lingers(&mut self, request: &PermitRequest) {
        for state in &mut self.engines {
            let engine = state.facts.name == request.engine;
            for resident in &mut state.residents {
                let held = engine && resident.info.model == request.model;
                resident.lingers.retain(|hold| !hold.is_over(held, request));
            }
        }
    }

    /// The time until which a resident of `state` is not unloaded for a queue of the engine `of`;
    /// `None` where it does not linger for it.
    fn lingers_until(
        &self,
        of: &EngineState,
        queue: &ModelQueue,
        state: &EngineState,
        resident: &Resident,
    ) -> Option<Instant> {
        if resident.lingers.is_empty() {
            return None;
        }
        let load = self.load_time(&of.facts.name, &queue.model);
        let longest = state.facts.linger.min(load.unwrap_or(UNMEASURED_LOAD) / 2);
        let ends = |hold: &AgentLinger| {
            let pressed = queue.has_interactive() && hold.class == Class::Background;
            let bounds = self.overtaking_bounds(of, queue, pressed);
            // Who may not overtake it when it comes is not waited for.
            let end =
                deadline_after(hold.started, longest).filter(|_| !pressed && !bounds.used_up)?;
            Some(bounds.ends.map_or(end, |bound| end.min(bound)))
        };
        resident.lingers.iter().filter_map(ends).max()
    }

    /// Whether a resident of `state` stays for now, although a queue of the engine `of` waits for
    /// it to go.
    pub(super) fn is_lingering(
        &self,
        of: &EngineState,
        queue: &ModelQueue,
        state: &EngineState,
        resident: &Resident,
        now: Instant,
    ) -> bool {
        let until = self.lingers_until(of, queue, state, resident);
        until.is_some_and(|until| now < until)
    }

    /// The time after `seen` at which a lingering resident may next go for somebody who waits.
    pub(super) fn next_linger_end(&self, seen: Instant) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        for state in &self.engines {
            for resident in state.residents.iter().filter(|r| !r.lingers.is_empty()) {
                for of in &self.engines {
                    for queue in of.queues.iter().filter(|queue| queue.needs_load) {
                        let end = self.lingers_until(of, queue, state, resident);
                        let end = end.filter(|end| *end > seen);
                        next = [next, end].into_iter().flatten().min();
                    }
                }
            }
        }
        next
    }
}
