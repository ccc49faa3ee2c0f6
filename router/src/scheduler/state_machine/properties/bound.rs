//! The bound of a wait, `docs/scheduling.md`: nothing fails, and every load, unload and answer
//! ends in its time.
//!
//! `age + answer + load + (older + 1) x (4 x age + residents x (answer + unload) + load + answer)`

use std::{collections::BTreeMap, time::Duration};

use super::{
    for_seeds,
    random::Random,
    world::{ENGINES, Running, World, request},
};
use crate::{client::ClientId, scheduler::messages::Input};

/// `overtake_age` of these engines, stretched as far as slow loads can.
const AGE: u64 = 20 * 4;
const LOAD: u64 = 30;
const UNLOAD: u64 = 3;
const ANSWER: u64 = 40;
/// A model is held so long for an agent that comes back, half of the time.
const LINGER: u64 = 4;
/// That can be in one pool: two engines with two generation models and one for vectors each.
const RESIDENTS: u64 = 6;

/// Those that ask where there is more than one.
const CLIENTS: [&str; 3] = ["batch", "desk", "laptop"];

/// Those who may go before one that finds `own` older ones of its client: each of these and
/// itself lets each other client have one load and one turn among those who wait for the same model.
const fn before(own: u64, clients: u64) -> u64 {
    own + (own + 1) * 2 * (clients - 1)
}

/// Seconds that a request may wait that finds `older` ones waiting in its pool.
const fn bound(older: u64) -> u64 {
    AGE / 4 + ANSWER + LOAD + (older + 1) * (AGE + RESIDENTS * (ANSWER + UNLOAD) + LOAD + ANSWER)
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    End(usize),
    Release(u64),
    Arrive,
    Tick,
}

struct Clock {
    world: World,
    /// In order of their second.
    due: BTreeMap<(u64, u64), Due>,
    second: u64,
    serial: u64,
    /// Second of arrival and who was there before.
    since: BTreeMap<u64, (u64, u64)>,
}

// === impl Clock ===

impl Clock {
    fn plan(&mut self, after: u64, what: Due) {
        self.serial += 1;
        self.due.insert((self.second + after, self.serial), what);
    }

    /// How many may go before a request of that client that comes now.
    fn older(&self, client: &ClientId, several: bool) -> u64 {
        let waiting = self.world.waiting.values();
        let own = waiting.filter(|w| w.client == *client).count() as u64;
        if several {
            before(own, CLIENTS.len() as u64)
        } else {
            own
        }
    }

    /// A request comes, for one of the first `models` models.
    fn arrive(&mut self, random: &mut Random, models: usize, several: bool) {
        let (at, model) = (1 + random.index(2), random.index(models));
        let ticket = self.world.next;
        let mut request = request(ticket, at, model, self.world.now);
        if random.below(2) == 0 {
            request.session = Some(random.below(4));
        }
        if several {
            request.client = ClientId::of_key(CLIENTS[random.index(CLIENTS.len())]);
        }
        let older = self.older(&request.client, several);
        self.since.insert(ticket, (self.second, older));
        self.world.arrives(request);
        // The queue was too long: this request was refused, or the last of another client.
        let Self { world, since, .. } = self;
        since.retain(|ticket, _| {
            world.waiting.contains_key(ticket) || world.active.contains_key(ticket)
        });
    }

    /// Gives what began just now its end.
    fn follow(&mut self, random: &mut Random) {
        for at in 0..ENGINES.len() {
            let planned = self.due.values().any(|d| *d == Due::End(at));
            if let Some(running) = self.world.running.get(&at).filter(|_| !planned) {
                let longest = match running {
                    Running::Load(_) => LOAD,
                    Running::Unload(_) => UNLOAD,
                };
                let takes = 1 + random.below(longest);
                self.plan(takes, Due::End(at));
            }
        }
        // What was held may go then.
        let next = self.world.core.next_deadline(self.world.now);
        let soon = next.map(|at| at.saturating_duration_since(self.world.now));
        let ticks = self.due.values().any(|d| *d == Due::Tick);
        if let Some(soon) = soon.filter(|s| s.as_secs() < 2 * AGE && !ticks) {
            let whole = soon.as_secs() + u64::from(soon.subsec_nanos() > 0);
            self.plan(whole.max(1), Due::Tick);
        }
        let granted: Vec<u64> = self.world.active.keys().copied().collect();
        for ticket in granted {
            if let Some((since, older)) = self.since.remove(&ticket) {
                let waited = self.second - since;
                let most = bound(older);
                assert!(
                    waited <= most,
                    "{waited} s with {older} before it, not {most} s"
                );
                let takes = 1 + random.below(ANSWER);
                self.plan(takes, Due::Release(ticket));
            }
        }
    }
}

fn timed(seed: u64) {
    let mut random = Random(seed);
    let mut world = World::new(&mut Random(7));
    for facts in &mut world.fleet {
        (facts.shared_budget, facts.pinned_models, facts.queue_limit) = (None, Vec::new(), 10);
        facts.linger = Duration::from_secs(LINGER);
    }
    world.step(Input::Fleet(world.fleet.clone()));
    let mut clock = Clock {
        world,
        due: BTreeMap::new(),
        second: 0,
        serial: 0,
        since: BTreeMap::new(),
    };
    let begun = clock.world.now;
    for _ in 0..10 + random.below(30) {
        let at = random.below(300);
        clock.plan(at, Due::Arrive);
    }
    let several = seed % 2 == 1;
    // Few models, many requests: the loaded one is always wanted.
    let models = 2 + random.index(3);
    while let Some(((second, _), what)) = clock.due.pop_first() {
        clock.second = second;
        clock.world.now = begun + Duration::from_secs(second);
        match what {
            Due::End(at) => clock.world.end(at, true),
            Due::Release(ticket) if random.below(2) == 0 => {
                clock.world.release_for_tools(ticket);
                if random.below(2) == 0 {
                    clock.plan(1 + random.below(LINGER), Due::Arrive);
                }
            }
            Due::Release(ticket) => clock.world.release(ticket),
            Due::Tick => clock.world.step(Input::Tick),
            Due::Arrive => clock.arrive(&mut random, models, several),
        }
        clock.follow(&mut random);
    }
    assert!(clock.since.is_empty(), "some wait for ever");
    assert!(clock.world.waiting.is_empty());
}

#[test]
fn no_wait_is_longer_than_its_bound() {
    for_seeds(3000, timed);
}
