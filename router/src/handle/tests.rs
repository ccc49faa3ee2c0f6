//! The facade over a real socket.

use axum::{
    Json,
    routing::{get, post},
};
use crucible_config::checked::EngineKind;
use serde_json::json;
use tokio::sync::{Notify, watch};

use super::*;
use crate::{engine::testing::Fake, event::Silent, health::RequestOutcome, state_dir::StateDir};

/// A router in front of one engine, `e`, with the model `m`.
struct RunningRouter {
    router: RouterHandle,
    tracker: TaskTracker,
    cancel: CancellationToken,
    _reloads: watch::Sender<u64>,
}

impl RunningRouter {
    /// Starts one with the first-token timeout of `first_token`, and waits for the first poll.
    async fn start(engine: axum::Router, first_token: Duration) -> (Self, Fake) {
        let list = get(|| async { Json(json!({"object": "list", "data": [{"id": "m"}]})) });
        let fake = Fake::start(engine.route("/v1/models", list)).await;
        let mut config = Config::builtin();
        config.state_dir = std::path::PathBuf::new();
        config.timeouts.first_token = first_token;
        let engine = config.discovered(EngineKind::Openai, "e", fake.url.clone());
        config.engines.push(engine);
        let config = Arc::new(config);
        let (tracker, cancel) = (TaskTracker::new(), CancellationToken::new());
        let (reloads, changes) = watch::channel(0);
        let router = RouterHandle::start(
            Arc::new(move || Arc::clone(&config)),
            Arc::new(StateDir::claim(Path::new(""))),
            changes,
            Vec::new(),
            Arc::new(Silent),
            &tracker,
            cancel.clone(),
        );
        router.settled().await;
        let running = Self {
            router,
            tracker,
            cancel,
            _reloads: reloads,
        };
        (running, fake)
    }

    /// Ends its tasks.
    async fn end(self) {
        self.cancel.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

#[tokio::test]
async fn permits_show_in_the_view_and_an_open_breaker_and_a_drain_refuse() {
    let (running_router, _fake) =
        RunningRouter::start(axum::Router::new(), Duration::from_secs(60)).await;
    let router = &running_router.router;
    assert!(router.view().settled);
    let demand = Demand {
        model: "m".into(),
        ..Demand::default()
    };
    let plan = router.plan(&demand).unwrap();
    let candidate = &plan.candidates[0];

    let permit = router.acquire(candidate, &demand).await.unwrap();
    assert_eq!(router.fresh_view().engines[0].active, 1);
    drop(permit);
    assert_eq!(router.fresh_view().engines[0].active, 0);

    let mut running = router.acquire(candidate, &demand).await.unwrap();
    for _ in 0..crate::health::OPEN_AFTER {
        let mut permit = router.acquire(candidate, &demand).await.unwrap();
        let attempt = permit.take_attempt().unwrap();
        attempt.report(RequestOutcome::ConnectFailed);
        // What comes after the end counts no more.
        attempt.report(RequestOutcome::Answered);
    }
    let refused = router.acquire(candidate, &demand).await.map(drop);
    assert!(
        matches!(refused, Err(Refusal::NoEngine { .. })),
        "{refused:?}"
    );
    // A request that was sent before, and is answered to its end.
    running
        .take_attempt()
        .unwrap()
        .report(RequestOutcome::Answered);
    drop(running);

    router.shutdown().await;
    assert!(router.fresh_view().draining);
    let refused = router.acquire(candidate, &demand).await.map(drop);
    assert_eq!(refused, Err(Refusal::Draining));
    running_router.end().await;
}

/// A request reports its failure before its permit comes back: Crucible's own probe, which begins
/// in between, took that request for one that the engine works on, and proved nothing.
#[tokio::test]
async fn the_failed_request_is_none_that_its_probe_stands_behind() {
    let asked = Arc::new(Notify::new());
    let asks = Arc::clone(&asked);
    let never = post(move || async move {
        asks.notify_one();
        std::future::pending::<()>().await;
    });
    let engine = axum::Router::new().route("/v1/chat/completions", never);
    let (running_router, _fake) = RunningRouter::start(engine, Duration::from_millis(50)).await;
    let router = &running_router.router;
    let demand = Demand {
        model: "m".into(),
        ..Demand::default()
    };
    let plan = router.plan(&demand).unwrap();
    let candidate = &plan.candidates[0];
    let fail = async || {
        let mut permit = router.acquire(candidate, &demand).await.unwrap();
        let attempt = permit.take_attempt().unwrap();
        attempt.report(RequestOutcome::Silent);
        permit
    };
    for _ in 1..crate::health::WEDGED_AFTER {
        drop(fail().await);
    }
    let still_out = fail().await;
    asked.notified().await;
    drop(still_out);
    let mut changed = router.0.fleet.subscribe();
    let wedged = changed.wait_for(|_| router.0.fleet.view().engines[0].wedged);
    timeout(Duration::from_secs(30), wedged)
        .await
        .expect("the probe is believed")
        .unwrap();
    running_router.end().await;
}
