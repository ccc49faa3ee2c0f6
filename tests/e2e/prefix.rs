//! What breaks the caches of engines: what is taken out of prompts, what is told of the rest, and how much
//! of each prompt was cached.

use crucible_documents::ExplainDoc;
use crucible_tests::{
    Crucible,
    chat::{Whole, get, post, stream, whole},
    engines::{Both, asked, client},
    rest::{eventually, logged, metric, state},
    scripted::Scripted,
};
use serde_json::{Value, json};

use super::answers::{openai, saying};

/// A fake llama.cpp that says of every prompt that it had so many of its 1000 tokens.
async fn caching(usage: &'static str) -> (Scripted, Crucible) {
    saying("llamacpp", move |streamed| {
        let hello = json!({ "role": "assistant", "content": "hello" });
        openai(streamed, &hello, usage)
    })
    .await
}

fn message(role: &str, content: &str) -> Value {
    json!({ "role": role, "content": content })
}

/// The messages of a turn of one conversation, whose system prompt has that text in it.
fn turn(number: usize, system: &str) -> Vec<Value> {
    let system = format!("{system} {}", "You help. ".repeat(100));
    let mut messages = vec![message("system", &system), message("user", "hi")];
    for _ in 1..number {
        messages.push(message("assistant", "hello"));
        messages.push(message("user", "go on"));
    }
    messages
}

#[tokio::test]
async fn cached_tokens_are_told_everywhere() {
    let usage = r#","usage":{"prompt_tokens":1000,"completion_tokens":1,"total_tokens":1001},"timings":{"cache_n":900,"prompt_n":100,"prompt_ms":100}"#;
    let (_fake, crucible) = caching(usage).await;
    let request = json!({ "model": "m", "messages": turn(1, "") });
    let answer = post(&crucible, &request).await;
    let details = &answer.json["usage"]["prompt_tokens_details"];
    assert_eq!(details["cached_tokens"], 900, "{}", answer.text);
    let mut streamed = request.clone();
    streamed["stream_options"] = json!({ "include_usage": true });
    let (_, streamed) = stream(&crucible, &streamed).await;
    let details = r#""prompt_tokens_details":{"cached_tokens":900}"#;
    assert!(streamed.text.contains(details), "{}", streamed.text);
    logged(&crucible, "prompt=1000 cached=900").await;
    let told = metric(
        &crucible,
        r#"crucible_tokens_total{engine="one",model="m",type="cached"}"#,
    );
    assert_eq!(told.await, 1800);
    let prompts = eventually("prompts", || async {
        let state = state(&crucible).await;
        let prompts = state.residents().next()?.prompts.clone();
        (prompts.len() == 2).then_some(prompts)
    });
    for prompt in prompts.await {
        assert_eq!((prompt.tokens, prompt.cached), (1000, Some(900)));
        assert!(!prompt.estimated);
    }
}

/// The findings of prompts that are read again on every turn.
async fn prompts_read_again(crucible: &Crucible) -> Vec<Value> {
    let report = get(crucible, "/crucible/tunings").await.json;
    let mut all = report["findings"].as_array().cloned().unwrap_or_default();
    all.retain(|finding| finding["fault"] == "prompt_read_again");
    all
}

#[tokio::test]
async fn a_prompt_that_is_read_again_on_every_turn_is_told_with_its_place() {
    let usage = r#","usage":{"prompt_tokens":1000,"completion_tokens":1},"timings":{"cache_n":12,"prompt_n":988}"#;
    let (_fake, crucible) = caching(usage).await;
    let ask = async |number: usize, system: &str, path: &str| -> Whole {
        let request = json!({ "model": "m", "messages": turn(number, system) });
        let send = client().post(crucible.at(path)).json(&request);
        let send = send.header("user-agent", "pi/1.0");
        whole(send.send().await.expect("an answer")).await
    };
    let findings = async || prompts_read_again(&crucible).await;
    for number in 1..=2 {
        let system = format!("It is 12:0{number}.");
        ask(number, &system, "/v1/chat/completions").await;
    }
    // Once is no habit.
    assert_eq!(findings().await, [] as [Value; 0]);
    ask(3, "It is 12:03.", "/v1/chat/completions").await;
    let differs = "turn 3: the system prompt differs within its first 256 bytes";
    let found = findings().await;
    assert_eq!(found.len(), 1, "{found:?}");
    let says = found[0]["found"].as_str().unwrap_or_default();
    assert!(
        says.contains(differs) && says.contains("12 of 1000 tokens"),
        "{says}"
    );
    assert!(says.starts_with("pi"), "{says}");
    let fix = found[0]["fix"].as_str().unwrap_or_default();
    assert!(fix.contains("system prompt of pi"), "{fix}");
    let state = state(&crucible).await;
    assert_eq!(state.prefixes.len(), 1);
    let told = &state.prefixes[0];
    assert_eq!(
        (&*told.differs, told.turns, told.reread_turns),
        (differs, 2, 2)
    );
    assert_eq!(
        (told.prompt_tokens, told.cached_tokens),
        (Some(1000), Some(12))
    );
    for (system, differs) in [
        ("It is 12:03.", None),
        (
            "It is 12:04.",
            Some("the system prompt differs within its first 256 bytes"),
        ),
    ] {
        let explained = ask(4, system, "/crucible/explain").await;
        let explained: ExplainDoc = serde_json::from_str(&explained.text).expect(&explained.text);
        let prefix = explained.prefix.expect("a known conversation");
        assert_eq!((prefix.turn, prefix.differs.as_deref()), (4, differs));
    }
    // No text of a prompt is kept.
    let all = get(&crucible, "/crucible/state").await.text;
    assert!(!all.contains("12:0") && !all.contains("You help"), "{all}");
}

#[tokio::test]
async fn what_spoils_caches_is_taken_out_on_every_engine_and_said() {
    let both = Both::with("", |_| {}, |_| {}).await;
    let mark = json!({ "type": "ephemeral" });
    for (model, sim) in [("qwen", &both.lmstudio), ("llama3.2:3b", &both.ollama)] {
        let request = json!({ "model": model, "messages": [
            { "role": "system", "content": [
                { "type": "text", "text": "x-anthropic-billing-header: cch=1;" },
                { "type": "text", "text": "You help.", "cache_control": mark }] },
            { "role": "user", "content": [{ "type": "text", "text": "repeat 1", "cache_control": mark }] },
            { "role": "system", "content": "5 tokens left" },
        ], "tools": [{ "type": "function", "cache_control": mark, "function": { "name": "f" } }] });
        let answer = post(&both.crucible, &request).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let note = answer.header("x-crucible-note");
        assert!(note.contains("cache_control is left out"), "{note}");
        assert!(note.contains("billing block is left out"), "{note}");
        let ollama = model != "qwen";
        assert_eq!(note.contains("later system messages"), ollama, "{note}");
        let sent = asked(&sim.log()).pop().expect("a prompt").to_string();
        for gone in ["cache_control", "billing"] {
            assert!(!sent.contains(gone), "{sent}");
        }
        assert_eq!(sent.contains("<system-reminder>"), ollama, "{sent}");
        assert!(
            sent.contains("5 tokens left") && sent.contains("You help."),
            "{sent}"
        );
    }
}

#[tokio::test]
async fn each_neutraliser_can_be_switched_off() {
    let off = "[prefix]\nbilling_block = false\ncache_control = false\nlater_system = false\n";
    let both = Both::with(off, |_| {}, |_| {}).await;
    let request = json!({ "model": "llama3.2:3b", "messages": [
        { "role": "system", "content": "x-anthropic-billing-header: cch=1;\nYou help." },
        { "role": "user", "content": "repeat 1" },
        { "role": "system", "content": "5 tokens left" },
    ] });
    let answer = post(&both.crucible, &request).await;
    assert_eq!((answer.status, answer.header("x-crucible-note")), (200, ""));
    let sent = asked(&both.ollama.log())
        .pop()
        .expect("a prompt")
        .to_string();
    assert!(
        sent.contains("billing") && !sent.contains("<system-reminder>"),
        "{sent}"
    );
    let request = json!({ "model": "qwen", "messages": [
        { "role": "user", "cache_control": { "type": "ephemeral" }, "content": "repeat 1" }] });
    assert_eq!(post(&both.crucible, &request).await.status, 200);
    let sent = asked(&both.lmstudio.log())
        .pop()
        .expect("a prompt")
        .to_string();
    assert!(sent.contains("cache_control"), "{sent}");
}

#[tokio::test]
async fn explain_reads_the_bodies_of_every_format_and_knows_their_conversations() {
    let usage = r#","usage":{"prompt_tokens":1000,"completion_tokens":1}"#;
    let (_fake, crucible) = caching(usage).await;
    let said = |role: &str, text: &str| message(role, text);
    let turns = [
        json!([said("user", "hi")]),
        json!([
            said("user", "hi"),
            said("assistant", "hello"),
            said("user", "go on")
        ]),
    ];
    let explained = async |path: &str, request: &Value| -> ExplainDoc {
        let send = client().post(crucible.at(path)).json(request).send();
        let answer = whole(send.await.expect("an answer")).await;
        serde_json::from_str(&answer.text).expect(&answer.text)
    };
    for (path, list, more) in [
        ("/v1/chat/completions", "messages", json!({})),
        (
            "/v1/responses",
            "input",
            json!({ "instructions": "You help." }),
        ),
        (
            "/v1/messages",
            "messages",
            json!({ "system": "You help.", "max_tokens": 8 }),
        ),
    ] {
        let request = |turn: usize| {
            let mut request = more.clone();
            request["model"] = "m".into();
            request[list] = turns[turn].clone();
            request
        };
        let send = client().post(crucible.at(path)).json(&request(0)).send();
        let answer = whole(send.await.expect("an answer")).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        for page in [
            "/crucible/explain".to_owned(),
            format!("/crucible/explain?path={path}"),
        ] {
            let told = explained(&page, &request(1)).await.prefix;
            let told = told.unwrap_or_else(|| panic!("{page}: not known"));
            assert_eq!((told.turn, told.differs), (2, None), "{page} {path}");
        }
    }
    let page = crucible.at("/crucible/explain?path=/v1/nothing");
    let send = client().post(page).json(&json!({ "model": "m" })).send();
    let answer = whole(send.await.expect("an answer")).await;
    assert_eq!((answer.status, answer.code()), (400, "unsupported_value"));
}
