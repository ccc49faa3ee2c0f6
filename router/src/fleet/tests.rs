use std::sync::{
    OnceLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use axum::{Json, Router, http::StatusCode, routing::get};
use crucible_config::checked::{self, Device, EngineKind, Manage};
use serde_json::json;
use tokio::{net::TcpListener, sync::Notify, time::timeout};
use url::Url;

use super::*;
use crate::{
    discovery,
    engine::testing::Fake,
    event::{Event, Silent},
    view::{BreakerState, Health},
};

fn config(engines: Vec<checked::EngineConfig>) -> Config {
    Config {
        engines,
        state_dir: std::path::PathBuf::new(),
        ..Config::builtin()
    }
}

fn openai(name: &str, url: &Url) -> checked::EngineConfig {
    checked::EngineConfig {
        name: Arc::from(name),
        manage: Manage::Observe,
        ..discovery::discovered(&Config::builtin(), EngineKind::Openai, url.clone())
    }
}

fn list(id: &'static str) -> Router {
    let answer = move || async move { Json(json!({"data": [{"id": id}]})) };
    Router::new().route("/v1/models", get(answer))
}

fn start(config: &Config, places: Vec<SearchAddress>) -> (Fleet, tokio_util::sync::DropGuard) {
    start_observed(config, places, Arc::new(Silent))
}

fn start_observed(
    config: &Config,
    places: Vec<SearchAddress>,
    observer: Arc<dyn EventObserver>,
) -> (Fleet, tokio_util::sync::DropGuard) {
    let (cancel, tracker) = (CancellationToken::new(), TaskTracker::new());
    let state = Arc::new(StateDir::claim(&config.state_dir));
    let fleet = Fleet::start(config, state, places, observer, tracker, cancel.clone());
    (fleet, cancel.drop_guard())
}

async fn until(fleet: &Fleet, reached: impl Fn(&FleetView) -> bool) -> Arc<FleetView> {
    let mut changed = fleet.subscribe();
    loop {
        let view = fleet.view();
        if reached(&view) {
            return view;
        }
        timeout(Duration::from_secs(60), changed.changed())
            .await
            .unwrap()
            .unwrap();
    }
}

#[test]
fn auto_leaves_the_gpu_to_another_and_stays_off_it() {
    use Device::{Auto, Cpu, Gpu};
    let claim = |device, latched| DeviceClaim { device, latched };
    let cases: [(&[DeviceClaim], &[Device]); 5] = [
        (&[claim(Auto, false)], &[Gpu]),
        (&[claim(Auto, false), claim(Gpu, false)], &[Cpu, Gpu]),
        (&[claim(Auto, true)], &[Cpu]),
        (&[claim(Auto, false), claim(Cpu, false)], &[Gpu, Cpu]),
        (&[claim(Gpu, false), claim(Gpu, false)], &[Gpu, Gpu]),
    ];
    for (claims, expected) in cases {
        assert_eq!(resolve_devices(claims), expected, "{claims:?}");
    }
}

#[test]
fn the_pool_is_the_device_on_its_host() {
    let pool = |device, url: &str| default_pool(device, Some(&url.parse().unwrap()));
    assert_eq!(&*pool(Device::Gpu, "http://127.0.0.1:1"), "gpu");
    assert_eq!(&*pool(Device::Cpu, "http://localhost:1"), "cpu");
    assert_eq!(&*pool(Device::Gpu, "http://[::1]:1"), "gpu");
    assert_eq!(&*pool(Device::Gpu, "http://box:1"), "gpu@box");
    assert_eq!(&*default_pool(Device::Cpu, None), "cpu");
}

#[test]
fn addresses_are_shown_without_credentials() {
    assert_eq!(
        entry::plain_url("http://me:secret@h:1/".parse().unwrap()),
        "http://h:1"
    );
}

#[tokio::test]
async fn it_settles_when_each_has_answered_or_failed() {
    let up = Fake::start(list("a")).await;
    let engines = vec![
        openai("up", &up.url),
        openai("down", &"http://127.0.0.1:9".parse().unwrap()),
    ];
    let (fleet, _guard) = start(&config(engines), Vec::new());
    fleet.settled().await;
    let view = fleet.view();
    assert_eq!(view.engines[0].health, Health::Up);
    assert_eq!(&*view.engines[0].models[0].id, "a");
    assert_eq!(view.engines[1].health, Health::Down);
    assert!(view.engines[1].error.is_some());
    assert!(view.looked_at.is_empty());
}

/// An answer that was under way when somebody asked may be from before what made them ask.
#[tokio::test]
async fn a_poll_that_is_waited_for_begins_after_it_was_asked_for() {
    let (held, id) = (Arc::new(Notify::new()), Arc::new(AtomicU64::new(0)));
    let (asked, release, count) = (Arc::new(Notify::new()), Arc::clone(&held), Arc::clone(&id));
    let told = Arc::clone(&asked);
    let app = Router::new().route(
        "/v1/models",
        get(|| async move {
            // What it tells is settled before it is held.
            let id = count.fetch_add(1, Ordering::SeqCst).to_string();
            told.notify_one();
            if id != "0" {
                release.notified().await;
            }
            Json(json!({"data": [{"id": id}]}))
        }),
    );
    let fake = Fake::start(app).await;
    let (fleet, _guard) = start(&config(vec![openai("e", &fake.url)]), Vec::new());
    fleet.settled().await;
    asked.notified().await;
    fleet.poke("e");
    asked.notified().await;
    let mut asking = std::pin::pin!(fleet.poll_now("e", Duration::from_secs(10)));
    assert!(futures_util::poll!(asking.as_mut()).is_pending());
    held.notify_one();
    until(&fleet, |v| v.engines[0].polls == 2).await;
    assert!(futures_util::poll!(asking.as_mut()).is_pending());
    held.notify_one();
    assert_eq!(asking.await, PollOutcome::Well);
    assert_eq!(&*fleet.view().engines[0].models[0].id, "2");
    let nobody = fleet.poll_now("unknown", Duration::from_secs(10)).await;
    assert_eq!(nobody, PollOutcome::Unanswered);
    // The next one is held for good.
    let late = fleet.poll_now("e", Duration::from_millis(1)).await;
    assert_eq!(late, PollOutcome::Unanswered);
}

#[tokio::test]
async fn a_poke_polls_at_once_and_failures_degrade_before_they_take_down() {
    let broken = Arc::new(AtomicBool::new(false));
    let polls = Arc::new(AtomicU64::new(0));
    let (flag, counter) = (Arc::clone(&broken), Arc::clone(&polls));
    let app = Router::new().route(
        "/v1/models",
        get(|| async move {
            counter.fetch_add(1, Ordering::SeqCst);
            if flag.load(Ordering::SeqCst) {
                return (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    Json(json!({"error": "broken"})),
                );
            }
            (StatusCode::OK, Json(json!({"data": [{"id": "a"}]})))
        }),
    );
    let fake = Fake::start(app).await;
    let (fleet, _guard) = start(&config(vec![openai("e", &fake.url)]), Vec::new());
    fleet.settled().await;
    broken.store(true, Ordering::SeqCst);
    fleet.poke("e");
    let view = until(&fleet, |v| v.engines[0].health != Health::Up).await;
    assert_eq!(view.engines[0].health, Health::Degraded);
    assert_eq!(view.engines[0].error.as_deref(), Some("broken"));
    // What it holds was told before.
    assert!(view.engines[0].listed < view.engines[0].polls);
    let view = until(&fleet, |v| v.engines[0].health == Health::Down).await;
    assert_eq!(view.engines[0].models.len(), 1);
    assert!(polls.load(Ordering::SeqCst) >= 4);
}

/// An Ollama with one resident that answers 500 once it is broken. Asked for its version, it fails
/// the second time.
fn ollama(broken: &Arc<AtomicBool>, versions: &Arc<AtomicU64>) -> Router {
    let (broken, versions) = (Arc::clone(broken), Arc::clone(versions));
    let failed = || {
        (
            StatusCode::INTERNAL_SERVER_ERROR,
            Json(json!({"error": "broken"})),
        )
    };
    let list = move || async move {
        if broken.load(Ordering::SeqCst) {
            return failed();
        }
        (
            StatusCode::OK,
            Json(json!({"models": [{"name": "a:latest"}]})),
        )
    };
    let version = move || async move {
        match versions.fetch_add(1, Ordering::SeqCst) {
            1 => failed(),
            _ => (StatusCode::OK, Json(json!({"version": "0.1.0"}))),
        }
    };
    Router::new()
        .route("/api/version", get(version))
        .route("/api/tags", get(list.clone()))
        .route("/api/ps", get(list))
}

/// Silence was taken for an empty engine, and its memory given away: answers that fail, connections
/// that break. The time-outs of a process that stands still are tried end to end.
#[tokio::test]
async fn an_engine_that_fails_its_polls_holds_its_residents_until_nobody_listens_there() {
    let (broken, versions) = (Arc::default(), Arc::default());
    let fake = Fake::start(ollama(&broken, &versions)).await;
    let engine = checked::EngineConfig {
        kind: EngineKind::Ollama,
        ..openai("e", &fake.url)
    };
    let (fleet, _guard) = start(&config(vec![engine]), Vec::new());
    fleet.settled().await;
    broken.store(true, Ordering::SeqCst);
    fleet.poke("e");
    let view = until(&fleet, |v| v.engines[0].health == Health::Down).await;
    assert_eq!(view.engines[0].residents.len(), 1);
    assert!(view.engines[0].listed < view.engines[0].polls);
    let address = fake.url.socket_addrs(|| None).unwrap()[0];
    drop(fake);
    // Whoever listens there now closes every connection.
    let mut listener = None;
    while listener.is_none() {
        listener = TcpListener::bind(address).await.ok();
        tokio::task::yield_now().await;
    }
    let listener = listener.unwrap();
    for _ in 0..2 * crate::health::DOWN_AFTER {
        fleet.poke("e");
        drop(listener.accept().await.unwrap());
    }
    assert_eq!(fleet.view().engines[0].residents.len(), 1);
    drop(listener);
    let view = until(&fleet, |v| v.engines[0].residents.is_empty()).await;
    assert_eq!(view.engines[0].listed, view.engines[0].polls);
}

/// One failed call for the version repeated the advice with the next poll.
#[tokio::test]
async fn a_version_that_is_not_told_once_is_the_one_told_before() {
    let (broken, versions) = (Arc::default(), Arc::<AtomicU64>::default());
    let fake = Fake::start(ollama(&broken, &versions)).await;
    let engine = checked::EngineConfig {
        kind: EngineKind::Ollama,
        ..openai("e", &fake.url)
    };
    let (fleet, _guard) = start(&config(vec![engine]), Vec::new());
    fleet.settled().await;
    assert!(!fleet.view().engines[0].advice.is_empty());
    fleet.poke("e");
    let view = until(&fleet, |v| v.engines[0].polls == 2).await;
    assert_eq!(versions.load(Ordering::SeqCst), 2);
    assert_eq!(view.engines[0].version.as_deref(), Some("0.1.0"));
    assert!(!view.engines[0].advice.is_empty());
}

#[tokio::test]
async fn a_reload_leaves_unchanged_engines_alone() {
    let (a, b) = (Fake::start(list("a")).await, Fake::start(list("b")).await);
    let (fleet, _guard) = start(&config(vec![openai("a", &a.url)]), Vec::new());
    fleet.settled().await;
    let before = fleet.handle("a").unwrap();
    fleet.apply(&config(vec![openai("b", &b.url), openai("a", &a.url)]));
    fleet.settled().await;
    assert!(Arc::ptr_eq(&before, &fleet.handle("a").unwrap()));
    assert_eq!(&*fleet.view().engines[0].models[0].id, "b");
    fleet.apply(&config(vec![openai("b", &b.url)]));
    assert!(fleet.handle("a").is_none());
    assert!(before.stop.is_cancelled());
}

#[tokio::test]
async fn without_configured_engines_it_finds_them() {
    let app = list("m").route(
        "/lmstudio-greeting",
        get(|| async { Json(json!({"lmstudio": true})) }),
    );
    let fake = Fake::start(app).await;
    let place = SearchAddress {
        kind: EngineKind::Lmstudio,
        url: fake.url.clone(),
    };
    let (fleet, _guard) = start(&config(Vec::new()), vec![place.clone()]);
    assert!(!fleet.view().settled);
    fleet.settled().await;
    let view = fleet.view();
    assert_eq!(view.looked_at, [place]);
    assert_eq!(&*view.engines[0].config.name, "lmstudio");
    assert!(view.engines[0].discovered);
    assert_eq!(view.engines[0].health, Health::Up);
    fleet.apply(&config(vec![openai("e", &fake.url)]));
    assert!(fleet.handle("lmstudio").is_none());
}

mod breaker;
