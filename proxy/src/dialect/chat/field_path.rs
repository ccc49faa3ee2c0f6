//! The path of a value in a client's request, such as `messages[3].content[0]`.

use std::fmt;

/// The path of a value in a request. It is written only where an error names it, so a path costs nothing
/// while a request is read that has no errors.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FieldPath<'a> {
    /// The request itself, which errors call "the body".
    Body,
    /// A member of the request, or a path that stands written already.
    Named(&'a str),
    /// A member of the object at another path.
    Member(&'a FieldPath<'a>, &'a str),
    /// An element of the list at another path.
    Element(&'a FieldPath<'a>, usize),
}

/// Returns the path of a member as text: `name` in the request itself, whose path is empty, else
/// `path.name`.
pub(crate) fn member_path(path: &str, name: &str) -> String {
    FieldPath::Member(&path.into(), name).to_string()
}

// === impl FieldPath ===

impl<'a> From<&'a str> for FieldPath<'a> {
    /// Takes a path that is written; the empty one is that of the request itself.
    fn from(path: &'a str) -> Self {
        if path.is_empty() {
            Self::Body
        } else {
            Self::Named(path)
        }
    }
}

impl<'a> From<&'a String> for FieldPath<'a> {
    fn from(path: &'a String) -> Self {
        path.as_str().into()
    }
}

impl fmt::Display for FieldPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body => f.write_str("the body"),
            Self::Named(path) | Self::Member(Self::Body, path) => f.write_str(path),
            Self::Member(of, name) => write!(f, "{of}.{name}"),
            Self::Element(of, at) => write!(f, "{of}[{at}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_written_as_clients_write_them() {
        let list = FieldPath::Named("messages");
        let element = FieldPath::Element(&list, 3);
        let member = FieldPath::Member(&element, "content");
        assert_eq!(
            FieldPath::Element(&member, 0).to_string(),
            "messages[3].content[0]"
        );
        assert_eq!(
            FieldPath::Member(&FieldPath::Body, "model").to_string(),
            "model"
        );
        assert_eq!(FieldPath::from("").to_string(), "the body");
        assert_eq!(member_path("", "model"), "model");
        assert_eq!(member_path("input[1]", "id"), "input[1].id");
    }
}
