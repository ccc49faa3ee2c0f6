//! Taking out of a file what was put in, where its text was changed at the same places since.
//!
//! Client programs write their own files: Codex adds a trusted folder below what was added, Claude Code writes
//! the whole file anew. So where the lines no longer match, the values are compared: one that is still as it
//! was written gets its value from before, one that was changed stays.

use serde_json::Value;

use super::assignment::{Assignment, PathStep};

/// The three states of a file.
pub(super) struct FileStates<'a> {
    /// The content before it was written.
    pub(super) before: &'a Value,
    /// The content as it was written.
    pub(super) after: &'a Value,
    /// The content as it is now.
    pub(super) now: &'a Value,
}

/// The changes that take the written values out of a file.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Restoration {
    /// The values that change, in order; `None` takes one away.
    pub(super) values: Vec<(Vec<PathStep>, Option<Value>)>,
    /// The content of the file after these changes.
    pub(super) restored: Value,
}

// === impl Restoration ===

impl Restoration {
    /// Compares the values at the paths that were written.
    pub(super) fn plan(states: &FileStates<'_>, paths: &[Vec<PathStep>]) -> Self {
        let mut this = Self {
            values: Vec::new(),
            restored: states.now.clone(),
        };
        for path in paths.iter().rev() {
            let now = value_at(&this.restored, path);
            if now.is_none() || now != value_at(states.after, path) {
                continue;
            }
            if let Some(before) = value_at(states.before, path) {
                if now == Some(before) {
                    continue;
                }
                let assignment = Assignment {
                    path: path.clone(),
                    value: before.clone(),
                    only_where_absent: false,
                };
                if assignment.assign(&mut this.restored).is_ok() {
                    this.values.push((path.clone(), Some(before.clone())));
                }
                continue;
            }
            let change = this.removed(path, states.before);
            this.values.push(change);
        }
        this
    }

    /// Removes the value at a path, and what holds nothing then and was not there before. Returns the outermost
    /// that changes, with its value where it does not go.
    fn removed(&mut self, path: &[PathStep], before: &Value) -> (Vec<PathStep>, Option<Value>) {
        let mut path = path.to_vec();
        while let Some((last, outer)) = path.split_last() {
            let container = value_at_mut(&mut self.restored, outer);
            remove(container, last);
            let empty = value_at(&self.restored, outer).is_some_and(is_empty);
            if outer.is_empty() || !empty {
                break;
            }
            match value_at(before, outer) {
                Some(Value::Null) => {
                    if let Some(container) = value_at_mut(&mut self.restored, outer) {
                        *container = Value::Null;
                    }
                    return (outer.to_vec(), Some(Value::Null));
                }
                Some(_) => break,
                None => {
                    path.pop();
                }
            }
        }
        (path, None)
    }
}

/// The value at a path, if there is one.
pub(super) fn value_at<'a>(document: &'a Value, path: &[PathStep]) -> Option<&'a Value> {
    path.iter().try_fold(document, |at, step| match step {
        PathStep::Key(key) => at.get(key),
        PathStep::Element { member, is } => {
            let mut elements = at.as_array()?.iter();
            elements.find(|element| element[member.as_str()] == *is)
        }
    })
}

fn value_at_mut<'a>(document: &'a mut Value, path: &[PathStep]) -> Option<&'a mut Value> {
    path.iter().try_fold(document, |at, step| match step {
        PathStep::Key(key) => at.get_mut(key),
        PathStep::Element { member, is } => {
            let mut elements = at.as_array_mut()?.iter_mut();
            elements.find(|element| element[member.as_str()] == *is)
        }
    })
}

fn remove(container: Option<&mut Value>, step: &PathStep) {
    match (container, step) {
        (Some(Value::Object(object)), PathStep::Key(key)) => {
            object.shift_remove(key);
        }
        (Some(Value::Array(list)), PathStep::Element { member, is }) => {
            list.retain(|element| element[member.as_str()] != *is);
        }
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(object) => object.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(path: &str) -> Vec<PathStep> {
        path.split('.')
            .map(|key| PathStep::Key(key.to_owned()))
            .collect()
    }

    #[test]
    fn only_what_is_as_it_was_written_goes() {
        let before = json!({"model": "theirs", "x": 1});
        let after = json!({"model": "ours", "x": 1, "p": {"q": {"url": "u"}}, "r": {"s": 2}});
        let now = json!({"model": "ours", "x": 2, "p": {"q": {"url": "u"}}, "r": {"s": 3, "t": 4}});
        let states = FileStates {
            before: &before,
            after: &after,
            now: &now,
        };
        let paths = [key("model"), key("p.q.url"), key("r.s")];
        let plan = Restoration::plan(&states, &paths);
        assert_eq!(
            plan.restored,
            json!({"model": "theirs", "x": 2, "r": {"s": 3, "t": 4}})
        );
        assert_eq!(
            plan.values,
            [(key("p"), None), (key("model"), Some(json!("theirs")))]
        );
    }

    #[test]
    fn an_element_of_a_list_goes_and_the_others_stay() {
        let before = json!([]);
        let after = json!([{"name": "ours"}]);
        let now = json!([{"name": "theirs"}, {"name": "ours"}]);
        let states = FileStates {
            before: &before,
            after: &after,
            now: &now,
        };
        let path = vec![PathStep::Element {
            member: "name".to_owned(),
            is: "ours".to_owned(),
        }];
        let plan = Restoration::plan(&states, &[path]);
        assert_eq!(plan.restored, json!([{"name": "theirs"}]));
    }
}
