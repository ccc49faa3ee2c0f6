//! What clients ask about thinking, of models that cannot, that can, and that know levels of it.

use crucible_tests::chat::{post, stream};
use serde_json::{Value, json};

use super::{Four, model, user};

/// Requests that want it, those that do not, and those that say nothing that is known.
fn words() -> (Vec<Value>, Vec<Value>, Vec<Value>) {
    let on = vec![
        json!({ "reasoning_effort": "minimal" }),
        json!({ "reasoning_effort": "low" }),
        json!({ "reasoning_effort": "medium" }),
        json!({ "reasoning_effort": "high" }),
        json!({ "reasoning_effort": "xhigh" }),
        json!({ "reasoning": { "effort": "low" } }),
        json!({ "reasoning": { "enabled": true } }),
        json!({ "reasoning": { "max_tokens": 1000 } }),
        json!({ "think": true }),
        json!({ "think": "low" }),
        json!({ "enable_thinking": true }),
        json!({ "chat_template_kwargs": { "enable_thinking": true } }),
        json!({ "thinking": { "type": "enabled", "budget_tokens": 1024 } }),
    ];
    let off = vec![
        json!({ "reasoning_effort": "none" }),
        json!({ "reasoning": { "effort": "none" } }),
        json!({ "reasoning": { "enabled": false } }),
        json!({ "reasoning": { "enabled": false, "effort": "high" } }),
        json!({ "reasoning": { "max_tokens": 0 } }),
        json!({ "think": false }),
        json!({ "think": false, "reasoning_effort": "high" }),
        json!({ "enable_thinking": false }),
        json!({ "chat_template_kwargs": { "enable_thinking": false } }),
        json!({ "chat_template_kwargs": { "thinking": false } }),
        json!({ "thinking": { "type": "disabled" } }),
        json!({ "thinking_budget": 0 }),
    ];
    let unknown = vec![
        json!({ "reasoning_effort": "hot" }),
        json!({ "reasoning_effort": 3 }),
        json!({ "reasoning_effort": ["low"] }),
        json!({ "reasoning": { "effort": {} } }),
        json!({ "reasoning": 7 }),
        json!({ "think": "perhaps" }),
        json!({ "think": 1 }),
        json!({ "thinking": { "type": "sometimes" } }),
    ];
    (on, off, unknown)
}

fn with(model: &str, fields: &Value) -> Value {
    let mut body = json!({ "model": model, "messages": [user()] });
    for (name, value) in fields.as_object().expect("fields") {
        body[name] = value.clone();
    }
    body
}

/// The level of thinking that fields ask for.
fn level(fields: &Value) -> Option<&'static str> {
    let text = fields.to_string();
    let levels = [
        ("minimal", "low"),
        ("xhigh", "max"),
        ("low", "low"),
        ("medium", "medium"),
    ];
    let mut all = levels.into_iter().chain([("\"high", "high")]);
    all.find(|(word, _)| text.contains(word))
        .map(|(_, level)| level)
}

#[tokio::test]
async fn ollama_is_asked_to_think_only_as_its_model_can() {
    let four = Four::start().await;
    let (on, off, unknown) = words();
    // The model, and what it is sent for on, for a level, for off and for what is unknown.
    let plain = model("ollama");
    for name in [&*plain, "thinker-think", "gpt-oss"] {
        let can = name != plain;
        for (fields, kind) in on
            .iter()
            .map(|f| (f, "on"))
            .chain(off.iter().map(|f| (f, "off")))
            .chain(unknown.iter().map(|f| (f, "unknown")))
        {
            let what = format!("{name} {fields}");
            let answer = post(&four.crucible, &with(name, fields)).await;
            assert_eq!(answer.status, 200, "{what}: {}", answer.text);
            let (headers, streamed) = stream(&four.crucible, &with(name, fields)).await;
            assert!(streamed.done, "{what}: {}", streamed.text);
            let think = four.sent("ollama")["think"].clone();
            let note = answer.header("x-crucible-note");
            assert_eq!(
                crucible_tests::chat::header(&headers, "x-crucible-note"),
                note
            );
            let level = level(fields).filter(|_| kind == "on");
            let (wanted, says) = match (kind, can, level) {
                ("unknown", ..) => (json!(null), "nothing that is known"),
                ("off", false, _) => (json!(null), ""),
                ("off", true, _) => (json!(false), ""),
                (_, false, _) => (json!(null), "cannot think"),
                (_, true, Some(level)) if name == "gpt-oss" => (json!(level), ""),
                (_, true, Some(_)) => (json!(true), "no levels"),
                (_, true, None) => (json!(true), ""),
            };
            assert_eq!(think, wanted, "{what}");
            assert!(
                note.contains(says) && note.is_empty() == says.is_empty(),
                "{what}: {note}"
            );
            let thought = !answer.json["choices"][0]["message"]["reasoning_content"].is_null();
            assert_eq!(thought, can && kind != "off", "{what}: {}", answer.text);
            assert_eq!(
                thought,
                !streamed.reasoning().is_empty(),
                "{what}: {}",
                streamed.text
            );
        }
    }
}

#[tokio::test]
async fn thoughts_that_are_not_wanted_are_not_told() {
    let four = Four::start().await;
    for fields in [
        json!({ "reasoning": { "exclude": true } }),
        json!({ "reasoning": { "effort": "low", "exclude": true } }),
        json!({ "include_reasoning": false }),
    ] {
        let body = with("thinker-think", &fields);
        let answer = post(&four.crucible, &body).await;
        assert_eq!(answer.status, 200, "{fields}: {}", answer.text);
        assert!(answer.text.contains("word2"), "{fields}: {}", answer.text);
        assert!(!answer.text.contains("think1"), "{fields}: {}", answer.text);
        let (_, streamed) = stream(&four.crucible, &body).await;
        assert!(streamed.done, "{fields}: {}", streamed.text);
        assert!(
            streamed.content().contains("word2"),
            "{fields}: {}",
            streamed.text
        );
        assert!(
            !streamed.text.contains("think1"),
            "{fields}: {}",
            streamed.text
        );
    }
}

#[tokio::test]
async fn llama_cpp_gets_the_off_switch_that_it_reads_and_others_what_was_sent() {
    let four = Four::start().await;
    let (on, off, unknown) = words();
    for fields in &off {
        four.served("llamacpp", &with(&model("llamacpp"), fields))
            .await;
        let sent = four.sent("llamacpp");
        let kwargs = &sent["chat_template_kwargs"]["enable_thinking"];
        let own = sent["reasoning_effort"] == "none";
        assert!(own || *kwargs == false, "{fields}: {sent}");
    }
    for kind in ["lmstudio", "openai", "llamacpp"] {
        let off = if kind == "llamacpp" { &vec![] } else { &off };
        for fields in on.iter().chain(off).chain(&unknown) {
            let note = four.served(kind, &with(&model(kind), fields)).await;
            let sent = four.sent(kind);
            for (name, value) in fields.as_object().expect("fields") {
                assert_eq!(sent[name], *value, "{kind} {fields}: {note}");
            }
        }
    }
}
