//! What the requests of clients say of an engine: its breaker, and a silence that is not only one client's.

use super::*;

#[tokio::test]
async fn failed_requests_open_the_breaker() {
    let fake = Fake::start(list("a")).await;
    let (fleet, _guard) = start(&config(vec![openai("e", &fake.url)]), Vec::new());
    let clients = ["a", "b"].map(ClientId::of_key);
    assert_eq!(
        fleet.try_pass("e", &clients[0]),
        Some(Ok(BreakerPass::Closed))
    );
    let failed = |client| {
        fleet.report(
            "e",
            (client, BreakerPass::Closed),
            RequestOutcome::ServerFailed,
            false,
        )
    };
    let asks: Vec<_> = (0..crate::health::OPEN_AFTER)
        .map(|_| failed(&clients[0]))
        .collect();
    let own = asks.last().copied().flatten().unwrap();
    assert_eq!(asks.iter().flatten().count(), 1);
    assert_eq!(fleet.view().engines[0].breaker, BreakerState::Closed);
    fleet.found("e", own, ProbeResult::Unknown);
    assert_eq!(
        fleet.try_pass("e", &clients[1]),
        Some(Ok(BreakerPass::Closed))
    );
    failed(&clients[1]);
    assert!(fleet.try_pass("e", &clients[1]).unwrap().is_err());
    let status = &fleet.view().engines[0];
    assert_eq!(status.breaker, BreakerState::Open);
    assert_eq!(status.left_alone.unwrap().retry_after(), 1);
    assert_eq!(fleet.try_pass("unknown", &clients[0]), None);
}

#[tokio::test]
async fn an_engine_that_answers_somebody_may_be_silent_to_others() {
    let fake = Fake::start(list("a")).await;
    let (fleet, _guard) = start(&config(vec![openai("e", &fake.url)]), Vec::new());
    let client = ClientId::of_key("a");
    let tell = |outcome, began| fleet.report("e", (&client, BreakerPass::Closed), outcome, began);
    let working = |others, longest| fleet.may_be_working("e", others, longest);
    let long = Duration::from_hours(1);
    assert!(!working(false, long) && working(true, long));
    assert!(!working(true, Duration::ZERO) && !fleet.may_be_working("unknown", true, long));
    tell(RequestOutcome::Began, false);
    tell(RequestOutcome::Began, false);
    tell(RequestOutcome::Answered, true);
    assert!(working(false, Duration::ZERO));
    tell(RequestOutcome::Silent, false);
    assert!(working(false, Duration::ZERO));
    tell(RequestOutcome::ServerFailed, true);
    assert!(!working(false, long));
}

/// An observer that looks into the view when an engine is said to be wedged.
#[derive(Default)]
struct ViewAtEvent {
    fleet: OnceLock<Fleet>,
    /// Whether the view called the engine wedged at that moment.
    wedged: OnceLock<bool>,
}

impl EventObserver for ViewAtEvent {
    fn observe(&self, event: &Event) {
        if let (Event::Wedged { .. }, Some(fleet)) = (event, self.fleet.get()) {
            let _ = self.wedged.set(fleet.view().engines[0].wedged);
        }
    }
}

/// The log said that an engine is wedged before the state did.
#[tokio::test]
async fn who_hears_of_a_wedged_engine_finds_it_in_the_view() {
    let fake = Fake::start(list("m")).await;
    let observer = Arc::new(ViewAtEvent::default());
    let engines = config(vec![openai("e", &fake.url)]);
    let (fleet, _guard) = start_observed(&engines, Vec::new(), observer.clone());
    fleet.settled().await;
    let _ = observer.fleet.set(fleet.clone());
    for client in ["a", "b"] {
        let client = ClientId::of_key(client);
        let who = (&client, BreakerPass::Closed);
        fleet.report("e", who, RequestOutcome::Silent, false);
    }
    assert_eq!(observer.wedged.get(), Some(&true));
}
