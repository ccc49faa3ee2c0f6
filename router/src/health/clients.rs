//! As much of a set of clients as matters for whose fault something is.

use crate::client::ClientId;

/// One client, or more than one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Clients {
    first: Option<ClientId>,
    more: bool,
}

// === impl Clients ===

impl Clients {
    pub(super) fn add(&mut self, client: &ClientId) {
        self.more |= self.other_than(client);
        self.first.get_or_insert_with(|| client.clone());
    }

    /// At least two.
    pub(super) fn several(&self) -> bool {
        self.more
    }

    /// Somebody else is among them.
    pub(super) fn other_than(&self, client: &ClientId) -> bool {
        self.more || self.first.as_ref().is_some_and(|first| first != client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_is_one_however_often_it_comes() {
        let (a, b) = (ClientId::of_key("a"), ClientId::of_key("b"));
        let mut clients = Clients::default();
        assert!(!clients.other_than(&a));
        clients.add(&a);
        clients.add(&a);
        assert!(!clients.several() && !clients.other_than(&a) && clients.other_than(&b));
        clients.add(&b);
        assert!(clients.several() && clients.other_than(&a) && clients.other_than(&b));
    }
}
