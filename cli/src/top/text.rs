//! Texts of others on a terminal: cleaned of what would steer it, measured in columns, cut to a width.

use crucible_documents::UnseenCharacter;
use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

/// The end of a text that was cut.
const CUT: &str = "…";

/// The longest text that is kept of a name or an error, in characters.
const LONGEST: usize = 2000;

/// Returns a text with which nobody can steer a terminal: control characters, escape sequences' first characters among
/// them, and characters that turn the direction of text become `�`, line feeds and tabs a space. Joiners, variation
/// selectors and other characters without a width, whose columns depend on the terminal, are left out.
pub(super) fn clean(text: &str) -> String {
    let shown = text.chars().take(LONGEST);
    shown
        .filter_map(|c| match UnseenCharacter::of(c) {
            None => Some(c),
            Some(UnseenCharacter::Control) if matches!(c, '\n' | '\t') => Some(' '),
            Some(UnseenCharacter::Control | UnseenCharacter::Turning) => Some('\u{fffd}'),
            Some(UnseenCharacter::Shaping | UnseenCharacter::Hidden) => None,
        })
        .collect()
}

/// The columns that a text takes.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// Returns the text, or its beginning and `…` where it is wider than `columns`. A number is never cut: it
/// is left out whole.
pub(super) fn clip(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let room = columns.saturating_sub(1);
    let mut end = 0;
    let mut used = 0;
    for (at, grapheme) in text.grapheme_indices(true) {
        used += grapheme.width();
        if used > room {
            break;
        }
        end = at + grapheme.len();
    }
    let (kept, rest) = text.split_at(end);
    let kept = without_cut_number(kept, rest).trim_end_matches([' ', ',']);
    if columns == 0 {
        return String::new();
    }
    format!("{kept}{CUT}")
}

/// The beginning of a text without the number at its end that goes on in the rest, or whose unit does.
fn without_cut_number<'t>(kept: &'t str, rest: &str) -> &'t str {
    let in_number = |c: char| c.is_ascii_digit() || matches!(c, '.' | ',' | ':');
    let ends_in_digit = |text: &str| text.ends_with(|c: char| c.is_ascii_digit());
    if rest.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '.' | ':')) {
        return kept.trim_end_matches(in_number);
    }
    // "12 sec" of "12 seconds", "62" of "62 %".
    let in_word = rest.starts_with(char::is_alphabetic);
    let before_word = kept.trim_end_matches(char::is_alphabetic);
    let before_unit = if in_word && before_word.ends_with(' ') {
        before_word
    } else if rest
        .trim_start()
        .starts_with(|c: char| c == '%' || c.is_alphabetic())
    {
        kept
    } else {
        return kept;
    };
    let number = before_unit.trim_end();
    let before_number = number.trim_end_matches(in_number);
    let alone = before_number.is_empty() || before_number.ends_with(' ');
    if ends_in_digit(number) && alone {
        before_number
    } else {
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_others_steers_the_terminal() {
        for (text, shown) in [
            ("qwen\u{1b}[31mred\u{7}", "qwen\u{fffd}[31mred\u{fffd}"),
            ("a\u{9b}2Jb\u{90}c", "a\u{fffd}2Jb\u{fffd}c"),
            ("two\nlines\tand a tab\r", "two lines and a tab\u{fffd}"),
            ("gpu\u{202e}drowssap", "gpu\u{fffd}drowssap"),
            (
                "a\u{2066}b\u{2069}c\u{2028}d",
                "a\u{fffd}b\u{fffd}c\u{fffd}d",
            ),
            ("qw\u{200b}en\u{200f}7b\u{e0041}\u{3164}", "qwen7b"),
            (
                "\u{1f469}\u{200d}\u{1f680} \u{2764}\u{fe0f}",
                "\u{1f469}\u{1f680} \u{2764}",
            ),
            ("模型 modèle", "模型 modèle"),
        ] {
            assert_eq!(clean(text), shown);
        }
        assert_eq!(clean(&"x".repeat(5000)).len(), LONGEST);
    }

    #[test]
    fn a_cut_never_goes_through_a_number_or_a_wide_character() {
        for (text, columns, shown) in [
            ("answering", 9, "answering"),
            ("answering", 6, "answe…"),
            ("模型模型", 5, "模型…"),
            ("模型模型", 4, "模…"),
            ("qwen2.5-coder", 7, "qwen…"),
            ("about 1234 tokens", 9, "about…"),
            ("12 s of about 30 s", 16, "12 s of about…"),
            ("12 s of about 30 s", 17, "12 s of about…"),
            ("first, 62 %", 10, "first…"),
            ("62 %", 3, "…"),
            ("16.4 k tokens", 12, "16.4 k toke…"),
            ("16.4 k tokens", 6, "…"),
            ("11:59:55", 6, "…"),
            ("12 seconds", 7, "…"),
            ("12345", 3, "…"),
            ("abc", 0, ""),
        ] {
            let cut = clip(text, columns);
            assert_eq!(cut, shown, "{text:?} in {columns}");
            assert!(width(&cut) <= columns);
        }
    }
}
