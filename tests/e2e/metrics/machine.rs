//! Families of the machine, with and without a library of a driver of graphics cards, and a scrape while
//! Crucible goes down.

use std::path::Path;

use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    chat::{body, get, open, post},
    engines::{client, engine, start},
    rest::{eventually, ready},
};
use futures_util::StreamExt as _;
use tempfile::TempDir;

use super::{open_metrics::parse, samples};

/// The name under which the driver's library is looked for.
pub(super) const LIBRARY: &str = "libnvidia-ml.so.1";

/// A Crucible that finds what is in `folder` before the system's libraries.
pub(super) fn with_libraries(folder: &Path, toml: &str) -> Crucible {
    let folder = folder.display().to_string();
    Crucible::start_with(toml, &[], &[("LD_LIBRARY_PATH", &folder)])
}

#[tokio::test]
async fn a_library_that_is_none_is_no_error_and_its_families_are_absent() {
    let folder = TempDir::new().expect("a folder");
    for name in [LIBRARY, "libnvidia-ml.so"] {
        std::fs::write(folder.path().join(name), "no library").expect("written");
    }
    let sim = start(Options::lmstudio(&["qwen=1GB"])).await;
    let crucible = with_libraries(folder.path(), &engine("lmstudio", "lmstudio", &sim.url()));
    ready(&crucible).await;
    let answer = post(&crucible, &body("qwen", "repeat 2")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let read = samples(&crucible).await;
    let host = read.get("crucible_host_memory_total_bytes").copied();
    assert_eq!(
        host.is_some_and(|bytes| bytes > 1e6),
        cfg!(target_os = "linux")
    );
    assert!(
        read.get("crucible_runtime_workers")
            .is_some_and(|workers| *workers >= 1.0)
    );
}

#[tokio::test]
async fn a_scrape_during_the_drain_is_whole() {
    let sim = start(Options {
        rate: 50,
        ..Options::lmstudio(&["qwen=1GB"])
    })
    .await;
    let mut crucible = Crucible::start(&format!(
        "metrics_listen = \"127.0.0.1:0\"\n{}",
        engine("lmstudio", "lmstudio", &sim.url())
    ));
    ready(&crucible).await;
    let mut events = open(&crucible, &body("qwen", "repeat 200"))
        .await
        .bytes_stream();
    events.next().await.expect("an event").expect("bytes");
    crucible.signal("TERM");
    eventually("the drain", || async {
        (get(&crucible, "/readyz").await.status == 503).then_some(())
    })
    .await;
    let url = format!("{}/metrics", crucible.metrics_url().expect("an address"));
    let scrape = client().get(url).header("accept", super::OPEN).send().await;
    let text = scrape.expect("an answer").text().await.expect("a body");
    let read = parse(&text).unwrap_or_else(|why| panic!("{why}"));
    let running = r#"crucible_requests_in_flight{engine="lmstudio"}"#;
    assert_eq!(read.get(running), Some(&1.0), "{text}");
    while let Some(event) = events.next().await {
        event.expect("the stream goes on to its end");
    }
    assert_eq!(crucible.wait().code(), Some(0));
}
