//! What a `tool_choice` in other words leaves of the tools, and what is said about it.

use crate::dialect::chat::tool_choice::ToolChoice;

/// The tools that a choice leaves, where it leaves only some of them.
pub(super) fn left_by(choice: Option<&ToolChoice>) -> Option<&str> {
    choice?.tools.as_deref()
}

/// The note on a choice that is sent as another word.
pub(super) fn choice_note(choice: &ToolChoice) -> String {
    let word = choice.mode.word();
    let offer = if choice.tools.is_some() {
        ", and only the tools that it allows are offered"
    } else {
        ""
    };
    format!("tool_choice is sent as {word}{offer}")
}
