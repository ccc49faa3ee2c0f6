//! Entries at the top of a YAML file, put in as lines so that comments and the rest of the text stay.
//!
//! No crate edits YAML and keeps its comments well, so lines are added in a marked block at the end, or the
//! value of one line is replaced. A parser reads the text before and after: where anything but the entry
//! differs, the file is refused.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::{
    assignment::PathStep,
    restoration::{FileStates, Restoration, value_at},
};

/// An entry at the top of a YAML file.
#[derive(Clone, Debug)]
pub(crate) enum YamlEntry {
    /// A key of the mapping that the file is, with a plain value.
    Key(&'static str, Value),
    /// An element of the list that the file is, found again by its first member; its values are plain.
    Element(Vec<(&'static str, Value)>),
}

/// The first line of what is added, and the last one.
const BEGIN: &str = "# Written by `crucible connect`; `--undo` takes it out.";
const END: &str = "# End of what `crucible connect` wrote.";

// === impl YamlEntry ===

impl YamlEntry {
    /// The path of a key; an element stands in the marked block alone.
    pub(crate) fn path(&self) -> Option<Vec<PathStep>> {
        match self {
            Self::Key(key, _) => Some(vec![PathStep::Key((*key).to_owned())]),
            Self::Element(_) => None,
        }
    }
}

/// Returns the text with these entries.
///
/// # Errors
/// The words for why this YAML cannot be changed.
pub(super) fn apply(text: &str, entries: &[YamlEntry]) -> Result<String, String> {
    let before = read(text)?;
    let mut expected = before.clone();
    let mut changed = text.to_owned();
    let mut added = Vec::new();
    for entry in entries {
        match entry {
            YamlEntry::Key(key, value) => {
                let mapping = mapping(&mut expected)?;
                match mapping.insert((*key).to_owned(), value.clone()) {
                    Some(old) if old == *value => {}
                    Some(old) => changed = replaced(&changed, key, &old, value)?,
                    None => added.push(format!("{key}: {value}")),
                }
            }
            YamlEntry::Element(members) => {
                added.extend(element(&mut expected, members)?);
            }
        }
    }
    if !added.is_empty() {
        if !changed.is_empty() && !changed.ends_with('\n') {
            changed.push('\n');
        }
        let block = added.join("\n");
        let _ = write!(changed, "{BEGIN}\n{block}\n{END}\n");
    }
    match read(&changed) {
        Ok(found) if found == expected => Ok(changed),
        _ => Err("is written in a way in which lines cannot be added safely".to_owned()),
    }
}

/// Returns the text without the marked block, and with the values from before in the lines that were replaced
/// and are as they were written.
///
/// # Errors
/// The block was changed, or a text cannot be read or changed, in words.
pub(super) fn take_out(
    before: &str,
    after: &str,
    now: &str,
    paths: &[Vec<PathStep>],
) -> Result<String, String> {
    let block = |text: &str| {
        let begin = text.find(BEGIN)?;
        let end = begin + text.get(begin..)?.find(END)? + END.len();
        Some((begin, end))
    };
    let mut changed = now.to_owned();
    if let Some((begin, end)) = block(after) {
        let written = after.get(begin..end).unwrap_or_default();
        let at = changed
            .find(written)
            .ok_or("has another text where Crucible wrote")?;
        let rest = changed.get(at + written.len()..).unwrap_or_default();
        let ends = ["\r\n", "\n"].into_iter().find(|end| rest.starts_with(end));
        let end = at + written.len() + ends.map_or(0, str::len);
        changed.replace_range(at..end, "");
    } else if paths.is_empty() {
        return Err("is Crucible's own and was changed".to_owned());
    }
    let text_before = before;
    let (before, after) = (read(before)?, read(after)?);
    let states = FileStates {
        before: &before,
        after: &after,
        now: &read(&changed)?,
    };
    let plan = Restoration::plan(&states, paths);
    for (path, value) in &plan.values {
        if let ([PathStep::Key(key)], Some(value)) = (path.as_slice(), value)
            && let Some(old) = value_at(&after, path)
        {
            // In the spelling from before, with its quotes.
            let spelled = line_of(text_before, key, value).map(|(_, written, _)| written);
            let spelled = spelled.unwrap_or_else(|_| value.to_string());
            changed = replaced_as(&changed, key, old, &spelled)?;
        }
    }
    match read(&changed) {
        Ok(found) if found == plan.restored => Ok(changed),
        _ => Err("cannot be changed back safely".to_owned()),
    }
}

/// Reads the values of a text; an empty one is null.
pub(super) fn read(text: &str) -> Result<Value, String> {
    if text
        .lines()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
    {
        return Ok(Value::Null);
    }
    serde_saphyr::from_str(text).map_err(|error| {
        let words = error.to_string();
        let first = words.lines().next().unwrap_or_default();
        format!("is not valid YAML: {first}")
    })
}

fn mapping(document: &mut Value) -> Result<&mut Map<String, Value>, String> {
    if document.is_null() {
        *document = Value::Object(Map::new());
    }
    let wrong = || "has another type at its top than this client reads".to_owned();
    document.as_object_mut().ok_or_else(wrong)
}

/// Returns the lines of an element that is not there yet.
fn element(document: &mut Value, members: &[(&'static str, Value)]) -> Result<Vec<String>, String> {
    if document.is_null() {
        *document = Value::Array(Vec::new());
    }
    let list = document
        .as_array_mut()
        .ok_or_else(|| "has another type at its top than this client reads".to_owned())?;
    let object: Map<String, Value> = members
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    let object = Value::Object(object);
    if list.contains(&object) {
        return Ok(Vec::new());
    }
    if let Some((name, value)) = members.first()
        && list.iter().any(|element| element[*name] == *value)
    {
        return Err(format!("has another entry with {name} {value} already"));
    }
    list.push(object);
    let lines = members.iter().enumerate().map(|(index, (name, value))| {
        let lead = if index == 0 { "- " } else { "  " };
        format!("{lead}{name}: {value}")
    });
    Ok(lines.collect())
}

/// Returns the text in which the line of a key has another value. A comment behind the value stays.
fn replaced(text: &str, key: &str, old: &Value, value: &Value) -> Result<String, String> {
    replaced_as(text, key, old, &value.to_string())
}

/// The same with the text of the value.
fn replaced_as(text: &str, key: &str, old: &Value, written: &str) -> Result<String, String> {
    let (at, _, comment) = line_of(text, key, old)?;
    let mut lines: Vec<&str> = text.split('\n').collect();
    let line = format!("{key}: {written}{comment}");
    if let Some(place) = lines.get_mut(at) {
        *place = &line;
    }
    Ok(lines.join("\n"))
}

/// The only line that sets a key to this value: its place, the text of the value, and what follows it.
fn line_of(text: &str, key: &str, value: &Value) -> Result<(usize, String, String), String> {
    let lead = format!("{key}:");
    let mut found = text
        .split('\n')
        .enumerate()
        .filter(|(_, line)| line.starts_with(&lead));
    let (Some((at, line)), None) = (found.next(), found.next()) else {
        return Err(format!("sets {key} in a way that cannot be changed safely"));
    };
    let rest = line.get(lead.len()..).unwrap_or_default();
    let is_it = |written: &str| serde_saphyr::from_str::<Value>(written).is_ok_and(|v| v == *value);
    let comments = rest.match_indices(" #").map(|(at, _)| at);
    let comment = comments
        .filter(|at| is_it(rest.get(..*at).unwrap_or_default()))
        .last()
        .unwrap_or(rest.len());
    let (written, comment) = rest.split_at(comment);
    Ok((at, written.trim().to_owned(), comment.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn keys() -> [YamlEntry; 2] {
        [
            YamlEntry::Key("model", json!("openai/qwen")),
            YamlEntry::Key("openai-api-key", json!("none")),
        ]
    }

    #[test]
    fn a_value_is_replaced_in_its_line_and_others_are_added_at_the_end() {
        let text = "# mine\nmodel: sonnet # the best\ndark-mode: true\n# last";
        assert_eq!(
            apply(text, &keys()).unwrap(),
            format!(
                "# mine\nmodel: \"openai/qwen\" # the best\ndark-mode: true\n# last\n{BEGIN}\nopenai-api-key: \"none\"\n{END}\n"
            )
        );
        let again = apply(text, &keys()).unwrap();
        assert_eq!(apply(&again, &keys()).unwrap(), again);
        assert_eq!(apply("", &keys()).unwrap().lines().count(), 4);
    }

    #[test]
    fn an_element_is_added_to_the_list() {
        let entry = [YamlEntry::Element(vec![
            ("model_id", json!("crucible")),
            ("supports_tools", json!(true)),
        ])];
        let text = "- model_id: mine # keep\n  api_base: x\n";
        let changed = apply(text, &entry).unwrap();
        assert!(changed.starts_with(text), "{changed}");
        assert_eq!(
            read(&changed).unwrap()[1],
            json!({"model_id": "crucible", "supports_tools": true})
        );
        assert_eq!(apply(&changed, &entry).unwrap(), changed);
        let other = "- model_id: crucible\n  api_base: y\n";
        assert!(apply(other, &entry).unwrap_err().contains("another entry"));
    }

    #[test]
    fn a_file_that_is_not_understood_is_refused_in_words() {
        for (text, part) in [
            ("model: [", "not valid YAML"),
            ("{model: x}", "cannot be changed safely"),
            ("{dark: true}", "cannot be added safely"),
            ("- a", "another type at its top"),
            ("model: |\n  two\n  lines\n", "cannot be added safely"),
            ("'model': x\n", "cannot be changed safely"),
            ("a: 1\n---\nb: 2\n", "not valid YAML"),
        ] {
            let refused = apply(text, &keys()).unwrap_err();
            assert!(refused.contains(part), "{text}: {refused}");
        }
    }
}
