//! The counters equal the log of a load whose requests are answered, refused, sent twice, cut off, left and turned
//! to other engines, while models push each other out of memory.
//!
//! The log is written by the client and by the simulated engines; nothing in it comes from Crucible's own counts.
//! Every family that the log names is compared label by label and as a whole, so that nothing may be counted beside.

mod log;

use crucible_sim::{Fault, FaultKind, Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{get, post_raw},
    clean::queued,
    engines::{client, engine, start, until},
    keeping::{ConnectionEnd, KeepingEngine},
    rest::{eventually, ready},
};
use futures_util::StreamExt as _;

use self::log::CountedLog;

const TOML: &str = r#"
[timeouts]
idle = "1s"
[pool.gpu]
budget = "7GB"
[[model]]
name = "first"
fallback = ["plain"]
"#;

/// Engines of all formats, one that ends idle connections, and Crucible before them.
struct Place {
    gpu: Sim,
    cpu: Sim,
    plain: Sim,
    first: Sim,
    endless: Sim,
    stale: KeepingEngine,
    crucible: Crucible,
}

impl Place {
    async fn start() -> Self {
        let gpu = start(Options::lmstudio(&["a=4GB", "b=4GB", "broken=1GB"])).await;
        let cpu = start(Options::ollama(&["llama=1GB"])).await;
        let plain = start(Options::openai(&["plain"])).await;
        let first = start(Options::openai(&["first"])).await;
        let endless = start(Options {
            rate: 50,
            ..Options::openai(&["endless"])
        })
        .await;
        let stale = KeepingEngine::start("stale", |answered| {
            (answered > 0).then_some(ConnectionEnd::Closed)
        })
        .await;
        let crucible = Crucible::start(&format!(
            "{TOML}{}pool = \"gpu\"\n{}{}{}{}permits = 1\n{}",
            engine("gpu", "lmstudio", &gpu.url()),
            engine("cpu", "ollama", &cpu.url()),
            engine("plain", "openai", &plain.url()),
            engine("first", "openai", &first.url()),
            engine("endless", "openai", &endless.url()),
            engine("stale", "openai", &stale.url()),
        ));
        ready(&crucible).await;
        Self {
            gpu,
            cpu,
            plain,
            first,
            endless,
            stale,
            crucible,
        }
    }
}

/// Answers of each format, whole and streamed, of which each turn of `a` and `b` is a load and an eviction.
async fn answers(place: &Place, log: &mut CountedLog) {
    for model in ["a", "llama", "b", "plain", "a"] {
        let name = match model {
            "a" | "b" => "gpu",
            "llama" => "cpu",
            _ => "plain",
        };
        log.whole(&place.crucible, name, model, 200).await;
        log.stream(&place.crucible, name, model, None).await;
    }
}

/// Engines that fail before an answer, with and without another one to turn to, in a stream, and in a load.
async fn failures(place: &Place, log: &mut CountedLog) {
    place.plain.arm(Fault::new(FaultKind::Http500));
    log.whole(&place.crucible, "plain", "plain", 502).await;
    log.upstream("plain", "http_5xx");
    place.first.arm(Fault::new(FaultKind::Http500));
    log.whole(&place.crucible, "plain", "first", 200).await;
    log.upstream("first", "http_5xx");
    log.add(
        "crucible_fallbacks_total",
        &[("from_engine", "first"), ("outcome", "ok")],
        1,
    );
    for (sim, name, model) in [
        (&place.gpu, "gpu", "a"),
        (&place.cpu, "cpu", "llama"),
        (&place.plain, "plain", "plain"),
    ] {
        sim.arm(Fault::new(FaultKind::Cut).after_events(4));
        log.stream(&place.crucible, name, model, Some("engine_cut"))
            .await;
        log.upstream(name, "truncated");
        log.aborted(name, "upstream_cut");
    }
    place.cpu.arm(Fault::new(FaultKind::Stall).after_events(4));
    log.stream(&place.crucible, "cpu", "llama", Some("idle_timeout"))
        .await;
    log.upstream("cpu", "idle_timeout");
    log.aborted("cpu", "idle_timeout");
    place.gpu.arm(Fault::new(FaultKind::LoadFail));
    log.whole(&place.crucible, "gpu", "broken", 503).await;
}

/// Requests that no engine gets.
async fn refusals(place: &Place, log: &mut CountedLog) {
    log.whole(&place.crucible, "none", "unheard-of", 404).await;
    log.rejected("none", "model_not_found", 404);
    let answer = post_raw(&place.crucible, "{\"model\": ").await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    log.ended("none", false, 400);
    log.rejected("none", "invalid_json", 400);
    // What is no request of a client.
    for path in ["/metrics", "/crucible/state", "/healthz"] {
        assert_eq!(get(&place.crucible, path).await.status, 200, "{path}");
    }
}

/// Clients that leave in a stream, in the queue behind it, and before the first word; and a page that is closed.
async fn leavers(place: &Place, log: &mut CountedLog) {
    let crucible = &place.crucible;
    let page = client().get(crucible.at("/crucible/events")).send().await;
    let mut page = page.expect("an answer").bytes_stream();
    page.next().await.expect("an event").expect("bytes");
    drop(page);
    let (mut stream, seen) = log::left_stream(crucible, "endless").await;
    let waiting = log::abandonable(crucible, "endless");
    queued(crucible, 1).await;
    log::agrees(crucible, &["stream", "queue"]).await;
    waiting.abort();
    queued(crucible, 0).await;
    stream.next().await.expect("an event").expect("bytes");
    drop(stream);
    log.left("endless", "queue", false);
    log.left("endless", "stream", true);
    log.aborted("endless", "client_gone");
    log.at_least("crucible_stream_bytes_total", "endless", seen);
    for (family, least) in [
        ("crucible_tokens_estimated_total", 1),
        ("crucible_inter_token_seconds_count", 0),
        ("crucible_time_to_first_token_seconds_count", 1),
        ("crucible_prefill_seconds_count", 1),
    ] {
        log.at_least(family, "endless", least);
    }
    eventually("the engine is free", || async {
        (place.endless.log().in_flight == 0).then_some(())
    })
    .await;
    place.endless.reset();
    place.endless.arm(Fault::new(FaultKind::NoHeaders));
    let silent = log::abandonable(crucible, "endless");
    until(&place.endless, "the request", |log| log.faults.len() == 1).await;
    silent.abort();
    log.left("endless", "headers", false);
}

/// A request whose connection ends under it: it is sent a second time, or fails where the end came too late for that.
async fn stale_connections(place: &Place, log: &mut CountedLog) {
    log.whole(&place.crucible, "stale", "stale", 200).await;
    let answer = log.any(&place.crucible, "stale", "stale").await;
    assert_eq!(place.stale.ended(), 1);
    let failed = u64::from(answer.status != 200);
    let of = [("engine", "stale"), ("outcome", "ok")];
    log.add("crucible_retries_total", &of, 1 - failed);
    log.upstreams("stale", "reset", failed);
}

/// What the engines did, by their own logs: loads that went well and that did not, and models that left.
fn of_engines(place: &Place, log: &mut CountedLog) {
    for (name, sim) in [("gpu", &place.gpu), ("cpu", &place.cpu)] {
        log.loads(name, &sim.log());
    }
}

#[tokio::test]
async fn the_counters_equal_the_log_of_a_load_with_faults_cancels_and_evictions() {
    let place = Place::start().await;
    let mut log = CountedLog::default();
    answers(&place, &mut log).await;
    failures(&place, &mut log).await;
    refusals(&place, &mut log).await;
    leavers(&place, &mut log).await;
    stale_connections(&place, &mut log).await;
    of_engines(&place, &mut log);
    log.balances(&place.crucible).await;
}
