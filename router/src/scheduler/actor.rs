//! The one task that owns the [`Scheduler`]: carries out its actions, never blocks on an engine.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::core::{Action, Arrival, Facts, Input, Scheduler};
use crate::{
    engine::{Engine, EngineError, LoadOrder, Tuple, tuple},
    permit::{Note, Permit, Releases},
    refusal::Refusal,
};

/// Everything the actor needs of the engines; the fleet in production.
pub trait Engines: Send + Sync + 'static {
    /// Facts of every engine as of the last poll.
    fn facts(&self) -> Vec<Facts>;
    /// Control side.
    fn control(&self, engine: &str) -> Option<Arc<dyn Engine>>;
    /// The engine's own token.
    fn token(&self, engine: &str) -> Option<Arc<str>>;
    /// Poll soon.
    fn poke(&self, engine: &str);
}

pub(crate) type Reply = Result<Permit, Refusal>;

pub(crate) enum Mail {
    Arrive(Arrival, oneshot::Sender<Reply>),
    Done(Input),
}

pub(crate) struct Actor {
    pub(crate) engines: Arc<dyn Engines>,
    pub(crate) mail: mpsc::Receiver<Mail>,
    pub(crate) back: mpsc::Sender<Mail>,
    pub(crate) releases: Arc<Releases>,
    pub(crate) tracker: TaskTracker,
    pub(crate) cancel: CancellationToken,
}

#[derive(Default)]
struct Open {
    core: Scheduler,
    replies: HashMap<u64, (Arrival, Instant, oneshot::Sender<Reply>)>,
    graces: Vec<(Instant, u64)>,
}

// === impl Actor ===

impl Actor {
    pub(crate) async fn run(mut self) {
        let mut open = Open::default();
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        let releases = Arc::clone(&self.releases);
        loop {
            tokio::select! {
                () = self.cancel.cancelled() => return,
                Some(mail) = self.mail.recv() => match mail {
                    Mail::Arrive(arrival, reply) => {
                        // The request may be here before the tick that brings the first poll.
                        let known = open.core.engines.get(&arrival.engine);
                        if known.is_none_or(|state| state.facts.polls == 0) {
                            self.observe(&mut open);
                        }
                        open.replies.insert(arrival.ticket, (arrival.clone(), Instant::now(), reply));
                        self.step(&mut open, Input::Arrive(arrival));
                    }
                    Mail::Done(input) => self.step(&mut open, input),
                },
                () = releases.arrived.notified() => for note in releases.take() {
                    match note {
                        Note::Released { ticket, grace } if grace.is_zero() => {
                            self.step(&mut open, Input::Released(ticket));
                        }
                        Note::Released { ticket, grace } => {
                            open.graces.push((Instant::now() + grace, ticket));
                        }
                        Note::Cancelled(ticket) => {
                            open.replies.remove(&ticket);
                            self.step(&mut open, Input::Cancelled(ticket));
                        }
                    }
                },
                _ = tick.tick() => {
                    let now = Instant::now();
                    let due: Vec<u64> = open.graces.extract_if(.., |g| g.0 <= now).map(|g| g.1).collect();
                    for ticket in due {
                        self.step(&mut open, Input::Released(ticket));
                    }
                    self.observe(&mut open);
                }
            }
        }
    }

    fn observe(&self, open: &mut Open) {
        for facts in self.engines.facts() {
            self.step(open, Input::Observed(facts));
        }
    }

    fn step(&self, open: &mut Open, input: Input) {
        let mut actions = Vec::new();
        open.core
            .step(input, Instant::now().into_std(), &mut actions);
        for action in actions {
            self.perform(open, action);
        }
    }

    fn perform(&self, open: &mut Open, action: Action) {
        match action {
            Action::Reject(ticket, refusal) => {
                if let Some((.., reply)) = open.replies.remove(&ticket) {
                    drop(reply.send(Err(refusal)));
                }
            }
            Action::Grant(ticket, info, tuple, loaded) => {
                let Some((arrival, since, reply)) = open.replies.remove(&ticket) else {
                    let grace = Duration::ZERO;
                    return self.releases.push(Note::Released { ticket, grace });
                };
                let state = open.core.engines.get(&arrival.engine);
                let url = self
                    .engines
                    .control(&arrival.engine)
                    .and_then(|c| c.base_url());
                let (Some(base_url), Some(kind)) = (url, state.map(|s| s.facts.kind)) else {
                    self.releases.push(Note::Released {
                        ticket,
                        grace: Duration::ZERO,
                    });
                    let detail = format!("'{}' has no address now", arrival.engine);
                    let model = arrival.model.to_string();
                    drop(reply.send(Err(Refusal::NoEngine {
                        model,
                        detail,
                        retry_after: 5,
                    })));
                    return;
                };
                // A permit that nobody receives gives itself back when it is dropped here.
                drop(reply.send(Ok(Permit {
                    token: self.engines.token(&arrival.engine),
                    engine: arrival.engine,
                    kind,
                    base_url,
                    model: arrival.model,
                    context: tuple::request_context(kind, &info),
                    instance: info.instance,
                    tuple: tuple.unwrap_or(arrival.tuple),
                    waited: since.elapsed(),
                    loaded,
                    ticket,
                    grace: Duration::ZERO,
                    releases: Arc::clone(&self.releases),
                })));
            }
            Action::Load(engine, model, kind, tuple) => {
                let (permits, budget) = open
                    .core
                    .engines
                    .get(&engine)
                    .map_or((1, Duration::from_secs(300)), |s| {
                        (s.facts.permits, s.facts.load_budget)
                    });
                let (engines, back) = (Arc::clone(&self.engines), self.back.clone());
                self.tracker.spawn(async move {
                    let order = LoadOrder {
                        model: model.clone(),
                        kind,
                        tuple: Tuple { ..tuple },
                        permits,
                    };
                    let outcome = match engines.control(&engine) {
                        Some(control) => timeout(budget, control.load(order)).await,
                        None => Ok(Err(EngineError::Unsupported("it is gone"))),
                    };
                    engines.poke(&engine);
                    let input = match outcome {
                        Ok(Ok(info)) => Input::Loaded(engine, info),
                        Ok(Err(EngineError::Timeout)) | Err(_) => {
                            Input::LoadFailed(engine, model, None)
                        }
                        Ok(Err(error)) => Input::LoadFailed(engine, model, Some(error.to_string())),
                    };
                    drop(back.send(Mail::Done(input)).await);
                });
            }
            Action::Unload(engine, info) => {
                let (engines, back) = (Arc::clone(&self.engines), self.back.clone());
                self.tracker.spawn(async move {
                    let outcome = match engines.control(&engine) {
                        Some(c) => timeout(Duration::from_secs(60), c.unload(&info)).await.ok(),
                        None => None,
                    };
                    engines.poke(&engine);
                    let ok = matches!(outcome, Some(Ok(())));
                    drop(
                        back.send(Mail::Done(Input::Unloaded(engine, info.model, ok)))
                            .await,
                    );
                });
            }
        }
    }
}
