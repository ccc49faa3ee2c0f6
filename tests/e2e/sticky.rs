//! `auto` keeps a conversation where it was answered, whatever else its session asks for.

use crucible_tests::{
    chat::{Whole, body, post, whole},
    engines::{Both, client},
};
use serde_json::{Value, json};

/// Titles and what begins with one word go to the CPU, what begins with another to the GPU, however
/// fast either is on a busy machine.
const RULES: &str = r#"
[[rule]]
when = { header = { x-kind = "title" } }
use = "ollama"
[[rule]]
when = { model = "auto", words = ["onboard"] }
use = "ollama"
[[rule]]
when = { model = "auto", words = ["build"] }
use = "lmstudio"
"#;

/// What a session asks, and where it has to be answered.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The first turn of a conversation that begins with that text.
    First(&'static str, &'static str),
    /// Its next turn, answered there because of the turns before.
    Later(&'static str, &'static str),
    /// A title that begins with that text, which a rule sends to the CPU.
    Title(&'static str),
    /// A title that no rule knows: a short answer without tools.
    Summary(&'static str),
}

/// `name` is the case's own: its words and its session are no other's.
async fn ask(both: &Both, name: &str, step: Step, tools: bool, session: bool) -> Whole {
    let (text, side) = match step {
        Step::First(text, _) | Step::Later(text, _) => (text, false),
        Step::Title(text) | Step::Summary(text) => (text, true),
    };
    let system = if side {
        "Write a title."
    } else {
        "You write code."
    };
    let mut messages = vec![
        json!({ "role": "system", "content": system }),
        json!({ "role": "user", "content": format!("{text} {name} repeat 1") }),
    ];
    if matches!(step, Step::Later(..)) {
        messages.push(json!({ "role": "assistant", "content": "word0" }));
        messages.push(json!({ "role": "user", "content": "go on, repeat 1" }));
    }
    let mut body = json!({ "model": "auto", "messages": messages });
    if tools && !side {
        body["tools"] = json!([{ "type": "function", "function": { "name": "read" } }]);
    }
    if side {
        body["max_tokens"] = 8.into();
    }
    let mut send = client()
        .post(both.crucible.at("/v1/chat/completions"))
        .json(&body);
    if session {
        send = send.header("x-session-id", name);
    }
    if matches!(step, Step::Title(_)) {
        send = send.header("x-kind", "title");
    }
    whole(send.send().await.expect("an answer")).await
}

/// Crucible whose GPU model is loaded: `auto` goes there.
async fn start() -> Both {
    let both = Both::with(RULES, |_| {}, |_| {}).await;
    for model in ["qwen", "small"] {
        let answer: Value = body(model, "repeat 1");
        assert_eq!(post(&both.crucible, &answer).await.status, 200);
    }
    both
}

#[tokio::test]
async fn a_side_request_never_moves_a_conversation() {
    use Step::{First, Later, Summary, Title};
    let (gpu, cpu) = ("lmstudio", "ollama");
    let cases: &[&[Step]] = &[
        // A title before, between and after the turns, with its own first words and with theirs.
        &[Title("name it"), First("build", gpu), Later("build", gpu)],
        &[Title("build"), First("build", gpu), Later("build", gpu)],
        &[First("build", gpu), Title("name it"), Later("build", gpu)],
        &[First("build", gpu), Title("build"), Later("build", gpu)],
        &[
            First("build", gpu),
            Later("build", gpu),
            Title("build"),
            Later("build", gpu),
            Title("name it"),
            Later("build", gpu),
        ],
        &[Summary("build"), First("build", gpu), Later("build", gpu)],
        &[First("build", gpu), Summary("build"), Later("build", gpu)],
        // Two conversations of one session keep their own places.
        &[
            First("build", gpu),
            First("onboard", cpu),
            Later("build", gpu),
            Later("onboard", cpu),
            Title("build"),
            Later("build", gpu),
            Later("onboard", cpu),
        ],
    ];
    let both = start().await;
    for (tools, session) in [(true, true), (false, true), (true, false), (false, false)] {
        for (i, steps) in cases.iter().enumerate() {
            let name = format!("case{i}-{tools}-{session}");
            for step in *steps {
                let answer = ask(&both, &name, *step, tools, session).await;
                assert_eq!(answer.status, 200, "{}", answer.text);
                let told = (
                    answer.header("x-crucible-engine"),
                    answer.header("x-crucible-reason"),
                );
                let why = format!("{step:?} of {steps:?}, tools {tools}, session {session}");
                match step {
                    First(_, engine) => assert_eq!(told.0, *engine, "{why}"),
                    Later(_, engine) => assert_eq!(told, (*engine, "sticky"), "{why}"),
                    Title(_) => assert_eq!(told, (cpu, "rule"), "{why}"),
                    Summary(_) => {}
                }
            }
        }
    }
}

#[tokio::test]
async fn what_is_taken_out_of_a_prompt_never_moves_a_conversation() {
    let both = start().await;
    for session in [true, false] {
        let mut messages: Vec<Value> = vec![
            json!({ "role": "system", "content": "" }),
            json!({ "role": "user", "content": [{ "type": "text", "text": format!("build it {session}, repeat 1") }] }),
        ];
        for turn in 0..4 {
            messages[0]["content"] =
                format!("x-anthropic-billing-header: cch={turn};\n\nYou write code.").into();
            // The mark moves to the last message.
            let mut marked = messages.clone();
            let last = marked.len() - 1;
            marked[last]["content"][0]["cache_control"] = json!({ "type": "ephemeral" });
            let request = json!({ "model": "auto", "messages": marked,
                "tools": [{ "type": "function", "function": { "name": "read" } }] });
            let send = client().post(both.crucible.at("/v1/chat/completions"));
            let mut send = send.json(&request);
            if session {
                send = send.header("x-claude-code-session-id", "taken-out");
            }
            let answer = whole(send.send().await.expect("an answer")).await;
            let reason = answer.header("x-crucible-reason");
            assert_eq!(
                answer.header("x-crucible-engine"),
                "lmstudio",
                "turn {turn} {session}: {reason}"
            );
            assert_eq!(reason == "sticky", turn > 0, "turn {turn}: {reason}");
            messages.push(json!({ "role": "assistant", "content": "word0" }));
            messages.push(json!({ "role": "system", "content": "5 tokens left" }));
            let text = json!([{ "type": "text", "text": "go on, repeat 1" }]);
            messages.push(json!({ "role": "user", "content": text }));
        }
    }
}
