//! The second attempt with a model that vanished from its engine without Crucible's order.
//!
//! The model crashed, a person unloaded it, or its time to live ran out. Crucible knows an engine
//! as of its last poll, so a request often notices first.

use std::{sync::Arc, time::Duration};

use crucible_config::checked::Manage;
use crucible_router::{handle::Whereabouts, plan::Candidate};

use crate::{
    error::{Error, ErrorKind},
    pipeline::planned_request::PlannedRequest,
    request::TargetInstance,
};

/// The time in which an engine has to list its loaded models; one that does not is not tried again.
const RECHECK: Duration = Duration::from_secs(2);
/// The same time for an engine that could not be reached. A child of Crucible that has ended
/// answers at once.
const UNREACHABLE: Duration = Duration::from_millis(500);

/// The note for the client on the second attempt.
pub(super) const NOTE: &str = "asked once more, as the model had gone from its engine";

/// Whether an attempt failed because the model is no longer loaded, so that loading it again may
/// help. The engine is asked only where the error makes that likely. Where the engine does not list
/// the model any more, `error` becomes one that says so.
pub(super) async fn is_gone(
    planned: &PlannedRequest,
    candidate: &Candidate,
    error: &mut Error,
) -> bool {
    if !may_be_gone(error) && !surprises(planned, error) {
        return false;
    }
    let asked = planned.active.note(|record| record.target.clone());
    let Some(asked) = asked.or_else(|| ended_child(planned, candidate, error)) else {
        // It failed before it was sent anywhere.
        return false;
    };
    let budget = match error.kind {
        ErrorKind::EngineUnreachable => UNREACHABLE,
        _ => RECHECK,
    };
    let router = &planned.app.router;
    let now = router.recheck(candidate, &asked.instance, budget).await;
    if now == Whereabouts::Deleted && error.not_loaded {
        *error = deleted(candidate, error);
    }
    let again = loads_again(now, &asked, error);
    if again {
        tracing::warn!(
            id = %planned.active.id,
            engine = %candidate.engine,
            model = %candidate.model,
            %error,
            ?now,
            "not what it was when it was asked: it is asked once more"
        );
    }
    again
}

/// Returns the error of a model that was deleted. The engine's own words may name another model, or
/// tell a person to load this one.
fn deleted(candidate: &Candidate, error: &Error) -> Error {
    let Candidate { engine, model, .. } = candidate;
    Error::new(
        ErrorKind::ModelNotFound,
        format!(
            "the engine '{engine}' does not list '{model}' any more; it answered: {}",
            error.message
        ),
    )
    .param("model")
    .not_loaded()
}

/// Whether an error may come from a model that is no longer loaded: it says so, or it is of a kind
/// that a crash or an unload causes.
fn may_be_gone(error: &Error) -> bool {
    let broke = matches!(
        error.kind,
        ErrorKind::EngineError
            | ErrorKind::EngineCut
            | ErrorKind::EngineUnreachable
            | ErrorKind::NoEngine
    );
    error.not_loaded || broke
}

/// Whether a refusal for length contradicts what is known: the context that the model had holds the
/// tokens that the engine counted, or the engine counted none.
fn surprises(planned: &PlannedRequest, error: &Error) -> bool {
    let had = planned.active.note(|record| record.context).unwrap_or(0);
    let held = |counted| planned.demand.context_for(counted) <= had;
    error.overflow.is_some_and(|o| o.counted.is_none_or(held))
}

/// Returns the target of a request to a child process that has ended: it has no address any more,
/// so nothing was sent. `None` for any other failure.
fn ended_child(
    planned: &PlannedRequest,
    candidate: &Candidate,
    error: &Error,
) -> Option<TargetInstance> {
    let engine = planned.app.router.engine_config(&candidate.engine)?;
    let ended = error.kind == ErrorKind::NoEngine && engine.manage == Manage::Spawn;
    ended.then(|| TargetInstance {
        // A child has one instance, named like its model.
        instance: Arc::clone(&candidate.model),
        whole_context: None,
    })
}

fn loads_again(now: Whereabouts, asked: &TargetInstance, error: &Error) -> bool {
    match now {
        Whereabouts::Gone => true,
        // Somebody loaded it anew meanwhile: as another than was asked, or with less context.
        Whereabouts::Held { context } => {
            let less = context
                .zip(asked.whole_context)
                .is_some_and(|(now, then)| now < then);
            error.not_loaded || error.overflow.is_some() && less
        }
        Whereabouts::Unmanaged => error.not_loaded && error.kind == ErrorKind::EngineError,
        Whereabouts::Deleted | Whereabouts::Unknown => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_once_more_only_where_loading_may_help() {
        let asked = TargetInstance {
            instance: Arc::from("m"),
            whole_context: Some(8192),
        };
        let words = || Error::new(ErrorKind::EngineError, "Model unloaded.").not_loaded();
        let broke = || Error::new(ErrorKind::EngineError, "Channel Error");
        let overflow = || {
            let mut error = Error::new(ErrorKind::ContextLengthExceeded, "too long");
            error.overflow = Some(crate::error::Overflow::default());
            error
        };
        let held = |context| Whereabouts::Held { context };
        for (now, error, again) in [
            (Whereabouts::Gone, words(), true),
            (Whereabouts::Gone, broke(), true),
            (Whereabouts::Gone, overflow(), true),
            (held(Some(8192)), words(), true),
            (held(Some(8192)), broke(), false),
            (held(Some(8192)), overflow(), false),
            (held(Some(2048)), overflow(), true),
            (held(None), overflow(), false),
            (Whereabouts::Unmanaged, words(), true),
            (Whereabouts::Unmanaged, broke(), false),
            (Whereabouts::Deleted, words(), false),
            (Whereabouts::Unknown, words(), false),
        ] {
            assert_eq!(loads_again(now, &asked, &error), again, "{now:?} {error}");
        }
    }

    #[test]
    fn what_is_the_clients_fault_or_slow_says_nothing_of_the_model() {
        for kind in [
            ErrorKind::EngineRejected,
            ErrorKind::FirstTokenTimeout,
            ErrorKind::LoadFailed,
            ErrorKind::QueueFull,
        ] {
            assert!(!may_be_gone(&Error::new(kind, "x")), "{kind:?}");
        }
        assert!(may_be_gone(
            &Error::new(ErrorKind::ModelNotFound, "x").not_loaded()
        ));
        assert!(may_be_gone(&Error::new(ErrorKind::EngineCut, "x")));
    }
}
