//! The question to an engine that has been silent for long whether it is at work: some engines send
//! nothing of a tool call until it is whole.

use std::{sync::Arc, time::Duration};

use crucible_router::{handle::RouterHandle, work::Work};
use tokio::time::sleep;

use crate::{
    error::{Error, ErrorKind},
    relay::body::Look,
};

/// The time until a second question where the first found nothing at work: the last bytes of an
/// answer may still be on their way.
const AGAIN: Duration = Duration::from_millis(250);

/// Returns the question whether an engine is at work on an answer of this instance. Its error is an
/// engine that is not well, or that works on nothing any more.
pub(super) fn look(router: &RouterHandle, engine: &Arc<str>, instance: &Arc<str>) -> Look {
    let (router, engine, instance) = (router.clone(), Arc::clone(engine), Arc::clone(instance));
    Box::new(move || {
        let (router, engine) = (router.clone(), Arc::clone(&engine));
        let instance = Arc::clone(&instance);
        Box::pin(async move {
            let mut found = router.work(&engine, &instance).await;
            if found == Work::Nothing {
                sleep(AGAIN).await;
                found = router.work(&engine, &instance).await;
            }
            let why = match found {
                Work::Possible => return Ok(()),
                Work::Unwell => "and was not well when it was asked",
                Work::Nothing => "and works on nothing any more",
            };
            tracing::warn!(engine = &*engine, instance = &*instance, "silent, {why}");
            Err(Error::new(
                ErrorKind::IdleTimeout,
                format!("the engine fell silent for longer than timeouts.idle, {why}"),
            ))
        })
    })
}
