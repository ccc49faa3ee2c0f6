//! Agents with models of their own and room for one: a model stays for the moment that its agent's tools
//! take.

use std::time::Duration;

use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    chat::{body, open, post},
    engines::{engine, start},
    sse::Stream,
};
use serde_json::{Value, json};
use tokio::time::sleep;

/// Model and turns of each agent, the last without a call: 13 answers.
const AGENTS: [(&str, u64); 3] = [("a", 5), ("b", 4), ("a", 4)];
/// What tools take: of `LINGER` so little that a busy machine has the rest.
const TOOLS: Duration = Duration::from_millis(100);
const LINGER: &str = "linger = \"1s\"";
/// Half of it is as long as `LINGER`.
const LOAD: Duration = Duration::from_secs(2);

fn turn(model: &str, last: bool) -> Value {
    let text = if last { "repeat 1" } else { "call tool look" };
    let mut request = body(model, text);
    request["tools"] = json!([{
        "type": "function",
        "function": { "name": "look", "parameters": { "type": "object" } },
    }]);
    request
}

/// One agent's turns, each after the answer to the one before.
async fn agent(crucible: &Crucible, (model, turns): (&str, u64), streamed: bool) {
    for turns_left in (0..turns).rev() {
        let last = turns_left == 0;
        let request = turn(model, last);
        let called = if streamed {
            let answer = Stream::read(open(crucible, &request).await).await;
            assert!(answer.error().is_none(), "{}", answer.text);
            answer.finish_reason() == Some("tool_calls")
        } else {
            let answer = post(crucible, &request).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            answer.json["choices"][0]["finish_reason"] == "tool_calls"
        };
        assert_eq!(called, !last, "{model}");
        // The agent at work, not a wait for something to happen.
        sleep(TOOLS).await;
    }
}

/// Loads for three agents' thirteen answers.
async fn loads(kind: &str, streamed: bool, linger: &str) -> usize {
    let mut options = match kind {
        "ollama" => Options::ollama(&["a=2GB", "b=2GB"]),
        _ => Options::lmstudio(&["a=2GB", "b=2GB"]),
    };
    options.load_time = LOAD;
    let sim = start(options).await;
    let crucible = Crucible::start(&format!(
        "[scheduler]\n{linger}\n[tuning.lmstudio]\nmax_loaded_models = 1\n\
         [tuning.ollama]\nmax_loaded_models = 1\n{}",
        engine("one", kind, &sim.url()),
    ));
    let all = AGENTS.map(|own| agent(&crucible, own, streamed));
    futures_util::future::join_all(all).await;
    sim.log().loads.len()
}

#[tokio::test]
async fn agents_that_call_tools_find_their_model_at_the_next_turn() {
    let all = [
        ("lmstudio", true, LINGER),
        ("lmstudio", false, LINGER),
        ("ollama", true, LINGER),
        ("ollama", false, LINGER),
        ("lmstudio", true, "linger = 0"),
    ];
    let all = all.map(|(kind, streamed, linger)| async move {
        let loads = loads(kind, streamed, linger).await;
        let what = format!("{kind} {streamed} {linger}: {loads} loads");
        assert_eq!(loads <= 6, linger == LINGER, "{what}");
    });
    futures_util::future::join_all(all).await;
}
