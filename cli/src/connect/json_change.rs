//! Values of a JSON file with comments, put in without touching the rest of its text.

use jsonc_parser::{
    ParseOptions,
    cst::{CstArray, CstInputValue, CstNode, CstObject, CstRootNode},
};
use serde_json::Value;

use super::{
    assignment::{Assignment, PathStep, WrongType},
    restoration::{FileStates, Restoration},
};

/// The additions to JSON that editors accept in their settings: comments and commas at the end.
const EDITORS: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_trailing_commas: true,
    allow_loose_object_property_names: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// An object or a list on the way to a value.
enum Container {
    Object(CstObject),
    Array(CstArray),
}

/// Returns the JSON text with these values put in at their places; comments and all other bytes stay.
///
/// # Errors
/// The words for why this JSON cannot be changed.
pub(super) fn apply(text: &str, assignments: &[Assignment]) -> Result<String, String> {
    let mut expected = read(text)?;
    let root = CstRootNode::parse(text, &EDITORS).map_err(|error| broken(&error))?;
    for assignment in assignments {
        let before = expected.clone();
        assignment.assign(&mut expected).map_err(wrong_type)?;
        if before != expected {
            put(&root, assignment)?;
        }
    }
    let mut changed = root.to_string();
    if !changed.ends_with('\n') && text.trim().is_empty() {
        changed.push('\n');
    }
    // A name that stands there twice, for instance, would be read otherwise than it was written.
    if read(&changed)? == expected {
        Ok(changed)
    } else {
        Err(
            "has a name that stands there more than once, so that it is not clear which counts"
                .into(),
        )
    }
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
    let states = FileStates {
        before: &read(before)?,
        after: &read(after)?,
        now: &read(now)?,
    };
    let plan = Restoration::plan(&states, paths);
    let root = CstRootNode::parse(now, &EDITORS).map_err(|error| broken(&error))?;
    for (path, value) in &plan.values {
        match value {
            Some(value) => put(
                &root,
                &Assignment {
                    path: path.clone(),
                    value: value.clone(),
                    only_where_absent: false,
                },
            )?,
            None => {
                if let Some(node) = node_at(&root, path) {
                    node.remove();
                }
            }
        }
    }
    let changed = root.to_string();
    if read(&changed)? == plan.restored {
        Ok(changed)
    } else {
        Err("cannot be changed back safely".to_owned())
    }
}

/// The property or the element at a path.
fn node_at(root: &CstRootNode, path: &[PathStep]) -> Option<CstNode> {
    let mut at = root.value()?;
    for (depth, step) in path.iter().enumerate() {
        at = match step {
            PathStep::Key(key) => {
                let property = at.as_object()?.get(key)?;
                if depth + 1 == path.len() {
                    return Some(property.into());
                }
                property.value()?
            }
            PathStep::Element { member, is } => element(&at.as_array()?, member, is)?,
        };
    }
    Some(at)
}

/// Reads the values of a text; an empty one is null.
pub(super) fn read(text: &str) -> Result<Value, String> {
    let root = CstRootNode::parse(text, &EDITORS).map_err(|error| broken(&error))?;
    Ok(root.to_serde_value().unwrap_or(Value::Null))
}

fn broken(error: &impl ToString) -> String {
    format!("is not valid JSON: {}", error.to_string())
}

fn wrong_type(WrongType(path): WrongType) -> String {
    if path.is_empty() {
        "has another type at its top than this client reads".to_owned()
    } else {
        format!("has something else than an object or a list at {path}")
    }
}

/// Puts one value into the tree; the types on its way were checked before.
fn put(root: &CstRootNode, assignment: &Assignment) -> Result<(), String> {
    let at = |depth: usize| wrong_type(WrongType(Assignment::spelled(&assignment.path[..depth])));
    let (last, way) = assignment.path.split_last().ok_or_else(|| at(0))?;
    let mut container = match assignment.path.first() {
        Some(PathStep::Element { .. }) => root.array_value_or_create().map(Container::Array),
        _ => root.object_value_or_create().map(Container::Object),
    }
    .ok_or_else(|| at(0))?;
    for (depth, step) in way.iter().enumerate() {
        let inner_is_list = matches!(
            assignment.path.get(depth + 1),
            Some(PathStep::Element { .. })
        );
        container = match (container, step) {
            (Container::Object(object), PathStep::Key(key)) if inner_is_list => {
                clear_null(&object, key);
                object.array_value_or_create(key).map(Container::Array)
            }
            (Container::Object(object), PathStep::Key(key)) => {
                clear_null(&object, key);
                object.object_value_or_create(key).map(Container::Object)
            }
            (Container::Array(array), PathStep::Element { member, is }) => {
                let found = element(&array, member, is);
                found
                    .and_then(|node| node.as_object())
                    .map(Container::Object)
            }
            _ => None,
        }
        .ok_or_else(|| at(depth + 1))?;
    }
    let value = input(&assignment.value);
    match (container, last) {
        (Container::Object(object), PathStep::Key(key)) => match object.get(key) {
            Some(property) => property.set_value(value),
            None => {
                object.append(key, value);
            }
        },
        (Container::Array(array), PathStep::Element { member, is }) => {
            if let Some(found) = element(&array, member, is).and_then(|node| node.as_object()) {
                found.replace_with(value);
            } else {
                array.ensure_multiline();
                array.append(value);
            }
        }
        _ => return Err(at(way.len())),
    }
    Ok(())
}

/// Takes away a null in whose place a container is wanted.
fn clear_null(object: &CstObject, key: &str) {
    if let Some(property) = object.get(key)
        && property
            .value()
            .is_some_and(|value| value.as_null_keyword().is_some())
    {
        property.remove();
    }
}

fn element(array: &CstArray, member: &str, is: &str) -> Option<CstNode> {
    array.elements().into_iter().find(|element| {
        let value = element
            .as_object()
            .and_then(|object| object.get(member)?.value());
        let text = value.and_then(|value| value.as_string_lit()?.decoded_value().ok());
        text.is_some_and(|text| text == is)
    })
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(flag) => CstInputValue::Bool(*flag),
        Value::Number(number) => CstInputValue::Number(number.to_string()),
        Value::String(text) => CstInputValue::String(text.clone()),
        Value::Array(list) => CstInputValue::Array(list.iter().map(input).collect()),
        Value::Object(object) => CstInputValue::Object(
            object
                .iter()
                .map(|(name, value)| (name.clone(), input(value)))
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SETTINGS: &str = "// mine\n{\n  \"theme\": \"One Dark\", // dark\n  /* keep */\n  \"a\": {\n    \"b\": 1,\n  },\n}\n";

    #[test]
    fn comments_order_and_commas_of_others_stay() {
        let changed = apply(
            SETTINGS,
            &[
                Assignment::set(["a", "c", "d"], json!({"url": "x", "n": [1, 2]})),
                Assignment::set(["a", "b"], 2),
                Assignment::fill(["theme"], "light"),
            ],
        )
        .unwrap();
        assert_eq!(
            changed,
            "// mine\n{\n  \"theme\": \"One Dark\", // dark\n  /* keep */\n  \"a\": {\n    \"b\": 2,\n    \"c\": {\n      \"d\": {\n        \"url\": \"x\",\n        \"n\": [1, 2]\n      }\n    },\n  },\n}\n"
        );
    }

    #[test]
    fn an_element_is_replaced_where_its_name_is_there_and_added_else() {
        let list = "[\n  // first\n  { \"name\": \"a\", \"x\": 1 },\n  { \"name\": \"b\" }\n]";
        let set = |name: &str| {
            [Assignment::element(
                [],
                "name",
                name,
                json!({"name": name, "x": 2}),
            )]
        };
        let replaced = apply(list, &set("a")).unwrap();
        assert!(
            replaced.contains("// first") && replaced.contains("\"b\""),
            "{replaced}"
        );
        assert_eq!(
            read(&replaced).unwrap(),
            json!([{"name": "a", "x": 2}, {"name": "b"}])
        );
        let added = apply(list, &set("c")).unwrap();
        assert!(added.starts_with(&list[..list.len() - 4]), "{added}");
        assert_eq!(read(&added).unwrap()[2], json!({"name": "c", "x": 2}));
        assert_eq!(apply("", &set("c")).unwrap().lines().count(), 6);
    }

    #[test]
    fn what_is_set_already_leaves_the_text_alone() {
        let text = "{\"a\":{\"b\":1}}";
        assert_eq!(
            apply(text, &[Assignment::set(["a", "b"], 1)]).unwrap(),
            text
        );
    }

    #[test]
    fn a_file_that_is_not_understood_is_refused_in_words() {
        let set = [Assignment::set(["a", "b"], 1)];
        for (text, part) in [
            ("{\"a\": ", "not valid JSON"),
            ("{'a': 1}", "not valid JSON"),
            ("[]", "another type at its top"),
            ("{\"a\": 3}", "at a"),
            ("{\"a\": {\"b\": 5}, \"a\": {\"b\": 6}}", "more than once"),
        ] {
            let refused = apply(text, &set).unwrap_err();
            assert!(refused.contains(part), "{text}: {refused}");
        }
    }
}
