//! The identity of a client, by which queues, breakers and predictions tell requests apart.

use std::{fmt, sync::Arc};

/// One client: the name of its key, else the product in its User-Agent and the address that it
/// comes from.
///
/// Programs of one machine are told apart by what they call themselves, so that an agent gone wild
/// does not spend a person's share. A program that calls itself something else each time is many
/// clients here; whoever needs more than that configures keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(Arc<str>);

// === impl ClientId ===

impl ClientId {
    /// Returns the identity of the holder of the client key called `name`.
    pub fn of_key(name: &str) -> Self {
        Self(format!("key {name}").into())
    }

    /// Restores an identity from the text that it was shown and stored as.
    pub(crate) fn from_shown(text: &str) -> Self {
        Self(Arc::from(text))
    }

    /// Returns the identity as it is shown: `key NAME`, or `PRODUCT@ADDRESS`; empty for nobody in particular.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the identity of a program without a key: the `product` of its `User-Agent` and its
    /// `address`.
    pub fn of_program(product: &str, address: &str) -> Self {
        Self([product, "@", address].concat().into())
    }
}

impl Default for ClientId {
    /// Nobody in particular: Crucible itself, or a test.
    fn default() -> Self {
        // Allocates nothing: each request has some of them before its client is known.
        Self(Arc::default())
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
