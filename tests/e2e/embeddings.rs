//! Texts that become vectors, on every kind of engine.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{Whole, body, post, whole},
    engines::{client, engine, start},
};
use serde_json::{Value, json};

/// One engine of each kind, each with an embedding model of its own and a chat model.
pub(crate) struct Kinds {
    lmstudio: Sim,
    ollama: Sim,
    /// They live as long as the tests ask them.
    _servers: [Sim; 2],
    crucible: Crucible,
}

const LM_STUDIO: &str = "gpu-embed";
const OLLAMA: &str = "cpu-embed";
const LLAMA_CPP: &str = "llama-embed";
const OPENAI: &str = "server-embed";

impl Kinds {
    pub(crate) async fn start() -> Self {
        let mut studio = Options::lmstudio(&["qwen=2GB", "gpu-embed=200MB:embedding"]);
        studio.prefill = 50_000;
        let lmstudio = start(studio).await;
        let ollama = start(Options::ollama(&["llama=1GB", "cpu-embed=200MB:embedding"])).await;
        let llamacpp = start(Options::openai(&["llama-embed=200MB:embedding"])).await;
        let openai = start(Options::openai(&["plain", "server-embed", "my-rerank"])).await;
        let crucible = Crucible::start(&format!(
            "{}{}{}{}",
            engine("studio", "lmstudio", &lmstudio.url()),
            engine("ollama", "ollama", &ollama.url()),
            engine("llama", "llamacpp", &llamacpp.url()),
            engine("server", "openai", &openai.url()),
        ));
        Self {
            lmstudio,
            ollama,
            _servers: [llamacpp, openai],
            crucible,
        }
    }

    pub(crate) async fn ask(&self, path: &str, body: &Value) -> Whole {
        let request = client().post(self.crucible.at(path)).json(body);
        whole(request.send().await.expect("an answer")).await
    }

    async fn embed(&self, model: &str, members: &Value) -> Whole {
        let mut body = members.clone();
        body["model"] = json!(model);
        self.ask("/v1/embeddings", &body).await
    }
}

fn vectors(answer: &Whole) -> Vec<Vec<f32>> {
    let data = answer.json["data"].as_array().expect("data");
    let numbers = |embedding: &Value| match embedding {
        Value::String(text) => {
            let bytes = STANDARD.decode(text).expect("base64");
            let (floats, rest) = bytes.as_chunks::<4>();
            assert!(rest.is_empty());
            floats
                .iter()
                .map(|bytes| f32::from_le_bytes(*bytes))
                .collect()
        }
        list => serde_json::from_value(list.clone()).expect("numbers"),
    };
    data.iter()
        .enumerate()
        .map(|(at, datum)| {
            assert_eq!(
                (&datum["index"], &datum["object"]),
                (&json!(at), &json!("embedding"))
            );
            numbers(&datum["embedding"])
        })
        .collect()
}

#[tokio::test]
async fn every_kind_answers_vectors_in_both_encodings_and_in_order() {
    let kinds = Kinds::start().await;
    let mut all = Vec::new();
    for model in [LM_STUDIO, OLLAMA, LLAMA_CPP, OPENAI] {
        let one = kinds.embed(model, &json!({ "input": "two words" })).await;
        assert_eq!(one.status, 200, "{model}: {}", one.text);
        assert_eq!(one.json["object"], "list");
        let input = json!({ "input": ["one", "two words", "three"], "encoding_format": "float" });
        let floats = kinds.embed(model, &input).await;
        let input = json!({ "input": ["one", "two words", "three"], "encoding_format": "base64" });
        let base64 = kinds.embed(model, &input).await;
        assert!(
            base64.json["data"][0]["embedding"].is_string(),
            "{}",
            base64.text
        );
        assert_eq!(vectors(&floats), vectors(&base64), "{model}");
        assert_eq!(vectors(&floats).len(), 3);
        assert_eq!(
            vectors(&floats)[1],
            vectors(&one)[0],
            "{model}: order is kept"
        );
        let usage = &floats.json["usage"];
        assert!(
            usage["prompt_tokens"]
                .as_u64()
                .is_some_and(|count| count > 0),
            "{usage}"
        );
        assert_eq!(usage["prompt_tokens"], usage["total_tokens"]);
        all.push(vectors(&one));
    }
    assert!(
        all.windows(2).all(|pair| pair[0] == pair[1]),
        "the kinds agree"
    );
}

#[tokio::test]
async fn lists_of_tokens_go_to_engines_that_take_them() {
    let kinds = Kinds::start().await;
    for (input, count) in [(json!([1, 2, 3]), 1), (json!([[1, 2], [3]]), 2)] {
        for model in [LLAMA_CPP, OPENAI] {
            let answer = kinds.embed(model, &json!({ "input": input })).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            assert_eq!(vectors(&answer).len(), count);
        }
        for model in [LM_STUDIO, OLLAMA] {
            let answer = kinds.embed(model, &json!({ "input": input })).await;
            assert_eq!((answer.status, answer.code()), (400, "unsupported_value"));
            assert!(
                answer.message().contains("check_embedding_ctx_length"),
                "{}",
                answer.text
            );
        }
    }
    assert_eq!(
        kinds.lmstudio.log().requests_to("/v1/embeddings").count(),
        0
    );
}

#[tokio::test]
async fn nothing_is_cut_and_the_error_names_the_text() {
    let kinds = Kinds::start().await;
    let long = "some words ".repeat(4000);
    for model in [LM_STUDIO, OLLAMA, LLAMA_CPP] {
        let input = json!({ "input": ["short", "shorter", long, "short"] });
        let answer = kinds.embed(model, &input).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "context_length_exceeded"),
            "{model}"
        );
        assert_eq!(
            answer.json["error"]["param"], "input[2]",
            "{model}: {}",
            answer.text
        );
        assert_eq!(answer.json["error"]["type"], "invalid_request_error");
        let answer = kinds.embed(model, &json!({ "input": long })).await;
        assert_eq!(
            answer.json["error"]["param"], "input",
            "{model}: {}",
            answer.text
        );
    }
    // LM Studio cuts at 2048 tokens of 4 bytes here: one text is near it, the other beyond.
    let near = "abcd".repeat(2000);
    let beyond = "abcd".repeat(2049);
    let fits = kinds
        .embed(LM_STUDIO, &json!({ "input": ["x", near] }))
        .await;
    assert_eq!(fits.status, 200, "{}", fits.text);
    assert_eq!(vectors(&fits).len(), 2);
    let cut = kinds
        .embed(LM_STUDIO, &json!({ "input": ["x", near, beyond] }))
        .await;
    assert_eq!(cut.json["error"]["param"], "input[2]", "{}", cut.text);
    assert!(
        cut.message().contains("LM Studio would cut it"),
        "{}",
        cut.text
    );
}

#[tokio::test]
async fn a_length_of_vectors_is_given_or_refused_and_never_ignored() {
    let kinds = Kinds::start().await;
    let ask = |dimensions: u64| json!({ "input": "text", "dimensions": dimensions });
    let shorter = kinds.embed(OLLAMA, &ask(4)).await;
    assert_eq!(vectors(&shorter)[0].len(), 4, "{}", shorter.text);
    for model in [LM_STUDIO, LLAMA_CPP] {
        assert_eq!(
            kinds.embed(model, &ask(8)).await.status,
            200,
            "its own length"
        );
        let answer = kinds.embed(model, &ask(4)).await;
        assert_eq!((answer.status, answer.code()), (400, "unsupported_value"));
        assert_eq!(answer.json["error"]["param"], "dimensions");
        assert!(
            answer.message().contains("vectors of 8 numbers"),
            "{}",
            answer.text
        );
    }
    let longer = kinds.embed(OLLAMA, &ask(16)).await;
    assert_eq!(
        longer.json["error"]["param"], "dimensions",
        "{}",
        longer.text
    );
}

#[tokio::test]
async fn the_kind_of_a_model_is_looked_at() {
    let kinds = Kinds::start().await;
    for (model, says) in [
        ("qwen", "makes no embeddings"),
        ("llama", "makes no embeddings"),
    ] {
        let answer = kinds.embed(model, &json!({ "input": "text" })).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "unsupported_value"),
            "{model}"
        );
        assert!(answer.message().contains(says), "{}", answer.text);
    }
    // The kind is not told there: the engine itself is asked, and its words are passed on.
    let answer = kinds.embed("plain", &json!({ "input": "text" })).await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    assert!(answer.message().contains("--embeddings"), "{}", answer.text);
    for model in [LM_STUDIO, OLLAMA] {
        let answer = post(&kinds.crucible, &body(model, "hello")).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "unsupported_value"),
            "{model}"
        );
        assert!(
            answer.message().contains("answers no prompts"),
            "{}",
            answer.text
        );
    }
}

#[tokio::test]
async fn the_load_options_go_with_the_request_and_sampling_does_not() {
    let kinds = Kinds::start().await;
    let answer = kinds
        .embed(
            OLLAMA,
            &json!({ "input": "text", "user": "me", "keep_alive": -1 }),
        )
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let defaults = answer.header("x-crucible-defaults");
    assert!(!defaults.contains("temperature"), "{defaults}");
    assert!(
        answer.header("x-crucible-note").contains("keep_alive"),
        "{:?}",
        answer.headers
    );
    let log = kinds.ollama.log();
    let sent = log.requests_to("/api/embed");
    let read = |body: &String| serde_json::from_str::<Value>(body).expect("JSON");
    let (loads, asks): (Vec<_>, Vec<_>) = sent
        .map(|request| read(&request.body))
        .partition(|body| body["input"] == json!([]));
    let ask = asks.last().expect("a request");
    assert_eq!(ask["truncate"], false);
    assert!(ask.get("keep_alive").is_none(), "{ask}");
    assert_eq!(
        ask["options"],
        loads.last().expect("a load")["options"],
        "one tuple"
    );
}

#[tokio::test]
async fn lm_studio_gets_one_embedding_at_a_time() {
    let kinds = Kinds::start().await;
    let text = "words of some length ".repeat(50);
    let input = json!({ "input": [text, text] });
    let asked = (0..6).map(|_| kinds.embed(LM_STUDIO, &input));
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
}

#[tokio::test]
async fn wrong_bodies_are_named_in_words() {
    let kinds = Kinds::start().await;
    for (input, code, param) in [
        (json!({}), "missing_field", "input"),
        (json!({ "input": "" }), "unsupported_value", "input"),
        (json!({ "input": [] }), "unsupported_value", "input"),
        (
            json!({ "input": ["a", ""] }),
            "unsupported_value",
            "input[1]",
        ),
        (json!({ "input": ["a", 7] }), "invalid_type", "input[1]"),
        (json!({ "input": { "text": "a" } }), "invalid_type", "input"),
        (
            json!({ "input": "a", "encoding_format": "int8" }),
            "unsupported_value",
            "encoding_format",
        ),
        (
            json!({ "input": "a", "dimensions": 0 }),
            "unsupported_value",
            "dimensions",
        ),
        (
            json!({ "input": "a", "dimensions": "8" }),
            "invalid_type",
            "dimensions",
        ),
        (
            json!({ "input": "a", "stream": "yes" }),
            "invalid_type",
            "stream",
        ),
    ] {
        for model in [LM_STUDIO, OLLAMA, LLAMA_CPP, OPENAI] {
            let answer = kinds.embed(model, &input).await;
            assert_eq!(
                (answer.status, answer.code()),
                (400, code),
                "{model} {input}"
            );
            assert_eq!(answer.json["error"]["param"], param, "{model} {input}");
        }
    }
    // Some clients send it with every request.
    let answer = kinds
        .embed(OLLAMA, &json!({ "input": "a", "stream": true }))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(
        answer
            .header("content-type")
            .starts_with("application/json")
    );
}

#[tokio::test]
async fn a_chat_model_stays_and_the_other_pool_embeds() {
    // 3 GB fit beside nothing: the GPU has 4.
    let mut studio = Options::lmstudio(&["qwen=3GB", "shared-embed=3GB:embedding"]);
    studio.load_time = std::time::Duration::from_millis(50);
    let lmstudio = start(studio).await;
    let ollama = start(Options::ollama(&["shared-embed=1GB:embedding"])).await;
    let crucible = Crucible::start(&format!(
        "[pool.gpu]\nbudget = \"4GB\"\n{}{}",
        engine("studio", "lmstudio", &lmstudio.url()),
        engine("ollama", "ollama", &ollama.url()),
    ));
    let answer = post(&crucible, &body("qwen", "repeat 1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let ask = async |model: &str| {
        let body = json!({ "model": model, "input": "text" });
        let request = client().post(crucible.at("/v1/embeddings")).json(&body);
        whole(request.send().await.expect("an answer")).await
    };
    let answer = ask("shared-embed").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("x-crucible-engine"), "ollama");
    let answer = ask("studio/shared-embed").await;
    assert_eq!(
        (answer.status, answer.code()),
        (503, "load_failed"),
        "{}",
        answer.text
    );
    for part in ["pool 'gpu'", "'qwen'", "no embedding model takes the place"] {
        assert!(answer.message().contains(part), "{}", answer.text);
    }
    assert!(!answer.header("retry-after").is_empty());
    assert!(lmstudio.log().unloads.is_empty(), "the chat model stays");
}
