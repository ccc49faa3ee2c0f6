//! Carries out the actions of a step.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{ActorState, PendingReply, SchedulerActor};
use crate::{
    event::Event,
    options,
    permit::{Permit, PermitNote},
    refusal::Refusal,
    scheduler::messages::{Action, PermitGrant},
};

// === impl SchedulerActor ===

impl SchedulerActor {
    /// Carries out one action. Loads and unloads run in tasks of their own.
    pub(super) fn perform(self: &Arc<Self>, state: &mut ActorState, action: Action, now: Instant) {
        match action {
            Action::Reject(ticket, refusal) => {
                if let Some(waiter) = state.pending.remove(&ticket) {
                    state.send_answer(waiter.reply, Err(refusal));
                }
            }
            Action::Grant(grant) => self.grant(state, grant, now),
            Action::Load(command) => self.spawn_load(state, command),
            Action::Unload(engine, info) => self.spawn_unload(engine, info),
            Action::Emit(event) => {
                if let Event::Evicted {
                    engine,
                    model,
                    reason,
                } = &event
                {
                    tracing::info!(engine = &**engine, model = &**model, ?reason, "unloaded");
                }
                if let Event::Wedged { engine } = &event {
                    let engine = &**engine;
                    tracing::error!(engine, "a load never ended though it answers: restart it");
                }
                self.engines.emit(&event);
            }
        }
    }

    /// Hands a permit to the request that it was granted to. If its client left meanwhile, the
    /// permit comes back at once.
    fn grant(&self, state: &mut ActorState, grant: PermitGrant, now: Instant) {
        let ticket = grant.ticket;
        let Some(PendingReply {
            request,
            asked_at: since,
            reply,
        }) = state.pending.remove(&ticket)
        else {
            return self.releases.push(PermitNote::unused(ticket));
        };
        let kind = state.core.facts(&request.engine).map(|f| f.kind);
        let address = self.engines.control(&request.engine);
        let address = address.and_then(|control| control.address());
        let (Some(address), Some(kind)) = (address, kind) else {
            self.releases.push(PermitNote::unused(ticket));
            let refusal = Refusal::NoEngine {
                model: request.model.to_string(),
                detail: format!("'{}' has no address now", request.engine),
                retry_after: 5,
            };
            return state.send_answer(reply, Err(refusal));
        };
        let waited = now - since;
        self.engines.emit(&Event::Granted {
            engine: Arc::clone(&request.engine),
            waited,
            loaded: grant.waited_for_load,
        });
        let permit = Permit {
            token: self.engines.token(&request.engine),
            engine: Arc::clone(&request.engine),
            kind,
            address,
            model: Arc::clone(&request.name),
            context: options::request_context(kind, &grant.resident),
            context_share: grant.context_share,
            configured_context: request.configured_context,
            whole_context: grant.resident.context,
            instance: grant.resident.instance,
            tuple: grant.tuple,
            waited,
            loaded: grant.waited_for_load,
            attempt: None,
            ticket,
            grace: Duration::ZERO,
            for_tools: false,
            releases: Arc::clone(&self.releases),
        };
        state.send_answer(reply, Ok(permit));
    }
}
