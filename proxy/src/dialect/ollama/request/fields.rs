//! The members of an object of a client's, by the raw text of their values.

use serde_json::value::RawValue;

use crate::{
    body::{number::JsonNumber, object::JsonObject, peek::found},
    dialect::chat::field_error::invalid_type,
    error::Error,
};

/// An object of a request, with its path, which errors name.
pub(super) struct ClientFields<'a> {
    object: JsonObject<'a>,
    path: String,
}

// === impl ClientFields ===

impl<'a> ClientFields<'a> {
    /// Reads an object at a path; the path of the request itself is empty.
    ///
    /// # Errors
    /// `invalid_type`, where the value is no object.
    pub(super) fn of(raw: &'a str, path: &str) -> Result<Self, Error> {
        let object = JsonObject::of(raw).ok_or_else(|| {
            let named = if path.is_empty() { "the body" } else { path };
            invalid_type(named, "an object", found(raw))
        })?;
        let path = path.to_owned();
        Ok(Self { object, path })
    }

    /// Returns the path of a member.
    pub(super) fn path(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// Returns the raw value of a member; `None` where it is absent or null.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.object.get(name).filter(|raw| *raw != "null")
    }

    /// Returns the names and raw values of all members that are not null.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &'a str)> {
        let text = self.object.text;
        let all = self.object.members.iter();
        all.map(move |(name, _, value)| (&**name, &text[value.clone()]))
            .filter(|(_, raw)| *raw != "null")
    }

    /// Returns the JSON of a member that has to be a text.
    ///
    /// # Errors
    /// `invalid_type`, as the other readers of a type.
    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, Error> {
        self.beginning(name, "\"", "a string")
    }

    /// Returns the JSON of a member that has to be a text, where it has a character.
    pub(super) fn filled_text(&self, name: &str) -> Result<Option<&'a str>, Error> {
        Ok(self.text(name)?.filter(|raw| !is_empty_text(raw)))
    }

    /// Returns the JSON of a member that has to be an object.
    pub(super) fn object(&self, name: &str) -> Result<Option<&'a str>, Error> {
        self.beginning(name, "{", "an object")
    }

    /// Returns the raw elements of a member that has to be a list.
    pub(super) fn list(&self, name: &str) -> Result<Option<Vec<&'a str>>, Error> {
        let Some(raw) = self.beginning(name, "[", "an array")? else {
            return Ok(None);
        };
        let elements: Vec<&RawValue> = serde_json::from_str(raw)
            .map_err(|_| invalid_type(&self.path(name), "an array", found(raw)))?;
        Ok(Some(elements.into_iter().map(RawValue::get).collect()))
    }

    /// Returns a member that has to be a boolean.
    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>, Error> {
        match self.get(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(raw) => Err(invalid_type(&self.path(name), "a boolean", found(raw))),
        }
    }

    /// Returns the JSON of a member that has to be a number.
    pub(super) fn number(&self, name: &str) -> Result<Option<&'a str>, Error> {
        match self.get(name) {
            Some(raw) if JsonNumber::of(raw).is_none() => {
                Err(invalid_type(&self.path(name), "a number", found(raw)))
            }
            number => Ok(number),
        }
    }

    fn beginning(&self, name: &str, first: &str, expected: &str) -> Result<Option<&'a str>, Error> {
        match self.get(name) {
            Some(raw) if !raw.starts_with(first) => {
                Err(invalid_type(&self.path(name), expected, found(raw)))
            }
            value => Ok(value),
        }
    }
}

/// Returns the text of the JSON of a string.
pub(super) fn decoded(raw: &str) -> String {
    serde_json::from_str(raw).unwrap_or_default()
}

/// Reports whether a raw value is a text without a character.
pub(super) fn is_empty_text(raw: &str) -> bool {
    raw == "\"\""
}
