//! An object of a client's request, by the JSON of its members.
//!
//! Values are kept as the client wrote them, so that what is written from them has the client's bytes. A
//! member that is null counts as absent, and of two members with one name the last one counts. Every reader
//! of a type names the member by its path where the value is of another type.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    field_error::{invalid_type, missing},
    field_path::FieldPath,
    json_text::decoded,
};
use crate::{
    body::{number::JsonNumber, object::JsonObject, peek::found},
    error::Error,
};

/// An object of a client's request.
#[derive(Debug, Default)]
pub(crate) struct ClientObject<'a>(JsonObject<'a>);

/// Returns the JSON of each element of a list.
///
/// # Errors
/// `invalid_type` with the path, where the value is no list.
pub(crate) fn elements<'a, 'p>(
    raw: &'a str,
    at: impl Into<FieldPath<'p>>,
) -> Result<Vec<&'a str>, Error> {
    let list: Vec<&RawValue> =
        serde_json::from_str(raw).map_err(|_| invalid_type(at.into(), "an array", found(raw)))?;
    Ok(list.into_iter().map(RawValue::get).collect())
}

// === impl ClientObject ===

impl<'a> ClientObject<'a> {
    /// Reads the object at a path.
    ///
    /// # Errors
    /// `invalid_type` with the path, where the value is no object.
    pub(crate) fn of<'p>(raw: &'a str, at: impl Into<FieldPath<'p>>) -> Result<Self, Error> {
        JsonObject::of(raw)
            .map(Self)
            .ok_or_else(|| invalid_type(at.into(), "an object", found(raw)))
    }

    /// Returns the JSON of a member.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).filter(|raw| *raw != "null")
    }

    /// Returns the names and the JSON of all members that are not null.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&str, &'a str)> {
        let text = self.0.text;
        let all = self.0.members.iter();
        all.map(move |(name, _, value)| (&**name, &text[value.clone()]))
            .filter(|(_, raw)| *raw != "null")
    }

    /// Returns the JSON of a member that has to be a string. `at` is the path of the object, here and in the
    /// other readers of a type.
    pub(crate) fn text<'p>(
        &self,
        name: &str,
        at: impl Into<FieldPath<'p>>,
    ) -> Result<Option<&'a str>, Error> {
        self.beginning(name, at.into(), "\"", "a string")
    }

    /// Returns the JSON of a member that has to be there and a string.
    pub(crate) fn needs_text<'p>(
        &self,
        name: &str,
        at: impl Into<FieldPath<'p>>,
    ) -> Result<&'a str, Error> {
        let at = at.into();
        self.text(name, at)?
            .ok_or_else(|| missing(FieldPath::Member(&at, name)))
    }

    /// Returns the text of a member that has to be a string.
    pub(crate) fn decoded_text<'p>(
        &self,
        name: &str,
        at: impl Into<FieldPath<'p>>,
    ) -> Result<Option<Cow<'a, str>>, Error> {
        Ok(self.text(name, at)?.map(decoded))
    }

    /// Returns the JSON of a member that has to be an object.
    pub(crate) fn object<'p>(
        &self,
        name: &str,
        at: impl Into<FieldPath<'p>>,
    ) -> Result<Option<&'a str>, Error> {
        self.beginning(name, at.into(), "{", "an object")
    }

    /// Returns the JSON of the elements of a member that has to be a list.
    pub(crate) fn list<'p>(
        &self,
        name: &str,
        at: impl Into<FieldPath<'p>>,
    ) -> Result<Option<Vec<&'a str>>, Error> {
        let at = at.into();
        let raw = self.beginning(name, at, "[", "an array")?;
        raw.map(|raw| elements(raw, FieldPath::Member(&at, name)))
            .transpose()
    }

    /// Returns a member that has to be a boolean.
    pub(crate) fn boolean<'p>(
        &self,
        name: &str,
        at: impl Into<FieldPath<'p>>,
    ) -> Result<Option<bool>, Error> {
        match self.get(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(raw) => Err(wrong_member(name, at.into(), "a boolean", raw)),
        }
    }

    /// Returns the JSON of a member that has to be a number.
    pub(crate) fn number<'p>(
        &self,
        name: &str,
        at: impl Into<FieldPath<'p>>,
    ) -> Result<Option<&'a str>, Error> {
        match self.get(name) {
            Some(raw) if JsonNumber::of(raw).is_none() => {
                Err(wrong_member(name, at.into(), "a number", raw))
            }
            number => Ok(number),
        }
    }

    /// Returns the text of `type`, or an empty one.
    pub(crate) fn kind(&self) -> Cow<'a, str> {
        decoded(self.get("type").unwrap_or_default())
    }

    /// Returns the first of these names that stands twice.
    pub(crate) fn twice(&self, names: &[&'static str]) -> Option<&'static str> {
        let count = |name: &str| self.0.members.iter().filter(|(is, ..)| is == name).count();
        names.iter().find(|name| count(name) > 1).copied()
    }

    fn beginning(
        &self,
        name: &str,
        at: FieldPath<'_>,
        first: &str,
        expected: &str,
    ) -> Result<Option<&'a str>, Error> {
        match self.get(name) {
            Some(raw) if !raw.starts_with(first) => Err(wrong_member(name, at, expected, raw)),
            value => Ok(value),
        }
    }
}

/// The error for a member of the wrong type.
fn wrong_member(name: &str, at: FieldPath<'_>, expected: &str, raw: &str) -> Error {
    invalid_type(FieldPath::Member(&at, name), expected, found(raw))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_bytes_and_a_wrong_type_is_named_by_its_path() {
        let raw = r#"{"a":1,"t\u0065xt":"x\n","n":null,"l":[1, "b"],"o":{"p":1.0},"a":true}"#;
        let object = ClientObject::of(raw, FieldPath::Body).unwrap();
        assert_eq!(object.get("a"), Some("true"));
        assert_eq!(object.get("n"), None);
        assert_eq!(object.text("text", "").unwrap(), Some(r#""x\n""#));
        assert_eq!(object.decoded_text("text", "").unwrap().unwrap(), "x\n");
        assert_eq!(object.list("l", "").unwrap().unwrap(), ["1", "\"b\""]);
        assert_eq!(object.object("o", "").unwrap(), Some(r#"{"p":1.0}"#));
        assert_eq!(object.boolean("a", "").unwrap(), Some(true));
        assert_eq!(object.number("n", "").unwrap(), None);
        assert_eq!(object.twice(&["l", "a"]), Some("a"));
        let wrong = object.number("text", "input[2]").unwrap_err();
        assert_eq!(
            wrong.message,
            "`input[2].text` must be a number, found a string"
        );
        let absent = object.needs_text("n", "tools[0]").unwrap_err();
        assert_eq!(absent.message, "`tools[0].n` is missing");
        let none = ClientObject::of("[]", FieldPath::Body).unwrap_err();
        assert_eq!(none.message, "`the body` must be an object, found an array");
    }
}
