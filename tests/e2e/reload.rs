//! A changed configuration: taken up live, refused when bad, and no request is lost.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    chat::{body, get, open, post},
    engines::{Both, client, engine, start},
    rest::{at_rest, eventually, logged, metric, sample},
    sse::Stream,
};
use futures_util::future::{join, join_all};

const ALIAS: &str = "\n[[model]]\nname = \"qwen\"\naliases = [\"late\"]\n";

fn read(crucible: &Crucible) -> String {
    std::fs::read_to_string(crucible.config()).expect("the file")
}

/// Replaces the file as editors do.
fn replace(crucible: &Crucible, text: &str) {
    let new = crucible.config().with_extension("new");
    std::fs::write(&new, text).expect("written");
    std::fs::rename(&new, crucible.config()).expect("renamed");
}

async fn status_of(crucible: &Crucible, model: &str) -> u16 {
    post(crucible, &body(model, "repeat 1")).await.status
}

/// Reloads that went this way.
async fn reloads(crucible: &Crucible, outcome: &str) -> u64 {
    let text = get(crucible, "/metrics").await.text;
    text.lines()
        .filter(|l| {
            l.starts_with("crucible_config_reloads_total{") && l.contains(&format!("\"{outcome}\""))
        })
        .map(|l| sample(l, "crucible_config_reloads_total"))
        .sum()
}

async fn all_reloads(crucible: &Crucible) -> u64 {
    reloads(crucible, "ok").await + reloads(crucible, "error").await
}

/// Asks both engines in turn, every second worker streaming; each answer must be whole.
async fn ask_until(crucible: &Crucible, worker: usize, stop: &AtomicBool, answered: &AtomicUsize) {
    let model = if worker < 2 { "qwen" } else { "llama3.2:3b" };
    while !stop.load(Ordering::Relaxed) {
        let request = body(model, "repeat 3");
        let content = if worker.is_multiple_of(2) {
            let answer = post(crucible, &request).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            answer.content().to_owned()
        } else {
            let answer = Stream::read(open(crucible, &request).await).await;
            assert!(answer.done && answer.error().is_none(), "{}", answer.text);
            answer.content()
        };
        assert_eq!(content, "word0 word1 word2");
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_changed_file_is_live_without_a_signal() {
    let both = Both::start().await;
    assert_eq!(status_of(&both.crucible, "late").await, 404);
    let text = read(&both.crucible);
    replace(&both.crucible, &format!("{text}{ALIAS}"));
    eventually("the alias", || async {
        (status_of(&both.crucible, "late").await == 200).then_some(())
    })
    .await;
    logged(&both.crucible, "configuration reloaded").await;
    assert_eq!(reloads(&both.crucible, "ok").await, 1);
    // Written in place, and away again.
    std::fs::write(both.crucible.config(), text).expect("written");
    eventually("the alias to be gone", || async {
        (status_of(&both.crucible, "late").await == 404).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_signal_reloads_even_an_unchanged_file() {
    let both = Both::start().await;
    both.crucible.signal("HUP");
    eventually("the reload", || async {
        (reloads(&both.crucible, "ok").await == 1).then_some(())
    })
    .await;
    assert_eq!(status_of(&both.crucible, "qwen").await, 200);
}

#[tokio::test]
async fn a_bad_file_keeps_the_old_configuration_and_says_what_is_wrong() {
    let both = Both::with(ALIAS, |_| {}, |_| {}).await;
    let text = read(&both.crucible);
    replace(&both.crucible, &format!("defualt_model = \"qwen\"\n{text}"));
    logged(&both.crucible, "the old one stays").await;
    logged(&both.crucible, "did you mean \"default_model\"?").await;
    logged(&both.crucible, "crucible.toml:1: ").await;
    assert_eq!(
        status_of(&both.crucible, "late").await,
        200,
        "the alias stays"
    );
    assert_eq!(reloads(&both.crucible, "error").await, 1);
    assert_eq!(
        metric(&both.crucible, "crucible_config_last_reload_success").await,
        0
    );
    replace(&both.crucible, &text);
    eventually("the mended file", || async {
        (metric(&both.crucible, "crucible_config_last_reload_success").await == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_vanished_file_keeps_the_old_configuration() {
    let both = Both::with(ALIAS, |_| {}, |_| {}).await;
    let text = read(&both.crucible);
    std::fs::remove_file(both.crucible.config()).expect("removed");
    logged(&both.crucible, "the old one stays").await;
    assert_eq!(status_of(&both.crucible, "late").await, 200);
    replace(&both.crucible, &text);
    logged(&both.crucible, "configuration reloaded").await;
}

#[tokio::test]
async fn what_needs_a_restart_is_said() {
    let both = Both::start().await;
    let text = read(&both.crucible).replace("127.0.0.1:0", "127.0.0.1:1");
    replace(
        &both.crucible,
        &format!("{text}\n[limits]\nconnections = 7\n[log]\nlevel = \"debug\"\n"),
    );
    for key in ["listen", "limits.connections", "log.level"] {
        eventually(key, || async {
            let log = both.crucible.log();
            let told = log.lines().any(|l| {
                l.contains("takes effect at the next start") && l.contains(&format!("\"{key}\""))
            });
            told.then_some(())
        })
        .await;
    }
    assert_eq!(
        status_of(&both.crucible, "qwen").await,
        200,
        "it listens where it did"
    );
}

#[tokio::test]
async fn a_new_key_is_demanded_at_once() {
    let both = Both::start().await;
    let (_, out, _) = Crucible::command(&["key", "new"], "");
    let block = &out[out.find("[[key]]").expect("a block")..];
    let secret = out
        .split_whitespace()
        .find(|w| w.starts_with("crk-"))
        .expect("a secret");
    replace(
        &both.crucible,
        &format!("{}\n{block}", read(&both.crucible)),
    );
    eventually("the key to be demanded", || async {
        (get(&both.crucible, "/v1/models").await.status == 401).then_some(())
    })
    .await;
    let answer = client()
        .get(both.crucible.at("/v1/models"))
        .bearer_auth(secret)
        .send()
        .await;
    assert_eq!(answer.expect("an answer").status().as_u16(), 200);
}

#[tokio::test]
async fn an_added_engine_answers_and_a_removed_one_ends_its_streams_first() {
    let mut slow = Options::lmstudio(&["qwen=1GB"]);
    slow.rate = 100;
    let first = start(slow).await;
    let second = start(Options::ollama(&["added=1GB"])).await;
    let crucible = Crucible::start(&engine("first", "lmstudio", &first.url()));
    let running = open(&crucible, &body("qwen", "repeat 200")).await;
    assert_eq!(running.status().as_u16(), 200);
    let text = read(&crucible).replace(&first.url(), &second.url());
    let text = text
        .replace("\"lmstudio\"", "\"ollama\"")
        .replace("\"first\"", "\"second\"");
    replace(&crucible, &text);
    eventually("the added engine", || async {
        (status_of(&crucible, "added").await == 200).then_some(())
    })
    .await;
    assert_eq!(status_of(&crucible, "qwen").await, 404);
    let stream = Stream::read(running).await;
    assert!(
        stream.done && !stream.broken && stream.error().is_none(),
        "{}",
        stream.text
    );
    assert_eq!(stream.content().split_whitespace().count(), 200);
    at_rest(&crucible).await;
}

#[tokio::test]
async fn a_hundred_reloads_under_load_lose_no_request() {
    let gone = "[[engine]]\nname = \"extra\"\nkind = \"openai\"\nurl = \"http://127.0.0.1:1\"\n";
    let both = Both::with(gone, |_| {}, |_| {}).await;
    let base = read(&both.crucible);
    let stop = AtomicBool::new(false);
    let answered = AtomicUsize::new(0);
    let mut bad = 0;
    let load = join_all((0..4).map(|worker| ask_until(&both.crucible, worker, &stop, &answered)));
    let reload = async {
        for round in 0..100_usize {
            let text = match round % 4 {
                0 => format!("{base}{ALIAS}"),
                1 => format!("{base}\n[timeouts]\nidle = \"{}s\"\n", 30 + round),
                2 => {
                    bad += 1;
                    format!("nonsense = {round}\n{base}")
                }
                _ => base.replace("http://127.0.0.1:1\"", "http://127.0.0.1:2\""),
            };
            let (before, read) = (
                answered.load(Ordering::Relaxed),
                all_reloads(&both.crucible).await,
            );
            replace(&both.crucible, &text);
            both.crucible.signal("HUP");
            // At least one request goes through each configuration.
            eventually("a reload and an answer after it", || async {
                let now = all_reloads(&both.crucible).await;
                (now > read && answered.load(Ordering::Relaxed) > before).then_some(())
            })
            .await;
        }
        stop.store(true, Ordering::Relaxed);
    };
    join(load, reload).await;
    assert!(answered.load(Ordering::Relaxed) >= 100);
    // The signal and the watch may both read the same change.
    let errors = reloads(&both.crucible, "error").await;
    assert!(errors >= bad && errors <= 2 * bad, "{errors} of {bad}");
    at_rest(&both.crucible).await;
    assert!(!both.crucible.log().contains("panicked"));
}
