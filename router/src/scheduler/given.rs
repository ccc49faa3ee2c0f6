//! Which context a request would get, as a question that changes nothing.

use std::{sync::Arc, time::Instant};

use super::{
    fit::limit,
    line::Line,
    standing::Standing,
    state::{EngineState, Resident, Scheduler},
    types::Arrival,
};
use crate::refusal::Refusal;

/// Why a request would get the context that it would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// It is configured.
    Configured,
    /// The model is loaded with it.
    Loaded,
    /// The model had it before, and nothing else was configured since.
    Remembered,
    /// The request needs it, so the model would be loaded with it.
    Needed,
    /// Memory or the engine allow no more.
    Limited,
    /// The request would be refused for its length.
    Refused,
}

// === impl Because ===

impl Because {
    /// One word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::Loaded => "loaded",
            Self::Remembered => "remembered",
            Self::Needed => "needed",
            Self::Limited => "limited",
            Self::Refused => "refused",
        }
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// The context that a request would get now, and why.
    pub(crate) fn context_given(&self, arrival: &Arc<Arrival>, now: Instant) -> (u64, Because) {
        let Some(state) = self.engine(&arrival.engine) else {
            return (arrival.base, Because::Configured);
        };
        let alone;
        let line = if let Some(at) =
            state.line(&arrival.model, state.variant(&arrival.name), arrival.kind)
        {
            &state.lines[at]
        } else {
            let size = self.size_of(&state.facts, &arrival.model);
            let mut line = Line::new(Arc::clone(&arrival.model), 0, arrival.kind, size);
            line.push(Arc::clone(arrival), now);
            alone = line;
            &alone
        };
        let own = |r: &&Resident| r.info.model == arrival.model && !r.vanished;
        let residents = || state.residents.iter().filter(own);
        let held = |need: u64| {
            let enough = residents().filter(|r| state.room(r).is_none_or(|has| has >= need));
            enough.map(|r| state.each(r, arrival)).next()
        };
        if let Some(has) = held(arrival.need()) {
            return (has, Because::Loaded);
        }
        if residents().next().is_some() {
            match self.grows(state, line, arrival, now) {
                Standing::Free(_) | Standing::Slot => {
                    let has = held(arrival.least()).unwrap_or(arrival.base);
                    return (has, Because::Limited);
                }
                Standing::Never(refusal) => return refused(&refusal, arrival),
                _ => {}
            }
        }
        let planned = match self.planned(state, line, arrival, now) {
            Ok(planned) => planned,
            Err(refusal) => return refused(&refusal, arrival),
        };
        let needed = planned;
        let planned = match residents().next() {
            None => self.with_room(state, line, arrival, planned, now),
            Some(_) => planned,
        };
        let mark = self.marks.get(&state.place(&arrival.model));
        let remembered = mark.map_or(0, |m| m.remembered(arrival.configured));
        let because = match planned.context {
            c if c < arrival.need() => Because::Limited,
            c if c > needed.context => Because::Remembered,
            c if c == arrival.base => Because::Configured,
            c if c == remembered.min(limit(arrival)) => Because::Remembered,
            _ => Because::Needed,
        };
        (planned.context, because)
    }
}

// === impl EngineState ===

impl EngineState {
    /// Tokens per request of a resident: those that Crucible loaded it for, unless this request
    /// needs more of what its slots share.
    fn each(&self, resident: &Resident, arrival: &Arrival) -> u64 {
        let has = self.room(resident).unwrap_or(arrival.base);
        let loaded_for = resident.tuple.and_then(|t| t.context);
        loaded_for.unwrap_or(has).max(arrival.need()).min(has)
    }
}

fn refused(refusal: &Refusal, arrival: &Arrival) -> (u64, Because) {
    match refusal {
        Refusal::ContextExceeded { limit, .. } => (*limit, Because::Refused),
        _ => (arrival.base, Because::Refused),
    }
}
