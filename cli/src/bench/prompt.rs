//! The prompts of a benchmark. Each run asks for the same work, in words that no prompt cache
//! contains.

/// The number of tokens that an answer generates.
pub(super) const GENERATED_TOKENS: u32 = 48;

/// The largest number of requests of a run; it separates the prompt numbers of different runs.
pub(super) const MAX_REQUESTS: usize = 1000;

/// Returns a prompt of about 400 tokens. Its number comes first, so that a cached prefix is of no
/// use.
pub(super) fn prompt(run: usize) -> String {
    let line = "A crucible is a vessel in which metals are melted at a very high heat. ";
    format!("Run {run}. {}Tell what it is made of.", line.repeat(22))
}
