//! The arithmetic of context sizes: which context a model is loaded with, and which smaller ones
//! would do.
//!
//! A request needs room for its prompt, and wants room for its answer: the prompt must fit, and
//! what is kept for the answer shrinks to what is left. Contexts grow in steps that double, so that
//! a prompt that grows by one token at a time has its model grow only a few times.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::scheduler::messages::PermitRequest;

/// The time for which a context that an engine could not load is not tried again.
const CEILING_AGE: Duration = Duration::from_mins(10);
/// The first step of growth in tokens.
const FIRST_STEP: u64 = 8192;
/// The tokens of an answer that are tried, before the bare prompt, where the context cannot have
/// room for the whole answer.
const SHORT_ANSWER: u64 = 256;

/// The contexts that one model on one engine was loaded with, and could not be loaded with. Tokens
/// are per request.
#[derive(Clone, Debug, Default)]
pub(super) struct ContextHistory {
    /// The largest context that it was loaded with; 0 where it was not.
    pub(super) largest: u64,
    /// The context that was configured for it at that time; `None` where the file of an earlier run
    /// does not say.
    pub(super) configured_then: Option<u64>,
    /// The context that the engine gave when it gave less than was ordered.
    pub(super) engine_ceiling: Option<ContextCeiling>,
    /// The context beyond which the engine had no memory.
    pub(super) memory_ceiling: Option<ContextCeiling>,
}

/// A context beyond which an engine could not load a model.
#[derive(Clone, Debug)]
pub(super) struct ContextCeiling {
    /// The largest context that is still tried, in tokens.
    pub(super) most_tokens: u64,
    /// The time at which more is tried again.
    expires: Instant,
    /// Whether other models were loaded at that time, so that more may fit when they are gone.
    pub(super) beside_others: bool,
    /// The words of the engine.
    pub(super) engine_message: Arc<str>,
}

/// A load as it is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PlannedLoad {
    /// The tokens of context for each request.
    pub(super) context: u64,
    /// Requests that share the instance.
    pub(super) permits: u32,
    /// The bytes that it is expected to take; `None` where that is not known.
    pub(super) bytes: Option<u64>,
}

/// The context in tokens to load with: what is configured (`base`) or remembered while the need
/// fits it, else the first step (8192, 16384, ...) of at least 1.5 x `need`; never more than `cap`.
pub(super) fn context_to_load(need: u64, base: u64, cap: u64, remembered: u64) -> u64 {
    let start = base.max(remembered.min(cap));
    if need <= start {
        return start;
    }
    let wanted = need.saturating_add(need / 2);
    let mut step = FIRST_STEP;
    while step < wanted && step < cap {
        step = step.saturating_mul(2);
    }
    step.min(cap)
}

/// The contexts that would do instead of `full`, the best first: smaller steps, what all who wait
/// need (`shared`), what this request needs, and last what its prompt needs.
pub(super) fn context_ladder(full: u64, shared: u64, request: &PermitRequest) -> Vec<u64> {
    let base = request.base_context.min(full);
    let enough = request.needed_context().max(base);
    let mut rungs = vec![full];
    let mut step = FIRST_STEP;
    while step < full {
        rungs.push(step);
        step = step.saturating_mul(2);
    }
    rungs.retain(|step| *step >= enough);
    let short = request
        .prompt_tokens
        .saturating_add(request.answer_tokens.min(SHORT_ANSWER));
    for need in [shared, enough, short, request.minimum_context()] {
        rungs.push(need.max(base));
    }
    rungs.retain(|rung| *rung <= full);
    rungs.sort_unstable_by(|a, b| b.cmp(a));
    rungs.dedup();
    rungs
}

/// The largest number from `low` to `high` for which `holds` is true, if it holds for every number
/// below one for which it holds.
pub(super) fn largest_where(low: u64, high: u64, holds: impl Fn(u64) -> bool) -> Option<u64> {
    if low > high || !holds(low) {
        return None;
    }
    let (mut low, mut high) = (low, high);
    while low < high {
        let middle = high - (high - low) / 2;
        if holds(middle) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Some(low)
}

// === impl ContextCeiling ===

impl ContextCeiling {
    /// A ceiling that was found now.
    pub(super) fn new(most: u64, beside_others: bool, words: &str, now: Instant) -> Self {
        Self {
            most_tokens: most,
            expires: now + CEILING_AGE,
            beside_others,
            engine_message: words.into(),
        }
    }
}

// === impl ContextHistory ===

impl ContextHistory {
    /// The largest context so far; 0 where something else is configured since then.
    pub(super) fn remembered_context(&self, configured: u64) -> u64 {
        match self.configured_then {
            Some(then) if then != configured => 0,
            _ => self.largest,
        }
    }

    /// Records a load with that context that ended well; returns whether anything changed.
    pub(super) fn record(&mut self, context: u64, configured: u64) -> bool {
        let before = (self.largest, self.configured_then);
        self.largest = self.remembered_context(configured).max(context);
        self.configured_then = Some(configured);
        before != (self.largest, self.configured_then)
    }

    /// The ceiling that the engine set, while it is not expired.
    pub(super) fn engine_ceiling(&self, now: Instant) -> Option<&ContextCeiling> {
        self.engine_ceiling.as_ref().filter(|c| now < c.expires)
    }

    /// The ceiling that memory set, while it is not expired.
    pub(super) fn memory_ceiling(&self, now: Instant) -> Option<&ContextCeiling> {
        self.memory_ceiling.as_ref().filter(|c| now < c.expires)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::state_machine::tests::permit_request;

    #[test]
    fn the_configured_context_stays_while_the_need_fits_it() {
        assert_eq!(context_to_load(4096, 4096, 131_072, 0), 4096);
        assert_eq!(context_to_load(100, 10_000, 131_072, 0), 10_000);
    }

    #[test]
    fn growth_goes_in_steps_to_the_cap() {
        assert_eq!(context_to_load(4097, 4096, 131_072, 0), 8192);
        assert_eq!(context_to_load(6000, 4096, 131_072, 0), 16_384);
        assert_eq!(context_to_load(30_000, 4096, 32_768, 0), 32_768);
    }

    #[test]
    fn the_largest_so_far_is_remembered() {
        assert_eq!(context_to_load(100, 4096, 131_072, 16_384), 16_384);
        assert_eq!(context_to_load(100, 4096, 8192, 16_384), 8192);
    }

    #[test]
    fn a_prompt_that_grows_by_one_token_at_a_time_has_its_model_grow_five_times() {
        let (mut has, mut growths) = (4096, 0);
        for need in 1..=131_072 {
            let next = context_to_load(need, 4096, 131_072, has);
            assert!(next >= need && next >= has);
            growths += u32::from(next > has);
            has = next;
        }
        assert_eq!(growths, 5);
    }

    #[test]
    fn what_is_configured_anew_wins_over_what_is_remembered() {
        let mut mark = ContextHistory::default();
        assert!(mark.record(16_384, 4096));
        assert!(!mark.record(8192, 4096));
        assert_eq!(mark.remembered_context(4096), 16_384);
        assert_eq!(mark.remembered_context(8192), 0);
        assert!(mark.record(8192, 8192));
        assert_eq!(
            (mark.remembered_context(8192), mark.remembered_context(4096)),
            (8192, 0)
        );
        // A file that does not tell what was configured is believed.
        let old = ContextHistory {
            largest: 16_384,
            ..ContextHistory::default()
        };
        assert_eq!(old.remembered_context(8192), 16_384);
    }

    #[test]
    fn a_ladder_goes_down_to_what_the_prompt_needs() {
        let mut request = permit_request(1, "e", "m", Instant::now());
        (request.prompt_tokens, request.answer_tokens) = (9000, 2048);
        assert_eq!(
            context_ladder(32_768, 20_000, &request),
            [32_768, 20_000, 16_384, 11_048, 9256, 9001]
        );
        assert_eq!(
            context_ladder(65_536, 11_048, &request),
            [65_536, 32_768, 16_384, 11_048, 9256, 9001]
        );
        // Nothing below what is configured is tried instead of it.
        (request.prompt_tokens, request.base_context) = (10, 4096);
        assert_eq!(context_ladder(16_384, 10, &request), [16_384, 8192, 4096]);
        assert_eq!(context_ladder(4096, 10, &request), [4096]);
    }

    #[test]
    fn the_largest_that_holds_is_found() {
        assert_eq!(largest_where(1, 100, |n| n <= 37), Some(37));
        assert_eq!(largest_where(1, 100, |_| true), Some(100));
        assert_eq!(largest_where(5, 100, |n| n <= 4), None);
        assert_eq!(largest_where(5, 4, |_| true), None);
    }
}
