//! OpenAI's responses through the real binary, on every kind of engine.

mod refusals;

use crucible_sim::{Fault, FaultKind, Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{Whole, header, whole},
    engines::{asked, client, engine, start},
};
use http::Method;
use serde_json::{Value, json};

const PATH: &str = "/v1/responses";

/// The engines by their kinds, each with the model of the same name.
const KINDS: [&str; 4] = ["lmstudio", "ollama", "llamacpp", "openai"];

/// Crucible in front of one engine of each kind.
pub(crate) struct EveryKind {
    engines: Vec<Sim>,
    pub(crate) crucible: Crucible,
}

impl EveryKind {
    pub(crate) async fn start(toml: &str) -> Self {
        let mut engines = Vec::new();
        let mut config = toml.to_owned();
        for kind in KINDS {
            let model = format!("{kind}-think-vision=1GB");
            let options = match kind {
                "lmstudio" => Options::lmstudio(&[&model]),
                "ollama" => Options::ollama(&[&model]),
                _ => Options::openai(&[&model]),
            };
            let sim = start(options).await;
            config.push('\n');
            config.push_str(&engine(kind, kind, &sim.url()));
            engines.push(sim);
        }
        let crucible = Crucible::start(&config);
        Self { engines, crucible }
    }

    fn engine(&self, kind: &str) -> &Sim {
        let at = KINDS.iter().position(|known| *known == kind);
        &self.engines[at.expect("a known kind")]
    }
}

fn model(kind: &str) -> String {
    format!("{kind}-think-vision")
}

fn request(kind: &str, input: impl Into<Value>) -> Value {
    json!({"model": model(kind), "input": input.into()})
}

async fn send(crucible: &Crucible, body: &Value, originator: Option<&str>) -> reqwest::Response {
    let mut request = client().post(crucible.at(PATH)).json(body);
    if let Some(originator) = originator {
        request = request.header("originator", originator);
    }
    request.send().await.expect("an answer")
}

async fn post(crucible: &Crucible, body: &Value) -> Whole {
    whole(send(crucible, body, None).await).await
}

/// A finished stream: its events, and the text as it came.
struct Events {
    all: Vec<Value>,
    text: String,
    comments: usize,
}

impl Events {
    fn last(&self) -> &Value {
        self.all.last().expect("an event")
    }

    fn response(&self) -> &Value {
        &self.last()["response"]
    }

    fn joined(&self, kind: &str) -> String {
        let deltas = self.all.iter().filter(|event| event["type"] == kind);
        deltas.filter_map(|event| event["delta"].as_str()).collect()
    }
}

async fn stream(crucible: &Crucible, body: &Value, originator: Option<&str>) -> Events {
    let mut body = body.clone();
    body["stream"] = true.into();
    let response = send(crucible, &body, originator).await;
    let status = response.status();
    assert_eq!(
        header(response.headers(), "content-type"),
        "text/event-stream",
        "{status}"
    );
    let text = response.text().await.expect("a whole body");
    let mut events = Events {
        all: Vec::new(),
        comments: 0,
        text,
    };
    for event in events.text.split_terminator("\n\n") {
        if event.starts_with(':') || event.starts_with("event: keepalive\n") {
            events.comments += 1;
            continue;
        }
        let (name, data) = event.split_once("\ndata: ").expect("a name and data");
        let data: Value = serde_json::from_str(data).expect("JSON");
        assert_eq!(name.strip_prefix("event: "), data["type"].as_str());
        assert_eq!(data["sequence_number"], events.all.len());
        events.all.push(data);
    }
    events
}

/// The text of the messages in an output.
fn text(output: &Value) -> String {
    let items = output.as_array().expect("items");
    let messages = items.iter().filter(|item| item["type"] == "message");
    messages
        .filter_map(|item| item["content"][0]["text"].as_str())
        .collect()
}

#[tokio::test]
async fn every_kind_of_engine_answers_whole_and_streamed() {
    let every = EveryKind::start("").await;
    for kind in KINDS {
        let mut body = request(kind, "repeat 3");
        body["instructions"] = "be brief".into();
        let answer = post(&every.crucible, &body).await;
        assert_eq!(answer.status, 200, "{kind}: {}", answer.text);
        assert_eq!(answer.header("x-crucible-engine"), kind);
        let response = &answer.json;
        assert_eq!(response["object"], "response");
        assert_eq!(response["status"], "completed");
        assert_eq!(response["model"], model(kind));
        assert_eq!(text(&response["output"]), "word0 word1 word2", "{kind}");
        assert_eq!(
            response["usage"]["total_tokens"],
            response["usage"]["input_tokens"].as_u64().expect("a count")
                + response["usage"]["output_tokens"]
                    .as_u64()
                    .expect("a count")
        );
        let streamed = stream(&every.crucible, &body, None).await;
        assert_eq!(streamed.all[0]["type"], "response.created");
        assert_eq!(
            streamed.last()["type"],
            "response.completed",
            "{}",
            streamed.text
        );
        assert_eq!(
            streamed.joined("response.output_text.delta"),
            "word0 word1 word2"
        );
        assert_eq!(text(&streamed.response()["output"]), "word0 word1 word2");
        assert_eq!(
            streamed.response()["usage"]["output_tokens"],
            response["usage"]["output_tokens"],
            "{kind}"
        );
        let asked = asked(&every.engine(kind).log());
        for body in &asked {
            assert_eq!(
                body["messages"][0],
                json!({"role": "system", "content": "be brief"})
            );
            assert_eq!(body["messages"][1]["content"], "repeat 3");
        }
        assert_eq!(asked.len(), 2, "{kind}");
    }
}

#[tokio::test]
async fn thoughts_come_as_the_summary_of_a_reasoning_item_and_go_back() {
    let every = EveryKind::start("").await;
    for kind in KINDS {
        let mut body = request(kind, "repeat 1");
        body["reasoning"] = json!({"effort": "high", "summary": "auto"});
        let answer = post(&every.crucible, &body).await;
        let output = &answer.json["output"];
        if output[0]["type"] != "reasoning" {
            // The simulator of this kind thinks only where it is told so in its own words.
            assert_eq!(text(output), "word0", "{kind}: {output}");
            continue;
        }
        let thoughts = output[0]["summary"][0]["text"].as_str().expect("a text");
        let streamed = stream(&every.crucible, &body, None).await;
        assert_eq!(
            streamed.joined("response.reasoning_summary_text.delta"),
            thoughts
        );
        let mut input = vec![json!({"role": "user", "content": "repeat 1"})];
        input.extend(output.as_array().expect("items").iter().cloned());
        input.push(json!({"role": "user", "content": "repeat 2"}));
        let again = post(&every.crucible, &request(kind, input)).await;
        assert_eq!(
            text(&again.json["output"]),
            "word0 word1",
            "{kind}: {}",
            again.text
        );
        let asked = asked(&every.engine(kind).log());
        let turn = &asked.last().expect("a request")["messages"][1];
        let sent = turn
            .get("thinking")
            .or_else(|| turn.get("reasoning_content"));
        assert_eq!(
            sent.and_then(Value::as_str),
            Some(thoughts),
            "{kind}: {turn}"
        );
    }
}

/// The calls of one turn of the loop: two in parallel, one of a namespace; then one without a schema.
fn are_the_calls_of_turn(turn: usize, calls: &[&Value], kind: &str) {
    if turn == 1 {
        assert_eq!(calls.len(), 1, "{kind}: {calls:?}");
        assert_eq!(calls[0]["type"], "custom_tool_call");
        assert_eq!(calls[0]["input"], "call tool patch", "{kind}");
        return;
    }
    assert_eq!(calls.len(), 2, "{kind}: {calls:?}");
    assert_eq!(
        (&calls[0]["name"], calls[0].get("namespace")),
        (&json!("list"), None)
    );
    assert_eq!(
        (&calls[1]["name"], &calls[1]["namespace"]),
        (&json!("read"), &json!("files"))
    );
    let arguments = calls[0]["arguments"].as_str().expect("a text");
    assert!(
        serde_json::from_str::<Value>(arguments)
            .expect("JSON")
            .is_object()
    );
}

/// What an engine got for a turn is the beginning of what it got for the next.
fn each_turn_begins_like_the_one_before(asked: &[Value], kind: &str) {
    assert_eq!(asked.len(), 3, "{kind}");
    for pair in asked.windows(2) {
        let messages = |body: &Value| body["messages"].as_array().expect("messages").clone();
        assert!(
            messages(&pair[1]).starts_with(&messages(&pair[0])),
            "{kind}"
        );
        assert_eq!(pair[0]["tools"], pair[1]["tools"], "{kind}");
    }
    assert_eq!(asked[0]["tools"].as_array().expect("tools").len(), 3);
}

#[tokio::test]
async fn a_loop_of_three_turns_with_parallel_calls_and_namespaces() {
    let every = EveryKind::start("").await;
    let tools = json!([
        {"type": "function", "name": "list", "parameters": {"type": "object", "properties": {"echo": {"type": "string"}}}},
        {"type": "namespace", "name": "files", "tools": [{"type": "function", "name": "read", "parameters": {"type": "object"}}]},
        {"type": "custom", "name": "patch"},
        {"type": "web_search"},
    ]);
    for kind in KINDS {
        let mut input = vec![json!({"role": "user", "content": "call tools list files__read"})];
        let ask = async |input: &Vec<Value>| {
            let mut body = request(kind, input.clone());
            body["tools"] = tools.clone();
            let events = stream(&every.crucible, &body, None).await;
            assert_eq!(
                events.last()["type"],
                "response.completed",
                "{kind}: {}",
                events.text
            );
            let output = &events.response()["output"];
            output.as_array().expect("items").clone()
        };
        for (turn, next) in ["call tool patch", "repeat 2", ""].into_iter().enumerate() {
            let output = ask(&input).await;
            input.extend(output.iter().cloned());
            for item in &output {
                let answers = match item["type"].as_str() {
                    Some("function_call") => "function_call_output",
                    Some("custom_tool_call") => "custom_tool_call_output",
                    _ => continue,
                };
                input.push(json!({"type": answers, "call_id": item["call_id"], "output": "done"}));
            }
            if turn < 2 {
                let calls = output.iter().filter(|item| item.get("call_id").is_some());
                are_the_calls_of_turn(turn, &calls.collect::<Vec<_>>(), kind);
            } else {
                assert_eq!(text(&Value::from(output)), "word0 word1", "{kind}");
            }
            input.push(json!({"role": "user", "content": next}));
        }
        each_turn_begins_like_the_one_before(&asked(&every.engine(kind).log()), kind);
    }
}

#[tokio::test]
async fn a_schema_is_kept_and_a_limit_is_told() {
    let every = EveryKind::start("").await;
    let schema =
        json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]});
    for kind in KINDS {
        let mut body = request(kind, "hi");
        body["text"] = json!({"format": {"type": "json_schema", "name": "n", "strict": true, "schema": schema}});
        let answer = post(&every.crucible, &body).await;
        let said: Value = serde_json::from_str(&text(&answer.json["output"])).expect("JSON");
        assert!(said["a"].is_i64(), "{kind}: {said}");
        assert_eq!(answer.json["text"]["format"], body["text"]["format"]);
        let mut body = request(kind, "repeat 9");
        body["max_output_tokens"] = 2.into();
        let answer = post(&every.crucible, &body).await;
        assert_eq!(
            answer.json["status"], "incomplete",
            "{kind}: {}",
            answer.text
        );
        assert_eq!(
            answer.json["incomplete_details"]["reason"],
            "max_output_tokens"
        );
        let spec = stream(&every.crucible, &body, None).await;
        assert_eq!(spec.last()["type"], "response.incomplete", "{kind}");
        let codex = stream(&every.crucible, &body, Some("codex_exec")).await;
        assert_eq!(codex.last()["type"], "response.completed", "{kind}");
        assert_eq!(codex.response()["status"], "incomplete", "{kind}");
    }
}

#[tokio::test]
async fn an_image_reaches_the_engine_from_the_user_and_from_a_tool() {
    const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    let every = EveryKind::start("").await;
    let image = json!({"type": "input_image", "image_url": format!("data:image/png;base64,{PNG}"), "detail": "high"});
    for kind in KINDS {
        let body = request(
            kind,
            json!([
                {"role": "user", "content": [{"type": "input_text", "text": "see"}, image]},
                {"type": "function_call", "call_id": "c", "name": "view_image", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": [image]},
                {"role": "user", "content": "repeat 2"},
            ]),
        );
        let answer = post(&every.crucible, &body).await;
        assert_eq!(
            text(&answer.json["output"]),
            "word0 word1",
            "{kind}: {}",
            answer.text
        );
        let asked = asked(&every.engine(kind).log());
        for at in [0, 2] {
            let message = asked[0]["messages"][at].to_string();
            assert!(message.contains(PNG), "{kind}: {message}");
        }
    }
}
