//! A model is held for a moment after an answer that ended in tool calls: its agent comes back as
//! soon as the tools are done, and would else find that it went for whoever waits.
//!
//! Only who waits is kept waiting by it, and only as long as the agent may still overtake him. So what
//! is held longest is what a bound on overtaking allows anyway.

use std::time::Instant;

use crucible_config::checked::Class;

use super::{
    model_queue::ModelQueue,
    state::{ActivePermit, EngineState, Resident, Scheduler, deadline_after},
    wait_estimate::UNMEASURED_LOAD,
};
use crate::{client::ClientId, scheduler::messages::PermitRequest};

/// An agent whose next turn is expected on a resident.
pub(super) struct AgentLinger {
    client: ClientId,
    /// Of the conversation, where the client tells.
    session: Option<u64>,
    class: Class,
    started: Instant,
}

// === impl Hold ===

impl AgentLinger {
    /// The agent is back: with a session, wherever it asks now; without one several agents of a client
    /// look alike, and only who asks for the same model is taken for it.
    fn is_over(&self, held: bool, request: &PermitRequest) -> bool {
        let same = match self.session {
            Some(_) => self.session == request.session,
            None => held,
        };
        same && self.client == request.client
    }
}

// === impl EngineState ===

impl EngineState {
    /// Expects the next turn of whoever gave that permit back.
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
    /// Whom a model was held for comes.
    pub(super) fn end_lingers(&mut self, request: &PermitRequest) {
        for state in &mut self.engines {
            let engine = state.facts.name == request.engine;
            for resident in &mut state.residents {
                let held = engine && resident.info.model == request.model;
                resident.lingers.retain(|hold| !hold.is_over(held, request));
            }
        }
    }

    /// Until when a resident of `state` is not unloaded for that line of `of`.
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

    /// Whether a resident of `state` stays for now, although that line of `of` waits for it to go.
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

    /// When what is held may next go for somebody who waits, after `seen`.
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
