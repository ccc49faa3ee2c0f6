//! What was learned of clients: how long their answers are. The clients that asked last are kept.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    needs::Needs,
    rates::{Estimate, Learned},
};
use crate::client::ClientId;

/// Clients that are kept; who asked longest ago makes room.
pub(super) const MOST_CLIENTS: usize = 256;
/// Models that are kept of one client.
const MOST_MODELS: usize = 32;

/// What was learned of a client.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct OfClient {
    /// Number of its last answer among those of all clients.
    pub(super) last: u64,
    /// Tokens of an answer, whatever answered.
    pub(super) answer_tokens: Estimate,
    /// The same by engine and model, where these were chosen for it.
    pub(super) engines: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Estimate>>,
    /// Context that its requests needed.
    pub(super) needs: Needs,
}

// === impl OfClient ===

impl OfClient {
    fn of(&self, engine: &str, model: &str) -> Option<&Estimate> {
        self.engines.get(engine)?.get(model)
    }
}

// === impl Learned ===

impl Learned {
    /// Mean tokens of this client's answers where that model was chosen for it, else of all its
    /// answers, else of everybody's; and of how many.
    pub(super) fn client_tokens(
        &self,
        client: &ClientId,
        engine: &str,
        model: &str,
    ) -> Option<(f64, u32)> {
        let own = self.clients.get(client);
        let of_model = || own?.of(engine, model)?.settled();
        let of_client = || own?.answer_tokens.settled();
        let of_all = || {
            self.clients
                .get(&ClientId::default())?
                .answer_tokens
                .settled()
        };
        of_model().or_else(of_client).or_else(of_all)
    }

    /// Takes the length of one answer, and of which model, where that was chosen.
    pub(super) fn learn_client(
        &mut self,
        client: &ClientId,
        chosen: Option<(&Arc<str>, &Arc<str>)>,
        take: impl Fn(&mut Estimate),
    ) {
        let known = self.client_mut(client);
        take(&mut known.answer_tokens);
        let Some((engine, model)) = chosen else {
            return;
        };
        let models: usize = known.engines.values().map(BTreeMap::len).sum();
        if models < MOST_MODELS || known.of(engine, model).is_some() {
            let of_engine = known.engines.entry(Arc::clone(engine)).or_default();
            take(of_engine.entry(Arc::clone(model)).or_default());
        }
    }

    /// Tokens of context that its requests needed lately, with that configuration.
    pub(super) fn client_need(&self, client: &ClientId, configured: u64) -> u64 {
        let known = self.clients.get(client);
        known.map_or(0, |known| known.needs.of(configured))
    }

    /// Takes how much context one request needed of a model with that configured context.
    pub(super) fn learn_need(&mut self, client: &ClientId, need: u64, configured: u64) {
        self.client_mut(client).needs.take(need, configured);
    }

    /// What is known of a client that asks; who asked longest ago makes room for a new one.
    fn client_mut(&mut self, client: &ClientId) -> &mut OfClient {
        let last = self.clients.values().map(|c| c.last).max().unwrap_or(0) + 1;
        if self.clients.len() >= MOST_CLIENTS && !self.clients.contains_key(client) {
            let oldest = self
                .clients
                .iter()
                .filter(|(id, _)| **id != ClientId::default())
                .min_by_key(|(_, c)| c.last);
            if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
                self.clients.remove(&oldest);
            }
        }
        // A snapshot shares what did not change.
        let known = Arc::make_mut(self.clients.entry(client.clone()).or_default());
        known.last = last;
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asked_last_is_kept() {
        let mut learned = Learned::default();
        let id = |i: usize| ClientId::of_key(&i.to_string());
        let (engine, model) = (Arc::from("e"), Arc::from("m"));
        let place = Some((&engine, &model));
        for i in 0..MOST_CLIENTS {
            learned.learn_client(&id(i), place, |e| e.take_time(8.0));
        }
        learned.learn_client(&id(0), place, |e| e.take_time(8.0));
        learned.learn_client(&id(MOST_CLIENTS), place, |e| e.take_time(8.0));
        assert_eq!(learned.clients.len(), MOST_CLIENTS);
        assert!(learned.clients.contains_key(&id(0)));
        assert!(!learned.clients.contains_key(&id(1)));
        for i in 0..100 {
            let model = Arc::from(i.to_string());
            learned.learn_client(&id(0), Some((&engine, &model)), |e| e.take_time(8.0));
        }
        assert_eq!(learned.clients[&id(0)].engines["e"].len(), MOST_MODELS);
        assert_eq!(learned.clients[&id(0)].answer_tokens.samples, 102);
    }
}
