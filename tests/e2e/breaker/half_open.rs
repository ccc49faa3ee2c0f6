//! An engine that fails every request: one probe in each cycle, and waits as documented.

use std::time::{Duration, Instant};

use crucible_tests::{
    Crucible,
    chat::{body, post, post_as},
    engines::engine,
    rest::{eventually, ready},
    scripted::{Leave, Script, Scripted},
};
use serde_json::{Value, json};

use super::streamed;

const CHAT: &str = "/v1/chat/completions";

fn list() -> Script {
    Script::json("200 OK", "", r#"{"object":"list","data":[{"id":"m"}]}"#)
}

async fn failing(answer: Script) -> (Scripted, Crucible) {
    let engine_ = Scripted::start(move |path| match path {
        CHAT => answer.clone(),
        _ => list(),
    })
    .await;
    let crucible = Crucible::start(&engine("e", "openai", &engine_.url()));
    ready(&crucible).await;
    (engine_, crucible)
}

/// Headers of an answer that never comes are no recovery.
#[tokio::test]
async fn an_engine_that_sends_headers_and_no_event_is_probed_by_one_request_in_each_cycle() {
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                           Transfer-Encoding: chunked\r\n\r\n";
    const LENGTH: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                          Content-Length: 400\r\n\r\n";
    const COMMENT: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                           Transfer-Encoding: chunked\r\n\r\n4\r\n: x\n\r\n";
    const JSON: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                        Content-Length: 400\r\n\r\n";
    for (bytes, leave, stream) in [
        (CHUNKED, Leave::Fin, true),
        (CHUNKED, Leave::Reset, true),
        (LENGTH, Leave::Fin, true),
        (COMMENT, Leave::Fin, true),
        (JSON, Leave::Fin, false),
        (JSON, Leave::Reset, false),
    ] {
        let what = format!("{bytes:?} {leave:?}");
        in_time(&what, || async {
            let (engine, crucible) = failing(Script::raw(bytes, leave)).await;
            let asked = streamed(body("m", "hi"), stream);
            cycles(&engine, &crucible, &asked, &what).await
        })
        .await;
    }
}

/// Plays it again until it was played while the engine was left alone; `play` says so by `false` where a busy
/// machine took longer for it than that.
async fn in_time<F: Future<Output = bool>>(what: &str, mut play: impl FnMut() -> F) {
    for _ in 0..20 {
        if play().await {
            return;
        }
    }
    panic!("{what}: never played in time");
}

/// Five failures, and then two times the wait and the one request that tries the engine again; whether each wait
/// was still going on when it was looked at.
async fn cycles(engine: &Scripted, crucible: &Crucible, asked: &Value, what: &str) -> bool {
    // Before the failure after which the engine was left alone.
    let mut began = Instant::now();
    for n in 1..=5 {
        began = Instant::now();
        let answer = post(crucible, asked).await;
        assert_eq!(answer.status, 502, "{what} {n}: {}", answer.text);
        assert_eq!(engine.asked(CHAT).len(), n, "{what}");
    }
    let mut seen = 5;
    for wait in [1_u64, 2] {
        let refused = post(crucible, asked).await;
        if began.elapsed() >= Duration::from_secs(wait) {
            return false;
        }
        assert_eq!(refused.code(), "no_engine", "{what}: {}", refused.text);
        let told: u64 = refused.header("retry-after").parse().expect("seconds");
        assert!((1..=wait).contains(&told), "{what}: {told}");
        assert_eq!(engine.asked(CHAT).len(), seen, "{what}");
        tokio::time::sleep(Duration::from_secs(told)).await;
        // Whoever comes then as told is the probe; of many, one.
        began = Instant::now();
        let many = (0..6).map(|_| post(crucible, asked));
        let many = futures_util::future::join_all(many).await;
        if began.elapsed() >= Duration::from_secs(2 * wait) {
            return false;
        }
        seen += 1;
        assert_eq!(engine.asked(CHAT).len(), seen, "{what}");
        let tried = many.iter().filter(|a| a.status == 502).count();
        assert_eq!(tried, 1, "{what} after {:?}", began.elapsed());
    }
    true
}

/// As many clients as one likes: who comes first is the probe.
#[tokio::test]
async fn an_engine_that_answers_500_is_probed_by_one_request_in_each_cycle() {
    let oops = json!({ "error": { "message": "oops", "code": 500 } }).to_string();
    let oops = Script::json("500 Internal Server Error", "", &oops);
    let asked = body("m", "hi");
    in_time("500", || async {
        let (engine, crucible) = failing(oops.clone()).await;
        let mut began = Instant::now();
        for n in 0..5 {
            began = Instant::now();
            let answer = post_as(&crucible, &format!("p{n}"), &asked).await;
            assert_eq!(answer.status, 502, "{}", answer.text);
        }
        let refused = post(&crucible, &asked).await;
        if began.elapsed() >= Duration::from_secs(1) {
            return false;
        }
        assert_eq!(refused.code(), "no_engine", "{}", refused.text);
        assert!(refused.message().contains("left alone"), "{}", refused.text);
        assert_eq!(refused.header("retry-after"), "1");
        assert_eq!(engine.asked(CHAT).len(), 5);
        tokio::time::sleep(Duration::from_secs(1)).await;
        began = Instant::now();
        let names: Vec<String> = (0..6).map(|n| format!("q{n}")).collect();
        let many = names.iter().map(|name| post_as(&crucible, name, &asked));
        let many = futures_util::future::join_all(many).await;
        if began.elapsed() >= Duration::from_secs(2) {
            return false;
        }
        assert_eq!(many.iter().filter(|a| a.status == 502).count(), 1);
        assert_eq!(engine.asked(CHAT).len(), 6);
        true
    })
    .await;
}

/// A client that leaves before the headers come is no probe any more.
#[tokio::test]
async fn a_probe_whose_client_leaves_before_headers_makes_room() {
    let healed = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let turn = std::sync::Arc::clone(&healed);
    let engine_ = Scripted::start(move |path| match path {
        CHAT => match turn.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0..5 => Script::raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", Leave::Fin),
            // Takes its time, and says nothing.
            5 => Script::raw("", Leave::Stay),
            _ => Script::json(
                "200 OK",
                "",
                r#"{"choices":[{"message":{"role":"assistant","content":"yes"}}]}"#,
            ),
        },
        _ => list(),
    })
    .await;
    let crucible = Crucible::start(&engine("e", "openai", &engine_.url()));
    ready(&crucible).await;
    let asked = body("m", "hi");
    for _ in 0..5 {
        assert_eq!(post(&crucible, &asked).await.status, 502);
    }
    loop {
        let there = eventually("the probe is with the engine", || async {
            (engine_.asked(CHAT).len() == 6).then_some(())
        });
        tokio::select! {
            refused = post(&crucible, &asked) => assert_eq!(refused.status, 503, "{}", refused.text),
            () = there => break,
        }
    }
    let answer = eventually("the next is the probe", || async {
        let answer = post(&crucible, &asked).await;
        (answer.status != 503).then_some(answer)
    })
    .await;
    assert_eq!(answer.content(), "yes", "{}", answer.text);
}
