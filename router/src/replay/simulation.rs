//! The simulation: events in order of their time, each of which is one step of the policy.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    machine::SimulatedMachine,
    outcome::{LoadRecord, ReplayOutcome, RequestFate},
    trace::RequestTrace,
};
use crate::{
    catalog::ResidentInfo,
    scheduler::{Action, Input, Scheduler},
};

/// A policy that decides who is served when, and what is loaded for it.
pub trait SchedulingPolicy {
    /// Takes one input, and appends the actions that follow from it.
    fn step(&mut self, input: Input, now: Instant, actions: &mut Vec<Action>);
    /// The time at which [`Input::Tick`] is due at the latest.
    fn next_deadline(&self, now: Instant) -> Option<Instant>;
}

impl SchedulingPolicy for Scheduler {
    fn step(&mut self, input: Input, now: Instant, actions: &mut Vec<Action>) {
        Self::step(self, input, now, actions);
    }

    fn next_deadline(&self, now: Instant) -> Option<Instant> {
        Self::next_deadline(self, now)
    }
}

/// An event at its time.
enum ReplayEvent {
    Arrive(usize),
    Release(u64),
    Loaded(Arc<str>, ResidentInfo),
    Unloaded(Arc<str>),
}

/// The state of a simulation.
struct ReplayRun<'a> {
    trace: &'a RequestTrace,
    machine: &'a SimulatedMachine,
    base: Instant,
    /// The offset and the number of each event; the number keeps the order of what is due at once.
    due: BinaryHeap<Reverse<(Duration, u64)>>,
    what: HashMap<u64, ReplayEvent>,
    next: u64,
    outcome: ReplayOutcome,
    /// The client's next request by the position of one that it waits for, and the time between the
    /// end of that one and its start.
    follower: HashMap<usize, (usize, Duration)>,
    /// The time at which each request came that waited for another one to end, by ticket.
    came: HashMap<u64, Duration>,
}

/// Serves the whole trace. Tickets are positions in the trace, from 1.
pub fn simulate(
    policy: &mut dyn SchedulingPolicy,
    trace: &RequestTrace,
    machine: &SimulatedMachine,
) -> ReplayOutcome {
    let mut run = ReplayRun {
        trace,
        machine,
        base: Instant::now(),
        due: BinaryHeap::new(),
        what: HashMap::new(),
        next: 0,
        outcome: ReplayOutcome::new(trace),
        follower: followers(trace),
        came: HashMap::new(),
    };
    for (at, request) in trace.requests().iter().enumerate() {
        if request.follows_after.is_none() {
            run.plan(request.at, ReplayEvent::Arrive(at));
        }
    }
    let mut actions = Vec::new();
    policy.step(Input::Fleet(machine.facts()), run.base, &mut actions);
    run.perform(Duration::ZERO, &mut actions);
    let mut now = Duration::ZERO;
    let mut ticked = None;
    loop {
        let event = run.due.peek().map(|Reverse((at, _))| *at);
        let tick = policy
            .next_deadline(run.base + now)
            .map(|at| at.saturating_duration_since(run.base))
            .map(|at| at.max(now))
            // A tick that changed nothing is asked for again.
            .filter(|at| ticked != Some(*at))
            // Idle timers after the last event change nobody's wait.
            .filter(|_| event.is_some() || run.outcome.open_requests() > 0);
        let input = match (event, tick) {
            (None, None) => break,
            (event, Some(at)) if event.is_none_or(|event| at < event) => {
                now = at;
                ticked = tick;
                Input::Tick
            }
            (event, _) => {
                now = now.max(event.unwrap_or_default());
                let Some(input) = run.take(now) else { continue };
                input
            }
        };
        policy.step(input, run.base + now, &mut actions);
        run.perform(now, &mut actions);
    }
    run.outcome
}

/// The requests that wait for another one to end, by the position of that one. A client's first
/// request follows nothing and never comes.
fn followers(trace: &RequestTrace) -> HashMap<usize, (usize, Duration)> {
    let mut last: HashMap<Option<&Arc<str>>, usize> = HashMap::new();
    let mut followers = HashMap::new();
    for (at, request) in trace.requests().iter().enumerate() {
        let before = last.insert(request.client.as_ref(), at);
        if let Some((before, gap)) = before.zip(request.follows_after) {
            followers.insert(before, (at, gap));
        }
    }
    followers
}

// === impl ReplayRun ===

impl ReplayRun<'_> {
    fn plan(&mut self, at: Duration, what: ReplayEvent) {
        self.due.push(Reverse((at, self.next)));
        self.what.insert(self.next, what);
        self.next += 1;
    }

    /// The next event as an input; `None` where the machine cannot serve the request at all.
    fn take(&mut self, now: Duration) -> Option<Input> {
        let Reverse((_, number)) = self.due.pop()?;
        Some(match self.what.remove(&number)? {
            ReplayEvent::Arrive(at) => {
                let request = &self.trace.requests()[at];
                let ticket = at as u64 + 1;
                let request = self
                    .machine
                    .permit_request(request, ticket, self.base + now);
                let Some(request) = request else {
                    self.outcome.set_fate(
                        ticket,
                        RequestFate::Rejected {
                            after: Duration::ZERO,
                        },
                    );
                    self.follow(ticket, now);
                    return None;
                };
                Input::Arrive(request.into())
            }
            ReplayEvent::Release(ticket) => {
                self.outcome.makespan = self.outcome.makespan.max(now);
                self.follow(ticket, now);
                if self.request(ticket).calls_tools {
                    Input::ReleasedForTools(ticket)
                } else {
                    Input::Released(ticket)
                }
            }
            ReplayEvent::Loaded(engine, info) => Input::Loaded(engine, info),
            ReplayEvent::Unloaded(engine) => Input::Unloaded(engine, true),
        })
    }

    fn perform(&mut self, now: Duration, actions: &mut Vec<Action>) {
        for action in actions.drain(..) {
            match action {
                Action::Grant(grant) => {
                    let request = self.request(grant.ticket);
                    let wait = now.saturating_sub(self.came(grant.ticket));
                    let held = self.machine.service_time(request);
                    let loaded = grant.waited_for_load;
                    self.outcome
                        .set_fate(grant.ticket, RequestFate::Served { wait, held, loaded });
                    self.plan(now + held, ReplayEvent::Release(grant.ticket));
                }
                Action::Reject(ticket, _) => {
                    let after = now.saturating_sub(self.came(ticket));
                    self.outcome
                        .set_fate(ticket, RequestFate::Rejected { after });
                    self.follow(ticket, now);
                }
                Action::Load(order) => {
                    let (took, info) = self.machine.load(&order);
                    self.outcome.loads.push(LoadRecord {
                        started: now,
                        took,
                        engine: Arc::clone(&order.engine),
                        model: order.model,
                    });
                    self.plan(now + took, ReplayEvent::Loaded(order.engine, info));
                }
                Action::Unload(engine, _) => {
                    self.outcome.unloads += 1;
                    let took = self.machine.engine(&engine).map(|e| e.unload_time);
                    self.plan(
                        now + took.unwrap_or_default(),
                        ReplayEvent::Unloaded(engine),
                    );
                }
                Action::Emit(_) => {}
            }
        }
    }

    /// A request has ended: the one that waited for that is on its way.
    fn follow(&mut self, ticket: u64, now: Duration) {
        let at = usize::try_from(ticket.saturating_sub(1)).unwrap_or(usize::MAX);
        if let Some((next, gap)) = self.follower.remove(&at) {
            self.came.insert(next as u64 + 1, now + gap);
            self.plan(now + gap, ReplayEvent::Arrive(next));
        }
    }

    /// When it was asked for.
    fn came(&self, ticket: u64) -> Duration {
        let own = || self.request(ticket).at;
        self.came.get(&ticket).copied().unwrap_or_else(own)
    }

    fn request(&self, ticket: u64) -> &super::trace::TraceRequest {
        let at = usize::try_from(ticket.saturating_sub(1)).unwrap_or(usize::MAX);
        &self.trace.requests()[at]
    }
}
