//! A prompt that an engine refuses for its length: what that teaches, and whether more context may
//! help.

use std::{sync::Arc, time::Duration};

use crucible_router::{plan::Candidate, predict::Sample};

use super::chat::Planned;
use crate::error::Overflow;

/// A prompt that an engine refused, and that is sent to it once more.
#[derive(Clone, Copy, Debug)]
pub(super) struct TooLong {
    /// Its place in the plan.
    at: usize,
    pub(super) tokens: u64,
    /// The engine told the count.
    pub(super) counted: bool,
    /// The context that it had.
    context: Option<u64>,
}

/// What an engine counts in a prompt that it refuses teaches as much as in one that it answers.
pub(super) fn learn(planned: &Planned, candidate: &Candidate, overflow: Overflow) {
    if overflow.counted.is_none() {
        return;
    }
    planned.app.router.learn(&[Sample {
        engine: Arc::clone(&candidate.engine),
        model: Arc::clone(&candidate.model),
        estimate: planned.exchange.note(|record| record.prompt.estimate),
        prompt_tokens: overflow.counted,
        prompt: None,
        cache_unknown: false,
        output: None,
        service: Duration::ZERO,
    }]);
}

// === impl TooLong ===

impl TooLong {
    /// Tokens as counted, else half as many again as estimated and more than there was room for.
    /// `None` where the count fits what the engine was loaded with: sent once more, it would be
    /// refused once more.
    pub(super) fn of(planned: &Planned, at: usize, overflow: Overflow) -> Option<Self> {
        let context = planned.exchange.note(|record| record.context);
        let had = context.unwrap_or(0);
        let estimate = planned.demand.prompt_tokens;
        let tokens = match overflow.counted {
            Some(counted) if planned.demand.context_for(counted) <= had => return None,
            Some(counted) => counted,
            None => (estimate + estimate / 2).max(had.saturating_add(1)),
        };
        Some(Self {
            at,
            tokens,
            counted: overflow.counted.is_some(),
            context,
        })
    }

    /// What the client is told, if the candidate at `at` has more context now.
    pub(super) fn note(self, at: usize, context: Option<u64>) -> Option<String> {
        let about = if self.counted { "" } else { "about " };
        let tokens = self.tokens;
        (at == self.at && context > self.context)
            .then(|| format!("loaded with more context, for a prompt of {about}{tokens} tokens"))
    }
}
