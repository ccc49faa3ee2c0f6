//! The advice to people about a prompt that is read again on every turn.

use super::fingerprint::{Divergence, PieceKind};

/// Returns one thing to do, by the client and by the piece of the prompt that differs.
pub(crate) fn advice(client: &str, divergence: Divergence) -> String {
    let program = client.split(['@', '/']).next().unwrap_or_default();
    let is_claude = program.to_lowercase().starts_with("claude");
    match divergence.kind {
        PieceKind::Tools => {
            "offer the same tools in the same order on every turn: a server of tools that comes and goes, or \
             a list that is sorted anew, makes the engine read everything again"
                .to_owned()
        }
        PieceKind::System if divergence.message == 0 && is_claude => {
            "set CLAUDE_CODE_ATTRIBUTION_HEADER=0 for Claude Code, and leave prefix.billing_block on; then \
             take what changes (a clock, the state of git) out of CLAUDE.md and its output style"
                .to_owned()
        }
        PieceKind::System if divergence.message == 0 => format!(
            "take what changes from turn to turn (a clock, a date with seconds, counters, memories) out of the \
             system prompt of {program}, or put it behind the last message"
        ),
        PieceKind::System => format!(
            "{program} moves or rewrites a system message in the middle of the conversation: let it add a new \
             one at the end"
        ),
        PieceKind::User | PieceKind::Assistant | PieceKind::Tool | PieceKind::Other => format!(
            "{program} rewrites what was said before (memories, trimmed results, a summary): switch that off, \
             or do it rarely and all at once"
        ),
    }
}
