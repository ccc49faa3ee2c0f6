//! The members of an object of a client's, by the raw text of their values.

use crate::{
    dialect::chat::{client_object::ClientObject, field_path::member_path},
    error::Error,
};

/// An object of a request, with its path, which errors name.
pub(super) struct ClientFields<'a> {
    object: ClientObject<'a>,
    path: String,
}

// === impl ClientFields ===

impl<'a> ClientFields<'a> {
    /// Reads an object at a path; the path of the request itself is empty.
    ///
    /// # Errors
    /// `invalid_type`, where the value is no object.
    pub(super) fn of(raw: &'a str, path: &str) -> Result<Self, Error> {
        let object = ClientObject::of(raw, path)?;
        let path = path.to_owned();
        Ok(Self { object, path })
    }

    /// Returns the path of a member.
    pub(super) fn path(&self, name: &str) -> String {
        member_path(&self.path, name)
    }

    /// Returns the raw value of a member; `None` where it is absent or null.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.object.get(name)
    }

    /// Returns the names and raw values of all members that are not null.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.object.members()
    }

    /// Returns the JSON of a member that has to be a text.
    ///
    /// # Errors
    /// `invalid_type`, as the other readers of a type.
    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, Error> {
        self.object.text(name, &self.path)
    }

    /// Returns the JSON of a member that has to be a text, where it has a character.
    pub(super) fn filled_text(&self, name: &str) -> Result<Option<&'a str>, Error> {
        Ok(self.text(name)?.filter(|raw| !is_empty_text(raw)))
    }

    /// Returns the JSON of a member that has to be an object.
    pub(super) fn object(&self, name: &str) -> Result<Option<&'a str>, Error> {
        self.object.object(name, &self.path)
    }

    /// Returns the raw elements of a member that has to be a list.
    pub(super) fn list(&self, name: &str) -> Result<Option<Vec<&'a str>>, Error> {
        self.object.list(name, &self.path)
    }

    /// Returns a member that has to be a boolean.
    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>, Error> {
        self.object.boolean(name, &self.path)
    }

    /// Returns the JSON of a member that has to be a number.
    pub(super) fn number(&self, name: &str) -> Result<Option<&'a str>, Error> {
        self.object.number(name, &self.path)
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
