//! The messages of a request, as an engine takes them.

pub(crate) mod arguments;
pub(crate) mod image;
pub(crate) mod part;
