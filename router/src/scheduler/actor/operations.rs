//! The tasks that load and unload models: one per command, each of which reports its end back.

use std::{sync::Arc, time::Duration};

use crucible_config::checked::EngineKind;
use tokio::time::{Instant, timeout};

use super::{ActorState, SchedulerActor};
use crate::{
    catalog::ResidentInfo,
    engine::{Engine, EngineError, LoadOrder, setting},
    machine::awake::within,
    options,
    scheduler::{
        messages::{Input, LoadCommand, LoadFailure},
        state_machine::UNLOAD_BUDGET,
    },
};

/// The end of a load on an engine that did not fail.
struct LoadedResident {
    /// The resident as the engine reported it.
    info: ResidentInfo,
    /// This load put it there; false where another Crucible's load of the same model came first.
    by_this_load: bool,
}

// === impl SchedulerActor ===

impl SchedulerActor {
    /// Starts the task of a load. The load belongs to the scheduler: no client that leaves ends it,
    /// only its timeout and the end of Crucible do.
    pub(super) fn spawn_load(self: &Arc<Self>, state: &ActorState, command: LoadCommand) {
        let (actor, stop) = (Arc::clone(self), state.cancel_loads.clone());
        // Another Crucible owns the state: what that one loaded since the last poll is not claimed.
        let facts = state.core.facts(&command.engine);
        let beside_owner = facts.filter(|f| !f.owns_state).map(|f| f.kind);
        self.tracker.spawn(async move {
            log_load(&command);
            let begun = Instant::now();
            let outcome = match actor.engines.control(&command.engine) {
                Some(control) => {
                    let load = load(&*control, &command, beside_owner);
                    let load = within(begun + command.timeout, command.timeout, load);
                    match stop.run_until_cancelled(load).await {
                        Some(Some(outcome)) => outcome.map_err(setting::named),
                        Some(None) => Err(EngineError::Timeout),
                        None => Err(EngineError::Unsupported("Crucible is ending")),
                    }
                }
                None => Err(EngineError::Unsupported("it is no longer there")),
            };
            actor.engines.poll_soon(&command.engine);
            actor.operation_ended(load_input(&command, outcome, begun.elapsed()));
        });
    }

    /// Starts the task of an unload.
    pub(super) fn spawn_unload(self: &Arc<Self>, engine: Arc<str>, info: ResidentInfo) {
        let (actor, stop) = (Arc::clone(self), self.cancel.clone());
        self.tracker.spawn(async move {
            let outcome = match actor.engines.control(&engine) {
                Some(control) => {
                    let unload = timeout(UNLOAD_BUDGET, control.unload(&info));
                    match stop.run_until_cancelled(unload).await {
                        Some(Ok(outcome)) => outcome,
                        Some(Err(_)) | None => Err(EngineError::Timeout),
                    }
                }
                // An engine that is no longer configured holds nothing of ours.
                None => Ok(()),
            };
            actor.engines.poll_soon(&engine);
            if let Err(error) = &outcome {
                let (engine, model) = (&*engine, &*info.instance);
                tracing::warn!(engine, model, "the unload failed: {error}");
            }
            actor.operation_ended(Input::Unloaded(engine, outcome.is_ok()));
        });
    }
}

/// Logs that a load starts, and a warning where it exceeds its budget.
fn log_load(command: &LoadCommand) {
    let (engine, model, context) = (&*command.engine, &*command.name, command.tuple.context);
    tracing::info!(engine, model, context, "loading");
    if let Some(bytes) = command.over_budget_bytes {
        tracing::warn!(
            engine,
            model,
            bytes,
            "takes more than its pool may have: loaded alone"
        );
    }
}

/// Loads the model; beside another Crucible that owns the state, only where the engine does not hold
/// it by now.
async fn load(
    control: &dyn Engine,
    command: &LoadCommand,
    beside_owner: Option<EngineKind>,
) -> Result<LoadedResident, EngineError> {
    let order = LoadOrder {
        model: Arc::clone(&command.name),
        kind: command.kind,
        tuple: command.tuple,
        permits: command.permits,
        pinned: command.pin,
    };
    if let Some(kind) = beside_owner
        && let Some(info) = find_loaded(control, kind, &order).await?
    {
        return Ok(LoadedResident {
            info,
            by_this_load: false,
        });
    }
    Ok(LoadedResident {
        info: control.load(order).await?,
        by_this_load: true,
    })
}

/// The instance of the ordered model that an engine holds already.
///
/// An instance with less context than ordered is an error (409): it is the other Crucible's, and is
/// not loaded anew.
async fn find_loaded(
    engine: &dyn Engine,
    kind: EngineKind,
    order: &LoadOrder,
) -> Result<Option<ResidentInfo>, EngineError> {
    let residents = engine.list().await?.residents;
    let mut instances = residents.into_iter().filter(|r| r.model == order.model);
    let Some(first) = instances.next() else {
        return Ok(None);
    };
    let enough = |info: &ResidentInfo| {
        let both = options::request_context(kind, info).zip(order.tuple.context);
        both.is_none_or(|(has, ordered)| has >= ordered)
    };
    let found = std::iter::once(first).chain(instances).find(enough);
    found.map(Some).ok_or_else(|| EngineError::Refused {
        status: 409,
        message: format!(
            "another Crucible loaded '{}' with less context",
            order.model
        ),
    })
}

/// The end of a load as the scheduler takes it, and a line in the log.
fn load_input(
    command: &LoadCommand,
    outcome: Result<LoadedResident, EngineError>,
    took: Duration,
) -> Input {
    let (engine, model, context) = (&*command.engine, &*command.name, command.tuple.context);
    let name = Arc::clone(&command.engine);
    match outcome {
        Ok(found) if !found.by_this_load => {
            tracing::info!(engine, model, "another loaded it just now");
            Input::FoundLoaded(name, found.info)
        }
        Ok(LoadedResident { info, .. }) => {
            if info.context.zip(context).is_some_and(|(has, c)| has < c) {
                let has = info.context;
                tracing::warn!(engine, model, context, has, "loaded with less");
            }
            tracing::info!(engine, model, ?took, "loaded");
            Input::Loaded(name, info)
        }
        Err(EngineError::HeldSmaller(found)) => {
            let (instance, has) = (&*found.instance, found.context);
            tracing::info!(engine, instance, has, "loaded with less meanwhile");
            Input::FoundLoaded(name, *found)
        }
        Err(error) => {
            tracing::warn!(engine, model, ?took, "the load failed: {error}");
            let failure = match error {
                EngineError::Timeout => LoadFailure::Timeout,
                lost @ EngineError::Unreachable(_) => LoadFailure::ConnectionLost(lost.to_string()),
                error => LoadFailure::classify(error.to_string()),
            };
            Input::LoadFailed(name, failure)
        }
    }
}
