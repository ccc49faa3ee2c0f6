//! Anthropic's messages through the real binary, in front of every kind of engine.

mod count_tokens;
mod refusals;
mod tools;

use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{Whole, whole},
    engines::{client, engine, start},
};
use serde_json::{Value, json};

/// Crucible in front of one simulated engine of each kind; the models are named after the kinds.
struct Kinds {
    sims: Vec<(&'static str, Sim)>,
    crucible: Crucible,
}

/// The kinds, as the configuration names them.
const KINDS: [&str; 4] = ["lmstudio", "ollama", "llamacpp", "openai"];

// === impl Kinds ===

impl Kinds {
    async fn start(toml: &str) -> Self {
        Self::with(toml, |_| {}).await
    }

    async fn with(toml: &str, change: impl Fn(&mut Options)) -> Self {
        let mut sims = Vec::new();
        let mut file = toml.to_owned();
        for kind in KINDS {
            let model = format!("{kind}-think-vision=1GB");
            let models = [&*model];
            let mut options = match kind {
                "lmstudio" => Options::lmstudio(&models),
                "ollama" => Options::ollama(&models),
                _ => Options::openai(&models),
            };
            options.parallel = 2;
            change(&mut options);
            let sim = start(options).await;
            // Each in memory of its own, so that none has to make room.
            file.push_str(&engine(kind, kind, &sim.url()));
            file = format!("{file}pool = \"{kind}\"\n");
            sims.push((kind, sim));
        }
        Self {
            sims,
            crucible: Crucible::start(&file),
        }
    }

    fn model(kind: &str) -> String {
        format!("{kind}-think-vision")
    }
}

fn ask(model: &str, text: &str) -> Value {
    json!({"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": text}]})
}

async fn send(crucible: &Crucible, path: &str, body: &Value) -> reqwest::Response {
    client()
        .post(crucible.at(path))
        .header("anthropic-version", "2023-06-01")
        .json(body)
        .send()
        .await
        .expect("an answer")
}

async fn post(crucible: &Crucible, body: &Value) -> Whole {
    whole(send(crucible, "/v1/messages?beta=true", body).await).await
}

/// A streamed message: its events, and what they add up to.
#[derive(Debug)]
struct Streamed {
    events: Vec<Value>,
    /// The content blocks; the input of a call is read from its pieces.
    blocks: Vec<Value>,
    text: String,
}

// === impl Streamed ===

impl Streamed {
    /// Reads a body in which every event has its name.
    fn read(text: String) -> Self {
        let mut events: Vec<Value> = Vec::new();
        for event in text.split_terminator("\n\n") {
            if event.starts_with(':') {
                continue;
            }
            let (name, data) = event.split_once('\n').expect("a name and data");
            let name = name.strip_prefix("event: ").expect("a name");
            let data = data.strip_prefix("data: ").expect("data");
            let data: Value = serde_json::from_str(data).expect("JSON");
            assert_eq!(data["type"], name, "{event}");
            events.push(data);
        }
        let mut blocks: Vec<Value> = Vec::new();
        for event in &events {
            let index = || usize::try_from(event["index"].as_u64().expect("an index")).unwrap_or(0);
            match event["type"].as_str() {
                Some("content_block_start") => {
                    assert_eq!(index(), blocks.len());
                    blocks.push(event["content_block"].clone());
                }
                Some("content_block_delta") => {
                    let block = &mut blocks[index()];
                    let delta = event["delta"].as_object().expect("a delta");
                    for (name, piece) in delta.iter().filter(|(name, _)| *name != "type") {
                        let so_far = block[name].as_str().unwrap_or_default();
                        let piece = piece.as_str().expect("text");
                        block[name] = format!("{so_far}{piece}").into();
                    }
                }
                _ => {}
            }
        }
        for block in &mut blocks {
            if let Some(json) = block["partial_json"].as_str() {
                block["input"] = serde_json::from_str(json).expect("arguments");
                block
                    .as_object_mut()
                    .expect("a block")
                    .shift_remove("partial_json");
            }
        }
        Self {
            events,
            blocks,
            text,
        }
    }

    fn event(&self, kind: &str) -> &Value {
        let found = self.events.iter().find(|event| event["type"] == kind);
        found.unwrap_or_else(|| panic!("no {kind}: {}", self.text))
    }
}

async fn stream(crucible: &Crucible, body: &Value) -> Streamed {
    let mut body = body.clone();
    body["stream"] = true.into();
    let response = send(crucible, "/v1/messages?beta=true", &body).await;
    let kind = response.headers()["content-type"].clone();
    assert_eq!(kind, "text/event-stream");
    Streamed::read(response.text().await.expect("a whole body"))
}

/// The requests that an engine was asked for an answer.
fn asked(sim: &Sim) -> Vec<Value> {
    crucible_tests::engines::asked(&sim.log())
}

/// A whole answer of three words.
fn is_whole(message: &Value, model: &str, kind: &str) {
    assert_eq!(message["type"], "message", "{message}");
    assert_eq!(message["role"], "assistant");
    assert_eq!(message["model"], model);
    assert!(
        message["id"]
            .as_str()
            .is_some_and(|id| id.starts_with("msg_"))
    );
    assert_eq!(message["stop_reason"], "end_turn");
    assert_eq!(message["stop_sequence"], Value::Null);
    assert!(
        message["usage"]["input_tokens"].as_u64() > Some(0),
        "{message}"
    );
    assert!(
        message["usage"]["output_tokens"].as_u64() >= Some(3),
        "{message}"
    );
    let last = message["content"]
        .as_array()
        .and_then(|blocks| blocks.last());
    assert_eq!(
        last.expect("a block")["text"],
        "word0 word1 word2",
        "{kind}"
    );
}

/// The same answer as a stream.
fn is_streamed_alike(streamed: &Streamed, message: &Value, model: &str, kind: &str) {
    let text = streamed.blocks.last().expect("a block");
    assert_eq!(
        text["text"], "word0 word1 word2",
        "{kind}: {}",
        streamed.text
    );
    assert_eq!(
        streamed.events[0]["type"], "message_start",
        "{}",
        streamed.text
    );
    assert_eq!(streamed.event("message_start")["message"]["model"], model);
    let end = streamed.event("message_delta");
    assert_eq!(end["delta"]["stop_reason"], "end_turn");
    assert_eq!(
        end["usage"]["output_tokens"],
        message["usage"]["output_tokens"]
    );
    assert_eq!(
        end["usage"]["input_tokens"],
        message["usage"]["input_tokens"]
    );
    assert!(
        streamed
            .text
            .ends_with("data: {\"type\":\"message_stop\"}\n\n")
    );
    assert_eq!(
        streamed.blocks.len(),
        message["content"].as_array().map_or(0, Vec::len)
    );
}

#[tokio::test]
async fn every_kind_of_engine_answers_whole_and_streamed() {
    let kinds = Kinds::start("").await;
    for (kind, _) in &kinds.sims {
        let model = Kinds::model(kind);
        let body = ask(&model, "repeat 3");
        let answer = post(&kinds.crucible, &body).await;
        assert_eq!(answer.status, 200, "{kind}: {}", answer.text);
        assert_eq!(answer.header("x-crucible-engine"), *kind);
        is_whole(&answer.json, &model, kind);
        let streamed = stream(&kinds.crucible, &body).await;
        is_streamed_alike(&streamed, &answer.json, &model, kind);
    }
}

#[tokio::test]
async fn thoughts_are_a_block_of_their_own_that_may_come_back() {
    let kinds = Kinds::start("").await;
    for (kind, sim) in &kinds.sims {
        let model = Kinds::model(kind);
        let streamed = stream(&kinds.crucible, &ask(&model, "repeat 1")).await;
        let thinking = &streamed.blocks[0];
        assert_eq!(thinking["type"], "thinking", "{kind}: {}", streamed.text);
        assert_eq!(thinking["thinking"], "think0 think1 think2 think3");
        assert_eq!(thinking["signature"], "crucible");
        let mut next = ask(&model, "repeat 1");
        let messages = next["messages"].as_array_mut().expect("a list");
        messages.push(json!({"role": "assistant", "content": streamed.blocks}));
        messages.push(json!({"role": "user", "content": "repeat 2"}));
        let answer = post(&kinds.crucible, &next).await;
        assert_eq!(answer.status, 200, "{kind}: {}", answer.text);
        let seen = asked(sim).pop().expect("a request");
        let said = &seen["messages"][1];
        let thoughts = said
            .get("reasoning_content")
            .or_else(|| said.get("thinking"));
        assert_eq!(thoughts, Some(&thinking["thinking"]), "{kind}: {seen}");
        assert_eq!(said["content"], "word0", "{kind}: {seen}");
    }
}

#[tokio::test]
async fn a_length_stop_and_a_schema_are_served() {
    let kinds = Kinds::start("").await;
    for (kind, _) in &kinds.sims {
        let mut body = ask(&Kinds::model(kind), "repeat 50");
        body["max_tokens"] = 2.into();
        let streamed = stream(&kinds.crucible, &body).await;
        let end = streamed.event("message_delta");
        assert_eq!(end["delta"]["stop_reason"], "max_tokens", "{kind}");
        let mut title = ask(&Kinds::model(kind), "a title");
        title["output_config"] = json!({"format": {"type": "json_schema", "schema": {
            "type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"], "additionalProperties": false}}});
        let answer = post(&kinds.crucible, &title).await;
        let text = answer.json["content"]
            .as_array()
            .and_then(|blocks| blocks.last())
            .expect("a block");
        let read: Value = serde_json::from_str(text["text"].as_str().expect("text")).expect("JSON");
        assert!(read["title"].is_string(), "{kind}: {}", answer.text);
    }
}

#[tokio::test]
async fn models_are_listed_as_anthropics_clients_read_them() {
    let kinds = Kinds::start("").await;
    let get = async |path: &str| {
        let response = client()
            .get(kinds.crucible.at(path))
            .header("anthropic-version", "2026-10-21")
            .send()
            .await;
        whole(response.expect("an answer")).await
    };
    let first = get("/v1/models?limit=2").await.json;
    assert_eq!(first["data"].as_array().map(Vec::len), Some(2), "{first}");
    assert_eq!(first["has_more"], true);
    let after = first["last_id"].as_str().expect("an id");
    let rest = get(&format!("/v1/models?after_id={after}")).await.json;
    assert_eq!(rest["has_more"], false);
    assert_ne!(rest["first_id"], first["first_id"]);
    let one = get("/v1/models/ollama-think-vision").await.json;
    assert_eq!(one["type"], "model", "{one}");
    assert_eq!(one["display_name"], "ollama-think-vision");
    // LM Studio's list tells it.
    let one = get("/v1/models/lmstudio-think-vision").await.json;
    let most = one["max_input_tokens"].as_u64();
    assert!(most.is_some_and(|most| most > 1000), "{one}");
    let none = get("/v1/models/nobody").await;
    assert_eq!(none.status, 404);
    assert_eq!(none.json["type"], "error", "{}", none.text);
    assert_eq!(none.json["error"]["type"], "not_found_error");
}
