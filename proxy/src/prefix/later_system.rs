//! A system message behind the first message of a user or a model, as a text of the user.

/// The tag around it: Claude Code marks its own reminders in texts of the user so, and models know them.
const OPEN: &str = "<system-reminder>";
const CLOSE: &str = "</system-reminder>";

/// Returns the text of a system message as a user's; an empty one, and one that is tagged
/// already, stays as it is.
pub(crate) fn as_user_text(text: String) -> String {
    if text.trim().is_empty() || text.trim_start().starts_with(OPEN) {
        return text;
    }
    format!("{OPEN}\n{text}\n{CLOSE}")
}
