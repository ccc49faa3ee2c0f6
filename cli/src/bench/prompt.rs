//! What an engine is asked in a run: the same work each time, in words that no cache knows.

/// Tokens that are generated.
pub(super) const GENERATED: u32 = 48;

/// Most requests of a run; their numbers tell the prompts of runs apart.
pub(super) const MOST: usize = 1000;

/// About 400 tokens; the number comes first, so that no cached beginning is of use.
pub(super) fn prompt(run: usize) -> String {
    let line = "A crucible is a vessel in which metals are melted at a very high heat. ";
    format!("Run {run}. {}Tell what it is made of.", line.repeat(22))
}
