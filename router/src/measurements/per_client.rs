//! The measurements of each client, and what they learn from its requests. Those of the clients that
//! asked last are kept.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    client_measurements::{ClientMeasurements, MOST_CLIENTS},
    measurements::Measurements,
    running_mean::RunningMean,
};
use crate::client::ClientId;

/// The number of models that are kept of one client.
const MOST_MODELS: usize = 32;

// === impl Measurements ===

impl Measurements {
    /// The mean tokens of an answer and the number of answers: of this client where that model was
    /// chosen for it, else of all its answers, else of everybody's.
    pub(crate) fn client_answer_tokens(
        &self,
        client: &ClientId,
        engine: &str,
        model: &str,
    ) -> Option<(f64, u32)> {
        let own = self.clients.get(client);
        let of_model = || own?.answer_tokens_of(engine, model)?.if_enough();
        let of_client = || own?.answer_tokens.if_enough();
        let of_all = || {
            self.clients
                .get(&ClientId::default())?
                .answer_tokens
                .if_enough()
        };
        of_model().or_else(of_client).or_else(of_all)
    }

    /// Learns from the length of one answer, and from which model it was, where that was chosen.
    pub(crate) fn record_client_answer(
        &mut self,
        client: &ClientId,
        chosen: Option<(&Arc<str>, &Arc<str>)>,
        take: impl Fn(&mut RunningMean),
    ) {
        let known = self.client_mut(client);
        take(&mut known.answer_tokens);
        let Some((engine, model)) = chosen else {
            return;
        };
        let models: usize = known.engines.values().map(BTreeMap::len).sum();
        if models < MOST_MODELS || known.answer_tokens_of(engine, model).is_some() {
            let of_engine = known.engines.entry(Arc::clone(engine)).or_default();
            take(of_engine.entry(Arc::clone(model)).or_default());
        }
    }

    /// Returns the tokens of context that the client's requests needed lately of models with that
    /// configured context; 0 where nothing is known.
    pub(crate) fn client_context_need(&self, client: &ClientId, configured: u64) -> u64 {
        let known = self.clients.get(client);
        known.map_or(0, |known| known.context_needs.expected(configured))
    }

    /// Learns how much context one request needed of a model with that configured context.
    pub(crate) fn record_context_need(&mut self, client: &ClientId, need: u64, configured: u64) {
        self.client_mut(client)
            .context_needs
            .record(need, configured);
    }

    /// The measurements of a client that asks now; the client that asked longest ago makes room for
    /// a new one.
    fn client_mut(&mut self, client: &ClientId) -> &mut ClientMeasurements {
        self.last_answer += 1;
        if self.clients.len() >= MOST_CLIENTS && !self.clients.contains_key(client) {
            self.forget_oldest_client();
        }
        // A snapshot shares what did not change.
        let known = Arc::make_mut(self.clients.entry(client.clone()).or_default());
        known.last_answer = self.last_answer;
        known
    }

    /// Drops the measurements of the client that asked longest ago.
    fn forget_oldest_client(&mut self) {
        let oldest = self
            .clients
            .iter()
            .filter(|(id, _)| **id != ClientId::default())
            .min_by_key(|(_, c)| c.last_answer);
        if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
            self.clients.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asked_last_is_kept() {
        let mut learned = Measurements::default();
        let id = |i: usize| ClientId::of_key(&i.to_string());
        let (engine, model) = (Arc::from("e"), Arc::from("m"));
        let place = Some((&engine, &model));
        for i in 0..MOST_CLIENTS {
            learned.record_client_answer(&id(i), place, |e| e.add_time(8.0));
        }
        learned.record_client_answer(&id(0), place, |e| e.add_time(8.0));
        learned.record_client_answer(&id(MOST_CLIENTS), place, |e| e.add_time(8.0));
        assert_eq!(learned.clients.len(), MOST_CLIENTS);
        assert!(learned.clients.contains_key(&id(0)));
        assert!(!learned.clients.contains_key(&id(1)));
        for i in 0..100 {
            let model = Arc::from(i.to_string());
            learned.record_client_answer(&id(0), Some((&engine, &model)), |e| e.add_time(8.0));
        }
        assert_eq!(learned.clients[&id(0)].engines["e"].len(), MOST_MODELS);
        assert_eq!(learned.clients[&id(0)].answer_tokens.samples, 102);
    }
}
