//! A set of clients, as far as it matters for the question whose fault a failure is: nobody, one
//! client, or several.

use crate::client::ClientId;

/// Nobody, one client, or more than one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DistinctClients {
    /// The first client that was added.
    first: Option<ClientId>,
    /// Whether a different one was added later.
    several: bool,
}

// === impl DistinctClients ===

impl DistinctClients {
    /// Adds a client.
    pub(super) fn add(&mut self, client: &ClientId) {
        self.several |= self.include_other_than(client);
        self.first.get_or_insert_with(|| client.clone());
    }

    /// Whether at least two different clients were added.
    pub(super) fn are_several(&self) -> bool {
        self.several
    }

    /// Whether a client other than this one was added.
    pub(super) fn include_other_than(&self, client: &ClientId) -> bool {
        self.several || self.first.as_ref().is_some_and(|first| first != client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_is_one_however_often_it_comes() {
        let (a, b) = (ClientId::of_key("a"), ClientId::of_key("b"));
        let mut clients = DistinctClients::default();
        assert!(!clients.include_other_than(&a));
        clients.add(&a);
        clients.add(&a);
        assert!(
            !clients.are_several()
                && !clients.include_other_than(&a)
                && clients.include_other_than(&b)
        );
        clients.add(&b);
        assert!(
            clients.are_several()
                && clients.include_other_than(&a)
                && clients.include_other_than(&b)
        );
    }
}
