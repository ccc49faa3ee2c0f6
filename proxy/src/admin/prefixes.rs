//! Conversations whose turns do not go on from each other, for the state and for the doctor.

use std::{collections::HashSet, sync::Arc, time::Instant};

use crucible_documents::{FindingDoc, state::BrokenPrefixDoc};

use crate::{
    prefix::{advice::advice, tracer::BrokenPrefix},
    state::AppState,
};

/// The conversations that the state shows.
const SHOWN: usize = 32;
/// The findings that the doctor tells; one for each client and piece of its prompts.
const TOLD: usize = 8;

/// The conversations of which a turn differed, the latest first.
pub(super) fn shown(app: &AppState) -> Vec<BrokenPrefixDoc> {
    broken(app).iter().take(SHOWN).map(document).collect()
}

/// What a person should know: prompts that were read again for the second time.
pub(super) fn findings(app: &AppState) -> Vec<FindingDoc> {
    let mut told = HashSet::new();
    let all = broken(app);
    let found = all.iter().filter(|broken| broken.is_finding());
    let found = found.filter(|b| told.insert((Arc::clone(&b.client), b.divergence.kind)));
    found.take(TOLD).map(finding).collect()
}

fn broken(app: &AppState) -> Vec<BrokenPrefix> {
    let prefixes = app.ledger.prefixes().lock();
    prefixes.recent_divergences(Instant::now())
}

fn document(broken: &BrokenPrefix) -> BrokenPrefixDoc {
    BrokenPrefixDoc {
        client: Arc::clone(&broken.client),
        engine: Arc::clone(&broken.engine),
        model: Arc::clone(&broken.model),
        differs: broken.words(),
        turns: broken.diverged,
        reread_turns: broken.reread,
        prompt_tokens: broken.reuse.map(|(prompt, _)| prompt),
        cached_tokens: broken.reuse.map(|(_, cached)| cached),
        fix: advice(&broken.client, broken.divergence),
    }
}

fn finding(broken: &BrokenPrefix) -> FindingDoc {
    let (client, model, words) = (&broken.client, &broken.model, broken.words());
    let reuse = broken.reuse.map_or_else(String::new, |(prompt, cached)| {
        format!(": {cached} of {prompt} tokens were cached")
    });
    FindingDoc {
        engine: broken.engine.to_string(),
        fault: "prompt_read_again".to_owned(),
        asked: "turns that go on from the turn before".to_owned(),
        found: format!("{client} to {model}, {words}{reuse}"),
        read_from: format!(
            "the hashes of its turns, {} of which were read again",
            broken.reread
        ),
        fix: advice(&broken.client, broken.divergence),
    }
}
