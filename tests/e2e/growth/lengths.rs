//! A prompt that fits is served, however long an answer it asks for.

use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    chat::{body, header, post, stream},
    clean::Metrics,
    engines::{asked, engine, start},
    rest::at_rest,
    scripted::{Script, Scripted},
};
use serde_json::Value;

use super::one;

/// `n` tokens of a prompt as Crucible estimates them, a little less.
fn prompt(tokens: usize, max_tokens: Option<u64>) -> Value {
    let mut request = body("m", &"word".repeat(tokens));
    if let Some(max) = max_tokens {
        request["max_tokens"] = max.into();
    }
    request
}

const REJECT: &str = "[context]\nfit = \"reject\"\n[[model]]\nname = \"m\"\ncontext = 1024\n";

#[tokio::test]
async fn what_is_kept_for_the_answer_shrinks_to_what_is_left() {
    let small = |kind: &str| match kind {
        "ollama" => Options::ollama(&["m=1GB:ctx2048"]),
        "lmstudio" => Options::lmstudio(&["m=1GB:ctx2048"]),
        _ => {
            let mut options = Options::openai(&["m=1GB:ctx2048"]);
            options.context = 2048;
            options
        }
    };
    // Settings, prompt, max_tokens, the limit where it is refused.
    for kind in ["ollama", "lmstudio", "llamacpp"] {
        for (toml, tokens, max, limit) in [
            ("", 3, Some(2048), None),
            ("", 3, Some(100_000), None),
            ("", 3, None, None),
            ("", 1900, Some(2048), None),
            ("", 1900, None, None),
            ("", 2100, Some(1), Some("2048")),
            ("", 2100, None, Some("2048")),
            (REJECT, 3, None, None),
            (REJECT, 3, Some(2048), None),
            (REJECT, 900, None, None),
            (REJECT, 1100, Some(1), Some("1024")),
        ] {
            if kind == "llamacpp" && !toml.is_empty() {
                // Its context is what its server was started with.
                continue;
            }
            let (sim, crucible) = one(kind, small(kind), toml).await;
            let answer = post(&crucible, &prompt(tokens, max)).await;
            let what = format!("{kind} {toml:?} {tokens} {max:?}: {}", answer.text);
            let Some(limit) = limit else {
                assert_eq!(answer.status, 200, "{what}");
                continue;
            };
            assert_eq!(answer.status, 400, "{what}");
            assert_eq!(answer.code(), "context_length_exceeded", "{what}");
            super::words::assert_words(answer.message(), limit);
            assert!(asked(&sim.log()).is_empty(), "{what}");
        }
    }
}

/// An answer of vLLM to whoever asks for more than is left.
const TOO_LONG_AN_ANSWER: &str = "{\"object\": \"error\", \"message\": \"'max_tokens' or \
    'max_completion_tokens' is too large: 2048. This model's maximum context length is 2048 tokens \
    and your request has 12 input tokens (2048 > 2048 - 12).\", \"type\": \
    \"BadRequestError\", \"code\": 400}";

#[tokio::test]
async fn an_engine_that_refuses_a_long_answer_is_asked_for_what_is_left() {
    let models = r#"{"object": "list", "data": [{"id": "m", "object": "model"}]}"#;
    let whole = r#"{"id": "1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"},
        "finish_reason": "stop"}]}"#;
    let streamed = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n\
        data: {\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\
        \"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"hi\"},\
        \"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    for stream_asked in [false, true] {
        let asked = std::sync::atomic::AtomicUsize::new(0);
        let engine_says = Scripted::start(move |path| match path {
            "/v1/chat/completions" => {
                let first = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
                match (first, stream_asked) {
                    (true, _) => Script::json("400 Bad Request", "", TOO_LONG_AN_ANSWER),
                    (false, false) => Script::json("200 OK", "", whole),
                    (false, true) => Script {
                        bytes: streamed.to_owned(),
                        leave: crucible_tests::scripted::Leave::Fin,
                    },
                }
            }
            _ => Script::json("200 OK", "", models),
        })
        .await;
        let crucible = Crucible::start(&engine("one", "openai", &engine_says.url()));
        let request = prompt(3, Some(2048));
        let note = if stream_asked {
            let (headers, answer) = stream(&crucible, &request).await;
            assert_eq!(answer.content(), "hi");
            header(&headers, "x-crucible-note").to_owned()
        } else {
            let answer = post(&crucible, &request).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            answer.header("x-crucible-note").to_owned()
        };
        assert!(note.contains("kept to 2036 tokens"), "{note}");
    }
}

/// What is too long for the first place of a plan goes to the next that the configuration names.
#[tokio::test]
async fn a_prompt_that_one_place_cannot_hold_goes_to_its_fallback() {
    let small = start(Options::openai(&["m=1GB"])).await;
    let big = start(Options::ollama(&["big=1GB"])).await;
    let crucible = Crucible::start(&format!(
        "{}{}[[model]]\nname = \"m\"\nfallback = [\"big\"]\n",
        engine("small", "llamacpp", &small.url()),
        engine("large", "ollama", &big.url()),
    ));
    let answer = post(&crucible, &prompt(9000, Some(100))).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("x-crucible-engine"), "large");
    assert_eq!(answer.header("x-crucible-reason"), "fallback");
    let note = answer.header("x-crucible-note");
    assert!(note.contains("instead of small/m"), "{note}");
    assert!(asked(&small.log()).is_empty());
    let why = [("reason", "context_length"), ("outcome", "ok")];
    at_rest(&crucible).await;
    let metrics = Metrics::of(&crucible).await;
    assert_eq!(metrics.sum("crucible_fallbacks_total", &why), 1.0);
}
