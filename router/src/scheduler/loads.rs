//! Which load or unload starts next.
//!
//! Per pool, in this order: what room was made for, pinned models that vanished, then lines by the
//! ticket of their next (interactive before background, which goes by age after `overtake_age`).
//! Behind a swap that waits for something busy only loads that fit may start, until it is that old.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    fit::Planned,
    line::Line,
    standing::{Scope, Standing},
    state::{EngineState, Operation, Place, Reserved, Resident, Scheduler, Work, after},
    types::{Action, Arrival, Order},
};
use crate::{
    client::ClientId,
    event::{EvictionReason, LoadTrigger},
};

/// For one unload.
pub(super) const UNLOAD_BUDGET: Duration = Duration::from_mins(1);
/// An operation that says nothing this long after its budget is given up.
const GRACE: Duration = Duration::from_secs(10);
/// Clients whose last load is remembered.
const MOST_TURNS: usize = 1024;

/// Who wants a load.
enum Who {
    /// The line at this position of its engine.
    Line(usize),
    /// A pinned model that is not there.
    Pin(Arc<Arrival>),
}

/// Class of urgency, turn of the client, ticket: the smallest goes first.
type Rank = (u8, u64, u64);

struct Want {
    rank: Rank,
    engine: usize,
    who: Who,
}

/// What older wants leave to younger ones of their pool.
#[derive(Default)]
struct Held {
    /// Pools in which nothing more may be evicted.
    evict: Vec<Arc<str>>,
    /// Pools in which nothing more may start.
    all: Vec<Arc<str>>,
}

// === impl Operation ===

impl Operation {
    /// It unloads this instance.
    pub(super) fn unloads(&self, instance: &str) -> bool {
        matches!(&self.work, Work::Unload { instance: i, .. } if **i == *instance)
    }

    /// When it is given up.
    pub(super) fn ends(&self) -> Option<Instant> {
        let budget = match &self.work {
            Work::Load(order) => order.budget,
            Work::Unload { .. } => UNLOAD_BUDGET,
        };
        after(self.since, budget.saturating_add(GRACE))
    }
}

// === impl EngineState ===

impl EngineState {
    pub(super) fn place(&self, model: &Arc<str>) -> Place {
        (Arc::clone(&self.facts.name), Arc::clone(model))
    }

    fn order(&self, arrival: &Arrival, planned: Planned, most: Option<u64>) -> Order {
        let mut tuple = arrival.tuple;
        tuple.context = tuple.context.map(|_| planned.context);
        Order {
            engine: Arc::clone(&arrival.engine),
            model: Arc::clone(&arrival.model),
            name: Arc::clone(&arrival.name),
            kind: arrival.kind,
            tuple,
            configured: Some(arrival.configured),
            needed: None,
            permits: planned.permits,
            budget: self.facts.load_budget,
            pinned: arrival.pinned,
            over_budget: planned.bytes.filter(|b| most.is_some_and(|most| *b > most)),
            trigger: arrival.trigger,
        }
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// No operation is in flight that excludes one of this engine.
    pub(super) fn may_operate(&self, state: &EngineState) -> bool {
        let facts = &state.facts;
        let exclusive = facts.exclusive || self.operations.values().any(|o| o.exclusive);
        let others = self.operations.keys().any(|pool| *pool != facts.pool);
        !self.operations.contains_key(&facts.pool)
            && self.operation_of(&facts.name).is_none()
            && !(exclusive && others)
    }

    /// Starts what can start.
    pub(super) fn start_operations(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let mut wants = self.wants(now);
        wants.sort_by_key(|w| w.rank);
        let mut held = Held::default();
        for want in wants {
            if self.pursue(&want, &mut held, now, actions) {
                // Else loads of other pools could follow each other for ever.
                return;
            }
        }
        self.chores(now, actions);
    }

    fn wants(&mut self, now: Instant) -> Vec<Want> {
        let engines = &self.engines;
        let pins = &self.pins;
        self.reserved.retain(|_, (place, _)| {
            let of = engines.iter().find(|e| e.facts.name == place.0);
            of.is_some_and(|e| e.wanted(&place.1)) || pins.contains_key(place)
        });
        let mut wants: Vec<Want> = self.missing_pins(now).collect();
        for (engine, state) in self.engines.iter().enumerate() {
            for (at, line) in state.lines.iter().enumerate().filter(|(_, l)| l.wants) {
                let who = Who::Line(at);
                let rank = self.rank(state, line, now);
                wants.extend(rank.map(|rank| Want { rank, engine, who }));
            }
        }
        wants
    }

    /// When its turn comes among the lines: what room was made for, then by urgency, then the client
    /// for which nothing was loaded for longest, then by age. `None`: nobody is in it.
    fn rank(&self, state: &EngineState, line: &Line, now: Instant) -> Option<Rank> {
        let arrival = &line.next()?.arrival;
        let reserved = self.reserved.get(&state.facts.pool);
        let first = reserved.is_some_and(|((engine, model), variant)| {
            *engine == state.facts.name && *model == line.model && *variant == line.variant
        });
        let old = |since| now.saturating_duration_since(since) >= state.facts.overtake_age;
        let urgent = line.interactive() || line.since().is_some_and(old);
        let class = match (first, urgent) {
            (true, _) => 0,
            (false, true) => 2,
            (false, false) => 3,
        };
        let turn = self.turns.get(&arrival.client).copied().unwrap_or(0);
        Some((class, turn, arrival.ticket))
    }

    /// Pinned models that are not there and that nobody waits for.
    fn missing_pins(&self, now: Instant) -> impl Iterator<Item = Want> {
        self.pins.iter().filter_map(move |(place, arrival)| {
            let engine = self.index(&place.0)?;
            let state = &self.engines[engine];
            let facts = &state.facts;
            let held = state.residents.iter().any(|r| r.info.model == place.1);
            let tried = state.tried(&arrival.model, &arrival.name);
            let failing = self.failures.get(&tried).is_some_and(|f| now < f.until);
            let wanted = facts.load_control && facts.pinned.contains(&place.1);
            (wanted && !held && !failing && !state.wanted(&place.1)).then(|| Want {
                rank: (1, 0, arrival.ticket),
                engine,
                who: Who::Pin(Arc::new(Arrival {
                    trigger: LoadTrigger::Pin,
                    ..Arrival::clone(arrival)
                })),
            })
        })
    }

    /// Gives true where everything younger has to wait.
    fn pursue(
        &mut self,
        want: &Want,
        held: &mut Held,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> bool {
        let state = &self.engines[want.engine];
        let pin;
        let (line, arrival) = match &want.who {
            Who::Line(at) => {
                let line = &state.lines[*at];
                let Some(waiter) = line.next() else {
                    return false;
                };
                (line, &waiter.arrival)
            }
            Who::Pin(arrival) => {
                let size = self.size_of(&state.facts, &arrival.model);
                let mut line = Line::new(
                    Arc::clone(&arrival.model),
                    state.variant(&arrival.name),
                    arrival.kind,
                    size,
                );
                line.push(Arc::clone(arrival), now);
                pin = line;
                (&pin, arrival)
            }
        };
        let standing = self.stands(state, line, arrival, now);
        let swaps = matches!(
            standing,
            Standing::Swap(_) | Standing::Resize(_) | Standing::Rename(_)
        );
        if !swaps && !matches!(standing, Standing::Load) {
            return false;
        }
        let pool = &state.facts.pool;
        if !self.may_operate(state) {
            return state.facts.exclusive && !self.operations.contains_key(pool);
        }
        if held.all.contains(pool) || swaps && held.evict.contains(pool) {
            return false;
        }
        // A pinned model that nobody waits for was promised to be there.
        let held_for = matches!(want.who, Who::Line(_));
        let goes = |resident: &Resident| {
            let held = held_for && self.is_held(state, line, state, resident, now);
            resident.may_go(now) && !held
        };
        let victim = match standing {
            Standing::Swap(scope) => {
                let reason = match scope {
                    Scope::Engine => EvictionReason::Limit,
                    Scope::Pool | Scope::Parent => EvictionReason::Conflict,
                };
                let found = self.victim(scope, want.engine, line, held_for, now);
                found.map(|(e, r)| (e, r, reason))
            }
            Standing::Resize(at) => {
                let goes = goes(&state.residents[at]);
                goes.then_some((want.engine, at, EvictionReason::Resize))
            }
            Standing::Rename(at) => {
                let goes = goes(&state.residents[at]);
                goes.then_some((want.engine, at, EvictionReason::Conflict))
            }
            _ => {
                let Ok(planned) = self.planned(state, line, arrival, now) else {
                    return false;
                };
                let needed = planned.context;
                let budgets = [
                    self.budget_now(Scope::Pool, &state.facts),
                    state.facts.parent,
                ];
                let most = budgets.into_iter().flatten().min();
                let planned = self.with_room(state, line, arrival, planned, now);
                let order = Order {
                    needed: Some(needed),
                    ..state.order(arrival, planned, most)
                };
                if matches!(want.who, Who::Line(_)) {
                    let client = arrival.client.clone();
                    self.take_turn(client);
                }
                self.begin_load(want.engine, order, planned.bytes.unwrap_or(0), now, actions);
                return false;
            }
        };
        let place = (state.place(&arrival.model), line.variant);
        let pool = Arc::clone(pool);
        if let Some((e, r, reason)) = victim.filter(|(e, ..)| self.may_operate(&self.engines[*e])) {
            self.begin_unload(e, r, reason, Some(place), now, actions);
        } else {
            let old = |at| now.saturating_duration_since(at) >= state.facts.overtake_age;
            if want.rank.0 == 0 || line.since().is_some_and(old) {
                held.all.push(Arc::clone(&pool));
            }
        }
        held.evict.push(pool);
        false
    }

    /// Others go first from now on.
    fn take_turn(&mut self, client: ClientId) {
        let turn = self.turns.values().max().map_or(1, |last| last + 1);
        self.turns.insert(client, turn);
        if self.turns.len() > MOST_TURNS {
            // Who had it longest ago goes before the others anyway.
            let oldest = self.turns.iter().min_by_key(|(_, turn)| **turn);
            if let Some(client) = oldest.map(|(client, _)| client.clone()) {
                self.turns.remove(&client);
            }
        }
    }

    pub(super) fn begin_load(
        &mut self,
        e: usize,
        order: Order,
        bytes: u64,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let state = &self.engines[e];
        let place = state.place(&order.model);
        let reserved = self.reserved.get(&state.facts.pool);
        if reserved.is_some_and(|(reserved, _)| *reserved == place) {
            self.reserved.remove(&state.facts.pool);
        }
        let model = Arc::clone(&order.model);
        actions.push(Action::Load(order.clone()));
        self.operate(e, model, Work::Load(order), bytes, now);
    }

    pub(super) fn begin_unload(
        &mut self,
        e: usize,
        r: usize,
        reason: EvictionReason,
        room_for: Option<Reserved>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let state = &self.engines[e];
        let info = state.residents[r].info.clone();
        let (instance, model) = (Arc::clone(&info.instance), Arc::clone(&info.model));
        let name = Arc::clone(&self.engines[e].facts.name);
        actions.push(Action::Unload(name, info));
        let work = Work::Unload {
            instance,
            reason,
            room_for,
        };
        self.operate(e, model, work, 0, now);
    }

    fn operate(&mut self, e: usize, model: Arc<str>, work: Work, bytes: u64, now: Instant) {
        let facts = &self.engines[e].facts;
        let operation = Operation {
            engine: Arc::clone(&facts.name),
            model,
            since: now,
            exclusive: facts.exclusive,
            work,
            bytes,
            polls: facts.polls,
        };
        self.operations.insert(Arc::clone(&facts.pool), operation);
    }
}
