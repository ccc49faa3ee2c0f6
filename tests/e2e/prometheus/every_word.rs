//! Every word of every label of every family is counted by the real binary, in front of a real Prometheus.
//!
//! A scene is a Crucible in front of engines to which something happens. [`SCENES`] says which words each one
//! makes it count; a word of the table of families that no scene names fails the test, and so does one that
//! Prometheus did not see.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use crucible::metrics::{FAMILIES, Family, FamilyType, LabelValues};
use crucible_dashboards::queries;
use crucible_tests::{Crucible, process::PATIENCE, rest::eventually};
use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::{identities, scenes::SCENES, server::Prometheus};

/// Milliseconds between two scrapes.
const SCRAPE_MS: u32 = 1000;

/// The families whose panels only these scenes fill, since most of what people do never counts in them.
pub(super) const OF_SCENES: [&str; 4] = [
    "crucible_connections_evicted_total",
    "crucible_label_overflow_total",
    "crucible_log_dropped_total",
    "crucible_retries_total",
];

/// The one word that only a fault of Crucible itself counts: `edge::catch_panic` proves it with a handler that panics.
const OF_OWN_FAULTS: (&str, &str, &str) = ("crucible_rejected_total", "reason", "internal_error");

/// Words of one label of one family.
pub(super) struct LabelWords {
    pub(super) family: &'static str,
    pub(super) label: &'static str,
    pub(super) values: &'static [&'static str],
}

/// Whatever has to live until Prometheus has seen the scene.
pub(super) type Kept = Box<dyn Send>;

/// The play of a scene.
pub(super) type Play = fn(Stage) -> Pin<Box<dyn Future<Output = Kept> + Send>>;

/// What happens, and the words that it is counted under.
pub(super) struct Scene {
    pub(super) name: &'static str,
    pub(super) words: &'static [LabelWords],
    pub(super) play: Play,
}

/// Where a scene is played: its Crucibles are scraped from their start on.
#[derive(Clone)]
pub(super) struct Stage {
    prometheus: Arc<Prometheus>,
    instances: Arc<Mutex<Vec<String>>>,
}

// === impl LabelWords ===

impl LabelWords {
    pub(super) const fn of(
        family: &'static str,
        label: &'static str,
        values: &'static [&'static str],
    ) -> Self {
        Self {
            family,
            label,
            values,
        }
    }
}

// === impl Stage ===

impl Stage {
    /// Starts a Crucible that Prometheus scrapes.
    pub(super) async fn start(&self, toml: &str) -> Crucible {
        let toml = toml.to_owned();
        let started = tokio::task::spawn_blocking(move || Crucible::start(&toml)).await;
        let crucible = started.expect("it starts");
        self.admit(&crucible, SCRAPE_MS);
        crucible
    }

    /// Has one scraped that was started otherwise.
    pub(super) fn admit(&self, crucible: &Crucible, every_ms: u32) {
        let url = crucible.metrics_url().unwrap_or(crucible.url());
        let target = url.trim_start_matches("http://").to_owned();
        self.prometheus.admit(&target, every_ms);
        self.instances.lock().push(target);
    }

    /// Waits until Prometheus saw a count of a family that has no label.
    pub(super) async fn counted(&self, family: &str) {
        let instances = self.instances.lock().join("|");
        let expr = format!("sum(max_over_time({family}{{instance=~\"{instances}\"}}[10m])) > 0");
        eventually(family, || async {
            self.prometheus.value(&expr).await.map(|_| ())
        })
        .await;
    }

    /// Waits until Prometheus saw all these words of this scene counted, or shown by a gauge.
    pub(super) async fn saw(&self, family: &str, label: &str, words: &[&str]) {
        let until = Instant::now() + PATIENCE;
        let want: BTreeSet<&str> = words.iter().copied().collect();
        loop {
            let instances = self.instances.lock().join("|");
            let seen = seen(&self.prometheus, family, label, &instances).await;
            if want.iter().all(|word| seen.contains(*word)) {
                return;
            }
            assert!(
                Instant::now() < until,
                "{family}: of {label} {want:?} Prometheus saw {seen:?}"
            );
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }
}

/// The values of a label whose series of a family were above 0 at any scrape of these instances.
async fn seen(
    prometheus: &Prometheus,
    family: &str,
    label: &str,
    instances: &str,
) -> BTreeSet<String> {
    let of = |family: &&Family| family.name;
    let found = FAMILIES.iter().find(|known| of(known) == family);
    let count = found.is_some_and(|found| found.kind == FamilyType::Histogram);
    let suffix = if count { "_count" } else { "" };
    let expr = format!(
        "max by ({label}) (max_over_time({family}{suffix}{{instance=~\"{instances}\"}}[10m])) > 0"
    );
    prometheus.labels(&expr, label).await
}

/// Every family with each of its labels whose values are words.
fn labels() -> impl Iterator<Item = (&'static str, &'static str, &'static [&'static str])> {
    FAMILIES.iter().flat_map(|family| {
        family.labels.iter().filter_map(|label| match label.values {
            LabelValues::Words(words) => Some((family.name, label.name, words)),
            LabelValues::Bounded(_) => None,
        })
    })
}

/// The scenes that name each word of each label of each family.
fn named() -> BTreeMap<(&'static str, &'static str, &'static str), Vec<&'static str>> {
    let mut named: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for scene in SCENES {
        for of in scene.words {
            for word in of.values {
                let scenes = named.entry((of.family, of.label, *word)).or_default();
                scenes.push(scene.name);
            }
        }
    }
    named
}

#[test]
fn every_word_has_its_scene_and_no_scene_names_another() {
    let named = named();
    let mut known = BTreeSet::new();
    for (family, label, words) in labels() {
        known.extend(words.iter().map(|word| (family, label, *word)));
    }
    assert!(known.remove(&OF_OWN_FAULTS));
    let without: Vec<_> = known
        .iter()
        .filter(|word| !named.contains_key(word))
        .collect();
    assert!(
        without.is_empty(),
        "no scene makes these count: {without:#?}"
    );
    let unknown: Vec<_> = named.keys().filter(|word| !known.contains(*word)).collect();
    assert!(unknown.is_empty(), "no family has these: {unknown:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn prometheus_sees_every_word_counted() {
    let prometheus = Arc::new(Prometheus::scraping(&[], str::to_owned).await);
    let mut playing = JoinSet::new();
    for scene in SCENES {
        let stage = Stage {
            prometheus: Arc::clone(&prometheus),
            instances: Arc::default(),
        };
        playing.spawn(async move {
            let began = Instant::now();
            let kept = (scene.play)(stage.clone()).await;
            let played = began.elapsed();
            for of in scene.words {
                stage.saw(of.family, of.label, of.values).await;
            }
            (scene.name, played, began.elapsed(), kept)
        });
    }
    let (mut kept, mut unplayed) = (Vec::new(), Vec::new());
    while let Some(done) = playing.join_next().await {
        match done {
            Ok((name, played, seen, rest)) => {
                println!("{name}: played in {played:.1?}, seen after {seen:.1?}");
                kept.push(rest);
            }
            Err(failed) => unplayed.push(failed.to_string()),
        }
    }
    assert!(unplayed.is_empty(), "{unplayed:#?}");
    let mut unseen = Vec::new();
    for (family, label, words) in labels() {
        let seen = seen(&prometheus, family, label, ".*").await;
        let missing = words
            .iter()
            .filter(|word| !seen.contains(**word) && (family, label, **word) != OF_OWN_FAULTS);
        unseen.extend(missing.map(|word| format!("{family} {label}={word}")));
    }
    assert!(unseen.is_empty(), "{unseen:#?}");
    identities::hold(&prometheus).await;

    let until = Instant::now() + PATIENCE / 3;
    for query in queries() {
        if OF_SCENES.iter().any(|family| query.expr.contains(family)) {
            let charted = prometheus.charts(&query.expr, until).await;
            assert!(charted, "{} has no data: {}", query.panel, query.expr);
        }
    }
    drop(kept);
}
