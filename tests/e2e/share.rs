//! A full queue is shared among clients: whoever fills it gives up places to those who come.

use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    chat::{Whole, body, open, post, whole},
    clean::{Metrics, clean, queued},
    engines::{self, client, until},
};
use reqwest::header::USER_AGENT;
use serde_json::Value;
use tokio::task::{JoinHandle, JoinSet};

/// Program and version of the one that asks for everything, and of another.
const AGENT: &str = "agent/1.0 (linux)";
const EDITOR: &str = "editor/2.3";

/// One engine with two models, which answers two requests for each at once.
struct Busy {
    crucible: Crucible,
    sim: crucible_sim::Sim,
    before: Metrics,
    holders: Vec<reqwest::Response>,
    sent: u32,
}

/// A request of that program, which need not be answered yet.
fn ask(crucible: &Crucible, who: &str, body: &Value) -> JoinHandle<Whole> {
    let send = client()
        .post(crucible.at("/v1/chat/completions"))
        .header(USER_AGENT, who)
        .json(body)
        .send();
    tokio::spawn(async move { whole(send.await.expect("an answer")).await })
}

// === impl Busy ===

impl Busy {
    /// Both permits of `a` are taken until [`Self::finish`].
    async fn start(mut options: Options, kind: &str, toml: &str) -> Self {
        options.parallel = 2;
        options.rate = 50;
        let sim = engines::start(options).await;
        let engine = engines::engine("e", kind, &sim.url());
        let crucible = Crucible::start(&format!("{toml}\n{engine}permits = 2\nqueue = 4\n"));
        assert_eq!(post(&crucible, &body("a", "repeat 1")).await.status, 200);
        let before = Metrics::of(&crucible).await;
        let mut holders = Vec::new();
        for _ in 0..2 {
            holders.push(open(&crucible, &body("a", "repeat 100000")).await);
        }
        Self {
            crucible,
            sim,
            before,
            holders,
            sent: 2,
        }
    }

    fn ask(&mut self, who: &str, text: &str, stream: bool) -> JoinHandle<Whole> {
        let mut body = body("a", text);
        body["stream"] = stream.into();
        self.sent += 1;
        ask(&self.crucible, who, &body)
    }

    /// So many of that program wait, in this order.
    async fn fill(&mut self, who: &str, count: usize, stream: bool) -> JoinSet<Whole> {
        let mut asked = JoinSet::new();
        for i in 1..=count {
            let product = who.split('/').next().unwrap_or_default();
            let answer = self.ask(who, &format!("{product}-{i} repeat 1"), stream);
            asked.spawn(async move { answer.await.expect("a task") });
            queued(&self.crucible, i).await;
        }
        asked
    }

    /// Lets all of them through; gives what the engine was asked first, by first word.
    async fn finish(self) -> Vec<String> {
        let mut holders = self.holders;
        // One permit only, so that the order of the grants shows.
        let last = holders.pop();
        drop(holders);
        queued(&self.crucible, 0).await;
        drop(last);
        clean(&self.crucible, &self.before, self.sent, "a").await;
        // Only now has the engine been asked by the last of them.
        let log = until(&self.sim, "all", |log| log.in_flight == 0).await;
        let first_word = |body: &Value| {
            let said = body["messages"][0]["content"].as_str()?;
            said.split(' ').next().map(str::to_owned)
        };
        let asked = engines::asked(&log);
        let words = asked.iter().filter_map(first_word);
        words.filter(|word| word.contains('-')).collect()
    }
}

fn refused(answer: &Whole) {
    let told = (answer.status, answer.code());
    assert_eq!(told, (429, "queue_full"), "{}", answer.text);
    assert_eq!(answer.json["error"]["type"], "rate_limit_error");
    let seconds: u64 = answer.header("retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn a_newcomer_takes_the_place_of_the_last_of_the_fullest() {
    for (kind, options, stream) in [
        ("ollama", Options::ollama(&["a=1GB"]), false),
        ("ollama", Options::ollama(&["a=1GB"]), true),
        ("lmstudio", Options::lmstudio(&["a=1GB"]), false),
        ("openai", Options::openai(&["a=1GB"]), true),
    ] {
        let mut busy = Busy::start(options, kind, "").await;
        let mut agent = busy.fill(AGENT, 4, stream).await;
        // The agent has all of it, and no more.
        let more = busy.ask(AGENT, "agent-5 repeat 1", stream).await;
        refused(&more.expect("a task"));
        let editor = busy.ask(EDITOR, "editor-1 repeat 1", false);
        refused(&agent.join_next().await.expect("one").expect("a task"));
        let second = busy.ask(EDITOR, "editor-2 repeat 1", true);
        refused(&agent.join_next().await.expect("one").expect("a task"));
        // Now each has its part.
        for who in [EDITOR, AGENT] {
            let third = busy.ask(who, "more-3 repeat 1", false).await;
            refused(&third.expect("a task"));
        }
        let order = busy.finish().await;
        let program = |word: &String| word.split('-').next().map(str::to_owned);
        let programs: Vec<String> = order.iter().filter_map(program).collect();
        assert_eq!(programs, ["agent", "editor", "agent", "editor"], "{kind}");
        for word in [&order[0], &order[2]] {
            // Those that came first kept their places.
            assert!(word.ends_with("-1") || word.ends_with("-2"), "{order:?}");
        }
        while let Some(answer) = agent.join_next().await {
            let answer = answer.expect("a task");
            assert_eq!(answer.status, 200, "{kind}: {}", answer.text);
        }
        for answer in [editor, second] {
            assert_eq!(answer.await.expect("a task").status, 200, "{kind}");
        }
    }
}

#[tokio::test]
async fn a_stream_whose_headers_are_out_keeps_its_place_and_shuts_nobody_out() {
    let commit = "[timeouts]\ncommit = \"1s\"\n";
    let mut busy = Busy::start(Options::ollama(&["a=1GB"]), "ollama", commit).await;
    let mut streams = Vec::new();
    for i in 1..=4 {
        let mut body = body("a", &format!("agent-{i} repeat 1"));
        body["stream"] = true.into();
        let send = client()
            .post(busy.crucible.at("/v1/chat/completions"))
            .header(USER_AGENT, AGENT)
            .json(&body)
            .send();
        streams.push(tokio::spawn(send));
        busy.sent += 1;
        queued(&busy.crucible, i).await;
    }
    let mut bodies = Vec::new();
    for stream in streams {
        let response = stream.await.expect("a task").expect("headers");
        assert_eq!(response.status(), 200);
        bodies.push(response);
    }
    let mut editor = Vec::new();
    for i in 1..=2 {
        editor.push(busy.ask(EDITOR, &format!("editor-{i} repeat 1"), false));
        queued(&busy.crucible, 4 + i).await;
    }
    // Two are its part; the agent has more than that already.
    for who in [EDITOR, AGENT] {
        let more = busy.ask(who, "more-3 repeat 1", false).await;
        refused(&more.expect("a task"));
    }
    let order = busy.finish().await;
    assert_eq!(order[1], "editor-1", "{order:?}");
    for body in bodies {
        let text = body.text().await.expect("a body");
        assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
        assert!(!text.contains("error"), "{text}");
    }
    for answer in editor {
        assert_eq!(answer.await.expect("a task").status, 200);
    }
}
