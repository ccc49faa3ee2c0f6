//! Raw prompts, on every kind of engine.

mod running;

use crucible_sim::{Fault, FaultKind, Sim};
use crucible_tests::{
    Crucible,
    chat::{Whole, whole},
    engines::{EveryKind, client},
    sse::Stream,
};
use serde_json::{Value, json};

/// One engine of each kind with one model each.
struct Kinds {
    engines: EveryKind,
    crucible: Crucible,
}

/// A model of LM Studio, Ollama, llama.cpp and another server.
const MODELS: [&str; 4] = ["qwen", "llama", "gguf", "plain"];

impl Kinds {
    async fn start() -> Self {
        let engines = EveryKind::start([
            &["qwen=2GB"],
            &["llama=1GB", "coder=1GB", "coder-think=1GB"],
            &["gguf=1GB"],
            &["plain", "other"],
        ])
        .await;
        let crucible = Crucible::start(&engines.config());
        Self { engines, crucible }
    }

    fn of(&self, model: &str) -> &Sim {
        match model {
            "qwen" => &self.engines.lmstudio,
            "gguf" => &self.engines.llamacpp,
            "plain" | "other" => &self.engines.openai,
            _ => &self.engines.ollama,
        }
    }

    async fn send(&self, model: &str, members: &Value) -> reqwest::Response {
        let mut body = members.clone();
        body["model"] = json!(model);
        let request = client()
            .post(self.crucible.at("/v1/completions"))
            .json(&body);
        request.send().await.expect("an answer")
    }

    async fn ask(&self, model: &str, members: &Value) -> Whole {
        whole(self.send(model, members).await).await
    }

    /// The last body that the engine of a model got on this path.
    fn sent(&self, model: &str, path: &str) -> Value {
        let log = self.of(model).log();
        let bodies = log.requests_to(path).map(|request| &request.body);
        let read = |body: &String| serde_json::from_str::<Value>(body).expect("JSON");
        let asked = bodies.map(read).filter(|body| body["prompt"] != "");
        asked.last().expect("a request")
    }
}

fn text(answer: &Whole) -> &str {
    answer.json["choices"][0]["text"]
        .as_str()
        .unwrap_or_default()
}

fn path(model: &str) -> &'static str {
    match model {
        "llama" | "coder" | "coder-think" => "/api/generate",
        _ => "/v1/completions",
    }
}

#[tokio::test]
async fn a_raw_prompt_is_continued_whole_and_streamed() {
    let kinds = Kinds::start().await;
    for model in MODELS {
        let ask = json!({ "prompt": "repeat 3" });
        let answer = kinds.ask(model, &ask).await;
        assert_eq!(answer.status, 200, "{model}: {}", answer.text);
        assert_eq!(answer.json["object"], "text_completion");
        assert_eq!(
            text(&answer),
            "word0 word1 word2",
            "{model}: {}",
            answer.text
        );
        assert_eq!(answer.json["choices"][0]["finish_reason"], "stop");
        assert_eq!(answer.json["usage"]["completion_tokens"], 3);
        for wants_usage in [false, true] {
            let mut ask = json!({ "prompt": "repeat 3", "stream": true });
            if wants_usage {
                ask["stream_options"] = json!({ "include_usage": true });
            }
            let response = kinds.send(model, &ask).await;
            assert_eq!(response.headers()["content-type"], "text/event-stream");
            let stream = Stream::read(response).await;
            assert!(stream.done && !stream.broken, "{model}: {}", stream.text);
            let pieces = stream
                .events
                .iter()
                .filter_map(|e| e["choices"][0]["text"].as_str());
            assert_eq!(pieces.collect::<String>(), "word0 word1 word2", "{model}");
            let reasons = stream
                .events
                .iter()
                .map(|e| &e["choices"][0]["finish_reason"]);
            assert_eq!(reasons.filter(|reason| reason.is_string()).count(), 1);
            let counts = stream.events.iter().filter(|e| e["choices"] == json!([]));
            assert_eq!(counts.count(), usize::from(wants_usage), "{}", stream.text);
        }
        let short = kinds
            .ask(model, &json!({ "prompt": "repeat 9", "max_tokens": 2 }))
            .await;
        assert_eq!(
            short.json["choices"][0]["finish_reason"], "length",
            "{}",
            short.text
        );
    }
}

#[tokio::test]
async fn no_template_is_put_around_it_and_the_options_are_those_of_chat() {
    let kinds = Kinds::start().await;
    for model in MODELS {
        let answer = kinds
            .ask(model, &json!({ "prompt": "repeat 1", "seed": 7 }))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let sent = kinds.sent(model, path(model));
        assert_eq!(sent["prompt"], "repeat 1");
        assert!(sent.get("messages").is_none(), "{sent}");
        assert!(answer.header("x-crucible-defaults").contains("temperature"));
    }
    let sent = kinds.sent("llama", "/api/generate");
    assert_eq!(
        (&sent["raw"], &sent["truncate"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(
        (&sent["options"]["num_ctx"], &sent["options"]["seed"]),
        (&json!(4096), &json!(7))
    );
    assert!(sent.get("keep_alive").is_none(), "{sent}");
    assert_eq!(
        kinds.engines.ollama.log().loaded(),
        1,
        "one tuple, one load"
    );
}

#[tokio::test]
async fn a_suffix_never_vanishes() {
    let kinds = Kinds::start().await;
    let ask = json!({ "prompt": "repeat 2", "suffix": "}" });
    for model in ["coder", "coder-think"] {
        let answer = kinds.ask(model, &ask).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let sent = kinds.sent(model, "/api/generate");
        assert_eq!(sent["suffix"], "}");
        assert!(sent.get("raw").is_none(), "{sent}");
    }
    let answer = kinds.ask("plain", &ask).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(kinds.sent("plain", "/v1/completions")["suffix"], "}");
    for model in ["qwen", "llama", "gguf"] {
        let answer = kinds.ask(model, &ask).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "unsupported_value"),
            "{}",
            answer.text
        );
        assert_eq!(answer.json["error"]["param"], "suffix");
        let none = json!({ "prompt": "repeat 1", "suffix": "" });
        assert_eq!(
            kinds.ask(model, &none).await.status,
            200,
            "an empty one is none"
        );
    }
}

#[tokio::test]
async fn lists_and_tokens_go_to_engines_that_take_them() {
    let kinds = Kinds::start().await;
    for model in MODELS {
        let one = kinds.ask(model, &json!({ "prompt": ["repeat 1"] })).await;
        assert_eq!(
            (one.status, text(&one)),
            (200, "word0"),
            "{model}: {}",
            one.text
        );
        let takes = matches!(model, "gguf" | "plain");
        for prompt in [json!(["a", "b"]), json!([1, 2]), json!([[1], [2]])] {
            let answer = kinds.ask(model, &json!({ "prompt": prompt })).await;
            let expected = if takes { 200 } else { 400 };
            assert_eq!(answer.status, expected, "{model} {prompt}: {}", answer.text);
            if !takes {
                assert_eq!(answer.json["error"]["param"], "prompt");
            }
        }
    }
}

#[tokio::test]
async fn what_an_engine_does_not_read_is_said() {
    let kinds = Kinds::start().await;
    let ask =
        json!({ "prompt": "repeat 1", "echo": true, "best_of": 2, "logprobs": 1, "user": "me" });
    for model in ["qwen", "llama", "gguf"] {
        let answer = kinds.ask(model, &ask).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let note = answer.header("x-crucible-note");
        for name in ["echo is dropped", "best_of is dropped"] {
            assert!(note.contains(name), "{model}: {note}");
        }
        let sent = kinds.sent(model, path(model));
        assert!(
            sent.get("echo").is_none() && sent.get("best_of").is_none(),
            "{sent}"
        );
    }
    let answer = kinds.ask("plain", &ask).await;
    assert_eq!(answer.header("x-crucible-note"), "");
    assert_eq!(kinds.sent("plain", "/v1/completions")["best_of"], 2);
}

#[tokio::test]
async fn wrong_bodies_are_named_in_words() {
    let kinds = Kinds::start().await;
    for (members, code, param) in [
        (json!({}), "missing_field", "prompt"),
        (json!({ "prompt": 7 }), "invalid_type", "prompt"),
        (json!({ "prompt": {} }), "invalid_type", "prompt"),
        (json!({ "prompt": [] }), "unsupported_value", "prompt"),
        (
            json!({ "prompt": ["a", null] }),
            "invalid_type",
            "prompt[1]",
        ),
        (
            json!({ "prompt": "a", "suffix": 7 }),
            "invalid_type",
            "suffix",
        ),
        (
            json!({ "prompt": "a", "max_tokens": "7" }),
            "invalid_type",
            "max_tokens",
        ),
        (
            json!({ "prompt": "a", "temperature": "7" }),
            "invalid_type",
            "temperature",
        ),
        (
            json!({ "prompt": "a", "stream": 1 }),
            "invalid_type",
            "stream",
        ),
        (
            json!({ "prompt": "a", "stream_options": 1 }),
            "invalid_type",
            "stream_options",
        ),
        (
            json!({ "prompt": "a", "logprobs": "x" }),
            "invalid_type",
            "logprobs",
        ),
    ] {
        for model in MODELS {
            let answer = kinds.ask(model, &members).await;
            assert_eq!(
                (answer.status, answer.code()),
                (400, code),
                "{model} {members}"
            );
            assert_eq!(answer.json["error"]["param"], param, "{model} {members}");
        }
    }
}

#[tokio::test]
async fn a_prompt_that_is_too_long_is_refused_or_gets_more_context() {
    let kinds = Kinds::start().await;
    let long = "words of a tale ".repeat(300_000);
    for model in ["qwen", "llama", "gguf"] {
        let answer = kinds.ask(model, &json!({ "prompt": long })).await;
        let told = (answer.status, answer.code());
        assert_eq!(
            told,
            (400, "context_length_exceeded"),
            "{model}: {}",
            answer.text
        );
    }
    let answer = kinds
        .ask(
            "llama",
            &json!({ "prompt": "words of a tale ".repeat(2500) }),
        )
        .await;
    assert_eq!(answer.status, 200, "it grows: {}", answer.text);
}

#[tokio::test]
async fn failures_keep_their_status_before_the_first_byte_and_are_an_event_after_it() {
    let kinds = Kinds::start().await;
    for model in MODELS {
        // Loaded before, so that the fault meets the answer.
        assert_eq!(
            kinds
                .ask(model, &json!({ "prompt": "repeat 1" }))
                .await
                .status,
            200
        );
        kinds.of(model).arm(Fault::new(FaultKind::Http500));
        let answer = kinds
            .ask(model, &json!({ "prompt": "repeat 3", "stream": true }))
            .await;
        assert_eq!(
            (answer.status, answer.code()),
            (502, "engine_error"),
            "{model}"
        );
        kinds
            .of(model)
            .arm(Fault::new(FaultKind::Cut).after_events(2));
        let ask = json!({ "prompt": "repeat 9", "stream": true });
        let stream = Stream::read(kinds.send(model, &ask).await).await;
        assert!(!stream.done, "{model}: {}", stream.text);
        let last = stream.events.last().expect("an event");
        assert_eq!(
            last["error"]["code"], "engine_cut",
            "{model}: {}",
            stream.text
        );
    }
}
