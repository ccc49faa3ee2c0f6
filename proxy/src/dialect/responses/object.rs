//! An object of a client's request, by the raw text of its members.

use std::borrow::Cow;

use crate::{
    body::{
        peek::found,
        scan::{self, JsonMember},
    },
    dialect::chat::{
        field_error::invalid_type,
        json_text::{decoded, inner},
    },
    error::Error,
};

/// The number of brackets that an object may open; `limits.json_depth` has judged the body before.
const DEPTH: usize = 512;

/// The members of an object, each with the raw JSON of its value.
#[derive(Debug, Default)]
pub(super) struct JsonObject<'a> {
    members: Vec<(Cow<'a, str>, &'a str)>,
}

// === impl JsonObject ===

impl<'a> JsonObject<'a> {
    /// Reads an object; another value is an `invalid_type` at `path`.
    pub(super) fn of(text: &'a str, path: &str) -> Result<Self, Error> {
        let mut members = Vec::with_capacity(8);
        let scanned = scan::object(text, DEPTH, |member: JsonMember| {
            let key = &text[member.key.clone()];
            let plain = inner(key);
            let name = if plain.contains('\\') {
                Cow::Owned(serde_json::from_str(key).unwrap_or_default())
            } else {
                plain.into()
            };
            members.push((name, &text[member.value]));
        });
        scanned.map_err(|_| invalid_type(path, "an object", found(text)))?;
        Ok(Self { members })
    }

    /// Returns the raw value of a member; of two with one name the last one counts, and null is none.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        let mut members = self.members.iter().rev();
        let (_, raw) = members.find(|(member, _)| member == name)?;
        (*raw != "null").then_some(*raw)
    }

    /// Returns a member that has to be a string as its raw JSON, with the quotes.
    pub(super) fn raw_string(&self, name: &str, path: &str) -> Result<Option<&'a str>, Error> {
        self.starting(name, path, "\"", "a string")
    }

    /// Returns a member that has to be an object, raw.
    pub(super) fn raw_object(&self, name: &str, path: &str) -> Result<Option<&'a str>, Error> {
        self.starting(name, path, "{", "an object")
    }

    /// Returns a member that has to be a list, as the raw elements.
    pub(super) fn list(&self, name: &str, path: &str) -> Result<Option<Vec<&'a str>>, Error> {
        let Some(raw) = self.starting(name, path, "[", "an array")? else {
            return Ok(None);
        };
        elements(raw, &of(path, name)).map(Some)
    }

    /// Returns a member that has to be a string, decoded.
    pub(super) fn text(&self, name: &str, path: &str) -> Result<Option<Cow<'a, str>>, Error> {
        Ok(self.raw_string(name, path)?.map(decoded))
    }

    /// Returns a member that has to be a boolean.
    pub(super) fn boolean(&self, name: &str, path: &str) -> Result<Option<bool>, Error> {
        match self.get(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(raw) => Err(invalid_type(&of(path, name), "a boolean", found(raw))),
        }
    }

    fn starting(
        &self,
        name: &str,
        path: &str,
        begin: &str,
        expected: &str,
    ) -> Result<Option<&'a str>, Error> {
        match self.get(name) {
            Some(raw) if !raw.starts_with(begin) => {
                Err(invalid_type(&of(path, name), expected, found(raw)))
            }
            value => Ok(value),
        }
    }
}

/// Returns the path of a member: `name` at the top level, else `path.name`.
pub(super) fn of(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// Returns the raw elements of a list; another value is an `invalid_type` at `path`.
pub(super) fn elements<'a>(raw: &'a str, path: &str) -> Result<Vec<&'a str>, Error> {
    let list: Vec<&serde_json::value::RawValue> =
        serde_json::from_str(raw).map_err(|_| invalid_type(path, "an array", found(raw)))?;
    Ok(list
        .into_iter()
        .map(serde_json::value::RawValue::get)
        .collect())
}

/// Returns the beginning of a word of a client's, short enough for a message.
pub(super) fn shown(word: &str) -> String {
    word.chars().take(64).collect()
}
