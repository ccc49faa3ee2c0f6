//! Raw prompts that are replaced, abandoned, or continued by another engine.

use crucible_sim::{Fault, FaultKind, Options};
use crucible_tests::{
    Crucible,
    chat::whole,
    clean::queued,
    engines::{Both, client, engine, start, until},
};
use serde_json::json;

use super::text;

#[tokio::test]
async fn an_editor_that_leaves_stops_the_engine_and_a_newer_prompt_takes_the_place_of_an_older_one()
{
    let mut options = Options::ollama(&["coder=1GB"]);
    options.rate = 50;
    let sim = start(options).await;
    let crucible = Crucible::start(&format!(
        "[scheduler]\nsupersede = true\n{}permits = 1\n",
        engine("ollama", "ollama", &sim.url())
    ));
    let send = |prompt: &str, stream: bool| {
        let body = json!({
            "model": "coder", "prompt": prompt, "suffix": "}", "max_tokens": 64, "stream": stream,
        });
        let request = client().post(crucible.at("/v1/completions"));
        request.header("x-session-id", "editor").json(&body).send()
    };
    let endless = json!({ "model": "coder", "prompt": "repeat 100000", "stream": true });
    let busy = client()
        .post(crucible.at("/v1/completions"))
        .json(&endless)
        .send();
    let busy = busy.await.expect("an answer");
    assert_eq!(busy.status(), 200);
    let older = tokio::spawn(send("repeat 1", true));
    queued(&crucible, 1).await;
    let newer = tokio::spawn(send("repeat 2", false));
    let refused = older.await.expect("a task").expect("an answer");
    assert_eq!(refused.status(), 409);
    drop(busy);
    let answer = whole(newer.await.expect("a task").expect("an answer")).await;
    assert_eq!(
        (answer.status, text(&answer)),
        (200, "word0 word1"),
        "{}",
        answer.text
    );
    until(&sim, "the disconnect", |log| log.disconnects.len() == 1).await;
}

#[tokio::test]
async fn another_engine_continues_where_one_fails() {
    let both = Both::with(
        "[[model]]\nname = \"qwen\"\nfallback = [\"llama3.2:3b\"]\n",
        |_| {},
        |_| {},
    );
    let both = both.await;
    let ask = async || {
        let body = json!({ "model": "qwen", "prompt": "repeat 2" });
        let request = client()
            .post(both.crucible.at("/v1/completions"))
            .json(&body);
        whole(request.send().await.expect("an answer")).await
    };
    assert_eq!(ask().await.header("x-crucible-engine"), "lmstudio");
    both.lmstudio.arm(Fault::new(FaultKind::Http500));
    let answer = ask().await;
    assert_eq!(
        (answer.status, text(&answer)),
        (200, "word0 word1"),
        "{}",
        answer.text
    );
    assert_eq!(answer.header("x-crucible-engine"), "ollama");
    assert_eq!(answer.header("x-crucible-reason"), "fallback");
}
