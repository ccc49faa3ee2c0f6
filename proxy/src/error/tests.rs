use std::collections::HashSet;

use crucible_router::refusal::Refusal;

use super::*;

#[test]
fn codes_are_lower_case_words_and_all_kinds_are_listed() {
    let listed: HashSet<ErrorKind> = ErrorKind::ALL.into_iter().collect();
    assert_eq!(listed.len(), ErrorKind::ALL.len());
    for kind in ErrorKind::ALL {
        assert!(
            kind.code()
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b == b'_'),
            "{kind:?}"
        );
    }
}

#[test]
fn an_unknown_name_is_told_with_the_nearest_and_the_line_that_maps_it() {
    let error = Error::from(Refusal::UnknownModel {
        name: "gpt-4o".into(),
        nearest: vec!["qwen".into()],
        hint: "[[model]]\nname = \"qwen\"\naliases = [\"gpt-4o\"]".into(),
        alias_of: None,
        closed: String::new(),
    });
    assert_eq!(error.status(), 404);
    assert_eq!(error.param.as_deref(), Some("model"));
    assert_eq!(
        error.message,
        "unknown model 'gpt-4o'; nearest: qwen; to map it, in crucible.toml:\n[[model]]\nname = \"qwen\"\naliases = [\"gpt-4o\"]"
    );
}
