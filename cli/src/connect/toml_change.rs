//! Values of a TOML file, put in without touching the rest of its text.

use serde_json::Value;
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike};

use super::assignment::{Assignment, PathStep};

/// Returns the text with these values.
///
/// # Errors
/// Why it cannot be changed, in words.
pub(super) fn apply(text: &str, assignments: &[Assignment]) -> Result<String, String> {
    let mut document = read(text)?;
    for assignment in assignments {
        put(document.as_table_mut(), assignment)?;
    }
    Ok(document.to_string())
}

/// Reads a text.
pub(super) fn read(text: &str) -> Result<DocumentMut, String> {
    text.parse().map_err(|error: toml_edit::TomlError| {
        format!("is not valid TOML: {}", error.to_string().trim())
    })
}

fn put(root: &mut Table, assignment: &Assignment) -> Result<(), String> {
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
    let item = item(&assignment.value);
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
