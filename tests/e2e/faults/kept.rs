//! Connections to engines that are kept from one request to the next, and break under one.

use std::time::{Duration, Instant};

use crucible_tests::{
    Crucible,
    chat::{body, post},
    engines,
    keeping::{ConnectionEnd, KeepingEngine},
    rest::ready,
};

use super::assert_refused;

/// A connection that ends within this time after the request was written had been closed before.
const AT_ONCE: Duration = Duration::from_millis(50);

/// An engine that closes a connection in the very moment of its second prompt.
const CLOSES: ConnectionEnd = ConnectionEnd::Reset(Duration::ZERO);

/// An engine that has read the whole of it, and dies so many milliseconds later.
const fn dies(after_ms: u64) -> ConnectionEnd {
    ConnectionEnd::Reset(Duration::from_millis(after_ms))
}

#[tokio::test]
async fn a_prompt_is_sent_again_only_where_the_engine_cannot_have_begun_with_it() {
    for (kind, stream, second, status) in [
        ("openai", false, CLOSES, 200),
        ("openai", true, CLOSES, 200),
        ("openai", false, dies(200), 502),
        ("openai", true, dies(1000), 502),
        ("llamacpp", true, CLOSES, 200),
        ("llamacpp", false, dies(1000), 502),
        ("lmstudio", true, dies(1000), 502),
    ] {
        let what = format!("{kind} {stream} {status}");
        // Until the second request met the kept connection, and its end in time.
        let mut plays = 0;
        while !second_request(kind, stream, second, status).await {
            plays += 1;
            assert!(plays < 20, "{what}: never played in time");
        }
    }
}

/// Asks twice and looks at how the second request ends; `false` where a busy machine was too slow for it to be
/// told: the connection was not kept yet, or its end came later than at once.
async fn second_request(kind: &str, stream: bool, second: ConnectionEnd, status: u16) -> bool {
    let engine =
        KeepingEngine::start("plain", move |answered| (answered > 0).then_some(second)).await;
    let crucible = Crucible::start(&format!(
        "{}manage = \"observe\"\n",
        engines::engine("plain", kind, &engine.url())
    ));
    ready(&crucible).await;
    let mut want = body("plain", "hi");
    want["stream"] = stream.into();
    assert_eq!(post(&crucible, &want).await.status, 200, "{kind}");
    let began = Instant::now();
    let answer = post(&crucible, &want).await;
    let sent = engine.prompts();
    let on_a_new_one = answer.status == 200 && sent == 2;
    let ends_late = second == CLOSES && began.elapsed() >= AT_ONCE;
    if on_a_new_one || (ends_late && answer.status == 502) {
        return false;
    }
    let what = format!("{kind} {stream} {status}");
    if status == 200 {
        assert_eq!(answer.status, 200, "{what}: {}", answer.text);
        assert_eq!(sent, 3, "{what}");
    } else {
        assert_refused(&answer, status, "engine_unreachable", &what);
        assert_eq!(sent, 2, "{what}");
    }
    true
}
