//! The facade over a real socket.

use axum::{Json, routing::get};
use crucible_config::checked::EngineKind;
use serde_json::json;
use tokio::sync::watch;

use super::*;
use crate::{engine::testing::Fake, event::Silent, health::RequestOutcome, state_dir::StateDir};

#[tokio::test]
async fn permits_show_in_the_view_and_an_open_breaker_and_a_drain_refuse() {
    let list = get(|| async { Json(json!({"object": "list", "data": [{"id": "m"}]})) });
    let fake = Fake::start(axum::Router::new().route("/v1/models", list)).await;
    let mut config = Config::builtin();
    config.state_dir = std::path::PathBuf::new();
    let engine = config.discovered(EngineKind::Openai, "e", fake.url.clone());
    config.engines.push(engine);
    let config = Arc::new(config);
    let (tracker, cancel) = (TaskTracker::new(), CancellationToken::new());
    let (_changed, changes) = watch::channel(0);
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
    cancel.cancel();
    tracker.close();
    tracker.wait().await;
}
