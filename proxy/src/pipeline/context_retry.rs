//! One more attempt for a prompt that its engine found too long.

/// One more attempt with more context, for a prompt that the engine refused.
#[derive(Clone, Copy, Debug)]
pub(super) struct ContextRetry {
    /// The position of the candidate in the plan.
    pub(super) at: usize,
    /// The tokens of the prompt for which context is asked.
    pub(super) tokens: u64,
    /// Whether the engine counted the tokens; else they are estimated.
    pub(super) counted: bool,
    /// The context in tokens that the candidate had, where it is known.
    pub(super) context: Option<u64>,
}

// === impl ContextRetry ===

impl ContextRetry {
    /// Whether the prompt would be refused again after this retry, where the candidate has `context` now:
    /// its tokens were counted, or it has no more room than before.
    pub(super) fn gets_no_more(&self, context: Option<u64>) -> bool {
        self.counted || context.is_none() || context <= self.context
    }

    /// Returns the note for the client where the candidate at `at` has more context now; `None`
    /// otherwise.
    pub(super) fn note(self, at: usize, context: Option<u64>) -> Option<String> {
        let about = if self.counted { "" } else { "about " };
        let tokens = self.tokens;
        (at == self.at && context > self.context)
            .then(|| format!("loaded with more context, for a prompt of {about}{tokens} tokens"))
    }
}
