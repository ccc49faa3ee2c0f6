//! The first answers of agents: how many loads a session costs that begins with a short request.

use std::time::Duration;

use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{body, whole},
    engines::{client, engine, start, until},
};
use serde_json::{Value, json};
use tokio::time::sleep;

/// One request of a session: how long after the one before it is asked (that need not have been
/// answered), about how many tokens, and whether it offers tools.
type Asked = (u64, usize, bool);

/// What real programs send, by their names; whether a header names the session.
const SHAPES: [(&str, bool, &[Asked]); 4] = [
    ("opencode", true, &[(0, 600, false), (700, 7700, true)]),
    (
        "Continue",
        false,
        &[(0, 500, true), (1200, 8000, true), (1200, 20_000, true)],
    ),
    ("Cline", false, &[(0, 5500, true), (500, 6500, true)]),
    ("QwenCode", false, &[(0, 17_000, true), (500, 1200, false)]),
];

fn prompt(model: &str, tokens: usize, tools: bool) -> Value {
    let mut request = body(model, &"word".repeat(tokens));
    if tools {
        request["tools"] = json!([{
            "type": "function",
            "function": { "name": "look", "parameters": { "type": "object" } },
        }]);
    }
    request
}

/// One session: all of its requests are answered.
async fn session(crucible: &Crucible, program: &str, id: Option<&str>, model: &str, all: &[Asked]) {
    let mut pending = Vec::new();
    for (after, tokens, tools) in all {
        // A program at work, not a wait for something to happen.
        sleep(Duration::from_millis(*after)).await;
        let mut request = client()
            .post(crucible.at("/v1/chat/completions"))
            .header(http::header::USER_AGENT, format!("{program}/1.0"))
            .json(&prompt(model, *tokens, *tools));
        if let Some(id) = id {
            request = request.header("x-session-id", id);
        }
        pending.push(tokio::spawn(request.send()));
    }
    for answer in pending {
        let answer = answer.await.expect("a task").expect("an answer");
        let answer = whole(answer).await;
        assert_eq!(answer.status, 200, "{program}: {}", answer.text);
    }
}

async fn engines(kind: &str) -> (Sim, Crucible) {
    let models = ["m=1GB", "n=1GB", "o=1GB"];
    let mut options = match kind {
        "ollama" => Options::ollama(&models),
        _ => Options::lmstudio(&models),
    };
    (options.load_time, options.prefill) = (Duration::from_millis(800), 100_000);
    let sim = start(options).await;
    let crucible = Crucible::start(&format!(
        "[tuning.lmstudio]\nmodel_ttl = \"6s\"\n{}",
        engine("one", kind, &sim.url())
    ));
    (sim, crucible)
}

/// Loads that three sessions of a program cost, each with the next of these models.
async fn loads(
    kind: &str,
    models: [&str; 3],
    (program, named, all): (&str, bool, &[Asked]),
) -> Vec<usize> {
    let (sim, crucible) = engines(kind).await;
    let mut loads = Vec::new();
    let mut before = 0;
    for (turn, model) in models.into_iter().enumerate() {
        let id = format!("session-{turn}");
        session(&crucible, program, named.then_some(&id), model, all).await;
        let now = sim.log().loads.len();
        loads.push(now - before);
        before = now;
        // It is idle for its time to live.
        until(&sim, "the model goes", |log| {
            log.unloads.len() == log.loads.len()
        })
        .await;
    }
    loads
}

#[tokio::test]
async fn the_first_contact_with_an_agent_costs_two_loads_and_every_later_one_a_single_one() {
    for (kind, models) in [("ollama", ["m", "m", "m"]), ("lmstudio", ["m", "n", "o"])] {
        let all = SHAPES.map(|shape| loads(kind, models, shape));
        let all = futures_util::future::join_all(all).await;
        for (loads, (program, ..)) in all.iter().zip(SHAPES) {
            let what = format!("{kind} {program}: {loads:?}");
            assert!(loads[0] <= 2, "{what}");
            assert_eq!(loads[1..], [1, 1], "{what}");
        }
    }
}
