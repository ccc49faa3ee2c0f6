//! Values of a TOML file, put in without touching the rest of its text.

use serde_json::Value;
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike};

use super::{
    assignment::{Assignment, PathStep},
    restoration::{FileStates, Restoration},
};

/// Returns the TOML text with these values put in at their places; comments and all other bytes stay.
///
/// # Errors
/// The words for why this TOML cannot be changed.
pub(super) fn apply(text: &str, assignments: &[Assignment]) -> Result<String, String> {
    let mut document = read(text)?;
    for assignment in assignments {
        put(document.as_table_mut(), assignment)?;
    }
    Ok(document.to_string())
}

/// Parses a TOML text into a document that can be edited; the error is in words.
pub(super) fn read(text: &str) -> Result<DocumentMut, String> {
    text.parse().map_err(|error: toml_edit::TomlError| {
        format!("is not valid TOML: {}", error.to_string().trim())
    })
}

/// Returns the text without the values at these paths that are as they were written.
///
/// # Errors
/// A text cannot be read or changed, in words.
pub(super) fn take_out(
    before: &str,
    after: &str,
    now: &str,
    paths: &[Vec<PathStep>],
) -> Result<String, String> {
    let mut document = read(now)?;
    let states = FileStates {
        before: &values(read(before)?.as_table()),
        after: &values(read(after)?.as_table()),
        now: &values(document.as_table()),
    };
    let plan = Restoration::plan(&states, paths);
    let text_before = read(before)?;
    for (path, value) in &plan.values {
        match value {
            Some(value) => put_as(
                document.as_table_mut(),
                &Assignment {
                    path: path.clone(),
                    value: value.clone(),
                    only_where_absent: false,
                },
                // In the spelling from before: its quotes, its way to write a number.
                written(text_before.as_table(), path),
            )?,
            None => remove(document.as_table_mut(), path),
        }
    }
    if values(document.as_table()) == plan.restored {
        Ok(document.to_string())
    } else {
        Err("cannot be changed back safely".to_owned())
    }
}

fn remove(root: &mut Table, path: &[PathStep]) {
    let mut table: &mut dyn TableLike = root;
    for (depth, step) in path.iter().enumerate() {
        let PathStep::Key(key) = step else { return };
        if depth + 1 == path.len() {
            table.remove(key);
            return;
        }
        let Some(inner) = table.get_mut(key).and_then(Item::as_table_like_mut) else {
            return;
        };
        table = inner;
    }
}

/// The values of a table as JSON; dates are texts.
pub(super) fn values(table: &dyn TableLike) -> Value {
    let pairs = table
        .iter()
        .map(|(key, item)| (key.to_owned(), item_value(item)));
    Value::Object(pairs.collect())
}

fn item_value(item: &Item) -> Value {
    match item {
        Item::None => Value::Null,
        Item::Value(value) => json_value(value),
        Item::Table(table) => values(table),
        Item::ArrayOfTables(tables) => Value::Array(tables.iter().map(|t| values(t)).collect()),
    }
}

fn json_value(value: &toml_edit::Value) -> Value {
    match value {
        toml_edit::Value::String(text) => text.value().as_str().into(),
        toml_edit::Value::Integer(number) => (*number.value()).into(),
        toml_edit::Value::Float(number) => (*number.value()).into(),
        toml_edit::Value::Boolean(flag) => (*flag.value()).into(),
        toml_edit::Value::Datetime(date) => date.value().to_string().into(),
        toml_edit::Value::Array(list) => Value::Array(list.iter().map(json_value).collect()),
        toml_edit::Value::InlineTable(table) => values(table),
    }
}

/// The value at a path as its text spells it.
fn written(root: &Table, path: &[PathStep]) -> Option<toml_edit::Value> {
    let mut table: &dyn TableLike = root;
    let (last, way) = path.split_last()?;
    for step in way {
        let PathStep::Key(key) = step else {
            return None;
        };
        table = table.get(key)?.as_table_like()?;
    }
    let PathStep::Key(key) = last else {
        return None;
    };
    table.get(key)?.as_value().cloned()
}

fn put(root: &mut Table, assignment: &Assignment) -> Result<(), String> {
    put_as(root, assignment, None)
}

/// Puts a value in, in this spelling where there is one.
fn put_as(
    root: &mut Table,
    assignment: &Assignment,
    spelled: Option<toml_edit::Value>,
) -> Result<(), String> {
    let keys: Vec<&str> = assignment
        .path
        .iter()
        .filter_map(|step| match step {
            PathStep::Key(key) => Some(key.as_str()),
            PathStep::Element { .. } => None,
        })
        .collect();
    let Some((last, way)) = keys.split_last() else {
        return Ok(());
    };
    let mut table: &mut dyn TableLike = root;
    for (depth, key) in way.iter().enumerate() {
        let mut new = Table::new();
        // Only the table that holds a value gets a heading.
        new.set_implicit(true);
        let item = table.entry(key).or_insert(Item::Table(new));
        table = item.as_table_like_mut().ok_or_else(|| {
            let path = Assignment::spelled(&assignment.path[..=depth]);
            format!("has something else than a table at {path}")
        })?;
    }
    let item = spelled.map_or_else(|| item(&assignment.value), Item::Value);
    match table.get_mut(last) {
        Some(_) if assignment.only_where_absent => {}
        Some(old) => match (old.as_value_mut(), item.into_value()) {
            (Some(old), Ok(mut new)) => {
                // The comment behind a value belongs to its surroundings.
                *new.decor_mut() = old.decor().clone();
                *old = new;
            }
            _ => {
                return Err(format!(
                    "has a table at {}",
                    Assignment::spelled(&assignment.path)
                ));
            }
        },
        None => {
            table.insert(last, item);
        }
    }
    Ok(())
}

fn item(value: &Value) -> Item {
    Item::Value(toml_value(value))
}

/// A null is an empty text: TOML has none, and no client is given one.
fn toml_value(value: &Value) -> toml_edit::Value {
    match value {
        Value::Null => "".into(),
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number) => number.as_i64().map_or_else(
            || number.as_f64().unwrap_or_default().into(),
            toml_edit::Value::from,
        ),
        Value::String(text) => text.as_str().into(),
        Value::Array(list) => list.iter().map(toml_value).collect::<Array>().into(),
        Value::Object(object) => {
            let pairs = object
                .iter()
                .map(|(key, value)| (key.as_str(), toml_value(value)));
            pairs.collect::<InlineTable>().into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_other_tables_stay() {
        let text = "# mine\nmodel = \"gpt\" # was\n\n[tui] # looks\ntheme = 'x'\n\n[model_providers.mine]\nname = \"Mine\"\n";
        let changed = apply(
            text,
            &[
                Assignment::set(["model"], "qwen"),
                Assignment::set(["model_context_window"], 32768),
                Assignment::set(["model_providers", "crucible", "name"], "Crucible"),
            ],
        )
        .unwrap();
        assert_eq!(
            changed,
            "# mine\nmodel = \"qwen\" # was\nmodel_context_window = 32768\n\n[tui] # looks\ntheme = 'x'\n\n[model_providers.mine]\nname = \"Mine\"\n\n[model_providers.crucible]\nname = \"Crucible\"\n"
        );
    }

    #[test]
    fn a_file_that_is_not_understood_is_refused_in_words() {
        let set = [Assignment::set(
            ["model_providers", "crucible", "name"],
            "x",
        )];
        for (text, part) in [
            ("model = [", "not valid TOML"),
            ("model_providers = 3", "at model_providers"),
            ("[model_providers.crucible.name]\na = 1", "has a table at"),
        ] {
            let refused = apply(text, &set).unwrap_err();
            assert!(refused.contains(part), "{text}: {refused}");
        }
    }
}
