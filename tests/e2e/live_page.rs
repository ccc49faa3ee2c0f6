//! The live page in a real browser (`TEST_BROWSER`: a Chromium), and its events without one.

mod at_work;

use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

use crucible_documents::{StateDoc, inspector::InspectorStatusDoc, timeline::TimelineEntry};
use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{body, get, post, stream},
    chromium::{Chromium, Window},
    engines::{client, engine, start},
    rest::{eventually, ready},
};
use futures_util::StreamExt as _;
use http::header::{ACCEPT, CONTENT_TYPE};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

/// Stands for the rate of a running answer, which the page computes.
const RATE: &str = "a rate above 0";

/// Two models of which one fits, with times that a person can follow.
pub(crate) async fn slow_pair() -> (Sim, Crucible) {
    let mut options = Options::lmstudio(&["one=4GB", "two=4GB"]);
    options.load_time = Duration::from_millis(1500);
    options.rate = 30;
    options.prefill = 400;
    let sim = start(options).await;
    let crucible = Crucible::start(&format!(
        "[tuning.lmstudio]\nmax_loaded_models = 1\n{}permits = 1\n",
        engine("gpu", "lmstudio", &sim.url())
    ));
    ready(&crucible).await;
    (sim, crucible)
}

/// Only the instance itself was asked, and nothing went wrong.
fn was_quiet(browser: &Chromium, crucible: &Crucible) {
    assert_eq!(browser.errors(), Vec::<String>::new());
    for url in browser.fetched() {
        let own = url.starts_with(crucible.url()) || url.starts_with("data:");
        assert!(own || url == "about:blank", "{url}");
    }
}

#[tokio::test]
async fn a_load_a_queue_a_prompt_a_stream_and_an_eviction_are_seen_as_they_happen() {
    let Some(browser) = Chromium::named().await else {
        return;
    };
    let (_sim, crucible) = slow_pair().await;
    let tab = browser.open(&crucible.at("/"), Window::DESK).await;
    tab.shows("Nothing is asked at this moment.").await;
    tab.shows("live").await;
    let long = format!("{} repeat 60", "word ".repeat(600));
    let asked = async {
        let (one, again, two) = (body("one", &long), body("one", &long), body("two", &long));
        tokio::join!(
            stream(&crucible, &one),
            stream(&crucible, &again),
            stream(&crucible, &two)
        )
    };
    let parts = [
        "loading one",
        "waiting for a free slot",
        "waiting for another model to make room",
        "reading the prompt",
        "loading two",
        RATE,
    ];
    let watched = async {
        let missing = Mutex::new(BTreeSet::from(parts));
        eventually("all of it is seen", || async {
            let text = tab.text().await;
            let rate = tab
                .eval(
                    "/[1-9][0-9]*\\.[0-9] tok/.test(document.getElementById('requests').innerText)",
                )
                .await;
            let mut missing = missing.lock();
            missing.retain(|part| !text.contains(part) && (*part != RATE || rate != true));
            missing.is_empty().then_some(())
        })
        .await;
    };
    let (answers, ()) = tokio::join!(asked, watched);
    for (_, answer) in [answers.0, answers.1, answers.2] {
        assert!(answer.done, "{answer:?}");
    }
    eventually("the timeline has it all", || async {
        let label = tab
            .eval("document.querySelector('#timeline svg')?.getAttribute('aria-label') ?? ''")
            .await;
        let label = label.as_str().unwrap_or_default();
        (label == "3 answers, 2 loads and 1 evictions in 15 minutes").then_some(())
    })
    .await;
    was_quiet(&browser, &crucible);
}

#[tokio::test]
async fn the_page_is_for_phones_keyboards_and_screen_readers_dark_and_light() {
    let Some(browser) = Chromium::named().await else {
        return;
    };
    let (_sim, crucible) = slow_pair().await;
    assert_eq!(post(&crucible, &body("one", "repeat 3")).await.status, 200);
    let tab = browser.open(&crucible.at("/"), Window::DESK).await;
    tab.shows("gpu/one").await;
    tab.shows("in effect").await;
    tab.is_for_everybody().await;
    was_quiet(&browser, &crucible);
}

#[tokio::test]
async fn with_keys_the_page_asks_for_one_and_keeps_it_in_its_tab() {
    let Some(browser) = Chromium::named().await else {
        return;
    };
    let sim = start(Options::lmstudio(&["one=4GB"])).await;
    let digest = Sha256::digest(b"crk-laptop");
    let hash = digest.iter().fold(String::new(), |mut hash, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hash, "{byte:02x}");
        hash
    });
    let crucible = Crucible::start(&format!(
        "{}[[key]]\nname = \"laptop\"\nhash = \"sha256:{hash}\"\n",
        engine("gpu", "lmstudio", &sim.url())
    ));
    let tab = browser.open(&crucible.at("/"), Window::DESK).await;
    let sign_in = async |key: &str| {
        eventually("the page asks", || async {
            let open = tab
                .eval("document.getElementById('sign-in')?.open ?? false")
                .await;
            (open == true).then_some(())
        })
        .await;
        tab.eval(&format!(
            "document.getElementById('key').value = '{key}';\
             document.querySelector('#sign-in button').click()"
        ))
        .await;
    };
    sign_in("crk-wrong").await;
    tab.shows("The key is not one of the configured keys.")
        .await;
    sign_in("crk-laptop").await;
    tab.shows("engines up").await;
    tab.shows("1 of 1").await;
    let kept = tab
        .eval("JSON.stringify([Object.values(sessionStorage), Object.values(localStorage), document.cookie])")
        .await;
    assert_eq!(kept, r#"[["crk-laptop"],[],""]"#);
}

#[tokio::test]
async fn a_pool_without_a_known_budget_has_no_bar() {
    let Some(browser) = Chromium::named().await else {
        return;
    };
    let sim = start(Options::lmstudio(&["one=4GB"])).await;
    let crucible = Crucible::start(&engine("gpu", "lmstudio", &sim.url()));
    ready(&crucible).await;
    assert_eq!(post(&crucible, &body("one", "repeat 3")).await.status, 200);
    let tab = browser.open(&crucible.at("/"), Window::DESK).await;
    tab.shows("of an unknown budget").await;
    tab.shows("gpu/one").await;
    assert_eq!(
        tab.eval("document.querySelectorAll('#pools .bar').length")
            .await,
        0
    );
    was_quiet(&browser, &crucible);
}

#[tokio::test]
async fn markup_in_names_is_text() {
    let Some(browser) = Chromium::named().await else {
        return;
    };
    let name = "<img src=x onerror=document.title='broken'>";
    let sim = start(Options::lmstudio(&[name])).await;
    let crucible = Crucible::start(&engine("gpu", "lmstudio", &sim.url()));
    ready(&crucible).await;
    assert_eq!(post(&crucible, &body(name, "repeat 3")).await.status, 200);
    let tab = browser.open(&crucible.at("/"), Window::DESK).await;
    tab.shows(name).await;
    let found = tab
        .eval("[document.images.length, document.title].join()")
        .await;
    assert_eq!(found, "0,Crucible");
    was_quiet(&browser, &crucible);
}

/// The next event of a stream, its name and its data.
pub(crate) async fn next_event(
    stream: &mut (impl futures_util::Stream<Item = reqwest::Result<bytes::Bytes>> + Unpin),
    rest: &mut String,
) -> Option<(String, String)> {
    loop {
        if let Some((event, later)) = rest.split_once("\n\n") {
            let (event, later) = (event.to_owned(), later.to_owned());
            *rest = later;
            if let Some((name, data)) = event.split_once('\n') {
                let name = name.strip_prefix("event: ").expect("a name");
                let data = data.strip_prefix("data: ").expect("data");
                return Some((name.to_owned(), data.to_owned()));
            }
            continue;
        }
        let piece = stream.next().await?.ok()?;
        rest.push_str(std::str::from_utf8(&piece).expect("text"));
    }
}

#[tokio::test]
async fn events_begin_with_all_that_is_known_and_end_when_crucible_does() {
    let (_sim, crucible) = slow_pair().await;
    assert_eq!(post(&crucible, &body("one", "repeat 3")).await.status, 200);
    eventually("the answer is counted", || async {
        let metrics = get(&crucible, "/metrics").await.text;
        metrics
            .contains("crucible_requests_total{code=\"200\"")
            .then_some(())
    })
    .await;
    let answer = client()
        .get(crucible.at("/crucible/events"))
        .send()
        .await
        .expect("events");
    assert_eq!(answer.headers()[CONTENT_TYPE], "text/event-stream");
    let mut stream = answer.bytes_stream();
    let mut rest = String::new();
    let (name, data) = next_event(&mut stream, &mut rest).await.expect("an event");
    assert_eq!(name, "timeline");
    let entries: Vec<TimelineEntry> = serde_json::from_str(&data).expect("entries");
    assert!(
        matches!(&entries[..], [TimelineEntry::Load { .. }, TimelineEntry::Answer(answer)]
            if answer.outcome == "ok" && answer.output_tokens == 3),
        "{entries:?}"
    );
    let (name, data) = next_event(&mut stream, &mut rest).await.expect("an event");
    assert_eq!(name, "inspector");
    let inspector: InspectorStatusDoc = serde_json::from_str(&data).expect("a status");
    assert!(!inspector.on && inspector.here, "{inspector:?}");
    let (name, data) = next_event(&mut stream, &mut rest).await.expect("an event");
    assert_eq!(name, "state");
    let state: StateDoc = serde_json::from_str(&data).expect("a state");
    assert!(state.resident("gpu", "one").is_some(), "{state:?}");
    crucible.signal("TERM");
    // It ends at once, not when the drain's time is over.
    while next_event(&mut stream, &mut rest).await.is_some() {}
    let mut crucible = crucible;
    tokio::task::spawn_blocking(move || crucible.wait())
        .await
        .expect("it ended");
}

#[tokio::test]
async fn the_page_may_not_be_framed_or_load_from_elsewhere_and_the_second_listener_has_no_prompt_box()
 {
    let sim = start(Options::lmstudio(&["one=4GB"])).await;
    let crucible = Crucible::start(&format!(
        "metrics_listen = \"127.0.0.1:0\"\n{}",
        engine("gpu", "lmstudio", &sim.url())
    ));
    let metrics = crucible
        .metrics_url()
        .expect("a second listener")
        .to_owned();
    for (base, prompts) in [(crucible.url().to_owned(), "on"), (metrics, "off")] {
        let get = async |path: &str| {
            let request = client()
                .get(format!("{base}{path}"))
                .header(ACCEPT, "text/html");
            request.send().await.expect("an answer")
        };
        for path in ["/", "/crucible/page/main.js", "/crucible/page/style.css"] {
            let answer = get(path).await;
            assert_eq!(answer.status(), 200, "{path}");
            for (name, part) in [
                ("content-security-policy", "default-src 'none'"),
                ("content-security-policy", "frame-ancestors 'none'"),
                ("x-frame-options", "DENY"),
                ("x-content-type-options", "nosniff"),
            ] {
                let value = answer.headers()[name].to_str().expect("text");
                assert!(value.contains(part), "{path}: {name}: {value}");
            }
            let text = answer.text().await.expect("a body");
            if path == "/" {
                assert!(!text.contains("://"), "{text}");
                assert!(
                    text.contains(&format!("data-prompts=\"{prompts}\"")),
                    "{text}"
                );
            }
        }
        assert_eq!(get("/crucible/page/none.js").await.status(), 404);
        assert_eq!(get("/crucible/events").await.status(), 200);
    }
    let line = get(&crucible, "/").await;
    assert!(line.text.starts_with("Crucible "), "{}", line.text);
}
