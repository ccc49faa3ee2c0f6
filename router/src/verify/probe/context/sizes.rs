//! The sizes of the prompts of a probe, in tokens and in words.

use crucible_config::engine_profile::SlotContext;

use crate::{engine::EngineError, view::EngineView};

/// The most tokens of the prompt that should fit, because reading it takes time.
const LONGEST_FIT: u64 = 8192;
/// The most tokens of the prompt that should not fit: an engine that takes it all the same reads
/// all of it.
const LONGEST_OVER: u64 = 32_768;
/// The context in tokens below which the template outweighs the prompt.
const SHORTEST: u64 = 256;
/// The numbers of words of the two short prompts by which the tokens per word are measured.
pub(super) const SHORT: [u64; 2] = [8, 136];

/// The sizes in tokens of the two prompts that try a stated context: one is to fit, the other is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    /// The context that the engine states.
    pub(super) stated: u64,
    /// The size of the prompt that is to fit: 60 % of the stated context, or 90 % of one slot's
    /// share of it; 8192 at most.
    pub(super) fit: u64,
    /// The size of the prompt that is not to fit, 1/8 and 64 more than the stated context; `None`
    /// above 32,768.
    pub(super) over: Option<u64>,
}

/// The relation of words to tokens: a prompt of `words` words has `base + words * per_128 / 128`
/// tokens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words {
    base: u64,
    per_128: u64,
}

// === impl Sizes ===

impl Sizes {
    /// Chooses the sizes for an engine that states this context. The error is a context below 256
    /// tokens, where the template outweighs the prompt.
    pub(super) fn of(engine: &EngineView, stated: u64) -> Result<Self, String> {
        if stated < SHORTEST {
            return Err(format!("its context of {stated} is too small"));
        }
        let shared = engine.kind.profile().slots == SlotContext::Shared;
        let fit = if shared && engine.permits > 1 {
            // An overflow ends the answers of all slots: one slot's share.
            stated / u64::from(engine.permits) / 10 * 9
        } else {
            stated / 10 * 6
        };
        let over = stated.saturating_add(stated / 8).saturating_add(64);
        Ok(Self {
            stated,
            fit: fit.min(LONGEST_FIT),
            over: (over <= LONGEST_OVER).then_some(over),
        })
    }
}

// === impl Words ===

impl Words {
    /// Computes the relation from the token counts of the two short prompts. The error is an engine
    /// that counts fewer than 64 tokens for the 128 further words.
    pub(super) fn of([few, many]: [u64; 2]) -> Result<Self, EngineError> {
        let per_128 = many.saturating_sub(few);
        if per_128 < 64 {
            let why = format!(
                "{} words more are {per_128} tokens more",
                SHORT[1] - SHORT[0]
            );
            return Err(EngineError::Unexpected(why));
        }
        let base = few.saturating_sub(SHORT[0] * per_128 / 128);
        Ok(Self { base, per_128 })
    }

    /// Returns the number of words that make a prompt of about this many tokens; 0 where the
    /// template alone has them.
    pub(super) fn for_tokens(self, tokens: u64) -> u64 {
        tokens.saturating_sub(self.base) * 128 / self.per_128
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::testing::all_right;

    #[test]
    fn the_tokens_of_a_word_are_counted() {
        let words = Words::of([42, 170]).unwrap();
        assert_eq!((words.base, words.for_tokens(2434)), (34, 2400));
        let words = Words::of([20, 212]).unwrap();
        assert_eq!(words.for_tokens(1508), 1000);
        assert!(Words::of([40, 41]).is_err());
    }

    #[test]
    fn prompts_are_bounded_and_leave_other_slots_their_share() {
        let mut evidence = all_right();
        let ollama = evidence.ollama().clone();
        let sizes = Sizes::of(&ollama, 4096).unwrap();
        assert_eq!((sizes.fit, sizes.over), (2454, Some(4672)));
        let sizes = Sizes::of(&ollama, 131_072).unwrap();
        assert_eq!((sizes.fit, sizes.over), (8192, None));
        assert!(Sizes::of(&ollama, 200).is_err());
        assert_eq!(Sizes::of(evidence.lmstudio(), 8192).unwrap().fit, 3681);
    }
}
