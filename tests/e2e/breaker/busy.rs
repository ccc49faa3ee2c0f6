//! An engine's own 429, and its 503 with a time: it is left alone so long.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use crucible_tests::{
    Crucible,
    chat::{Whole, body, get, post, post_as},
    clean::queued,
    engines::engine,
    rest::ready,
    scripted::{Script, Scripted},
};

use super::streamed;

const CHAT: &str = "/v1/chat/completions";

/// Busy for the first requests, and then well.
async fn busy(status: &'static str, header: String, times: usize) -> (Scripted, Crucible) {
    let turn = AtomicUsize::new(0);
    let scripted = Scripted::start(move |path| match path {
        CHAT if turn.fetch_add(1, Ordering::SeqCst) < times => {
            Script::json(status, &header, r#"{"error":{"message":"slow down"}}"#)
        }
        CHAT => Script::json(
            "200 OK",
            "",
            r#"{"choices":[{"message":{"role":"assistant","content":"yes"}}]}"#,
        ),
        _ => Script::json("200 OK", "", r#"{"object":"list","data":[{"id":"m"}]}"#),
    })
    .await;
    let crucible = Crucible::start(&engine("e", "openai", &scripted.url()));
    ready(&crucible).await;
    (scripted, crucible)
}

const TOO_MANY: &str = "429 Too Many Requests";
const NO_SERVICE: &str = "503 Service Unavailable";

fn in_seconds(seconds: u64) -> String {
    let at = SystemTime::now() + Duration::from_secs(seconds);
    format!("Retry-After: {}\r\n", httpdate::fmt_http_date(at))
}

#[tokio::test]
async fn an_engine_that_is_busy_is_left_alone_for_as_long_as_it_says() {
    let as_it_is = |text: &str| format!("Retry-After: {text}\r\n");
    for (status, code, text, most) in [
        (TOO_MANY, "queue_full", "30", 30),
        (TOO_MANY, "queue_full", "a date", 30),
        (TOO_MANY, "queue_full", "86400", 60),
        (TOO_MANY, "queue_full", "99999999999999999999999", 60),
        (TOO_MANY, "queue_full", "a date of tomorrow", 60),
        (NO_SERVICE, "no_engine", "30", 30),
    ] {
        let what = format!("{status} {text:?}");
        // A date is a number of whole seconds, so it says up to a second less.
        let began = Instant::now();
        let header = match text {
            "a date" => in_seconds(30),
            "a date of tomorrow" => in_seconds(86_400),
            text => as_it_is(text),
        };
        let is_left = |told: u64| {
            let passed = began.elapsed().as_secs() + 2;
            (most - passed.min(most)..=most).contains(&told)
        };
        let (engine, crucible) = busy(status, header, usize::MAX).await;
        let first = post(&crucible, &body("m", "hi")).await;
        assert_eq!(first.code(), code, "{what}: {}", first.text);
        let told: u64 = first.header("retry-after").parse().expect("seconds");
        assert!(is_left(told), "{what}: {told}");
        for (n, stream) in [false, true, false, true].into_iter().enumerate() {
            let asked = streamed(body("m", "hi"), stream);
            let refused = post_as(&crucible, &format!("p{n}"), &asked).await;
            assert_eq!(
                (refused.status, refused.code()),
                (503, "no_engine"),
                "{what}: {}",
                refused.text
            );
            let told: u64 = refused.header("retry-after").parse().expect("seconds");
            assert!(is_left(told), "{what}: {told}");
            assert!(
                refused.message().contains("asked to be left alone"),
                "{}",
                refused.text
            );
        }
        assert_eq!(engine.asked(CHAT).len(), 1, "{what}");
        let state = get(&crucible, "/crucible/state").await.json;
        assert_eq!(state["engines"][0]["breaker"], "open", "{state}");
    }
}

/// A short time, none, junk, and a time that is over: a second, after which it is asked again
/// without a probe.
#[tokio::test]
async fn an_engine_that_is_busy_for_a_second_is_asked_after_it() {
    for header in [
        String::new(),
        "Retry-After: soon\r\n".to_owned(),
        "Retry-After: -5\r\n".to_owned(),
        "Retry-After: 1\r\n".to_owned(),
        "Retry-After: 0\r\n".to_owned(),
        "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n".to_owned(),
    ] {
        let (engine, crucible) = busy(TOO_MANY, header.clone(), 1).await;
        let first = post(&crucible, &body("m", "hi")).await;
        let began = Instant::now();
        assert_eq!(first.code(), "queue_full", "{header:?}: {}", first.text);
        assert_eq!(first.header("retry-after"), "1", "{header:?}");
        let refused = post(&crucible, &body("m", "hi")).await;
        if began.elapsed() < Duration::from_millis(900) {
            assert_eq!(refused.code(), "no_engine", "{header:?}: {}", refused.text);
            assert_eq!(refused.header("retry-after"), "1", "{header:?}");
            assert_eq!(engine.asked(CHAT).len(), 1, "{header:?}");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let asked = body("m", "hi");
        let many = (0..4).map(|_| post(&crucible, &asked));
        for answer in futures_util::future::join_all(many).await {
            assert_eq!(answer.content(), "yes", "{header:?}: {}", answer.text);
        }
    }
}

/// Ten times 429 are no failure; those who stand in line are not sent up either.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_permit_of_a_busy_engine_is_refused_with_its_time() {
    let all_wait = Arc::new(AtomicBool::new(false));
    let (engine, crucible) = {
        let all_wait = Arc::clone(&all_wait);
        let scripted = Scripted::start(move |path| match path {
            CHAT => {
                // The others are in line by then.
                tokio::task::block_in_place(|| {
                    while !all_wait.load(Ordering::SeqCst) {
                        std::thread::sleep(Duration::from_millis(10));
                    }
                });
                Script::json(TOO_MANY, "Retry-After: 20\r\n", r#"{"error":"slow down"}"#)
            }
            _ => Script::json("200 OK", "", r#"{"object":"list","data":[{"id":"m"}]}"#),
        })
        .await;
        let crucible = Crucible::start(&format!(
            "{}permits = 1\n",
            engine("e", "openai", &scripted.url())
        ));
        ready(&crucible).await;
        (scripted, crucible)
    };
    let asked = body("m", "hi");
    let began = Instant::now();
    let six = async {
        let many = (0..6).map(|_| post(&crucible, &asked));
        futures_util::future::join_all(many).await
    };
    let wait = async {
        queued(&crucible, 5).await;
        all_wait.store(true, Ordering::SeqCst);
    };
    let (many, ()) = tokio::join!(six, wait);
    let mut codes: Vec<&str> = many.iter().map(Whole::code).collect();
    codes.sort_unstable();
    assert_eq!(
        codes,
        [
            "no_engine",
            "no_engine",
            "no_engine",
            "no_engine",
            "no_engine",
            "queue_full"
        ]
    );
    for answer in &many {
        let told: u64 = answer.header("retry-after").parse().expect("seconds");
        let passed = began.elapsed().as_secs() + 1;
        let least = 20 - passed.min(20);
        assert!((least..=20).contains(&told), "{}", answer.text);
    }
    assert_eq!(engine.asked(CHAT).len(), 1);
}

#[tokio::test]
async fn the_fallback_answers_while_an_engine_is_busy() {
    let (busy_engine, _alone) = busy(TOO_MANY, "Retry-After: 30\r\n".to_owned(), usize::MAX).await;
    let (well, _alone) = busy(TOO_MANY, String::new(), 0).await;
    let crucible = Crucible::start(&format!(
        "{}{}[[model]]\nname = \"busy/m\"\nfallback = [\"well/m\"]\n",
        engine("busy", "openai", &busy_engine.url()),
        engine("well", "openai", &well.url()),
    ));
    ready(&crucible).await;
    for _ in 0..4 {
        let answer = post(&crucible, &body("m", "hi")).await;
        assert_eq!(answer.content(), "yes", "{}", answer.text);
    }
    assert!(busy_engine.asked(CHAT).len() <= 1);
}
