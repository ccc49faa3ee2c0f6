//! When an engine is left alone, for how long, and that no client can bring that about for others.

mod busy;
mod half_open;

use crucible_sim::{Fault, FaultKind, Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{Whole, body, open, post, post_as},
    clean::Metrics,
    engines::{TRIO, Trio, asked, engine, start},
    rest::eventually,
};
use serde_json::Value;

/// Words that nobody knows: it could be the engine's own failure.
const UNKNOWN: &str = "something went wrong";

/// What the log says of an engine's breaker.
fn opened(crucible: &Crucible, engine: &str) -> bool {
    let line = format!("engine=\"{engine}\" before=Closed after=Open");
    crucible.log().contains(&line)
}

fn engine_of(model: &str) -> &'static str {
    match model {
        "qwen" => "lmstudio",
        "llama" => "ollama",
        _ => "openai",
    }
}

fn streamed(mut body: Value, stream: bool) -> Value {
    body["stream"] = stream.into();
    body
}

/// Of Crucible's own: its prompt is the shortest.
fn own_probes(sim: &Sim) -> usize {
    let own = |body: &&Value| body["messages"][0]["content"] == "Hi";
    asked(&sim.log()).iter().filter(own).count()
}

/// An agent repeats what the engine fails, and somebody else is answered all the while.
#[tokio::test]
async fn a_client_whose_requests_fail_takes_no_engine_from_another() {
    let trio = Trio::with("[timeouts]\nfirst_token = \"2s\"\n", |_| {}).await;
    for model in TRIO {
        for fault in [
            Fault::new(FaultKind::Http500).saying(UNKNOWN),
            Fault::new(FaultKind::Error200).saying(UNKNOWN),
            Fault::new(FaultKind::Html),
        ] {
            let sim = trio.of(model);
            sim.reset();
            let what = format!("{:?} on {model}", fault.kind);
            sim.arm(fault.on_body("poison").times(1000));
            for n in 0..12 {
                for stream in [false, true] {
                    let poison = streamed(body(model, "poison"), stream);
                    let answer = post_as(&trio.crucible, "agent", &poison).await;
                    assert_eq!(
                        (answer.status, answer.code()),
                        (502, "engine_error"),
                        "{what} {n}: {}",
                        answer.text
                    );
                    let good = streamed(body(model, "repeat 2"), stream);
                    let answer = post_as(&trio.crucible, "person", &good).await;
                    assert_eq!(answer.status, 200, "{what} {n}: {}", answer.text);
                    assert!(answer.text.contains("word1"), "{what}: {}", answer.text);
                }
            }
            assert!(!opened(&trio.crucible, engine_of(model)), "{what}");
        }
    }
}

/// Nobody else asks, so no answer comes between: Crucible asks itself, and goes on.
#[tokio::test]
async fn failures_of_one_client_alone_make_crucible_ask_for_one_token_itself() {
    let trio = Trio::with("", |_| {}).await;
    for model in TRIO {
        let sim = trio.of(model);
        sim.reset();
        sim.arm(
            Fault::new(FaultKind::Http500)
                .on_body("poison")
                .times(1000)
                .saying(UNKNOWN),
        );
        for n in 0..25 {
            let answer = post_as(&trio.crucible, "agent", &body(model, "poison")).await;
            assert_eq!(
                answer.code(),
                "engine_error",
                "{model} {n}: {}",
                answer.text
            );
        }
        eventually("Crucible asked", || async {
            (own_probes(sim) > 0).then_some(())
        })
        .await;
        let log = asked(&sim.log());
        let own = log.iter().find(|b| b["messages"][0]["content"] == "Hi");
        let own = own.expect("its question");
        match model {
            "llama" => {
                assert_eq!(own["options"]["num_predict"], 1, "{own}");
                assert!(own.get("keep_alive").is_none(), "{own}");
            }
            _ => assert_eq!(own["max_tokens"], 1, "{own}"),
        }
        // The same options as on every request: nothing is loaded for it.
        assert!(sim.log().loads.is_empty(), "{model}: {:?}", sim.log().loads);
        assert!(!opened(&trio.crucible, engine_of(model)), "{model}");
        let answer = post_as(&trio.crucible, "person", &body(model, "repeat 1")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
}

#[tokio::test]
async fn an_engine_that_fails_two_clients_or_crucible_too_is_left_alone() {
    for programs in [&["agent"][..], &["agent", "person"]] {
        let trio = Trio::with("", |_| {}).await;
        for model in TRIO {
            let sim = trio.of(model);
            sim.reset();
            sim.arm(Fault::new(FaultKind::Http500).times(1000));
            let turns = programs.iter().cycle();
            for (n, program) in (0..5).zip(turns) {
                let answer = post_as(&trio.crucible, program, &body(model, "hi")).await;
                assert_eq!(answer.code(), "engine_error", "{n}: {}", answer.text);
            }
            eventually("the breaker opens", || async {
                opened(&trio.crucible, engine_of(model)).then_some(())
            })
            .await;
            assert_eq!(own_probes(sim), usize::from(programs.len() == 1), "{model}");
            // The simulator is well again.
            sim.reset();
            eventually("it is asked again", || async {
                let answer = post_as(&trio.crucible, "third", &body(model, "hi")).await;
                (answer.status == 200).then_some(())
            })
            .await;
        }
    }
}

/// A long prompt alone is silence too.
#[tokio::test]
async fn silence_that_one_client_meets_is_looked_into() {
    let sim = start(Options::openai(&["plain=1GB"])).await;
    let crucible = Crucible::start(&format!(
        "[timeouts]\nfirst_token = \"1s\"\n{}",
        engine("openai", "openai", &sim.url())
    ));
    sim.arm(
        Fault::new(FaultKind::NoHeaders)
            .on_body("long prompt")
            .times(1000),
    );
    let long = streamed(body("plain", "a long prompt"), true);
    for n in 0..6 {
        let answer = post_as(&crucible, "agent", &long).await;
        assert_eq!(answer.code(), "first_token_timeout", "{n}: {}", answer.text);
        let good = streamed(body("plain", "repeat 1"), true);
        let answer = post_as(&crucible, "person", &good).await;
        assert_eq!(answer.status, 200, "{n}: {}", answer.text);
    }
    for n in 0..6 {
        let answer = post_as(&crucible, "agent", &long).await;
        assert_eq!(answer.code(), "first_token_timeout", "{n}: {}", answer.text);
    }
    eventually("Crucible asked", || async {
        (own_probes(&sim) > 0).then_some(())
    })
    .await;
    assert!(!opened(&crucible, "openai"), "{}", crucible.log());
    assert!(!crucible.log().contains("restart it"), "{}", crucible.log());
}

/// Words by which engines say that the request is at fault.
#[tokio::test]
async fn what_a_request_asks_for_is_told_as_its_own_fault_by_every_kind_of_engine() {
    let trio = Trio::with("", |_| {}).await;
    let before = Metrics::of(&trio.crucible).await;
    for model in TRIO {
        for (words, param) in [
            (
                "audio input is not supported - hint: if this is unexpected, you may need to \
                 provide the mmproj",
                "messages",
            ),
            (
                "Conversation roles must alternate user/assistant/user/assistant/...",
                "messages",
            ),
            (
                "Failed to parse tool call arguments as JSON: parse error at line 1",
                "messages",
            ),
            (
                "invalid format: expected \"json\" or a schema",
                "response_format",
            ),
            (
                "Failed to initialize samplers: failed to parse grammar",
                "response_format",
            ),
        ] {
            for kind in [FaultKind::Http500, FaultKind::Error200] {
                for stream in [false, true] {
                    // What LM Studio answers a streamed request with is another matter.
                    trio.of(model).arm(Fault::new(kind).saying(words).times(1));
                    let asked = streamed(body(model, "hi"), stream);
                    let answer = post(&trio.crucible, &asked).await;
                    assert_told(&answer, words, param, &format!("{kind:?} {model} {stream}"));
                }
            }
        }
        assert!(!opened(&trio.crucible, engine_of(model)), "{model}");
        assert_eq!(own_probes(trio.of(model)), 0, "{model}");
    }
    let after = Metrics::of(&trio.crucible).await;
    let failures = |m: &Metrics| m.sum("crucible_upstream_errors_total", &[]);
    assert_eq!(failures(&before), failures(&after));
}

fn assert_told(answer: &Whole, words: &str, param: &str, what: &str) {
    assert_eq!(
        (answer.status, answer.code()),
        (400, "engine_rejected"),
        "{what}: {}",
        answer.text
    );
    let error = &answer.json["error"];
    assert_eq!(error["type"], "invalid_request_error", "{what}");
    assert_eq!(error["param"], param, "{what}");
    assert!(answer.message().contains(words), "{what}: {}", answer.text);
}

/// An answer holds one permit and the engine's only slot. Crucible's own question takes the other
/// permit, so never a third one runs; that it waits behind the answer proves nothing.
#[tokio::test]
async fn crucibles_own_question_keeps_to_the_permits_and_knows_a_busy_engine() {
    let mut options = Options::openai(&["plain=1GB"]);
    (options.rate, options.parallel) = (20, 1);
    let sim = start(options).await;
    let crucible = Crucible::start(&format!(
        "[timeouts]\nfirst_token = \"2s\"\n{}permits = 2\n",
        engine("openai", "openai", &sim.url())
    ));
    let long = open(&crucible, &body("plain", "repeat 2000")).await;
    assert_eq!(long.status(), 200);
    sim.arm(
        Fault::new(FaultKind::Http500)
            .on_body("poison")
            .delay_ms(20)
            .times(1000)
            .saying(UNKNOWN),
    );
    let poison = body("plain", "poison");
    for _ in 0..4 {
        let all = (0..6).map(|_| post_as(&crucible, "agent", &poison));
        for answer in futures_util::future::join_all(all).await {
            assert_eq!(answer.code(), "engine_error", "{}", answer.text);
        }
    }
    eventually("Crucible asked, and found nothing", || async {
        crucible.log().contains("found=Unknown").then_some(())
    })
    .await;
    assert!(own_probes(&sim) > 0);
    assert!(sim.log().peak_in_flight <= 2, "{:?}", sim.log());
    assert!(!opened(&crucible, "openai"), "{}", crucible.log());
    drop(long);
}
