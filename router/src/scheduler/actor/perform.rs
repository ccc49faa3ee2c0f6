//! Carries out what the scheduler orders: answers waiters, runs loads and unloads.

use std::{sync::Arc, time::Duration};

use crucible_config::checked::EngineKind;
use tokio::time::{Instant, timeout};

use super::{
    super::{
        messages::{Action, Input, LoadCommand, LoadFailure, PermitGrant},
        state_machine::UNLOAD_BUDGET,
    },
    ActorState, PendingReply, SchedulerActor,
};
use crate::{
    catalog::ResidentInfo,
    engine::{Engine, EngineError, LoadOrder, setting, tuple},
    event::Event,
    machine::awake::within,
    permit::{Note, Permit},
    refusal::Refusal,
};

// === impl Desk ===

impl SchedulerActor {
    pub(super) fn perform(self: &Arc<Self>, state: &mut ActorState, action: Action, now: Instant) {
        match action {
            Action::Reject(ticket, refusal) => {
                if let Some(waiter) = state.pending.remove(&ticket) {
                    state.send_answer(waiter.reply, Err(refusal));
                }
            }
            Action::Grant(grant) => self.grant(state, grant, now),
            Action::Load(order) => self.load(state, order),
            Action::Unload(engine, info) => self.unload(engine, info),
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

    fn grant(&self, state: &mut ActorState, grant: PermitGrant, now: Instant) {
        let ticket = grant.ticket;
        let Some(PendingReply {
            request,
            asked_at: since,
            reply,
        }) = state.pending.remove(&ticket)
        else {
            return self.releases.push(Note::unused(ticket));
        };
        let kind = state.core.facts(&request.engine).map(|f| f.kind);
        let url = self.engines.control(&request.engine);
        let url = url.and_then(|control| control.base_url());
        let (Some(base_url), Some(kind)) = (url, kind) else {
            self.releases.push(Note::unused(ticket));
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
            base_url,
            model: Arc::clone(&request.name),
            context: tuple::request_context(kind, &grant.resident),
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

    /// A load belongs to the scheduler: no client that leaves ends it.
    fn load(self: &Arc<Self>, state: &ActorState, order: LoadCommand) {
        let engines = Arc::clone(&self.engines);
        let (actor, stop) = (Arc::clone(self), state.cancel_loads.clone());
        // Beside another Crucible: what that one loaded since the last poll is not to be claimed.
        let facts = state.core.facts(&order.engine).filter(|f| !f.owns_state);
        let beside = facts.map(|f| f.kind);
        self.tracker.spawn(async move {
            let LoadCommand {
                engine,
                name: model,
                ..
            } = order;
            let (name, context) = (&*engine, order.tuple.context);
            tracing::info!(engine = name, model = &*model, context, "loading");
            if let Some(bytes) = order.over_budget_bytes {
                let model = &*model;
                tracing::warn!(
                    engine = name,
                    model,
                    bytes,
                    "takes more than its pool may have: loaded alone"
                );
            }
            let begun = Instant::now();
            let wanted = LoadOrder {
                model: Arc::clone(&model),
                kind: order.kind,
                tuple: order.tuple,
                permits: order.permits,
                pinned: order.pin,
            };
            let outcome = match engines.control(name) {
                Some(control) => {
                    let load = async {
                        if let Some(kind) = beside
                            && let Some(held) = held(&*control, kind, &wanted).await?
                        {
                            return Ok((held, false));
                        }
                        Ok((control.load(wanted).await?, true))
                    };
                    let load = within(begun + order.timeout, order.timeout, load);
                    match stop.run_until_cancelled(load).await {
                        Some(Some(outcome)) => outcome.map_err(setting::named),
                        Some(None) => Err(EngineError::Timeout),
                        None => Err(EngineError::Unsupported("Crucible is ending")),
                    }
                }
                None => Err(EngineError::Unsupported("it is no longer there")),
            };
            engines.poll_soon(name);
            let took = begun.elapsed();
            let input = match outcome {
                Ok((info, false)) => {
                    tracing::info!(engine = name, model = &*model, "another loaded it just now");
                    Input::FoundLoaded(engine, info)
                }
                Ok((info, true)) => {
                    if info.context.zip(context).is_some_and(|(has, c)| has < c) {
                        let (has, model) = (info.context, &*model);
                        tracing::warn!(engine = name, model, context, has, "loaded with less");
                    }
                    tracing::info!(engine = name, model = &*model, ?took, "loaded");
                    Input::Loaded(engine, info)
                }
                Err(EngineError::HeldSmaller(held)) => {
                    let (instance, has) = (&*held.instance, held.context);
                    tracing::info!(engine = name, instance, has, "loaded with less meanwhile");
                    Input::FoundLoaded(engine, *held)
                }
                Err(error) => {
                    let model = &*model;
                    tracing::warn!(engine = name, model, ?took, "the load failed: {error}");
                    let failure = match error {
                        EngineError::Timeout => LoadFailure::Timeout,
                        broken @ EngineError::Unreachable(_) => {
                            LoadFailure::ConnectionLost(broken.to_string())
                        }
                        error => LoadFailure::classify(error.to_string()),
                    };
                    Input::LoadFailed(engine, failure)
                }
            };
            actor.operation_ended(input);
        });
    }

    fn unload(self: &Arc<Self>, engine: Arc<str>, info: ResidentInfo) {
        let engines = Arc::clone(&self.engines);
        let (actor, stop) = (Arc::clone(self), self.cancel.clone());
        self.tracker.spawn(async move {
            let outcome = match engines.control(&engine) {
                Some(control) => {
                    let unload = timeout(UNLOAD_BUDGET, control.unload(&info));
                    match stop.run_until_cancelled(unload).await {
                        Some(Ok(outcome)) => outcome,
                        Some(Err(_)) | None => Err(EngineError::Timeout),
                    }
                }
                // What is gone holds nothing of ours.
                None => Ok(()),
            };
            engines.poll_soon(&engine);
            if let Err(error) = &outcome {
                let (engine, model) = (&*engine, &*info.instance);
                tracing::warn!(engine, model, "the unload failed: {error}");
            }
            let input = Input::Unloaded(engine, outcome.is_ok());
            actor.operation_ended(input);
        });
    }
}

/// What an engine holds of the model already; an error where that is too small.
async fn held(
    engine: &dyn Engine,
    kind: EngineKind,
    wanted: &LoadOrder,
) -> Result<Option<ResidentInfo>, EngineError> {
    let residents = engine.list().await?.residents;
    let mut of = residents.into_iter().filter(|r| r.model == wanted.model);
    let Some(first) = of.next() else {
        return Ok(None);
    };
    let enough = |info: &ResidentInfo| {
        let both = tuple::request_context(kind, info).zip(wanted.tuple.context);
        both.is_none_or(|(has, wanted)| has >= wanted)
    };
    let found = std::iter::once(first).chain(of).find(enough);
    found.map(Some).ok_or_else(|| EngineError::Refused {
        status: 409,
        message: format!(
            "another Crucible loaded '{}' with less context",
            wanted.model
        ),
    })
}
