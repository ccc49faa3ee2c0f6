//! The difference of two turns of one conversation, message by message, with the place where the engine's cache of the
//! prompt breaks.
//!
//! A turn should only add to the prompt of the one before. Bodies of every format are compared in the same way: as a
//! list of tools, a system prompt and a list of messages (`parts`), which are paired (`alignment`), and of which each
//! pair that differs is shown at its first different character (`excerpt`). Nothing here depends on a client; each step
//! has a bound, so that the time grows with the length of the bodies only.

mod alignment;
mod excerpt;
mod parts;
mod printable;
mod words;

use std::sync::Arc;

use crucible_documents::inspector::{
    ComparedBodies, PieceChangeDoc, PieceChangeKind, PrefixBreakDoc, ToolsChangeDoc,
    TurnDifferenceDoc,
};

use self::{
    alignment::{PiecePair, aligned},
    excerpt::FirstDifference,
    parts::{PromptPiece, TurnParts},
};

/// The most changes of messages that are shown.
const MOST_CHANGES: usize = 16;
/// The most names of tools that are listed.
const MOST_NAMES: usize = 8;
/// The bytes of a token, where an engine did not count.
const BYTES_PER_TOKEN: u64 = 4;

/// Compares a body with that of the previous turn. `tokens` is the engine's count of the later prompt.
///
/// It returns `None` where one of them is no JSON object.
pub(super) fn difference(
    previous_id: &Arc<str>,
    compared: ComparedBodies,
    (old, new): (&str, &str),
    tokens: Option<u64>,
) -> Option<TurnDifferenceDoc> {
    let (old, new) = (TurnParts::of(old)?, TurnParts::of(new)?);
    let pairs = aligned(&old.messages, &new.messages);
    let of_template = new.template_settings_changed(&old);
    let mut difference = TurnDifferenceDoc {
        previous_id: Arc::clone(previous_id),
        compared,
        summary: String::new(),
        unchanged: 0,
        added: 0,
        removed: 0,
        changed: 0,
        changes: Vec::new(),
        tools: tools_change(&old.tools, &new.tools),
        settings: new.settings_changed(&old),
        template_warning: words::template_warning(&of_template),
        broken_at: broken_at(&old, &new, tokens),
    };
    for pair in pairs {
        add_pair(&mut difference, &old.messages, &new.messages, pair);
    }
    difference.summary = words::summary(&difference, &of_template);
    Some(difference)
}

/// Counts a pair, and shows it where it differs and is among the first. What is new at the end is no change to show.
fn add_pair(
    difference: &mut TurnDifferenceDoc,
    old: &[PromptPiece<'_>],
    new: &[PromptPiece<'_>],
    pair: PiecePair,
) {
    let (kind, piece, first) = match pair {
        PiecePair::Same => {
            difference.unchanged += 1;
            return;
        }
        PiecePair::Changed(before, after) => {
            difference.changed += 1;
            let first = FirstDifference::of(&old[before], &new[after]);
            (PieceChangeKind::Changed, &new[after], first)
        }
        PiecePair::Removed(before) => {
            difference.removed += 1;
            let first = FirstDifference::gone(&old[before]);
            (PieceChangeKind::Removed, &old[before], first)
        }
        PiecePair::Added(after) => {
            difference.added += 1;
            let first = FirstDifference::come(&new[after]);
            (PieceChangeKind::Added, &new[after], first)
        }
    };
    if difference.changes.len() < MOST_CHANGES {
        difference.changes.push(PieceChangeDoc {
            piece: piece.words(),
            kind,
            character: first.character,
            before: first.before,
            after: first.after,
        });
    }
}

/// Compares two lists of tools by their names.
fn tools_change(old: &[PromptPiece<'_>], new: &[PromptPiece<'_>]) -> Option<ToolsChangeDoc> {
    let is_same = old.len() == new.len() && old.iter().zip(new).all(|(old, new)| old == new);
    if is_same {
        return None;
    }
    let index = |tools: &[PromptPiece<'_>]| {
        let named = tools.iter().enumerate();
        let named = named.map(|(at, tool)| (tool.name.to_string(), at));
        named.collect::<std::collections::HashMap<_, _>>()
    };
    let (of_old, of_new) = (index(old), index(new));
    let (mut added, mut changed) = (Vec::new(), Vec::new());
    let (mut last, mut reordered) = (None, false);
    for tool in new {
        let Some(at) = of_old.get(&*tool.name).copied() else {
            added.push(tool);
            continue;
        };
        if old[at] != *tool {
            changed.push(tool);
        }
        reordered |= last.is_some_and(|last| at < last);
        last = Some(at);
    }
    let gone = old.iter().filter(|tool| !of_new.contains_key(&*tool.name));
    Some(ToolsChangeDoc {
        added: listed(&added),
        removed: listed(&gone.collect::<Vec<_>>()),
        changed: listed(&changed),
        reordered,
    })
}

/// The names of the first tools, and how many more there are.
fn listed(tools: &[&PromptPiece<'_>]) -> Vec<String> {
    let first = tools.iter().take(MOST_NAMES);
    let mut names: Vec<String> = first
        .map(|tool| printable::shown_name(&tool.name))
        .collect();
    let more = tools.len() - names.len();
    if more > 0 {
        names.push(format!("and {more} more"));
    }
    names
}

/// Finds the place where a prompt stops being the one before. It is `None` where it goes on from that one, or is a
/// beginning of it.
fn broken_at(
    old: &TurnParts<'_>,
    new: &TurnParts<'_>,
    tokens: Option<u64>,
) -> Option<PrefixBreakDoc> {
    let bytes = |pieces: &[&PromptPiece<'_>]| -> u64 {
        let lengths = pieces.iter().map(|piece| piece.raw.len());
        lengths
            .map(|length| u64::try_from(length).unwrap_or(u64::MAX))
            .sum()
    };
    let (before, after) = (old.in_order(), new.in_order());
    let mut pairs = before.iter().zip(&after);
    let at = pairs.position(|(old, new)| old != new && !new.goes_on_from(old))?;
    let (piece, first) = (after[at], FirstDifference::of(before[at], after[at]));
    let same = bytes(&after[..at]) + u64::try_from(first.same_bytes).unwrap_or(u64::MAX);
    let all = bytes(&after).max(1);
    // Pieces are about as many as in the turn before, and those behind are new in any case.
    let known = after.len().min(before.len()).max(at + 1);
    let fresh = bytes(&after[known..]);
    let total = tokens.unwrap_or(all / BYTES_PER_TOKEN);
    let share = |part: u64| {
        let part = u128::from(part) * u128::from(total) / u128::from(all);
        u64::try_from(part).unwrap_or(u64::MAX)
    };
    let (tokens_before, tokens_new) = (share(same), share(fresh));
    Some(PrefixBreakDoc {
        piece: piece.words(),
        character: first.character,
        tokens_before,
        tokens_read_again: total.saturating_sub(tokens_before + tokens_new),
        tokens_new,
    })
}

#[cfg(test)]
mod tests;
