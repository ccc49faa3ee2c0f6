//! Random mixes of clients at queues that are too short for them: nobody takes the whole of one
//! from the others, and grants go round.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use crucible_config::checked::Class;

use super::{
    for_seeds,
    random::Random,
    world::{EMBEDDING, ENGINES, Wait, World, request, variant},
};
use crate::{catalog::ModelKind, client::ClientId, scheduler::messages::Input};

/// Who waits for one model in one class.
type Flow = (usize, Arc<str>, bool, ClientId);

/// How often another client was granted while this one waited for its turn.
#[derive(Default)]
pub(super) struct Rounds(BTreeMap<(Flow, ClientId), u32>);

fn flow(wait: &Wait) -> Flow {
    let background = wait.class == Class::Background;
    // Names with options of their own have a line of their own.
    let model = match variant(&wait.name) {
        0 => Arc::clone(&wait.model),
        _ => Arc::clone(&wait.name),
    };
    (wait.engine, model, background, wait.client.clone())
}

// === impl World ===

impl World {
    /// Those in that lane of that engine.
    fn lane(&self, engine: usize, kind: ModelKind) -> impl Iterator<Item = (u64, &Wait)> {
        let waiting = self.waiting.iter().map(|(ticket, wait)| (*ticket, wait));
        waiting.filter(move |(_, w)| w.engine == engine && w.kind == kind)
    }

    /// How many of each client wait in that lane.
    fn counts(&self, engine: usize, kind: ModelKind) -> BTreeMap<ClientId, usize> {
        let mut counts = BTreeMap::new();
        for (_, wait) in self.lane(engine, kind) {
            *counts.entry(wait.client.clone()).or_default() += 1;
        }
        counts
    }

    fn committed(&self, wait: &Wait) -> bool {
        wait.commits.is_some_and(|at| at <= self.now)
    }

    /// Clients above the newcomer and above their part, with what they could give up.
    fn above(&self, newcomer: &Wait) -> BTreeMap<ClientId, Vec<(bool, u64)>> {
        let (engine, kind) = (newcomer.engine, newcomer.kind);
        let counts = self.counts(engine, kind);
        let part = self.fleet[engine].queue_limit / counts.len();
        let own = counts[&newcomer.client];
        let above = counts.iter().filter(|(_, n)| **n > own && **n > part);
        above
            .map(|(client, _)| {
                let of = |(_, w): &(u64, &Wait)| w.client == *client && !self.committed(w);
                let open = self.lane(engine, kind).filter(of);
                let open = open.map(|(ticket, w)| (w.class == Class::Background, ticket));
                (client.clone(), open.collect())
            })
            .collect()
    }

    /// A full queue refuses that ticket, which still waits.
    pub(super) fn gives_way(&self, ticket: u64) {
        let gone = &self.waiting[&ticket];
        let newcomer = self.newcomer.expect("nobody came");
        let newcomer = &self.waiting[&newcomer];
        let counts = self.counts(gone.engine, gone.kind);
        let bound = self.fleet[gone.engine].queue_limit;
        let all: usize = counts.values().sum();
        assert!(all > bound, "{all} of {bound} places are taken");
        assert_eq!((gone.engine, gone.kind), (newcomer.engine, newcomer.kind));
        let above = self.above(newcomer);
        if Some(ticket) == self.newcomer {
            let part = bound / counts.len();
            let own = counts[&newcomer.client];
            assert!(own > part, "{own} are within a part of {part}");
            let over = all > bound + 1;
            assert!(
                over || above.values().all(Vec::is_empty),
                "another has more"
            );
            return;
        }
        assert!(!self.committed(gone), "its headers are out");
        let open = above.get(&gone.client).expect("it had no more than others");
        let last = open.iter().max().expect("it is open");
        assert_eq!(last.1, ticket, "a later one of that client keeps its place");
        let could = |client: &&ClientId| !above[*client].is_empty();
        let most = above.keys().filter(could).map(|client| counts[client]);
        assert_eq!(most.max(), Some(counts[&gone.client]), "another has more");
    }

    /// What holds between steps.
    pub(super) fn shared(&mut self) {
        for (engine, facts) in self.fleet.iter().enumerate() {
            for (lane, kind) in [ModelKind::Generation, ModelKind::Embedding]
                .into_iter()
                .enumerate()
            {
                if self.core.engines[engine].waiting_by_lane[lane] <= facts.queue_limit {
                    continue;
                }
                let counts = self.counts(engine, kind);
                let mut sorted: Vec<usize> = counts.into_values().collect();
                sorted.sort_unstable_by(|a, b| b.cmp(a));
                for (rank, count) in (1..).zip(&sorted) {
                    let most = facts.queue_limit / rank;
                    assert!(*count <= most, "{sorted:?} of {}", facts.queue_limit);
                }
            }
        }
        if let Some(newcomer) = self.newcomer.and_then(|ticket| self.waiting.get(&ticket)) {
            let counts = self.counts(newcomer.engine, newcomer.kind);
            let bound = self.fleet[newcomer.engine].queue_limit;
            if counts.values().sum::<usize>() > bound {
                let above = self.above(newcomer);
                assert!(above.values().all(Vec::is_empty), "nobody gave way");
            }
        }
        if self.rounds.0.is_empty() {
            return;
        }
        let there: BTreeSet<Flow> = self.waiting.values().map(flow).collect();
        self.rounds.0.retain(|(waits, _), _| there.contains(waits));
    }

    /// One that waits no more is granted.
    pub(super) fn goes_round(&mut self, granted: &Wait) {
        let own = flow(granted);
        let beside: BTreeSet<Flow> = self.waiting.values().map(flow).collect();
        self.rounds.0.retain(|(waits, _), _| *waits != own);
        let held = self.fleet[granted.engine].residents.iter();
        let held = held.filter(|r| r.model == granted.model);
        let has = held.filter_map(|r| r.context).max();
        // Who waits for the model to grow does not keep others from using it as it is.
        let grows = |of: &Flow| {
            let first = self.waiting.values().find(|w| flow(w) == *of);
            first.is_some_and(|w| has.is_some_and(|has| w.need > has))
        };
        let waiting: Vec<Flow> = beside.into_iter().filter(|other| !grows(other)).collect();
        for other in waiting {
            let line = |flow: &Flow| (flow.0, Arc::clone(&flow.1), flow.2);
            if line(&other) != line(&own) || other.3 == own.3 {
                continue;
            }
            let times = self.rounds.0.entry((other, own.3.clone())).or_default();
            *times += 1;
            assert!(
                *times <= 1,
                "a client was granted twice while another waits"
            );
        }
    }
}

/// One client asks for most, and for everything; others now and then.
fn crowd(seed: u64) {
    let mut random = Random(seed);
    let mut world = World::new(&mut random);
    let clients = 2 + random.index(5);
    for _ in 0..10 + random.below(50) {
        match random.below(10) {
            0..7 => {
                let who = match random.below(3) {
                    0 => 1 + random.index(clients - 1),
                    _ => 0,
                };
                let (at, model) = (random.index(ENGINES.len()), random.index(EMBEDDING + 1));
                let mut request = request(world.next, at, model, world.now);
                request.pin = world.fleet[at].pinned_models.contains(&request.model);
                request.client = ClientId::of_program(&who.to_string(), "::1");
                if random.below(4) == 0 {
                    request.class = Class::Background;
                }
                if random.below(3) == 0 {
                    request.session = Some(random.below(3));
                }
                if random.below(2) == 0 {
                    let after = Duration::from_millis(random.below(4000));
                    request.commits_at = Some(world.now + after);
                }
                world.arrives(request);
            }
            7 => {
                if let Some(ticket) = random.of(&world.active) {
                    world.release(ticket);
                }
            }
            8 => world.end(random.index(ENGINES.len()), true),
            _ => {
                world.now += Duration::from_millis(random.below(3000));
                world.step(Input::Tick);
            }
        }
    }
    world.settle();
}

#[test]
fn a_full_queue_is_shared_and_grants_go_round() {
    for_seeds(5000, crowd);
}
