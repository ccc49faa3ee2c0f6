//! The actor on a paused clock, over an engine in memory.

use std::sync::Mutex;

use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use super::*;
use crate::{
    catalog::ResidentInfo,
    engine::{EngineError, Listing, LoadOrder, testing::resident},
    scheduler::tests::{arrival, facts},
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
        self.orders.lock().unwrap().push(order);
        Box::pin(async move {
            self.let_through.notified().await;
            match self.refuse.lock().unwrap().take() {
                Some(message) => Err(EngineError::Refused {
                    status: 500,
                    message,
                }),
                None => Ok(info),
            }
        })
    }

    fn unload<'a>(&'a self, info: &'a ResidentInfo) -> BoxFuture<'a, Result<(), EngineError>> {
        self.unloads.lock().unwrap().push(Arc::clone(&info.model));
        Box::pin(async { Ok(()) })
    }

    fn base_url(&self) -> Option<url::Url> {
        "http://127.0.0.1:1".parse().ok()
    }
}

struct One {
    fake: Arc<Fake>,
    changed: watch::Sender<u64>,
}

impl Engines for One {
    fn facts(&self) -> Vec<Facts> {
        let mut facts = facts("e", "cpu");
        facts.permits = 1;
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
    fn poke(&self, _: &str) {}
    fn tell(&self, _: &Event) {}
}

struct Running {
    fake: Arc<Fake>,
    mail: mpsc::Sender<Mail>,
    releases: Arc<Releases>,
    tracker: TaskTracker,
    cancel: CancellationToken,
}

impl Running {
    fn start() -> Self {
        let fake = Arc::new(Fake::default());
        let (mail, inbox) = mpsc::channel(64);
        let (releases, tracker) = (Arc::new(Releases::default()), TaskTracker::new());
        let cancel = CancellationToken::new();
        let actor = Actor {
            engines: Arc::new(One {
                fake: Arc::clone(&fake),
                changed: watch::Sender::new(0),
            }),
            mail: inbox,
            back: mail.clone(),
            releases: Arc::clone(&releases),
            board: Arc::default(),
            tracker: tracker.clone(),
            cancel: cancel.clone(),
            store: None,
        };
        tracker.spawn(actor.run());
        Self {
            fake,
            mail,
            releases,
            tracker,
            cancel,
        }
    }

    async fn ask(&self, ticket: u64, model: &str) -> oneshot::Receiver<Reply> {
        let arrival = arrival(ticket, "e", model, Instant::now().into_std());
        let (reply, answer) = oneshot::channel();
        let mail = Mail::Arrive(arrival, reply);
        assert!(self.mail.send(mail).await.is_ok());
        self.current().await;
        answer
    }

    /// Everything sent so far has been read.
    async fn current(&self) -> Arc<View> {
        let (reply, view) = oneshot::channel();
        assert!(self.mail.send(Mail::View(reply)).await.is_ok());
        view.await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_does_not_end_a_load_that_others_share() {
    let running = Running::start();
    let first = running.ask(1, "m").await;
    let second = running.ask(2, "m").await;
    drop(first);
    running.releases.push(Note::Cancelled(1));
    running.current().await;
    running.fake.let_through.notify_one();
    assert!(second.await.unwrap().unwrap().loaded);
    assert_eq!(running.fake.orders.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_left_the_queue_is_not_granted_and_grace_holds_a_permit() {
    let running = Running::start();
    let first = running.ask(1, "m").await;
    running.fake.let_through.notify_one();
    let permit = first.await.unwrap().unwrap();
    let left = running.ask(2, "m").await;
    let stays = running.ask(3, "m").await;
    running.releases.push(Note::Cancelled(2));
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
    let stuck = running.ask(1, "stuck").await;
    let refused = stuck.await.unwrap().map(drop).unwrap_err();
    assert!(
        matches!(
            refused,
            Refusal::LoadTimeout { .. } | Refusal::QueueTimeout { .. }
        ),
        "{refused:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(301));
    let next = running.ask(2, "next").await;
    running.fake.let_through.notify_one();
    assert_eq!(&*next.await.unwrap().unwrap().model, "next");
}

#[tokio::test(start_paused = true)]
async fn every_waiter_hears_the_engines_words() {
    let running = Running::start();
    let (first, second) = (running.ask(1, "m").await, running.ask(2, "m").await);
    *running.fake.refuse.lock().unwrap() = Some("no memory".into());
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
    let first = running.ask(1, "m").await;
    running.fake.let_through.notify_one();
    drop(first.await.unwrap().unwrap());
    let slow = running.ask(2, "slow").await;
    let (reply, done) = oneshot::channel();
    assert!(running.mail.send(Mail::Drain(true, reply)).await.is_ok());
    done.await.unwrap();
    assert!(matches!(slow.await.unwrap(), Err(Refusal::Draining)));
    assert_eq!(*running.fake.unloads.lock().unwrap(), [Arc::from("m")]);
    assert!(running.current().await.draining);
    running.cancel.cancel();
    running.tracker.close();
    running.tracker.wait().await;
}

#[tokio::test(start_paused = true)]
async fn a_full_mailbox_makes_senders_wait_and_loads_nothing_for_who_has_left() {
    let running = Running::start();
    let now = Instant::now().into_std();
    // The actor does not run before this test waits for something.
    let mut left = Vec::new();
    for ticket in 1.. {
        let (reply, answer) = oneshot::channel();
        let mail = Mail::Arrive(arrival(ticket, "e", "m", now), reply);
        if running.mail.try_send(mail).is_err() {
            break;
        }
        left.push(answer);
    }
    assert_eq!(left.len(), 64);
    for (ticket, answer) in (1..).zip(left) {
        drop(answer);
        running.releases.push(Note::Cancelled(ticket));
    }
    let patient = running.ask(100, "n").await;
    running.fake.let_through.notify_one();
    assert_eq!(&*patient.await.unwrap().unwrap().model, "n");
    let orders = running.fake.orders.lock().unwrap();
    let models: Vec<&str> = orders.iter().map(|o| &*o.model).collect();
    assert_eq!(models, ["n"]);
}
