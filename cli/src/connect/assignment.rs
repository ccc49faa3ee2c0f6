//! One value in a structured file, named by its path.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One value and its place in a file of JSON or TOML.
#[derive(Clone, Debug)]
pub(crate) struct Assignment {
    /// The way from the top of the file.
    pub(crate) path: Vec<PathStep>,
    /// The value.
    pub(crate) value: Value,
    /// Whether a value that is there already stays.
    pub(crate) only_where_absent: bool,
}

/// One step of the way to a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PathStep {
    /// The key of an object.
    Key(String),
    /// The element of a list whose member has this value; added where there is none.
    Element {
        /// The name of the member.
        member: String,
        /// The value of that member.
        is: String,
    },
}

/// A file whose value on the way to an assignment is of another type, at this path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WrongType(pub(crate) String);

// === impl Assignment ===

impl Assignment {
    /// Sets the value at these keys.
    pub(crate) fn set<const N: usize>(keys: [&str; N], value: impl Into<Value>) -> Self {
        Self {
            path: keys.map(|key| PathStep::Key(key.to_owned())).to_vec(),
            value: value.into(),
            only_where_absent: false,
        }
    }

    /// Sets the value at these keys only where none is there.
    pub(crate) fn fill<const N: usize>(keys: [&str; N], value: impl Into<Value>) -> Self {
        Self {
            only_where_absent: true,
            ..Self::set(keys, value)
        }
    }

    /// Sets the element of the list at these keys whose `member` is `is`.
    pub(crate) fn element<const N: usize>(
        keys: [&str; N],
        member: &str,
        is: &str,
        value: impl Into<Value>,
    ) -> Self {
        let mut this = Self::set(keys, value);
        this.path.push(PathStep::Element {
            member: member.to_owned(),
            is: is.to_owned(),
        });
        this
    }

    /// The path in the spelling of an error: `providers.crucible`.
    pub(crate) fn spelled(path: &[PathStep]) -> String {
        let steps = path.iter().map(|step| match step {
            PathStep::Key(key) => key.clone(),
            PathStep::Element { member, is } => format!("[{member} = {is}]"),
        });
        steps.collect::<Vec<_>>().join(".")
    }

    /// Assigns the value in a document that is already read.
    ///
    /// # Errors
    /// Something on the way is neither an object nor a list, as the path says.
    pub(crate) fn assign(&self, document: &mut Value) -> Result<(), WrongType> {
        let mut at = document;
        for (depth, step) in self.path.iter().enumerate() {
            let wrong = || WrongType(Self::spelled(&self.path[..depth]));
            at = match step {
                PathStep::Key(key) => {
                    if at.is_null() {
                        *at = Value::Object(Map::new());
                    }
                    let object = at.as_object_mut().ok_or_else(wrong)?;
                    object.entry(key.clone()).or_insert(Value::Null)
                }
                PathStep::Element { member, is } => {
                    if at.is_null() {
                        *at = Value::Array(Vec::new());
                    }
                    let list = at.as_array_mut().ok_or_else(wrong)?;
                    let found = list
                        .iter()
                        .position(|element| element[member.as_str()] == *is);
                    let index = found.unwrap_or_else(|| {
                        list.push(Value::Null);
                        list.len() - 1
                    });
                    list.get_mut(index).ok_or_else(wrong)?
                }
            };
        }
        if at.is_null() || !self.only_where_absent {
            *at = self.value.clone();
        }
        Ok(())
    }
}
