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
    context_size::PlannedLoad,
    model_queue::ModelQueue,
    resident_match::{LimitScope, ResidentMatch},
    state::{
        EngineState, ModelKey, OperationKind, PoolOperation, Reservation, Resident, Scheduler,
        deadline_after,
    },
};
use crate::{
    client::ClientId,
    event::{EvictionReason, LoadTrigger},
    scheduler::messages::{Action, LoadCommand, PermitRequest},
};

/// For one unload.
pub(in crate::scheduler) const UNLOAD_BUDGET: Duration = Duration::from_mins(1);
/// An operation that says nothing this long after its budget is given up.
const GRACE: Duration = Duration::from_secs(10);
/// Clients whose last load is remembered.
const MOST_TURNS: usize = 1024;

/// Who wants a load.
enum LoadRequester {
    /// The line at this position of its engine.
    Queue(usize),
    /// A pinned model that is not there.
    Pin(Arc<PermitRequest>),
}

/// Class of urgency, turn of the client, ticket: the smallest goes first.
type LoadPriority = (u8, u64, u64);

struct LoadCandidate {
    priority: LoadPriority,
    engine: usize,
    requester: LoadRequester,
}

/// What older wants leave to younger ones of their pool.
#[derive(Default)]
struct PoolRestrictions {
    /// Pools in which nothing more may be evicted.
    no_eviction: Vec<Arc<str>>,
    /// Pools in which nothing more may start.
    no_start: Vec<Arc<str>>,
}

// === impl Operation ===

impl PoolOperation {
    /// It unloads this instance.
    pub(super) fn is_unload_of(&self, instance: &str) -> bool {
        matches!(&self.kind, OperationKind::Unload { instance: i, .. } if **i == *instance)
    }

    /// When it is given up.
    pub(super) fn times_out_at(&self) -> Option<Instant> {
        let budget = match &self.kind {
            OperationKind::Load(order) => order.timeout,
            OperationKind::Unload { .. } => UNLOAD_BUDGET,
        };
        deadline_after(self.started, budget.saturating_add(GRACE))
    }
}

// === impl EngineState ===

impl EngineState {
    pub(super) fn model_key(&self, model: &Arc<str>) -> ModelKey {
        (Arc::clone(&self.facts.name), Arc::clone(model))
    }

    fn load_command(
        &self,
        request: &PermitRequest,
        planned: PlannedLoad,
        most: Option<u64>,
    ) -> LoadCommand {
        let mut tuple = request.tuple;
        tuple.context = tuple.context.map(|_| planned.context);
        LoadCommand {
            engine: Arc::clone(&request.engine),
            model: Arc::clone(&request.model),
            name: Arc::clone(&request.name),
            kind: request.kind,
            tuple,
            configured_context: Some(request.configured_context),
            needed_context: None,
            permits: planned.permits,
            timeout: self.facts.load_timeout,
            pin: request.pin,
            over_budget_bytes: planned.bytes.filter(|b| most.is_some_and(|most| *b > most)),
            trigger: request.trigger,
        }
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// No operation is in flight that excludes one of this engine.
    pub(super) fn may_start_operation(&self, state: &EngineState) -> bool {
        let facts = &state.facts;
        let exclusive = facts.exclusive || self.operations.values().any(|o| o.exclusive);
        let others = self.operations.keys().any(|pool| *pool != facts.pool);
        !self.operations.contains_key(&facts.pool)
            && self.engine_operation(&facts.name).is_none()
            && !(exclusive && others)
    }

    /// Starts what can start.
    pub(super) fn start_operations(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let mut wants = self.load_candidates(now);
        wants.sort_by_key(|w| w.priority);
        let mut held = PoolRestrictions::default();
        for want in wants {
            if self.pursue_candidate(&want, &mut held, now, actions) {
                // Else loads of other pools could follow each other for ever.
                return;
            }
        }
        self.run_maintenance(now, actions);
    }

    fn load_candidates(&mut self, now: Instant) -> Vec<LoadCandidate> {
        let engines = &self.engines;
        let pins = &self.pinned_requests;
        self.reservations.retain(|_, (key, _)| {
            let of = engines.iter().find(|e| e.facts.name == key.0);
            of.is_some_and(|e| e.has_waiters_for(&key.1)) || pins.contains_key(key)
        });
        let mut wants: Vec<LoadCandidate> = self.missing_pinned_models(now).collect();
        for (engine, state) in self.engines.iter().enumerate() {
            for (at, queue) in state
                .queues
                .iter()
                .enumerate()
                .filter(|(_, l)| l.needs_load)
            {
                let who = LoadRequester::Queue(at);
                let rank = self.load_priority(state, queue, now);
                wants.extend(rank.map(|rank| LoadCandidate {
                    priority: rank,
                    engine,
                    requester: who,
                }));
            }
        }
        wants
    }

    /// When its turn comes among the lines: what room was made for, then by urgency, then the client
    /// for which nothing was loaded for longest, then by age. `None`: nobody is in it.
    fn load_priority(
        &self,
        state: &EngineState,
        queue: &ModelQueue,
        now: Instant,
    ) -> Option<LoadPriority> {
        let request = &queue.next_waiter()?.request;
        let reserved = self.reservations.get(&state.facts.pool);
        let first = reserved.is_some_and(|((engine, model), variant)| {
            *engine == state.facts.name && *model == queue.model && *variant == queue.option_variant
        });
        let old = |since| now.saturating_duration_since(since) >= state.facts.overtake_age;
        let urgent = queue.has_interactive() || queue.oldest_arrival().is_some_and(old);
        let class = match (first, urgent) {
            (true, _) => 0,
            (false, true) => 2,
            (false, false) => 3,
        };
        let turn = self
            .client_load_turns
            .get(&request.client)
            .copied()
            .unwrap_or(0);
        Some((class, turn, request.ticket))
    }

    /// Pinned models that are not there and that nobody waits for.
    fn missing_pinned_models(&self, now: Instant) -> impl Iterator<Item = LoadCandidate> {
        self.pinned_requests
            .iter()
            .filter_map(move |(key, request)| {
                let engine = self.engine_index(&key.0)?;
                let state = &self.engines[engine];
                let facts = &state.facts;
                let held = state.residents.iter().any(|r| r.info.model == key.1);
                let tried = state.backoff_key(&request.model, &request.name);
                let failing = self
                    .load_backoffs
                    .get(&tried)
                    .is_some_and(|f| now < f.retry_at);
                let wanted = facts.load_control && facts.pinned_models.contains(&key.1);
                (wanted && !held && !failing && !state.has_waiters_for(&key.1)).then(|| {
                    LoadCandidate {
                        priority: (1, 0, request.ticket),
                        engine,
                        requester: LoadRequester::Pin(Arc::new(PermitRequest {
                            trigger: LoadTrigger::Pin,
                            ..PermitRequest::clone(request)
                        })),
                    }
                })
            })
    }

    /// Gives true where everything younger has to wait.
    fn pursue_candidate(
        &mut self,
        want: &LoadCandidate,
        held: &mut PoolRestrictions,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> bool {
        let state = &self.engines[want.engine];
        let pin;
        let (queue, request) = match &want.requester {
            LoadRequester::Queue(at) => {
                let queue = &state.queues[*at];
                let Some(waiter) = queue.next_waiter() else {
                    return false;
                };
                (queue, &waiter.request)
            }
            LoadRequester::Pin(request) => {
                let size = self.model_size(&state.facts, &request.model);
                let mut queue = ModelQueue::new(
                    Arc::clone(&request.model),
                    state.option_variant(&request.name),
                    request.kind,
                    size,
                );
                queue.push(Arc::clone(request), now);
                pin = queue;
                (&pin, request)
            }
        };
        let matched = self.match_resident(state, queue, request, now);
        let swaps = matches!(
            matched,
            ResidentMatch::NeedsEviction(_)
                | ResidentMatch::NeedsGrowth(_)
                | ResidentMatch::NeedsOtherOptions(_)
        );
        if !swaps && !matches!(matched, ResidentMatch::NeedsLoad) {
            return false;
        }
        let pool = &state.facts.pool;
        if !self.may_start_operation(state) {
            return state.facts.exclusive && !self.operations.contains_key(pool);
        }
        if held.no_start.contains(pool) || swaps && held.no_eviction.contains(pool) {
            return false;
        }
        // A pinned model that nobody waits for was promised to be there.
        let held_for = matches!(want.requester, LoadRequester::Queue(_));
        let goes = |resident: &Resident| {
            let held = held_for && self.is_lingering(state, queue, state, resident, now);
            resident.can_unload_now(now) && !held
        };
        let victim = match matched {
            ResidentMatch::NeedsEviction(scope) => {
                let reason = match scope {
                    LimitScope::EngineModels => EvictionReason::Limit,
                    LimitScope::PoolMemory | LimitScope::SharedMemory => EvictionReason::Conflict,
                };
                let found = self.choose_victim(scope, want.engine, queue, held_for, now);
                found.map(|(e, r)| (e, r, reason))
            }
            ResidentMatch::NeedsGrowth(at) => {
                let goes = goes(&state.residents[at]);
                goes.then_some((want.engine, at, EvictionReason::Resize))
            }
            ResidentMatch::NeedsOtherOptions(at) => {
                let goes = goes(&state.residents[at]);
                goes.then_some((want.engine, at, EvictionReason::Conflict))
            }
            _ => {
                let Ok(planned) = self.planned_load(state, queue, request, now) else {
                    return false;
                };
                let needed = planned.context;
                let budgets = [
                    self.effective_budget(LimitScope::PoolMemory, &state.facts),
                    state.facts.shared_budget,
                ];
                let most = budgets.into_iter().flatten().min();
                let planned = self.with_spare_context(state, queue, request, planned, now);
                let order = LoadCommand {
                    needed_context: Some(needed),
                    ..state.load_command(request, planned, most)
                };
                if matches!(want.requester, LoadRequester::Queue(_)) {
                    let client = request.client.clone();
                    self.take_load_turn(client);
                }
                self.begin_load(want.engine, order, planned.bytes.unwrap_or(0), now, actions);
                return false;
            }
        };
        let key = (state.model_key(&request.model), queue.option_variant);
        let pool = Arc::clone(pool);
        if let Some((e, r, reason)) =
            victim.filter(|(e, ..)| self.may_start_operation(&self.engines[*e]))
        {
            self.begin_unload(e, r, reason, Some(key), now, actions);
        } else {
            let old = |at| now.saturating_duration_since(at) >= state.facts.overtake_age;
            if want.priority.0 == 0 || queue.oldest_arrival().is_some_and(old) {
                held.no_start.push(Arc::clone(&pool));
            }
        }
        held.no_eviction.push(pool);
        false
    }

    /// Others go first from now on.
    fn take_load_turn(&mut self, client: ClientId) {
        let turn = self
            .client_load_turns
            .values()
            .max()
            .map_or(1, |last| last + 1);
        self.client_load_turns.insert(client, turn);
        if self.client_load_turns.len() > MOST_TURNS {
            // Who had it longest ago goes before the others anyway.
            let oldest = self.client_load_turns.iter().min_by_key(|(_, turn)| **turn);
            if let Some(client) = oldest.map(|(client, _)| client.clone()) {
                self.client_load_turns.remove(&client);
            }
        }
    }

    pub(super) fn begin_load(
        &mut self,
        e: usize,
        order: LoadCommand,
        bytes: u64,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let state = &self.engines[e];
        let key = state.model_key(&order.model);
        let reserved = self.reservations.get(&state.facts.pool);
        if reserved.is_some_and(|(reserved, _)| *reserved == key) {
            self.reservations.remove(&state.facts.pool);
        }
        let model = Arc::clone(&order.model);
        actions.push(Action::Load(order.clone()));
        self.begin_operation(e, model, OperationKind::Load(order), bytes, now);
    }

    pub(super) fn begin_unload(
        &mut self,
        e: usize,
        r: usize,
        reason: EvictionReason,
        room_for: Option<Reservation>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let state = &self.engines[e];
        let info = state.residents[r].info.clone();
        let (instance, model) = (Arc::clone(&info.instance), Arc::clone(&info.model));
        let name = Arc::clone(&self.engines[e].facts.name);
        actions.push(Action::Unload(name, info));
        let work = OperationKind::Unload {
            instance,
            reason,
            room_for,
        };
        self.begin_operation(e, model, work, 0, now);
    }

    fn begin_operation(
        &mut self,
        e: usize,
        model: Arc<str>,
        work: OperationKind,
        bytes: u64,
        now: Instant,
    ) {
        let facts = &self.engines[e].facts;
        let operation = PoolOperation {
            engine: Arc::clone(&facts.name),
            model,
            started: now,
            exclusive: facts.exclusive,
            kind: work,
            bytes,
            polls_at_start: facts.polls,
        };
        self.operations.insert(Arc::clone(&facts.pool), operation);
    }
}
