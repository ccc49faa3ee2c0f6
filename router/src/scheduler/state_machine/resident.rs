//! One loaded instance of a model, as the scheduler keeps it.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crucible_config::checked::Class;

use crate::{
    catalog::ResidentInfo, client::ClientId, engine::LoadTuple, scheduler::messages::PermitRequest,
};

/// One loaded instance of a model.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts of a resident"
)]
pub(super) struct Resident {
    /// The instance as its engine listed it, under the name of its runner.
    pub(super) info: ResidentInfo,
    /// The options that Crucible loaded it with; `None` for a foreign resident, which a person or
    /// another program loaded.
    pub(super) tuple: Option<LoadTuple>,
    /// Whether it is never evicted.
    pub(super) pinned: bool,
    /// Permits that are granted and have not come back.
    pub(super) permits_out: u32,
    /// The time at which the last permit came back, or of its load. Meaningless while permits are
    /// out.
    pub(super) idle_since: Instant,
    /// The time at which it was first listed or loaded.
    pub(super) first_seen: Instant,
    /// Whether its engine lists it no longer: it is removed with its last permit.
    pub(super) unlisted: bool,
    /// Whether it is assumed to serve because a request came, on an engine that Crucible does not
    /// control.
    pub(super) assumed: bool,
    /// Whether it was loaded, and nobody has been granted a permit of it yet.
    pub(super) never_granted: bool,
    /// Whether the engine loaded it again by itself with less context, after Crucible's own
    /// instance went.
    pub(super) reloaded_smaller: bool,
    /// The bytes that it takes of its pool; 0 where that is not known.
    pub(super) bytes: u64,
    /// The sessions that its slots served last, the latest at the end; `None` for one without a
    /// name.
    pub(super) warm_sessions: VecDeque<Option<u64>>,
    /// The agents that are expected back.
    pub(super) lingers: Vec<AgentLinger>,
    /// The time at which its engine was last told to keep it.
    pub(super) keep_alive_sent: Instant,
    /// The backoff after unloads that failed.
    pub(super) unload_backoff: UnloadBackoff,
}

/// The backoff after an unload that failed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct UnloadBackoff {
    /// The time before which it is not tried again; `None` where none failed.
    pub(super) not_before: Option<Instant>,
    /// The length of the backoff, which doubles with each failure.
    pub(super) delay: Duration,
}

/// An agent whose next turn is expected on a resident, after an answer that ended in tool calls.
pub(super) struct AgentLinger {
    /// The client of the agent.
    pub(super) client: ClientId,
    /// The conversation, where the client names one.
    pub(super) session: Option<u64>,
    /// The class of its last request.
    pub(super) class: Class,
    /// The time at which its answer ended.
    pub(super) started: Instant,
}

// === impl Resident ===

impl Resident {
    /// A resident that nobody uses yet, and that is not Crucible's.
    pub(super) fn new(info: ResidentInfo, now: Instant) -> Self {
        Self {
            info,
            tuple: None,
            pinned: false,
            permits_out: 0,
            idle_since: now,
            first_seen: now,
            unlisted: false,
            assumed: false,
            never_granted: false,
            reloaded_smaller: false,
            bytes: 0,
            warm_sessions: VecDeque::new(),
            lingers: Vec::new(),
            keep_alive_sent: now,
            unload_backoff: UnloadBackoff::default(),
        }
    }

    /// Notes that a slot reads the prompt of that session: the session that was longest unused
    /// loses its slot.
    pub(super) fn occupy_slot(&mut self, session: Option<u64>, permits: u32) {
        let slots = self.info.parallel.unwrap_or(permits).max(1) as usize;
        // Requests without a session are many, and so may be the slots: nothing is searched for them.
        let own = session.and_then(|_| self.warm_sessions.iter().position(|held| *held == session));
        if let Some(at) = own {
            self.warm_sessions.remove(at);
        } else if self.warm_sessions.len() >= slots {
            self.warm_sessions.pop_front();
        }
        self.warm_sessions.push_back(session);
    }

    /// Whether it is idle, and not in the backoff of an unload that failed.
    pub(super) fn can_unload_now(&self, now: Instant) -> bool {
        let retried = self.unload_backoff.not_before.is_none_or(|at| at <= now);
        self.permits_out == 0 && retried
    }
}

// === impl AgentLinger ===

impl AgentLinger {
    /// Whether this request is the agent's next turn. An agent with a session is recognised
    /// wherever it asks; without one several agents of a client look the same, and only a request
    /// for the `same_model` counts.
    pub(super) fn is_over(&self, same_model: bool, request: &PermitRequest) -> bool {
        let same = match self.session {
            Some(_) => self.session == request.session,
            None => same_model,
        };
        same && self.client == request.client
    }
}
