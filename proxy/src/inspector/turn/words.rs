//! The difference of two turns in one sentence.

use crucible_documents::inspector::{PieceChangeKind, ToolsChangeDoc, TurnDifferenceDoc};

/// Says what changed settings of the template, by their names, mean for the prompt; `None` where there are none.
pub(super) fn template_warning(names: &[&str]) -> Option<String> {
    (!names.is_empty()).then(|| {
        format!(
            "{} changed since that turn: the template of the model may write the prompt otherwise from its beginning, \
             and then the engine reads all of it again.",
            names.join(", ")
        )
    })
}

/// Says what differs: `unchanged 12 messages; message 3 (user) changed at character 41: 'a' -> 'b'; 2 added`.
/// `of_template` has the names of the changed settings that may be written into the prompt.
pub(super) fn summary(difference: &TurnDifferenceDoc, of_template: &[&str]) -> String {
    let mut said = Vec::new();
    if !of_template.is_empty() {
        let names = of_template.join(", ");
        said.push(format!("{names} changed, which may be part of the prompt"));
    }
    if let Some(tools) = &difference.tools {
        said.push(tools_words(tools));
    }
    if let Some(broken) = &difference.broken_at
        && broken.piece.contains("system prompt")
        && !is_said(difference, &broken.piece)
    {
        let place = broken
            .character
            .map_or_else(String::new, |at| format!(" at character {at}"));
        said.push(format!("{} changed{place}", broken.piece));
    }
    if difference.unchanged > 0 {
        said.push(format!("{} unchanged", messages(difference.unchanged)));
    }
    let mut shown = difference.changes.iter();
    if let Some(first) = shown.find(|change| change.kind == PieceChangeKind::Changed) {
        let at = first.character.unwrap_or(1);
        said.push(format!(
            "{} changed at character {at}: '{}' -> '{}'",
            first.piece, first.before, first.after
        ));
    }
    if difference.changed > 1 {
        said.push(format!("{} more changed", difference.changed - 1));
    }
    for (count, word) in [(difference.removed, "gone"), (difference.added, "added")] {
        if count > 0 {
            said.push(format!("{count} {word}"));
        }
    }
    if said.is_empty() {
        said.push("the same prompt".to_owned());
    }
    said.join("; ")
}

/// Whether the changes name that piece already.
fn is_said(difference: &TurnDifferenceDoc, piece: &str) -> bool {
    difference
        .changes
        .iter()
        .any(|change| change.piece == *piece)
}

fn messages(count: usize) -> String {
    match count {
        1 => "1 message".to_owned(),
        count => format!("{count} messages"),
    }
}

fn tools_words(tools: &ToolsChangeDoc) -> String {
    let mut said = Vec::new();
    for (names, word) in [
        (&tools.added, "added"),
        (&tools.removed, "gone"),
        (&tools.changed, "changed"),
    ] {
        if !names.is_empty() {
            said.push(format!("{} {word}", names.join(", ")));
        }
    }
    if tools.reordered || said.is_empty() {
        said.insert(0, "re-ordered".to_owned());
    }
    format!("tools: {}", said.join(", "))
}
