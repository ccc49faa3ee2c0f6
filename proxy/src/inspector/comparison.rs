//! The comparison of a kept request with the previous turn of its conversation: which bodies are compared, and what is
//! said where none can be.

use std::sync::Arc;

use crucible_documents::inspector::ComparedBodies;

use super::{
    kept_request::{ComparedTurn, KeptEnd, KeptRequest},
    turn,
};

/// Compares a request that has ended with the previous turn, `before`, where that is kept.
///
/// The bodies that went to the engine are compared, since its cache holds what it read. Where they have other formats,
/// or one is missing, it is those that the client sent.
pub(super) fn compared(
    request: &KeptRequest,
    end: &KeptEnd,
    before: Option<&KeptRequest>,
) -> ComparedTurn {
    let says = |change: String| ComparedTurn {
        change: change.into(),
        difference: None,
    };
    let Some(turn) = end.facts.turn else {
        return says(String::new());
    };
    let Some(before) = before else {
        let change = match (turn, &end.diverged) {
            (1, _) => "the first turn of its conversation".to_owned(),
            (_, Some(diverged)) => format!("{diverged}; the turn before is not kept"),
            (_, None) => "goes on from the turn before, which is not kept".to_owned(),
        };
        return says(change);
    };
    let sent = before.attempts.last().zip(request.attempts.last());
    let sent = sent.filter(|(old, new)| old.path == new.path);
    let sent = sent.map(|(old, new)| (ComparedBodies::Sent, &old.body, &new.body));
    let received = before.received.as_ref().zip(request.received.as_ref());
    let received = received.map(|(old, new)| (ComparedBodies::Received, old, new));
    let Some((bodies, old, new)) = sent.or(received) else {
        return says("there is no body to compare".to_owned());
    };
    let whole = old.whole().zip(new.whole());
    let tokens = end.facts.prompt_tokens;
    let difference = whole.and_then(|whole| turn::difference(&before.id, bodies, whole, tokens));
    let Some(mut difference) = difference else {
        let place = end
            .diverged
            .as_deref()
            .unwrap_or("goes on from the turn before");
        return says(format!(
            "{place}; a body is too long to be compared in full"
        ));
    };
    let moved = elsewhere(end, before);
    difference.summary = moved
        .into_iter()
        .chain([difference.summary])
        .collect::<Vec<_>>()
        .join("; ");
    ComparedTurn {
        change: difference.summary.as_str().into(),
        difference: Some(Arc::new(difference)),
    }
}

/// Reasons beside the prompt for which nothing of it was in the engine's cache.
fn elsewhere(end: &KeptEnd, before: &KeptRequest) -> Vec<String> {
    let mut said = Vec::new();
    let name = |end: &KeptEnd| {
        let facts = &end.facts;
        Some(format!(
            "{}/{}",
            facts.engine.as_deref()?,
            facts.model.as_deref()?
        ))
    };
    let names = before.end.as_deref().and_then(name).zip(name(end));
    if let Some((old, new)) = names.filter(|(old, new)| old != new) {
        said.push(format!("answered by {new}, the turn before by {old}"));
    }
    if end.facts.loaded {
        said.push("the model was loaded in between, so its cache was empty".to_owned());
    }
    said
}
