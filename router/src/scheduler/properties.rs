//! What holds for the scheduler whatever happens, in whatever order.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::{
    state::Scheduler,
    tests::{arrival, facts},
    types::{Action, Facts, Input, LoadFailure, Order},
};
use crate::{catalog::ResidentInfo, engine::testing::resident, refusal::Refusal};

const ENGINES: [(&str, &str); 3] = [("a", "gpu"), ("b", "cpu"), ("c", "cpu")];
/// Nobody is to need it.
const DAY: Duration = Duration::from_hours(24);
const MODELS: [&str; 4] = ["k", "l", "m", "n"];

#[derive(Clone, Debug)]
enum Happening {
    Arrive {
        engine: usize,
        model: usize,
        need: u64,
    },
    Cancel(usize),
    Release(usize),
    /// Ends the operation in flight on an engine; well or not.
    End(usize, bool),
    /// A model is gone or comes without Crucible.
    Drift(usize, usize),
    Pass(u64),
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let one = prop_oneof![
        4 => (0..3_usize, 0..4_usize, prop_oneof![Just(10_u64), Just(6000)])
            .prop_map(|(engine, model, need)| Happening::Arrive { engine, model, need }),
        1 => any::<usize>().prop_map(Happening::Cancel),
        3 => any::<usize>().prop_map(Happening::Release),
        4 => (0..3_usize, prop::bool::weighted(0.8)).prop_map(|(e, ok)| Happening::End(e, ok)),
        1 => (0..3_usize, 0..4_usize).prop_map(|(e, m)| Happening::Drift(e, m)),
        1 => (0..4000_u64).prop_map(Happening::Pass),
    ];
    prop::collection::vec(one, 0..120)
}

enum Running {
    Load(Order),
    Unload(ResidentInfo),
}

/// The engines as they are, and what was granted.
struct World {
    core: Scheduler,
    now: Instant,
    fleet: Vec<Facts>,
    /// By engine.
    running: BTreeMap<usize, Running>,
    next: u64,
    /// Ticket to engine and model, in order of arrival.
    waiting: BTreeMap<u64, (usize, Arc<str>)>,
    active: BTreeMap<u64, (usize, Arc<str>)>,
    done: HashSet<u64>,
}

impl World {
    fn new() -> Self {
        let fleet = ENGINES.map(|(name, pool)| facts(name, pool)).to_vec();
        let mut world = Self {
            core: Scheduler::default(),
            now: Instant::now(),
            fleet: fleet.clone(),
            running: BTreeMap::new(),
            next: 1,
            waiting: BTreeMap::new(),
            active: BTreeMap::new(),
            done: HashSet::new(),
        };
        world.step(Input::Fleet(fleet));
        world
    }

    fn engine(name: &str) -> usize {
        ENGINES.iter().position(|(e, _)| *e == name).unwrap()
    }

    fn step(&mut self, input: Input) {
        let mut actions = Vec::new();
        self.core.step(input, self.now, &mut actions);
        for action in actions {
            self.check(action);
        }
        let lines = self.core.engines.iter().flat_map(|e| &e.lines);
        let overtaken = lines.map(|l| l.overtaken);
        assert!(overtaken.max().unwrap_or(0) <= 3, "overtaken too often");
        assert_eq!(self.core.active.len(), self.active.len());
        let permits = self.core.engines.iter().flat_map(|e| &e.residents);
        let out: u32 = permits.map(|r| r.active).sum();
        assert_eq!(
            out as usize,
            self.active.len(),
            "grants = releases + active"
        );
    }

    fn check(&mut self, action: Action) {
        match action {
            Action::Grant(grant) => {
                let place = self
                    .waiting
                    .remove(&grant.ticket)
                    .expect("granted twice or after it left");
                let older = self
                    .waiting
                    .iter()
                    .find(|(t, p)| **t < grant.ticket && **p == place);
                assert!(older.is_none(), "{older:?} waits longer for the same model");
                let held = &self.fleet[place.0].residents;
                assert!(
                    held.iter().any(|r| r.model == place.1),
                    "{place:?} is not there"
                );
                self.active.insert(grant.ticket, place);
            }
            Action::Reject(ticket, refusal) => {
                let starved = matches!(refusal, Refusal::QueueTimeout { .. });
                assert!(!starved, "{ticket} waits for ever");
                assert!(self.waiting.remove(&ticket).is_some(), "refused twice");
                self.done.insert(ticket);
            }
            Action::Load(order) => {
                let engine = Self::engine(&order.engine);
                self.alone(engine);
                let held = self.fleet[engine].residents.len();
                assert!(held < self.fleet[engine].max_loaded, "too many");
                self.running.insert(engine, Running::Load(order));
            }
            Action::Unload(name, info) => {
                let engine = Self::engine(&name);
                self.alone(engine);
                let busy = self
                    .active
                    .values()
                    .any(|p| *p == (engine, info.model.clone()));
                assert!(!busy, "a busy model is unloaded");
                self.running.insert(engine, Running::Unload(info));
            }
            Action::Tell(_) => {}
        }
    }

    fn alone(&self, engine: usize) {
        let pool = ENGINES[engine].1;
        let other = self.running.keys().find(|e| ENGINES[**e].1 == pool);
        assert!(other.is_none(), "two operations in {pool}");
    }

    fn apply(&mut self, happening: &Happening) {
        match *happening {
            Happening::Arrive {
                engine,
                model,
                need,
            } => {
                let ticket = self.next;
                self.next += 1;
                let mut arrival = arrival(ticket, ENGINES[engine].0, MODELS[model], self.now);
                arrival.need = need;
                arrival.deadline += DAY;
                self.waiting.insert(ticket, (engine, MODELS[model].into()));
                self.step(Input::Arrive(arrival));
            }
            Happening::Cancel(n) => {
                if let Some(ticket) = pick(&self.waiting, n) {
                    self.waiting.remove(&ticket);
                    self.step(Input::Cancelled(ticket));
                }
            }
            Happening::Release(n) => {
                if let Some(ticket) = pick(&self.active, n) {
                    self.active.remove(&ticket);
                    self.step(Input::Released(ticket));
                }
            }
            Happening::End(engine, ok) => self.end(engine, ok),
            Happening::Drift(engine, model) => self.drift(engine, MODELS[model]),
            Happening::Pass(ms) => {
                self.now += Duration::from_millis(ms);
                self.step(Input::Tick);
            }
        }
    }

    fn end(&mut self, engine: usize, ok: bool) {
        let name: Arc<str> = ENGINES[engine].0.into();
        let held = &mut self.fleet[engine].residents;
        let input = match self.running.remove(&engine) {
            None => return,
            Some(Running::Load(order)) if ok => {
                let mut info = resident(&order.model);
                info.context = order.tuple.context;
                held.push(info.clone());
                Input::Loaded(name, info)
            }
            Some(Running::Load(_)) => Input::LoadFailed(name, LoadFailure::Timeout),
            Some(Running::Unload(info)) => {
                if ok {
                    held.retain(|r| r.instance != info.instance);
                }
                Input::Unloaded(name, ok)
            }
        };
        self.step(input);
    }

    /// An idle model vanishes, or one comes where there is room; then all are polled.
    fn drift(&mut self, engine: usize, model: &str) {
        let busy = self
            .active
            .values()
            .any(|(e, m)| *e == engine && **m == *model);
        if self.running.contains_key(&engine) || busy {
            return;
        }
        let facts = &mut self.fleet[engine];
        if facts.residents.iter().any(|r| *r.model == *model) {
            facts.residents.retain(|r| *r.model != *model);
        } else if facts.residents.len() < facts.max_loaded {
            let mut info = resident(model);
            info.context = Some(8192);
            facts.residents.push(info);
        }
        for facts in &mut self.fleet {
            facts.polls += 2;
        }
        self.step(Input::Fleet(self.fleet.clone()));
    }

    /// Everything goes well from now on.
    fn settle(&mut self) {
        for _ in 0..1000 {
            for engine in 0..ENGINES.len() {
                self.end(engine, true);
            }
            while let Some(ticket) = pick(&self.active, 0) {
                self.active.remove(&ticket);
                self.step(Input::Released(ticket));
            }
            if self.waiting.is_empty() && self.running.is_empty() {
                return;
            }
            self.now += Duration::from_secs(1);
            self.step(Input::Tick);
        }
        panic!("still waiting: {:?}", self.waiting);
    }
}

fn pick<T>(from: &BTreeMap<u64, T>, n: usize) -> Option<u64> {
    let count = from.len();
    (count > 0).then(|| from.keys().nth(n % count).copied())?
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_happens_the_bounds_hold_and_everything_drains(happenings in happenings()) {
        let mut world = World::new();
        for happening in &happenings {
            world.apply(happening);
        }
        world.settle();
        prop_assert!(world.core.active.is_empty());
        prop_assert!(world.core.engines.iter().all(|e| e.lines.is_empty()));
    }
}
