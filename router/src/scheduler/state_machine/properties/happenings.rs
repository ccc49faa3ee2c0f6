//! Everything that happens to the engines of a random schedule, by seed.

use std::{sync::Arc, time::Duration};

use crucible_config::checked::Class;

use super::{
    random::Random,
    world::{CLIENTS, EMBEDDING, ENGINES, MODELS, NAMES, Running, Wait, World, engine, request},
};
use crate::{
    catalog::ModelKind,
    client::ClientId,
    engine::testing::resident,
    scheduler::messages::{Input, LoadFailure, PermitRequest},
};

// === impl World ===

impl World {
    pub(super) fn arrive(&mut self, random: &mut Random) {
        let (at, model) = (random.index(ENGINES.len()), random.index(MODELS.len()));
        let mut request = request(self.next, at, model, self.now);
        if model != EMBEDDING && random.below(3) == 0 {
            let sizes = [(6000, 0), (3500, 1024), (20_000, 2048)];
            (request.prompt_tokens, request.answer_tokens) = sizes[random.index(sizes.len())];
        }
        if model == 0 {
            request.name = NAMES[random.index(NAMES.len())].0.into();
        }
        request.pin = self.fleet[at].pinned_models.contains(&request.model);
        request.client = CLIENTS.map(ClientId::of_key)[random.index(3)].clone();
        if random.below(4) == 0 {
            request.expected_context = random.below(200_000);
        }
        request.growing_prompts = random.below(3) == 0;
        if random.below(2) == 0 {
            let after = Duration::from_millis(random.below(10_000));
            request.commits_at = Some(self.now + after);
        }
        if random.below(3) == 0 {
            request.class = Class::Background;
        }
        if random.below(2) == 0 {
            request.session = Some(random.below(3));
        }
        if random.below(8) == 0 {
            request.supersede_key = Some(random.below(2));
        }
        self.arrives(request);
    }

    pub(super) fn arrives(&mut self, request: PermitRequest) {
        let wait = Wait {
            engine: engine(&request.engine),
            model: Arc::clone(&request.model),
            name: Arc::clone(&request.name),
            kind: request.kind,
            client: request.client.clone(),
            commits: request.commits_at,
            class: request.class,
            session: request.session,
            least: request.minimum_context(),
            need: request.needed_context(),
        };
        self.waiting.insert(self.next, wait);
        self.newcomer = Some(self.next);
        self.next += 1;
        self.step(Input::Arrive(request.into()));
        self.newcomer = None;
    }

    pub(super) fn happen(&mut self, random: &mut Random) {
        match random.below(14) {
            0..5 => self.arrive(random),
            5 => {
                if let Some(ticket) = random.of(&self.waiting) {
                    self.waiting.remove(&ticket);
                    self.step(Input::Cancelled(ticket));
                }
            }
            6..8 => {
                if let Some(ticket) = random.of(&self.active) {
                    if random.below(2) == 0 {
                        self.release_for_tools(ticket);
                    } else {
                        self.release(ticket);
                    }
                }
            }
            8..12 => {
                let (at, well) = (random.index(ENGINES.len()), random.below(5) > 0);
                self.end(at, well);
            }
            12 => self.drift(random.index(ENGINES.len()), random.index(MODELS.len())),
            _ => {
                self.now += Duration::from_millis(random.below(12_000));
                self.step(Input::Tick);
            }
        }
    }

    pub(super) fn release(&mut self, ticket: u64) {
        self.active.remove(&ticket);
        self.step(Input::Released(ticket));
    }

    /// The same after an answer that ended in tool calls.
    pub(super) fn release_for_tools(&mut self, ticket: u64) {
        self.active.remove(&ticket);
        self.step(Input::ReleasedForTools(ticket));
    }

    pub(super) fn end(&mut self, at: usize, well: bool) {
        let name: Arc<str> = ENGINES[at].0.into();
        let held = &mut self.fleet[at].residents;
        let input = match self.running.remove(&at) {
            None => return,
            Some(Running::Load(order)) if well => {
                let mut info = resident(&order.model);
                (info.context, info.kind) = (order.tuple.context, order.kind);
                // Listed under the name that it is loaded by.
                info.instance = Arc::clone(&order.name);
                held.push(info.clone());
                let waits = |w: &&Wait| w.engine == at && w.model == order.model;
                let tickets = self.waiting.iter().filter(|(_, w)| waits(w));
                let tickets = tickets.map(|(ticket, _)| *ticket).collect();
                self.fresh.insert((at, order.model), tickets);
                Input::Loaded(name, info)
            }
            Some(Running::Load(_)) => {
                let words =
                    ["out of memory", "no such file"][usize::from(self.next.is_multiple_of(2))];
                Input::LoadFailed(name, LoadFailure::classify(words.into()))
            }
            Some(Running::Unload(info)) => {
                if well {
                    held.retain(|r| r.instance != info.instance);
                }
                Input::Unloaded(name, well)
            }
        };
        self.step(input);
    }

    /// An idle model vanishes, or one comes where there is room; then all are polled.
    pub(super) fn drift(&mut self, at: usize, model: usize) {
        let name = MODELS[model].0;
        let mut active = self.active.values();
        let busy = active.any(|(e, m)| *e == at && **m == *name);
        if self.running.contains_key(&at) || busy {
            return;
        }
        let facts = &mut self.fleet[at];
        if facts.residents.iter().any(|r| *r.model == *name) {
            facts.residents.retain(|r| *r.model != *name);
        } else if facts.residents.len() < facts.max_loaded_models {
            let mut info = resident(name);
            info.context = Some(8192);
            if model == 0 {
                // A person may have used any of its names.
                let at = usize::try_from(self.next).unwrap() % NAMES.len();
                info.instance = NAMES[at].0.into();
            }
            if model == EMBEDDING {
                info.kind = ModelKind::Embedding;
            }
            facts.residents.push(info);
        }
        for facts in &mut self.fleet {
            facts.polls += 2;
            facts.listing_poll = facts.polls;
        }
        self.step(Input::Fleet(self.fleet.clone()));
    }

    /// Everything goes well from now on.
    pub(super) fn settle(&mut self) {
        for _ in 0..1000 {
            if self.waiting.is_empty() && self.running.is_empty() && self.active.is_empty() {
                return;
            }
            for at in 0..ENGINES.len() {
                self.end(at, true);
            }
            while let Some(ticket) = self.active.keys().next().copied() {
                self.release(ticket);
            }
            self.now += Duration::from_secs(1);
            self.step(Input::Tick);
        }
        panic!("{} wait for ever", self.waiting.len());
    }
}
