//! The numbers of a prompt that is too long, for client formats with words of their own for it.

/// The numbers of a prompt that is too long, as they stand in its error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLongPrompt {
    /// The tokens that were asked for, which are more than `limit`.
    pub(super) requested: u64,
    /// The tokens that the context has room for.
    pub(super) limit: u64,
    /// The place in the message at which Crucible's hint begins.
    pub(super) hint_at: usize,
}
