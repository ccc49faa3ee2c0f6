//! The client's JSON, read one level at a time: the texts of values are kept, so that what is written
//! from them has the client's bytes.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    body::peek::found,
    error::{Error, ErrorKind},
};

/// The most bytes that an id or a name may have; Anthropic's own bounds are below it.
const LONGEST_NAME: usize = 256;

/// The place of a value in the request, which is written only where an error names it, as
/// `messages[3].content[0]`.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// A member of the request itself.
    Top(&'a str),
    /// A member of the object at another place.
    Member(&'a Place<'a>, &'a str),
    /// An element of the list at another place.
    Element(&'a Place<'a>, usize),
}

/// The members of a JSON object in their order, with the texts of their values.
pub(super) struct ClientObject<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// Builds a [`ClientObject`].
struct MembersVisitor;

/// Reads an object.
///
/// # Errors
/// `invalid_type` with the place, where the value is none.
pub(super) fn object<'a>(raw: &'a str, at: Place<'_>) -> Result<ClientObject<'a>, Error> {
    serde_json::from_str(raw).map_err(|_| wrong_type(at, "an object", raw))
}

/// Reads a list.
///
/// # Errors
/// `invalid_type` with the place, where the value is none.
pub(super) fn list<'a>(raw: &'a str, at: Place<'_>) -> Result<Vec<&'a RawValue>, Error> {
    serde_json::from_str(raw).map_err(|_| wrong_type(at, "an array", raw))
}

/// Returns the JSON of a text, with its quotes.
///
/// # Errors
/// `invalid_type` with the place, where the value is no text.
pub(super) fn text<'a>(raw: &'a str, at: Place<'_>) -> Result<&'a str, Error> {
    if raw.starts_with('"') {
        Ok(raw)
    } else {
        Err(wrong_type(at, "a string", raw))
    }
}

/// Returns what is between the quotes of the JSON of a text, escapes included.
pub(super) fn inside(text: &str) -> &str {
    text.get(1..text.len().saturating_sub(1))
        .unwrap_or_default()
}

/// Returns the JSON of the text that has these escapes.
pub(super) fn quoted(inside: &str) -> String {
    format!("\"{inside}\"")
}

/// Returns a text of the client for an error or a header: bounded and printable.
pub(super) fn shown(raw: &str) -> String {
    let text = serde_json::from_str::<String>(raw).unwrap_or_else(|_| raw.to_owned());
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

/// The error for a value of the wrong type.
pub(super) fn wrong_type(at: Place<'_>, expected: &str, raw: &str) -> Error {
    let message = format!("`{at}` must be {expected}, found {}", found(raw));
    Error::new(ErrorKind::InvalidType, message).param(at.to_string())
}

/// The error for a member that is needed and absent.
pub(super) fn missing(at: Place<'_>) -> Error {
    Error::new(ErrorKind::MissingField, format!("`{at}` is missing")).param(at.to_string())
}

/// The error for a value that cannot be served; the message is what follows the place.
pub(super) fn unsupported(at: Place<'_>, why: &str) -> Error {
    Error::new(ErrorKind::UnsupportedValue, format!("`{at}` {why}")).param(at.to_string())
}

/// Refuses the JSON of an id or a name that is empty or longer than any that a client makes.
pub(super) fn bounded(text: &str, at: Place<'_>) -> Result<(), Error> {
    match inside(text).len() {
        0 => Err(unsupported(at, "is empty")),
        1..=LONGEST_NAME => Ok(()),
        length => Err(unsupported(
            at,
            &format!("has {length} bytes; the most is {LONGEST_NAME}"),
        )),
    }
}

// === impl Place ===

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Top(name) => f.write_str(name),
            Self::Member(of, name) => write!(f, "{of}.{name}"),
            Self::Element(of, at) => write!(f, "{of}[{at}]"),
        }
    }
}

// === impl ClientObject ===

impl<'a> ClientObject<'a> {
    /// Returns the JSON of a member; `None` where it is absent or null. Of two with the same name the last
    /// one counts.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        let (_, raw) = self.0.iter().rev().find(|(is, _)| is == name)?;
        Some(raw.get()).filter(|raw| *raw != "null")
    }

    /// Returns the JSON of a member that has to be a text.
    ///
    /// # Errors
    /// `missing_field` or `invalid_type`.
    pub(super) fn needs_text(&self, name: &str, at: Place<'_>) -> Result<&'a str, Error> {
        let at = Place::Member(&at, name);
        text(self.get(name).ok_or_else(|| missing(at))?, at)
    }

    /// Returns the text of `type`, or an empty one.
    pub(super) fn kind(&self) -> Cow<'a, str> {
        let raw = self.get("type").unwrap_or_default();
        serde_json::from_str(raw).unwrap_or_default()
    }

    /// Returns whether a name stands twice, where it is one that Crucible reads.
    pub(super) fn twice(&self, names: &[&'static str]) -> Option<&'static str> {
        let is_twice =
            |name: &&&'static str| self.0.iter().filter(|(is, _)| is == **name).count() > 1;
        names.iter().find(is_twice).copied()
    }
}

impl<'de> Deserialize<'de> for ClientObject<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

// === impl MembersVisitor ===

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = ClientObject<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        #[derive(Deserialize)]
        struct Key<'a>(#[serde(borrow)] Cow<'a, str>);
        let mut members = Vec::with_capacity(8);
        while let Some((Key(name), value)) = map.next_entry()? {
            members.push((name, value));
        }
        Ok(ClientObject(members))
    }
}
