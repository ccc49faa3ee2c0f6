//! Whatever a user's file looks like: it is refused, or all that is the user's is still there afterwards and
//! what was put in can be taken out again.

use proptest::{collection::vec, prelude::*};
use serde_json::json;

use super::{
    assignment::Assignment, file_change::FileChange, json_change, toml_change, yaml_change,
    yaml_change::YamlEntry,
};

/// Pieces of files of JSON, some of which fit together.
fn json_text() -> impl Strategy<Value = String> {
    let member = prop_oneof![
        Just("\"a\": 1"),
        Just("\"model\": \"theirs\" // mine"),
        Just("/* x */ \"p\": {}"),
        Just("\"p\": { \"q\": { /* y */ \"z\": [1, 2,], } }"),
        Just("\"p\": null"),
        Just("\"l\": [ { \"name\": \"other\" }, { \"name\": \"ours\", \"x\": 1 } ]"),
        Just("\"l\": [ // empty\n ]"),
        Just("\"p\": 3"),
        Just("\"\\u0061\": \"\\\" // no comment\""),
        Just("broken"),
    ];
    let ends = prop_oneof![Just(""), Just(","), Just(" // last"), Just("\n\n")];
    (vec(member, 0..5), ends, any::<bool>()).prop_map(|(members, end, dos)| {
        let text = format!("// top\n{{\n  {}{end}\n}}", members.join(",\n  "));
        if dos {
            text.replace('\n', "\r\n")
        } else {
            text
        }
    })
}

fn toml_text() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("# mine"),
        Just(""),
        Just("model = 'theirs' # was"),
        Just("[p]"),
        Just("[p.q]"),
        Just("[[list]]"),
        Just("p = { q = { z = 1 } }"),
        Just("p.q.z = 2"),
        Just("[other.deep] # looks"),
        Just("x = 1979-05-27"),
        Just("y = [1, # one\n 2]"),
        Just("broken ="),
    ];
    vec(line, 0..8).prop_map(|lines| lines.join("\n"))
}

fn yaml_text() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("# mine"),
        Just(""),
        Just("model: theirs # was"),
        Just("model: \"a # b\""),
        Just("model: |\n  two\n  lines"),
        Just("dark: true"),
        Just("list:\n  - a\n  - b # c"),
        Just("'key': x"),
        Just("{flow: x}"),
        Just("--- "),
        Just("..."),
        Just("- a"),
        Just("  stray"),
        Just("broken: ["),
        Just("anchor: &a 1\nalias: *a"),
    ];
    (vec(line, 0..6), any::<bool>()).prop_map(|(lines, end)| {
        let text = lines.join("\n");
        if end { text + "\n" } else { text }
    })
}

fn assignments() -> Vec<Assignment> {
    vec![
        Assignment::set(["model"], "ours"),
        Assignment::set(["p", "q", "url"], "u"),
        Assignment::fill(["p", "q", "z"], 9),
    ]
}

/// Checks what holds of any change: comments stay, twice is once, and it can be taken out again.
fn check(change: &FileChange, text: &str) -> Result<Option<String>, TestCaseError> {
    let Ok(changed) = change.applied_to(text) else {
        return Ok(None);
    };
    for comment in [
        "// top", "// mine", "/* x */", "/* y */", "# mine", "# was", "# looks", "# c",
    ] {
        prop_assert_eq!(
            text.matches(comment).count(),
            changed.matches(comment).count()
        );
    }
    let again = change.applied_to(&changed);
    prop_assert_eq!(again.as_ref(), Ok(&changed));
    let taken = change
        .format()
        .taken_out(text, &changed, &changed, &change.paths());
    prop_assert!(
        taken.is_ok() || changed == text,
        "{:?} of {}",
        taken,
        changed
    );
    Ok(Some(taken.unwrap_or_default()))
}

proptest! {
    #[test]
    fn a_json_file_is_refused_or_keeps_all_that_is_its_users(text in json_text()) {
        let mut all = assignments();
        all.push(Assignment::element(["l"], "name", "ours", json!({"name": "ours", "x": 2})));
        if let Some(taken) = check(&FileChange::Json(all), &text)? {
            prop_assert_eq!(json_change::read(&taken), json_change::read(&text));
        }
    }

    #[test]
    fn a_toml_file_is_refused_or_keeps_all_that_is_its_users(text in toml_text()) {
        if let Some(taken) = check(&FileChange::Toml(assignments()), &text)? {
            let read = |text: &str| toml_change::read(text).map(|document| toml_change::values(document.as_table()));
            prop_assert_eq!(read(&taken), read(&text));
        }
    }

    #[test]
    fn a_yaml_file_is_refused_or_keeps_all_that_is_its_users(text in yaml_text()) {
        let entries = vec![
            YamlEntry::Key("model", json!("ours")),
            YamlEntry::Key("openai-api-base", json!("http://x")),
        ];
        if let Some(taken) = check(&FileChange::Yaml(entries), &text)? {
            prop_assert_eq!(yaml_change::read(&taken), yaml_change::read(&text));
        }
    }
}
