//! An engine's own faults, whatever status it dresses them in, are the engine's and not the client's.

use crucible_sim::{Fault, FaultKind, Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{body, post, stream},
    engines::{asked, engine, start},
};
use serde_json::Value;

/// LM Studio's words for what broke while the model is still there, as reported.
const BROKE: [&str; 6] = [
    "Channel Error",
    "The model has crashed without additional information. (Exit code: 18446744072635812000)",
    "Engine process exited unexpectedly",
    "Engine protocol predict stream returned an error: fetch failed",
    "Engine protocol predict request failed: fetch failed",
    "Error in channel handler: Error: Channel Error",
];

/// Its words for a model that is not there.
const NOT_LOADED: [&str; 4] = [
    "Model unloaded.",
    "Cannot find model with instance reference \"x\"",
    "No models loaded. Please load a model in the developer page or use the 'lms load' command.",
    "Error: Model is not loaded",
];

/// Where an engine puts them before it has answered anything: its own statuses, a success, and the
/// first event.
fn early(text: &str) -> [Fault; 6] {
    [
        Fault::new(FaultKind::BareError).saying(text),
        Fault::new(FaultKind::Error200).saying(text),
        Fault::new(FaultKind::Json200).saying(text),
        Fault::new(FaultKind::Bare200).saying(text),
        Fault::new(FaultKind::Http500).saying(text),
        Fault::new(FaultKind::ErrorEvent)
            .after_events(0)
            .saying(text),
    ]
}

fn request(streamed: bool) -> Value {
    let mut request = body("qwen", "repeat 3");
    request["stream"] = streamed.into();
    request
}

async fn lmstudio(toml: &str) -> (Sim, Crucible) {
    let sim = start(Options::lmstudio(&["qwen=2GB"])).await;
    let crucible = Crucible::start(&format!("{}{toml}", engine("gpu", "lmstudio", &sim.url())));
    let answer = post(&crucible, &body("qwen", "repeat 1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    sim.reset();
    (sim, crucible)
}

/// They were 400s, which SDKs do not retry.
#[tokio::test]
async fn what_broke_is_a_502_with_the_engines_words() {
    let (sim, crucible) = lmstudio("").await;
    for text in BROKE {
        for fault in early(text) {
            for streamed in [false, true] {
                let what = format!("{text} {:?} {streamed}", fault.kind);
                sim.arm(fault.clone());
                let answer = post(&crucible, &request(streamed)).await;
                let found = (answer.status, answer.code());
                assert_eq!(found, (502, "engine_error"), "{what}: {}", answer.text);
                let start = &text[..text.len().min(20)];
                assert!(answer.message().contains(start), "{what}: {}", answer.text);
                // The model is still there: it was not asked again, and the breaker stays closed.
                assert_eq!(asked(&sim.log()).len(), 1, "{what}");
                let answer = post(&crucible, &request(streamed)).await;
                assert_eq!(answer.status, 200, "{what}: {}", answer.text);
                sim.reset();
            }
        }
    }
}

#[tokio::test]
async fn a_model_that_is_not_loaded_is_asked_once_more() {
    let (sim, crucible) = lmstudio("").await;
    for text in NOT_LOADED {
        for fault in early(text) {
            for streamed in [false, true] {
                let what = format!("{text} {:?} {streamed}", fault.kind);
                sim.arm(fault.clone());
                let (status, content) = if streamed {
                    let (_, events) = stream(&crucible, &request(true)).await;
                    (200, events.content())
                } else {
                    let answer = post(&crucible, &request(false)).await;
                    (answer.status, answer.content().to_owned())
                };
                assert_eq!((status, &*content), (200, "word0 word1 word2"), "{what}");
                assert_eq!(asked(&sim.log()).len(), 2, "{what}");
                sim.reset();
            }
        }
    }
    // However often it is so, it says nothing of the engine: the breaker stays closed.
    for _ in 0..6 {
        sim.arm(
            Fault::new(FaultKind::BareError)
                .saying(NOT_LOADED[0])
                .times(2),
        );
        let answer = post(&crucible, &request(false)).await;
        let found = (answer.status, answer.code());
        assert_eq!(found, (502, "engine_error"), "{}", answer.text);
    }
    assert_eq!(post(&crucible, &request(false)).await.status, 200);
}

#[tokio::test]
async fn a_fallback_takes_over_from_both() {
    let cpu = start(Options::ollama(&["llama=1GB"])).await;
    let toml = format!(
        "{}device = \"cpu\"\n[[model]]\nname = \"qwen\"\nfallback = [\"llama\"]\n",
        engine("cpu", "ollama", &cpu.url())
    );
    let (sim, crucible) = lmstudio(&toml).await;
    for (text, tries) in [
        (BROKE[0], 1),
        (BROKE[3], 1),
        (NOT_LOADED[0], 2),
        (NOT_LOADED[2], 2),
    ] {
        for streamed in [false, true] {
            sim.arm(Fault::new(FaultKind::BareError).saying(text).times(tries));
            let (model, content) = if streamed {
                let (headers, events) = stream(&crucible, &request(true)).await;
                (headers["x-crucible-model"].clone(), events.content())
            } else {
                let answer = post(&crucible, &request(false)).await;
                assert_eq!(answer.status, 200, "{text}: {}", answer.text);
                let content = answer.content().to_owned();
                (answer.headers["x-crucible-model"].clone(), content)
            };
            assert_eq!(
                (model.to_str().ok(), &*content),
                (Some("llama:latest"), "word0 word1 word2"),
                "{text}"
            );
            let log = sim.log();
            assert_eq!(asked(&log).len() as u64, tries, "{text}");
            sim.reset();
        }
    }
}

/// After the first byte they are an event of the stream, and nothing is asked again.
#[tokio::test]
async fn in_the_middle_of_an_answer_they_are_told_in_the_stream() {
    let (sim, crucible) = lmstudio("").await;
    for text in BROKE.iter().chain(&NOT_LOADED[..2]) {
        sim.arm(
            Fault::new(FaultKind::ErrorEvent)
                .after_events(2)
                .saying(text),
        );
        let (_, events) = stream(&crucible, &request(true)).await;
        let error = events.error().expect("an error in the stream");
        assert_eq!(error["code"], "engine_error", "{text}: {}", events.text);
        assert!(!events.done, "{text}: {}", events.text);
        assert_eq!(asked(&sim.log()).len(), 1, "{text}");
        assert_eq!(post(&crucible, &request(false)).await.status, 200, "{text}");
        sim.reset();
    }
}

/// The other kinds of engines have words of their own.
#[tokio::test]
async fn other_engines_own_faults_are_theirs_too() {
    let runner = "model runner has unexpectedly stopped, this may be due to resource limitations or \
                  an internal error, check ollama server logs for details";
    let ended = "llama-server process has terminated: signal: killed";
    for (kind, options, text, status, code) in [
        (
            "ollama",
            Options::ollama(&["qwen=2GB"]),
            runner,
            502,
            "engine_error",
        ),
        (
            "ollama",
            Options::ollama(&["qwen=2GB"]),
            ended,
            503,
            "load_failed",
        ),
        (
            "llamacpp",
            Options::openai(&["qwen=2GB"]),
            "Channel Error",
            502,
            "engine_error",
        ),
        (
            "openai",
            Options::openai(&["qwen=2GB"]),
            "Compute error.",
            502,
            "engine_error",
        ),
    ] {
        let sim = start(options).await;
        let crucible = Crucible::start(&engine("one", kind, &sim.url()));
        assert_eq!(post(&crucible, &request(false)).await.status, 200, "{kind}");
        sim.reset();
        for fault in [
            FaultKind::Http500,
            FaultKind::BareError,
            FaultKind::Error200,
            FaultKind::Json200,
            FaultKind::Bare200,
        ] {
            for streamed in [false, true] {
                sim.arm(Fault::new(fault).saying(text).times(2));
                let answer = post(&crucible, &request(streamed)).await;
                let found = (answer.status, answer.code());
                assert_eq!(
                    found,
                    (status, code),
                    "{kind} {fault:?} {streamed}: {}",
                    answer.text
                );
                sim.reset();
                assert_eq!(post(&crucible, &request(false)).await.status, 200, "{kind}");
            }
        }
    }
}

/// Where loading is the engine's own affair, asking once more makes it do so.
#[tokio::test]
async fn an_engine_that_is_only_observed_is_asked_once_more_too() {
    let sim = start(Options::lmstudio(&["qwen=2GB"])).await;
    let own = engine("one", "lmstudio", &sim.url());
    let crucible = Crucible::start(&format!("{own}manage = \"observe\"\n"));
    for streamed in [false, true] {
        for text in &NOT_LOADED[..2] {
            sim.reset();
            sim.arm(Fault::new(FaultKind::BareError).saying(text));
            let answer = post(&crucible, &request(streamed)).await;
            assert_eq!(answer.status, 200, "{text} {streamed}: {}", answer.text);
            assert_eq!(asked(&sim.log()).len(), 2, "{text} {streamed}");
        }
    }
}
