//! The queue for one model of one engine, and whose turn it is in it.
//!
//! Requests of one client and class form a flow, and stay in order of arrival. Clients take turns.
//! Interactive flows go before background ones, of which one request is let through after every
//! [`BACKGROUND_EVERY`] interactive ones. Within the bounds on overtaking, a request whose session
//! is still warm in a slot passes the first one of its flow.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use crucible_config::checked::Class;

use super::model_size::ModelSize;
use crate::{catalog::ModelKind, client::ClientId, scheduler::messages::PermitRequest};

/// Interactive grants while background requests wait for the same model, before one of these is let
/// through.
pub(super) const BACKGROUND_EVERY: u32 = 4;

/// A request that waits for a permit of one model.
pub(super) struct Waiter {
    /// The request.
    pub(super) request: Arc<PermitRequest>,
    /// The time at which it came.
    pub(super) arrived_at: Instant,
}

/// The requests that wait for one model with one variant of its options. It is empty only while a
/// step works on it.
pub(super) struct ModelQueue {
    /// The model by the name of its runner.
    pub(super) model: Arc<str>,
    /// Generation or embedding.
    pub(super) kind: ModelKind,
    /// The variant of the load options of the names that are asked for.
    pub(super) option_variant: u64,
    /// Everything that is known of the model's memory.
    pub(super) model_size: ModelSize,
    /// Grants to others since this queue waits for something busy.
    pub(super) times_overtaken: u32,
    /// The last ticket that waited when the model was loaded last: it and those before it waited
    /// for a load.
    pub(super) last_ticket_of_load: u64,
    /// Whether its next request can only be served by a load, as of the last look at it.
    pub(super) needs_load: bool,
    /// The flows, in order of their turn.
    flows: Vec<ClientFlow>,
    /// Interactive grants since the last background one, while background requests wait.
    interactive_streak: u32,
    /// The number of waiting requests that need so many tokens of context and can have them. Each
    /// step asks for the largest need.
    need_counts: BTreeMap<u64, usize>,
}

/// The requests of one client and class, by ticket.
struct ClientFlow {
    /// The client of all its requests.
    client: ClientId,
    /// The class of all its requests.
    class: Class,
    /// The requests by ticket, so in order of arrival.
    waiters: BTreeMap<u64, Waiter>,
    /// The ticket of the first request, and the number of younger ones that passed it.
    head_passed: (u64, u32),
}

// === impl ClientFlow ===

impl ClientFlow {
    /// The number of younger requests that passed this ticket, the first of its flow.
    const fn times_passed(&self, first: u64) -> u32 {
        match self.head_passed {
            (ticket, times) if ticket == first => times,
            _ => 0,
        }
    }
}

/// The tokens of context that a request needs; `None` where no load can give them.
fn attainable_need(request: &PermitRequest) -> Option<u64> {
    (request.minimum_context() <= request.context_limit()).then(|| request.needed_context())
}

// === impl ModelQueue ===

impl ModelQueue {
    /// An empty queue.
    pub(super) fn new(model: Arc<str>, variant: u64, kind: ModelKind, size: ModelSize) -> Self {
        Self {
            model,
            kind,
            option_variant: variant,
            model_size: size,
            times_overtaken: 0,
            last_ticket_of_load: 0,
            needs_load: false,
            flows: Vec::new(),
            interactive_streak: 0,
            need_counts: BTreeMap::new(),
        }
    }

    /// A queue in which this request waits alone.
    pub(super) fn of_one(
        request: Arc<PermitRequest>,
        option_variant: u64,
        model_size: ModelSize,
        now: Instant,
    ) -> Self {
        let model = Arc::clone(&request.model);
        let mut queue = Self::new(model, option_variant, request.kind, model_size);
        queue.push(request, now);
        queue
    }

    /// Adds a request that came now.
    pub(super) fn push(&mut self, request: Arc<PermitRequest>, now: Instant) {
        let of = |f: &&ClientFlow| f.client == request.client && f.class == request.class;
        let (ticket, since) = (request.ticket, now);
        if let Some(need) = attainable_need(&request) {
            *self.need_counts.entry(need).or_default() += 1;
        }
        let flow = match self.flows.iter().position(|flow| of(&flow)) {
            Some(at) => &mut self.flows[at],
            None => self.flows.push_mut(ClientFlow {
                client: request.client.clone(),
                class: request.class,
                waiters: BTreeMap::new(),
                head_passed: (ticket, 0),
            }),
        };
        flow.waiters.insert(
            ticket,
            Waiter {
                request,
                arrived_at: since,
            },
        );
    }

    /// The position of the flow whose turn it is.
    fn current_flow(&self) -> Option<usize> {
        let first = |class| self.flows.iter().position(|f| f.class == class);
        let background = first(Class::Background);
        match first(Class::Interactive) {
            Some(at) if background.is_none() || self.interactive_streak < BACKGROUND_EVERY => {
                Some(at)
            }
            other => background.or(other),
        }
    }

    /// The request whose turn it is.
    pub(super) fn next_waiter(&self) -> Option<&Waiter> {
        self.flows[self.current_flow()?].waiters.values().next()
    }

    /// The request that may go before [`Self::next_waiter`]: the oldest of the same flow whose
    /// session is among these. `None` where the first one was passed `count` times, or has waited
    /// for `age`.
    pub(super) fn warm_waiter(
        &self,
        sessions: &VecDeque<Option<u64>>,
        (count, age): (u32, Duration),
        now: Instant,
    ) -> Option<&Waiter> {
        let flow = &self.flows[self.current_flow()?];
        let (ticket, first) = flow.waiters.first_key_value()?;
        if flow.times_passed(*ticket) >= count
            || now.saturating_duration_since(first.arrived_at) >= age
        {
            return None;
        }
        let warm =
            |w: &&Waiter| w.request.session.is_some() && sessions.contains(&w.request.session);
        flow.waiters.values().find(warm)
    }

    /// The first requests of the flows whose turn it is not.
    pub(super) fn other_heads(&self) -> impl Iterator<Item = &Waiter> {
        let turn = self.current_flow();
        let others = self.flows.iter().enumerate();
        let others = others.filter(move |(at, _)| Some(*at) != turn);
        others.filter_map(|(_, flow)| flow.waiters.values().next())
    }

    /// Takes a request that is granted: one of the flow whose turn it is, which ends its turn, or
    /// one of [`Self::other_heads`], which overtakes it.
    pub(super) fn take(&mut self, ticket: u64) -> Option<Waiter> {
        let turn = self.current_flow()?;
        if !self.flows[turn].waiters.contains_key(&ticket) {
            let holds = |flow: &ClientFlow| flow.waiters.contains_key(&ticket);
            let at = self.flows.iter().position(holds)?;
            let flow = self.flows.remove(at);
            self.flows.push(flow);
            self.times_overtaken += 1;
            return self.remove(ticket);
        }
        let mut flow = self.flows.remove(turn);
        let waiter = flow.waiters.remove(&ticket);
        self.forget_need(waiter.as_ref());
        if let Some((first, _)) = flow.waiters.first_key_value().filter(|(t, _)| **t < ticket) {
            flow.head_passed = (*first, flow.times_passed(*first) + 1);
        }
        self.interactive_streak = match flow.class {
            Class::Interactive if self.has_class(Class::Background) => self.interactive_streak + 1,
            _ => 0,
        };
        self.flows.push(flow);
        self.times_overtaken = 0;
        self.drop_empty_flows();
        waiter
    }

    /// Whether requests of that class wait.
    fn has_class(&self, class: Class) -> bool {
        self.flows.iter().any(|f| f.class == class)
    }

    /// Removes flows that have become empty.
    fn drop_empty_flows(&mut self) {
        self.flows.retain(|f| !f.waiters.is_empty());
    }

    /// Takes a request that is not granted.
    pub(super) fn remove(&mut self, ticket: u64) -> Option<Waiter> {
        let found = self
            .flows
            .iter_mut()
            .find_map(|f| f.waiters.remove(&ticket));
        self.forget_need(found.as_ref());
        self.drop_empty_flows();
        found
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// The waiting request with that ticket.
    pub(super) fn waiter(&self, ticket: u64) -> Option<&Waiter> {
        self.flows.iter().find_map(|f| f.waiters.get(&ticket))
    }

    /// All waiting requests, in no order.
    pub(super) fn waiters(&self) -> impl Iterator<Item = &Waiter> {
        self.flows.iter().flat_map(|f| f.waiters.values())
    }

    /// The time at which the longest wait began.
    pub(super) fn oldest_arrival(&self) -> Option<Instant> {
        let firsts = self.flows.iter().filter_map(|f| f.waiters.values().next());
        firsts.map(|w| w.arrived_at).min()
    }

    /// The last ticket that waits; 0 if there is none.
    pub(super) fn last_ticket(&self) -> u64 {
        let lasts = self
            .flows
            .iter()
            .filter_map(|f| f.waiters.keys().next_back());
        lasts.max().copied().unwrap_or(0)
    }

    /// The largest attainable need in tokens of context: one load serves everybody.
    pub(super) fn largest_need(&self) -> u64 {
        self.need_counts
            .last_key_value()
            .map_or(0, |(need, _)| *need)
    }

    /// Takes the need of a request that left out of the counts.
    fn forget_need(&mut self, waiter: Option<&Waiter>) {
        let Some(need) = waiter.and_then(|w| attainable_need(&w.request)) else {
            return;
        };
        if let Some(count) = self.need_counts.get_mut(&need) {
            *count -= 1;
            if *count == 0 {
                self.need_counts.remove(&need);
            }
        }
    }

    /// Whether interactive requests wait.
    pub(super) fn has_interactive(&self) -> bool {
        self.has_class(Class::Interactive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::state_machine::tests::permit_request;

    fn line(waiting: &[(u64, Option<&str>, Class)]) -> ModelQueue {
        let now = Instant::now();
        let mut line = ModelQueue::new("m".into(), 0, ModelKind::Generation, ModelSize::default());
        for (ticket, client, class) in waiting {
            let mut request = permit_request(*ticket, "e", "m", now);
            request.class = *class;
            request.client = client.map_or_else(ClientId::default, ClientId::of_key);
            line.push(request.into(), now);
        }
        line
    }

    fn order(mut line: ModelQueue) -> Vec<u64> {
        let mut order = Vec::new();
        while let Some(ticket) = line.next_waiter().map(|w| w.request.ticket) {
            assert!(line.take(ticket).is_some());
            order.push(ticket);
        }
        order
    }

    #[test]
    fn one_client_is_served_first_come_first_served() {
        let own = |t| (t, None, Class::Interactive);
        assert_eq!(order(line(&[own(1), own(2), own(3)])), [1, 2, 3]);
    }

    #[test]
    fn clients_take_turns() {
        let of = |t, client| (t, Some(client), Class::Interactive);
        let all = [of(1, "a"), of(2, "a"), of(3, "a"), of(4, "b"), of(5, "c")];
        assert_eq!(order(line(&all)), [1, 4, 5, 2, 3]);
    }

    #[test]
    fn background_waits_but_not_for_ever() {
        let mut all = vec![(1, None, Class::Background), (2, None, Class::Background)];
        all.extend((3..=9).map(|t| (t, None, Class::Interactive)));
        assert_eq!(order(line(&all)), [3, 4, 5, 6, 1, 7, 8, 9, 2]);
    }

    #[test]
    fn the_largest_need_is_that_of_those_who_wait() {
        let now = Instant::now();
        let mut line = line(&[]);
        for (ticket, prompt) in [(1, 9000), (2, 20_000), (3, 9000), (4, 400_000), (5, 100)] {
            let mut request = permit_request(ticket, "e", "m", now);
            request.prompt_tokens = prompt;
            line.push(request.into(), now);
        }
        let all = |line: &ModelQueue| {
            line.waiters()
                .filter_map(|w| attainable_need(&w.request))
                .max()
        };
        assert!(line.largest_need() >= 20_000);
        for (gone, granted) in [(4, false), (2, false), (1, true), (3, true), (5, true)] {
            assert_eq!(line.largest_need(), all(&line).unwrap_or(0));
            let waiter = if granted {
                line.take(gone)
            } else {
                line.remove(gone)
            };
            assert_eq!(waiter.map(|w| w.request.ticket), Some(gone));
        }
        assert_eq!((line.largest_need(), line.need_counts.len()), (0, 0));
    }

    #[test]
    fn who_leaves_out_of_turn_is_gone() {
        let mut line = line(&[(1, None, Class::Interactive), (2, None, Class::Interactive)]);
        assert!(line.remove(1).is_some());
        assert!(line.remove(1).is_none());
        assert_eq!(line.next_waiter().map(|w| w.request.ticket), Some(2));
        assert!(line.remove(2).is_some());
        assert!(line.is_empty());
    }
}
