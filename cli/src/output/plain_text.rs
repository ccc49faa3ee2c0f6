//! Texts of others on a terminal: names of models and programs, errors of engines. None of them may steer it, or read as
//! another text than it is.

use std::borrow::Cow;

use crucible_documents::UnseenCharacter;

/// A text of others on one line, with a space for each character that hides, turns text or steers a terminal.
pub(crate) fn plain(text: &str) -> String {
    let is_wrong = |c| is_deceptive(c) || matches!(c, '\n' | '\t');
    replaced(text, is_wrong, ' ').into_owned()
}

/// An output as a terminal gets it: with `�` for each character that hides, turns text or steers it. Another output gets
/// it as it is.
pub(crate) fn for_terminal(text: &str, is_terminal: bool) -> Cow<'_, str> {
    replaced(text, |c| is_terminal && is_deceptive(c), '\u{fffd}')
}

fn replaced(text: &str, is_wrong: impl Fn(char) -> bool, by: char) -> Cow<'_, str> {
    if text.contains(&is_wrong) {
        let shown = text.chars().map(|c| if is_wrong(c) { by } else { c });
        Cow::Owned(shown.collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// Returns whether a character is kept from a terminal. Line feeds and tabs lay a text out, and joiners and variation
/// selectors belong to the writing of many languages: those stay.
fn is_deceptive(c: char) -> bool {
    match UnseenCharacter::of(c) {
        None | Some(UnseenCharacter::Shaping) => false,
        Some(UnseenCharacter::Control) => !matches!(c, '\n' | '\t'),
        Some(UnseenCharacter::Turning | UnseenCharacter::Hidden) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_steered_and_a_file_has_the_text_itself() {
        let text = "a\u{1b}[2J\u{202e}b\n\tc\u{200d}d";
        assert_eq!(
            for_terminal(text, true),
            "a\u{fffd}[2J\u{fffd}b\n\tc\u{200d}d"
        );
        assert_eq!(for_terminal(text, false), text);
        assert_eq!(plain(text), "a [2J b  c\u{200d}d");
    }
}
