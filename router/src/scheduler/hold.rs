//! A model is held for a moment after an answer that ended in tool calls: its agent comes back as
//! soon as the tools are done, and would else find that it went for whoever waits.
//!
//! Only who waits is kept waiting by it, and only as long as the agent may still overtake him. So what
//! is held longest is what a bound on overtaking allows anyway.

use std::time::Instant;

use crucible_config::checked::Class;

use super::{
    estimate::UNMEASURED_LOAD,
    line::Line,
    state::{Active, EngineState, Resident, Scheduler, after},
    types::Arrival,
};
use crate::client::ClientId;

/// An agent whose next turn is expected on a resident.
pub(super) struct Hold {
    client: ClientId,
    /// Of the conversation, where the client tells.
    session: Option<u64>,
    class: Class,
    since: Instant,
}

// === impl Hold ===

impl Hold {
    /// The agent is back: with a session, wherever it asks now; without one several agents of a client
    /// look alike, and only who asks for the same model is taken for it.
    fn is_over(&self, held: bool, arrival: &Arrival) -> bool {
        let same = match self.session {
            Some(_) => self.session == arrival.session,
            None => held,
        };
        same && self.client == arrival.client
    }
}

// === impl EngineState ===

impl EngineState {
    /// Expects the next turn of whoever gave that permit back.
    pub(super) fn expect_back(&mut self, active: Active, now: Instant) {
        let linger = self.facts.linger;
        let mut residents = self.residents.iter_mut();
        let held = residents.find(|r| r.info.instance == active.instance);
        let Some(resident) = held.filter(|_| !linger.is_zero()) else {
            return;
        };
        let Active {
            client,
            session,
            class,
            ..
        } = active;
        resident.holds.retain(|h| {
            let again = h.client == client && h.session == session;
            !again && after(h.since, linger).is_none_or(|end| now < end)
        });
        resident.holds.push(Hold {
            client,
            session,
            class,
            since: now,
        });
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// Whom a model was held for comes.
    pub(super) fn comes_back(&mut self, arrival: &Arrival) {
        for state in &mut self.engines {
            let engine = state.facts.name == arrival.engine;
            for resident in &mut state.residents {
                let held = engine && resident.info.model == arrival.model;
                resident.holds.retain(|hold| !hold.is_over(held, arrival));
            }
        }
    }

    /// Until when a resident of `state` is not unloaded for that line of `of`.
    fn held_until(
        &self,
        of: &EngineState,
        line: &Line,
        state: &EngineState,
        resident: &Resident,
    ) -> Option<Instant> {
        if resident.holds.is_empty() {
            return None;
        }
        let load = self.load_time(&of.facts.name, &line.model);
        let longest = state.facts.linger.min(load.unwrap_or(UNMEASURED_LOAD) / 2);
        let ends = |hold: &Hold| {
            let pressed = line.interactive() && hold.class == Class::Background;
            let bounds = self.overtaking(of, line, pressed);
            // Who may not overtake it when it comes is not waited for.
            let end = after(hold.since, longest).filter(|_| !pressed && !bounds.used_up)?;
            Some(bounds.ends.map_or(end, |bound| end.min(bound)))
        };
        resident.holds.iter().filter_map(ends).max()
    }

    /// Whether a resident of `state` stays for now, although that line of `of` waits for it to go.
    pub(super) fn is_held(
        &self,
        of: &EngineState,
        line: &Line,
        state: &EngineState,
        resident: &Resident,
        now: Instant,
    ) -> bool {
        let until = self.held_until(of, line, state, resident);
        until.is_some_and(|until| now < until)
    }

    /// When what is held may next go for somebody who waits, after `seen`.
    pub(super) fn next_hold_end(&self, seen: Instant) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        for state in &self.engines {
            for resident in state.residents.iter().filter(|r| !r.holds.is_empty()) {
                for of in &self.engines {
                    for line in of.lines.iter().filter(|line| line.wants) {
                        let end = self.held_until(of, line, state, resident);
                        let end = end.filter(|end| *end > seen);
                        next = [next, end].into_iter().flatten().min();
                    }
                }
            }
        }
        next
    }
}
