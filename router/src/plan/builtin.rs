//! The built-in word rules of `auto`: they break ties and nothing else.
//!
//! Short edits, formatting and templates go to `fast`; work over many files, security, planning
//! and architecture to `quality`, which is looked at first.

use super::rules::contains_words;

/// The built-in virtual model that a word rule asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VirtualTarget {
    Fast,
    Quality,
}

const QUALITY: [&str; 22] = [
    "multi-file",
    "multiple files",
    "across files",
    "across the codebase",
    "whole codebase",
    "entire codebase",
    "whole repository",
    "security review",
    "security audit",
    "vulnerability",
    "vulnerabilities",
    "threat model",
    "plan",
    "planning",
    "roadmap",
    "architecture",
    "architectural",
    "architect",
    "system design",
    "design document",
    "trade-offs",
    "migration",
];

const FAST: [&str; 20] = [
    "typo",
    "typos",
    "rename",
    "reformat",
    "format",
    "formatting",
    "indent",
    "indentation",
    "lint",
    "prettify",
    "template",
    "templates",
    "boilerplate",
    "snippet",
    "docstring",
    "one-liner",
    "short edit",
    "small edit",
    "quick fix",
    "commit message",
];

/// The bytes of a message that are searched for words, so that a long pasted log decides nothing.
const LOOKED_AT: usize = 8 * 1024;

/// Returns the virtual model of the first rule whose words the text contains in its first 8 KiB;
/// `None` where no rule does. `last_user` is the last message of the user in lower case.
pub(super) fn matched(last_user: &str) -> Option<VirtualTarget> {
    let text = &last_user[..last_user.floor_char_boundary(LOOKED_AT)];
    if QUALITY.iter().any(|words| contains_words(text, words)) {
        Some(VirtualTarget::Quality)
    } else if FAST.iter().any(|words| contains_words(text, words)) {
        Some(VirtualTarget::Fast)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_point_to_a_target() {
        for (text, expected) in [
            ("fix this typo", Some(VirtualTarget::Fast)),
            ("please format the file", Some(VirtualTarget::Fast)),
            ("a template for a readme", Some(VirtualTarget::Fast)),
            ("a multi-file refactoring", Some(VirtualTarget::Quality)),
            ("do a security review", Some(VirtualTarget::Quality)),
            ("plan it, then format it", Some(VirtualTarget::Quality)),
            ("give me an explanation of the platform", None),
            ("", None),
        ] {
            assert_eq!(matched(text), expected, "{text:?}");
        }
    }

    #[test]
    fn only_the_head_of_a_long_message_counts() {
        let long = format!("{} plan", "é ".repeat(LOOKED_AT));
        assert_eq!(matched(&long), None);
    }
}
