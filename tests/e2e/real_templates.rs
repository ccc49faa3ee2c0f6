//! Tool calls and thinking of a real Ollama (`TEST_OLLAMA_URL`, `TEST_OLLAMA_MODEL`).
//!
//! A small model does both where its template shows it two worked examples before the conversation.
//! The tests make such models over the weights of the given one, and delete them afterwards.

use std::panic::AssertUnwindSafe;

use crucible_tests::{
    Crucible,
    chat::{Whole, post, stream},
    engines::{client, engine},
    rest::ready,
    sse::Stream,
    target::Target,
};
use futures_util::FutureExt as _;
use serde_json::{Value, json};

const CALLS: &str = "crucible-test-calls:latest";
/// Ollama looks for the form of a call where the template writes `.ToolCalls`; without it the call
/// stays text.
const CALLING: &str = r#"{{- if .Tools }}<|im_start|>system
You call functions. You have: {{ range .Tools }}{{ .Function }} {{ end }}<|im_end|>
<|im_start|>user
What is the weather in Rome?<|im_end|>
<|im_start|>assistant
<tool_call>{"name": "get_weather", "arguments": {"city": "Rome"}}</tool_call><|im_end|>
<|im_start|>user
What is the weather in Oslo?<|im_end|>
<|im_start|>assistant
<tool_call>{"name": "get_weather", "arguments": {"city": "Oslo"}}</tool_call><|im_end|>
{{ end }}
{{- range .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}{{ if .ToolCalls }}{{ range .ToolCalls }}<tool_call>{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}</tool_call>{{ end }}{{ end }}<|im_end|>
{{ end }}<|im_start|>assistant
"#;

const THOUGHTS: &str = "crucible-test-thoughts:latest";
const THINKING: &str = r"<|im_start|>user
What is 2+2?<|im_end|>
<|im_start|>assistant
<think>The user asks for a sum. Two and two are four.</think>It is 4.<|im_end|>
<|im_start|>user
What is the capital of France?<|im_end|>
<|im_start|>assistant
<think>The user asks for a city. France has Paris.</think>It is Paris.<|im_end|>
{{ range .Messages }}<|im_start|>{{ .Role }}
{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
";

/// Runs a test with a model of that template in a Crucible; the model is deleted however it ends.
async fn with_template(name: &str, template: &str, test: impl AsyncFnOnce(&Crucible)) {
    let Some(target) = Target::real_ollama().await else {
        return;
    };
    let url = target.url.as_deref().expect("a URL");
    let ask = async |path: &str, body: Value| {
        let send = client().post(format!("{url}{path}")).json(&body).send();
        let answer = send.await.expect("Ollama answers");
        assert!(answer.status().is_success(), "{:?}", answer.text().await);
    };
    let create = json!({
        "model": name, "from": target.model, "template": template, "stream": false,
        "parameters": { "stop": ["<|im_start|>", "<|im_end|>"] },
    });
    ask("/api/create", create).await;
    let ended = AssertUnwindSafe(async {
        let own = engine("ollama", "ollama", url);
        let crucible = Crucible::start(&format!(
            "{own}device = \"cpu\"\npermits = 1\n\
             [[model]]\nname = \"{name}\"\ncontext = 2048\n"
        ));
        ready(&crucible).await;
        test(&crucible).await;
    })
    .catch_unwind()
    .await;
    ask("/api/generate", json!({ "model": name, "keep_alive": 0 })).await;
    let delete = client()
        .delete(format!("{url}/api/delete"))
        .json(&json!({ "model": name }))
        .send();
    let status = delete.await.expect("Ollama answers").status();
    assert!(status.is_success(), "{status}");
    if let Err(panic) = ended {
        std::panic::resume_unwind(panic);
    }
}

/// The same each time.
fn request(model: &str, text: &str) -> Value {
    json!({
        "model": model, "messages": [{ "role": "user", "content": text }],
        "temperature": 0, "frequency_penalty": 0, "presence_penalty": 0, "seed": 7, "max_tokens": 64,
    })
}

fn weather() -> Value {
    let mut request = request(CALLS, "What is the weather in Paris?");
    request["tools"] = json!([{ "type": "function", "function": {
        "name": "get_weather", "description": "Tells the weather of a city",
        "parameters": { "type": "object", "required": ["city"],
            "properties": { "city": { "type": "string", "description": "its name" } } },
    } }]);
    request
}

/// A call with an id and whole arguments.
fn check_call(call: &Value) {
    assert_eq!(call["type"], "function", "{call}");
    assert_eq!(call["function"]["name"], "get_weather", "{call}");
    assert!(
        call["id"].as_str().is_some_and(|id| !id.is_empty()),
        "{call}"
    );
    let arguments = call["function"]["arguments"].as_str();
    let arguments = arguments.unwrap_or_else(|| panic!("a text: {call}"));
    let arguments: Value = serde_json::from_str(arguments).expect("JSON");
    let city = arguments["city"].as_str();
    assert!(city.is_some_and(|city| !city.is_empty()), "{call}");
}

/// The one call of a stream, whose only delta has all of it.
fn streamed_call(streamed: &Stream) -> &Value {
    assert!(streamed.done && !streamed.broken, "{}", streamed.text);
    assert_eq!(
        streamed.finish_reason(),
        Some("tool_calls"),
        "{}",
        streamed.text
    );
    assert_eq!(streamed.content(), "", "{}", streamed.text);
    let deltas = streamed
        .events
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["tool_calls"].as_array());
    let deltas: Vec<&Value> = deltas.flatten().collect();
    let [delta] = deltas[..] else {
        panic!("{}", streamed.text);
    };
    assert_eq!(delta["index"], 0, "{}", streamed.text);
    check_call(delta);
    delta
}

/// Thoughts are streamed apart from what is said, and before it.
fn check_thoughts(streamed: &Stream, whole: &Whole) {
    let thought = message(whole)["reasoning_content"].as_str();
    assert!(streamed.done && !streamed.broken, "{}", streamed.text);
    assert_eq!(Some(&*streamed.reasoning()), thought, "{}", streamed.text);
    assert_eq!(streamed.content(), whole.content(), "{}", streamed.text);
    assert!(!streamed.text.contains("think>"), "{}", streamed.text);
    let has = |key: &'static str| {
        move |event: &Value| {
            let text = event["choices"][0]["delta"][key].as_str();
            text.is_some_and(|text| !text.is_empty())
        }
    };
    let mut events = streamed.events.iter();
    assert!(
        events.clone().rposition(has("reasoning_content")) < events.position(has("content")),
        "thoughts come first: {}",
        streamed.text
    );
}

fn message(answer: &Whole) -> &Value {
    assert_eq!(answer.status, 200, "{}", answer.text);
    &answer.json["choices"][0]["message"]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_model_calls_a_tool_and_takes_its_result() {
    with_template(CALLS, CALLING, async |crucible| {
        let request = weather();
        let whole = post(crucible, &request).await;
        let said = message(&whole).clone();
        let calls = said["tool_calls"].as_array().expect("calls");
        assert_eq!(calls.len(), 1, "{}", whole.text);
        check_call(&calls[0]);
        assert_eq!(whole.content(), "", "no text is left over: {}", whole.text);
        let reason = &whole.json["choices"][0]["finish_reason"];
        assert_eq!(reason, "tool_calls", "{}", whole.text);

        let (_, streamed) = stream(crucible, &request).await;
        assert_eq!(streamed_call(&streamed)["function"], calls[0]["function"]);

        let mut next = request.clone();
        let turns = next["messages"].as_array_mut().expect("messages");
        turns.push(said.clone());
        turns.push(json!({
            "role": "tool", "tool_call_id": calls[0]["id"], "content": "Sunny, 24 degrees.",
        }));
        next["tool_choice"] = "none".into();
        let answer = post(crucible, &next).await;
        let last = message(&answer);
        assert!(last["tool_calls"].is_null(), "{}", answer.text);
        let (_, streamed) = stream(crucible, &next).await;
        assert!(
            streamed.done && streamed.error().is_none(),
            "{}",
            streamed.text
        );
        assert_eq!(streamed.content(), answer.content());
        let read = |answer: &Whole| answer.json["usage"]["prompt_tokens"].as_u64();
        // The call and its result were written into the prompt: the same without them is shorter.
        next["messages"] = json!([next["messages"][0]]);
        let without = post(crucible, &next).await;
        assert!(
            read(&answer) > read(&without).map(|tokens| tokens + 10),
            "{} {}",
            answer.text,
            without.text
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_model_thinks_apart_from_what_it_says() {
    with_template(THOUGHTS, THINKING, async |crucible| {
        let request = request(THOUGHTS, "What is the capital of Italy?");
        let whole = post(crucible, &request).await;
        let said = message(&whole).clone();
        let thought = said["reasoning_content"].as_str().unwrap_or_default();
        assert!(!thought.is_empty(), "{}", whole.text);
        assert!(!whole.content().is_empty(), "{}", whole.text);
        assert!(!whole.text.contains("think>"), "{}", whole.text);

        let (_, streamed) = stream(crucible, &request).await;
        check_thoughts(&streamed, &whole);

        let mut off = request.clone();
        off["reasoning_effort"] = "none".into();
        let off = post(crucible, &off).await;
        let said_off = message(&off);
        assert!(said_off["reasoning_content"].is_null(), "{}", off.text);

        // A later turn brings the thoughts back.
        let mut next = request.clone();
        let turns = next["messages"].as_array_mut().expect("messages");
        turns.push(said.clone());
        turns.push(json!({ "role": "user", "content": "And of Spain?" }));
        let answer = post(crucible, &next).await;
        message(&answer);
        next["messages"][1]
            .as_object_mut()
            .expect("a message")
            .remove("reasoning_content");
        let without = post(crucible, &next).await;
        let read = |answer: &Whole| answer.json["usage"]["prompt_tokens"].as_u64();
        assert!(
            read(&answer) > read(&without),
            "{} {}",
            answer.text,
            without.text
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_model_thinks_where_it_can_and_is_not_told_otherwise() {
    with_template(THOUGHTS, THINKING, async |crucible| {
        let plain = std::env::var("TEST_OLLAMA_MODEL").expect("the target has one");
        let ask = async |model: &str, fields: &Value| {
            let mut request = request(model, "What is the capital of Italy?");
            for (name, value) in fields.as_object().expect("fields") {
                request[name] = value.clone();
            }
            let answer = post(crucible, &request).await;
            assert_eq!(answer.status, 200, "{model} {fields}: {}", answer.text);
            let (_, streamed) = stream(crucible, &request).await;
            let whole = message(&answer)["reasoning_content"]
                .as_str()
                .unwrap_or_default();
            assert!(streamed.done, "{model} {fields}: {}", streamed.text);
            assert_eq!(streamed.reasoning(), whole, "{model} {fields}");
            let note = answer.header("x-crucible-note").to_owned();
            (whole.to_owned(), note)
        };
        for (fields, thinks, of_plain) in [
            (json!({}), true, ""),
            (
                json!({ "reasoning_effort": "minimal" }),
                true,
                "cannot think",
            ),
            (json!({ "reasoning_effort": "high" }), true, "cannot think"),
            (
                json!({ "reasoning": { "effort": "xhigh" } }),
                true,
                "cannot think",
            ),
            (
                json!({ "reasoning": { "enabled": true } }),
                true,
                "cannot think",
            ),
            (json!({ "think": true }), true, "cannot think"),
            (json!({ "think": "low" }), true, "cannot think"),
            (
                json!({ "reasoning_effort": "hot" }),
                true,
                "nothing that is known",
            ),
            (
                json!({ "reasoning_effort": 7 }),
                true,
                "nothing that is known",
            ),
            (json!({ "reasoning_effort": "none" }), false, ""),
            (json!({ "reasoning": { "enabled": false } }), false, ""),
            (json!({ "think": false }), false, ""),
            (json!({ "enable_thinking": false }), false, ""),
            (
                json!({ "chat_template_kwargs": { "enable_thinking": false } }),
                false,
                "",
            ),
            (json!({ "thinking": { "type": "disabled" } }), false, ""),
            (json!({ "reasoning": { "exclude": true } }), false, ""),
        ] {
            let (thought, note) = ask(THOUGHTS, &fields).await;
            assert_eq!(!thought.is_empty(), thinks, "{fields}: {thought} {note}");
            let (thought, note) = ask(&plain, &fields).await;
            assert_eq!(thought, "", "{fields}");
            assert!(note.contains(of_plain), "{fields}: {note}");
        }
    })
    .await;
}
