//! The desk on a paused clock, over an engine in memory.

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::*;
use crate::{
    catalog::ResidentInfo,
    engine::{EngineError, Listing, LoadOrder, testing::resident},
    machine::awake::READ_FIRST,
    permit::PermitNote,
    scheduler::state_machine::tests::{facts, permit_request},
};

/// An engine whose loads end when the test says so.
#[derive(Default)]
struct Fake {
    orders: Mutex<Vec<LoadOrder>>,
    unloads: Mutex<Vec<Arc<str>>>,
    /// Taken by the next load that is let through.
    refuse: Mutex<Option<String>>,
    let_through: Notify,
}

impl Engine for Fake {
    fn list(&self) -> BoxFuture<'_, Result<Listing, EngineError>> {
        Box::pin(async { Ok(Listing::default()) })
    }

    fn load(&self, order: LoadOrder) -> BoxFuture<'_, Result<ResidentInfo, EngineError>> {
        let info = resident(&order.model);
        self.orders.lock().push(order);
        Box::pin(async move {
            self.let_through.notified().await;
            match self.refuse.lock().take() {
                Some(message) => Err(EngineError::Refused {
                    status: 500,
                    message,
                }),
                None => Ok(info),
            }
        })
    }

    fn unload<'a>(&'a self, info: &'a ResidentInfo) -> BoxFuture<'a, Result<(), EngineError>> {
        self.unloads.lock().push(Arc::clone(&info.model));
        Box::pin(async { Ok(()) })
    }

    fn address(&self) -> Option<crate::transport::EngineAddress> {
        crate::transport::EngineAddress::new("http://127.0.0.1:1".parse().ok()?, None).ok()
    }
}

struct One {
    fake: Arc<Fake>,
    changed: watch::Sender<u64>,
}

impl SchedulerEngines for One {
    fn facts(&self) -> Vec<EngineFacts> {
        let mut facts = facts("e", "cpu");
        facts.permits_per_resident = 1;
        vec![facts]
    }
    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
    fn view(&self) -> View {
        View::default()
    }
    fn control(&self, _: &str) -> Option<Arc<dyn Engine>> {
        Some(Arc::clone(&self.fake) as Arc<dyn Engine>)
    }
    fn token(&self, _: &str) -> Option<Arc<str>> {
        None
    }
    fn poll_soon(&self, _: &str) {}
    fn emit(&self, _: &Event) {}
}

struct Running {
    fake: Arc<Fake>,
    actor: Arc<SchedulerActor>,
    tracker: TaskTracker,
    cancel: CancellationToken,
}

impl Running {
    fn start() -> Self {
        let fake = Arc::new(Fake::default());
        let (tracker, cancel) = (TaskTracker::new(), CancellationToken::new());
        let engines = Arc::new(One {
            fake: Arc::clone(&fake),
            changed: watch::Sender::new(0),
        });
        let actor = SchedulerActor::new(
            engines,
            Arc::default(),
            tracker.clone(),
            cancel.clone(),
            None,
        );
        tracker.spawn(Arc::clone(&actor).run_clock());
        Self {
            fake,
            actor,
            tracker,
            cancel,
        }
    }

    fn arrive(&self, ticket: u64, model: &str) -> PermitAnswer {
        let now = Instant::now().into_std();
        self.actor
            .request_permit(permit_request(ticket, "e", model, now))
    }

    /// Of who has to wait.
    fn ask(&self, ticket: u64, model: &str) -> oneshot::Receiver<PermitReply> {
        match self.arrive(ticket, model) {
            PermitAnswer::Later(answer) => answer,
            PermitAnswer::Now(answer) => panic!("{:?}", answer.map(drop)),
        }
    }

    /// Of who has the model loaded.
    async fn loaded(&self, ticket: u64, model: &str) -> Permit {
        let answer = self.ask(ticket, model);
        self.fake.let_through.notify_one();
        answer.await.unwrap().unwrap()
    }

    /// Of who finds the model there, and free.
    fn granted(&self, ticket: u64, model: &str) -> Permit {
        match self.arrive(ticket, model) {
            PermitAnswer::Now(answer) => answer.unwrap(),
            PermitAnswer::Later(_) => panic!("{ticket} has to wait"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_does_not_end_a_load_that_others_share() {
    let running = Running::start();
    let first = running.ask(1, "m");
    let second = running.ask(2, "m");
    drop(first);
    running.actor.releases().push(PermitNote::Cancelled(1));
    running.fake.let_through.notify_one();
    assert!(second.await.unwrap().unwrap().loaded);
    assert_eq!(running.fake.orders.lock().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_left_the_queue_is_not_granted_and_grace_holds_a_permit() {
    let running = Running::start();
    let permit = running.loaded(1, "m").await;
    let left = running.ask(2, "m");
    let stays = running.ask(3, "m");
    running.actor.releases().push(PermitNote::Cancelled(2));
    let begun = Instant::now();
    permit.release_after(Duration::from_secs(7));
    let permit = stays.await.unwrap().unwrap();
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_secs(7) && waited < Duration::from_millis(7020));
    assert!(left.await.is_err());
    drop(permit);
}

#[tokio::test(start_paused = true)]
async fn a_load_over_its_budget_frees_the_pool() {
    let running = Running::start();
    let begun = Instant::now();
    let stuck = running.ask(1, "stuck");
    let refused = stuck.await.unwrap().map(drop).unwrap_err();
    assert!(
        matches!(
            refused,
            Refusal::LoadTimeout { .. } | Refusal::QueueTimeout { .. }
        ),
        "{refused:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(301));
    // The load is looked at once more before it is given up.
    tokio::time::sleep(READ_FIRST * 2).await;
    let next = running.ask(2, "next");
    running.fake.let_through.notify_one();
    assert_eq!(&*next.await.unwrap().unwrap().model, "next");
}

#[tokio::test(start_paused = true)]
async fn every_waiter_hears_the_engines_words() {
    let running = Running::start();
    let (first, second) = (running.ask(1, "m"), running.ask(2, "m"));
    *running.fake.refuse.lock() = Some("no memory".into());
    running.fake.let_through.notify_one();
    for answer in [first, second] {
        let refused = answer.await.unwrap().map(drop).unwrap_err();
        let Refusal::LoadFailed { message, .. } = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(message, "no memory");
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_unloads_ends_loads_and_lets_the_tasks_end() {
    let running = Running::start();
    drop(running.loaded(1, "m").await);
    let slow = running.ask(2, "slow");
    running.actor.drain(true).await.unwrap();
    assert!(matches!(slow.await.unwrap(), Err(Refusal::Draining)));
    assert_eq!(*running.fake.unloads.lock(), [Arc::from("m")]);
    assert!(running.actor.publish_now().draining);
    running.cancel.cancel();
    running.tracker.close();
    running.tracker.wait().await;
}

#[tokio::test(start_paused = true)]
async fn who_finds_a_free_resident_is_granted_in_place() {
    let running = Running::start();
    drop(running.loaded(1, "m").await);
    // Nothing is awaited from here on: no other task can have had a part in it.
    for ticket in 2..100 {
        drop(running.granted(ticket, "m"));
    }
    let permit = running.granted(100, "m");
    let mut waits = running.ask(101, "m");
    assert!(waits.try_recv().is_err());
    drop(permit);
    assert_eq!(running.actor.publish_now().engines.len(), 0);
    assert!(waits.try_recv().unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_comes_back_wakes_who_waits_for_it() {
    let running = Running::start();
    let permit = running.loaded(1, "m").await;
    let waits = running.ask(2, "m");
    let begun = Instant::now();
    drop(permit);
    assert!(waits.await.unwrap().is_ok());
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn the_end_refuses_who_waits_and_who_comes() {
    let running = Running::start();
    let waits = running.ask(1, "m");
    running.cancel.cancel();
    running.tracker.close();
    running.tracker.wait().await;
    assert!(waits.await.is_err());
    let PermitAnswer::Now(Err(refused)) = running.arrive(2, "m") else {
        panic!("granted after the end");
    };
    assert_eq!(refused, Refusal::Draining);
}
