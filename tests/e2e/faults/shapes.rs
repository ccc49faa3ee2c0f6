//! The bytes of an answer: how they are split, where they end, how large they are, how late.

use crucible_sim::{Fault, FaultKind};
use crucible_tests::{
    chat::{body, stream},
    clean::{Metrics, clean, settled},
    engines::{TRIO, Trio},
};

use super::{SHORT, after_three, assert_in_band};

#[tokio::test]
async fn how_the_bytes_are_split_does_not_matter() {
    let trio = Trio::with(SHORT, |_| {}).await;
    for model in TRIO {
        let (_, plain) = stream(&trio.crucible, &body(model, "repeat 6")).await;
        let mut shapes = vec![Fault::new(FaultKind::Crlf)];
        shapes.extend([1, 2, 3, 7, 64].map(|k| Fault::new(FaultKind::Split).after_bytes(k)));
        for fault in shapes {
            let before = Metrics::of(&trio.crucible).await;
            let what = format!("{fault:?} on {model}");
            trio.of(model).arm(fault);
            let (_, answer) = stream(&trio.crucible, &body(model, "repeat 6")).await;
            assert_eq!(answer.content(), plain.content(), "{what}: {}", answer.text);
            assert_eq!(
                answer.events.len(),
                plain.events.len(),
                "{what}: {}",
                answer.text
            );
            assert!(
                answer.done && answer.error().is_none(),
                "{what}: {}",
                answer.text
            );
            settled(&trio.crucible, &before, 1).await;
        }
    }
}

#[tokio::test]
async fn whole_events_before_a_cut_arrive_whichever_byte_it_falls_on() {
    let trio = Trio::with(SHORT, |_| {}).await;
    for model in TRIO {
        for bytes in [600, 637, 651, 702, 755] {
            let before = Metrics::of(&trio.crucible).await;
            trio.of(model)
                .arm(Fault::new(FaultKind::Cut).after_bytes(bytes));
            // `Stream::parse` fails on an event that is not whole.
            let (_, answer) = stream(&trio.crucible, &body(model, "repeat 40")).await;
            assert_in_band(&answer, "engine_cut", &format!("{model} at {bytes}"));
            clean(&trio.crucible, &before, 1, model).await;
        }
    }
}

#[tokio::test]
async fn a_large_event_passes_up_to_the_limit() {
    let trio = Trio::with(&format!("{SHORT}[limits]\nevent = \"200KB\"\n"), |_| {}).await;
    for model in TRIO {
        let before = Metrics::of(&trio.crucible).await;
        let big = |bytes| after_three(FaultKind::BigEvent).after_bytes(bytes);
        trio.of(model).arm(big(100_000));
        let (_, answer) = stream(&trio.crucible, &body(model, "repeat 8")).await;
        assert!(
            answer.done && answer.error().is_none(),
            "{:.600}",
            answer.text
        );
        assert!(answer.text.len() > 100_000);
        trio.of(model).arm(big(1_000_000));
        let (_, answer) = stream(&trio.crucible, &body(model, "repeat 8")).await;
        assert_in_band(&answer, "engine_error", model);
        let after = clean(&trio.crucible, &before, 2, model).await;
        let oversize = after.sum("crucible_upstream_errors_total", &[("kind", "oversize")])
            - before.sum("crucible_upstream_errors_total", &[("kind", "oversize")]);
        assert_eq!(
            oversize,
            1.0,
            "{}",
            after.family("crucible_upstream_errors_total")
        );
    }
}

#[tokio::test]
async fn a_slow_engine_keeps_the_client_with_comments() {
    let toml = "[timeouts]\ncommit = \"100ms\"\nfirst_token = \"3s\"\n";
    let trio = Trio::with(toml, |_| {}).await;
    for model in TRIO {
        let before = Metrics::of(&trio.crucible).await;
        trio.of(model)
            .arm(Fault::new(FaultKind::SlowHeaders).delay_ms(600));
        let (_, answer) = stream(&trio.crucible, &body(model, "repeat 3")).await;
        assert!(
            answer.comments >= 1 && answer.text.starts_with(": crucible\n"),
            "{}",
            answer.text
        );
        assert_eq!(answer.content(), "word0 word1 word2");
        assert!(answer.done);
        trio.of(model)
            .arm(Fault::new(FaultKind::Http500).delay_ms(600));
        let (_, late) = stream(&trio.crucible, &body(model, "repeat 3")).await;
        assert!(
            late.comments >= 1 && !late.done && !late.broken,
            "{}",
            late.text
        );
        assert_eq!(
            late.error().expect("an error")["code"],
            "engine_error",
            "{}",
            late.text
        );
        let after = clean(&trio.crucible, &before, 2, model).await;
        let aborted = after.sum("crucible_stream_aborted_total", &[])
            - before.sum("crucible_stream_aborted_total", &[]);
        assert_eq!(
            aborted,
            1.0,
            "{}",
            after.family("crucible_stream_aborted_total")
        );
    }
}

#[tokio::test]
async fn an_answer_that_ollama_gives_up_is_told_with_the_likely_reason() {
    let trio = Trio::with(SHORT, |_| {}).await;
    let reason = "more than 30 times in a row";
    // An answer that is shorter than the repetition, or breaks off in the middle of a line, was not given up.
    for (kind, events, is_given_up) in [
        (FaultKind::Eof, 32, true),
        (FaultKind::Eof, 3, false),
        (FaultKind::Cut, 32, false),
    ] {
        trio.ollama.arm(Fault::new(kind).after_events(events));
        let (_, answer) = stream(&trio.crucible, &body("llama", "repeat 40")).await;
        assert_in_band(&answer, "engine_cut", &format!("{kind:?} after {events}"));
        assert_eq!(answer.text.contains(reason), is_given_up, "{}", answer.text);
    }
}
