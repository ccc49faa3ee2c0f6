//! Streams are handed on as they come, never later.

use std::time::{Duration, Instant};

use crucible_tests::{
    chat::{body, open},
    clean::{Metrics, clean},
    engines::{TRIO, Trio},
};
use futures_util::StreamExt as _;

#[tokio::test]
async fn each_event_arrives_before_the_next_is_made() {
    // Ten tokens a second: an answer that is held back comes at least two seconds late.
    let trio = Trio::with("", |options| options.rate = 10).await;
    for model in TRIO {
        let before = Metrics::of(&trio.crucible).await;
        let response = open(&trio.crucible, &body(model, "repeat 20")).await;
        let mut chunks = response.bytes_stream();
        let (mut text, mut arrivals) = (String::new(), Vec::new());
        while let Some(chunk) = chunks.next().await {
            text.push_str(&String::from_utf8_lossy(&chunk.expect("bytes")));
            let words =
                text.matches("\"content\":\"").count() - text.matches("\"content\":\"\"").count();
            if arrivals.len() < words {
                arrivals.resize(words, Instant::now());
            }
        }
        assert!(text.trim_end().ends_with("data: [DONE]"), "{text}");
        assert_eq!(arrivals.len(), 20, "{text}");
        let span = arrivals[19] - arrivals[0];
        assert!(
            span > Duration::from_millis(1500),
            "{model}: all came within {span:?}"
        );
        let distinct = arrivals
            .windows(2)
            .filter(|pair| pair[0] != pair[1])
            .count();
        assert!(distinct >= 15, "{model}: only {distinct} pieces");
        clean(&trio.crucible, &before, 1, model).await;
    }
}
