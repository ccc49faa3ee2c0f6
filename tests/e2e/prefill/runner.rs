//! What the slots of an Ollama's runners tell: the runner is a process of its own, which may read on, read no
//! further, or hang while Ollama goes on.

use std::fs;

use crucible_documents::state::PrefillSource;
use crucible_tests::{
    Crucible,
    chat::{open, post, stream},
    engines::engine,
    ollama_process::OllamaProcess,
    process::send_signal,
};
use serde_json::{Value, json};

use super::{InFlightDoc, long, seen};

/// The tokens of a prompt that the simulated runner reads at once.
const BATCH: &str = "25";

/// An Ollama that is a process of its own, and whose runners are its children.
struct RunnersOllama {
    ollama: OllamaProcess,
    /// The runners that were made to hang.
    hung: Vec<u32>,
}

// === impl RunnersOllama ===

impl RunnersOllama {
    /// Starts one that reads 25 tokens of a prompt at once, so many in a second, with more arguments.
    fn start(prefill: &str, arguments: &[&str]) -> Self {
        let reading = ["--prefill", prefill, "--batch", BATCH];
        let model = ["--models", "m=1GB", "--context", "65536"];
        Self {
            ollama: OllamaProcess::start(&[&model, &reading, arguments].concat()),
            hung: Vec::new(),
        }
    }

    /// Makes its runners hang: they take connections and answer nothing.
    fn hang_runners(&mut self) {
        let id = self.ollama.pid();
        let mut runners = Vec::new();
        // The thread that started a process has it among its children.
        for task in fs::read_dir(format!("/proc/{id}/task")).expect("tasks") {
            let path = task.expect("a task").path().join("children");
            let children = fs::read_to_string(path).unwrap_or_default();
            let children = children.split_whitespace();
            runners.extend(children.filter_map(|id| id.parse::<u32>().ok()));
        }
        assert!(!runners.is_empty(), "no runner");
        for &runner in &runners {
            assert!(send_signal("STOP", runner), "{runner}");
        }
        self.hung = runners;
    }

    /// A Crucible in front of it, with these clocks.
    fn before(&self, clocks: &str) -> Crucible {
        let block = engine("e", "ollama", self.ollama.url());
        Crucible::start(&format!("[timeouts]\n{clocks}\n{block}device = \"gpu\"\n"))
    }
}

impl Drop for RunnersOllama {
    fn drop(&mut self) {
        for &runner in &self.hung {
            let _ = send_signal("KILL", runner);
        }
    }
}

/// The percents and the seconds of "after 45 % of the prompt, no progress for 3 s" at the end of a message.
fn how_far(message: &str) -> (u64, u64) {
    let numbers = || {
        let told = message.rsplit_once("after ")?.1;
        let (percent, rest) = told.split_once(" % of the prompt, no progress for ")?;
        let seconds = rest.strip_suffix(" s")?;
        Some((percent.parse().ok()?, seconds.parse().ok()?))
    };
    numbers().unwrap_or_else(|| panic!("{message}"))
}

/// Whether this machine has a `/proc` in which runners are found.
const HAS_PROCESSES: bool = cfg!(target_os = "linux");

/// A request whose runner has read this share of its prompt, and more than so many tokens.
fn read_by_runner(least: f64, beyond: u64) -> impl Fn(&InFlightDoc) -> bool {
    move |request| {
        let told = request.prefill;
        let told = told.filter(|p| p.source == PrefillSource::Runner);
        told.is_some_and(|p| p.ratio >= least && p.processed > beyond)
    }
}

/// Ollama itself says nothing of a prompt; its runner's slots do, and the clock of the first token runs on them.
#[tokio::test]
async fn the_slots_of_an_ollamas_runner_show_how_far_a_prompt_is_read() {
    if !HAS_PROCESSES {
        return;
    }
    // Twenty seconds for the prompt, of which half is enough.
    let ollama = RunnersOllama::start("25", &[]);
    let crucible = ollama.before("first_token = \"8s\"");
    let looks = async {
        let first = seen(&crucible, read_by_runner(0.01, 0)).await;
        let first = first.prefill.expect("progress");
        let later = seen(&crucible, read_by_runner(0.5, first.processed)).await;
        assert!(later.since_s > 8.0, "{later:?}");
        let later = later.prefill.expect("progress");
        // The slot shows whole batches of the prompt, and not how long it is.
        assert_eq!(
            (first.processed % 25, later.cached),
            (0, Some(0)),
            "{later:?}"
        );
        assert!(later.total > 400, "{later:?}");
    };
    let request = long("repeat 2");
    tokio::select! {
        answer = open(&crucible, &request) => panic!("{answer:?}"),
        () = looks => {}
    }
}

#[tokio::test]
async fn a_runner_that_reads_no_further_is_given_up_with_how_far_it_came() {
    if !HAS_PROCESSES {
        return;
    }
    let ollama = RunnersOllama::start("100", &["--prefill-stops-at", "250"]);
    let crucible = ollama.before("first_token = \"8s\"");
    let answer = open(&crucible, &long("repeat 2")).await;
    assert_eq!(answer.status(), 504);
    let error = answer.text().await.expect("a body");
    let error: Value = serde_json::from_str(&error).expect("an error");
    assert_eq!(error["error"]["code"], "first_token_timeout", "{error}");
    let message = error["error"]["message"].as_str().unwrap_or_default();
    let (percent, seconds) = how_far(message);
    // The length of the prompt is an estimate.
    assert!((20..=80).contains(&percent) && seconds >= 8, "{message}");
    // The engine is as well as before for what it can read.
    let short = json!({"model": "m", "messages": [{"role": "user", "content": "repeat 1"}]});
    let answer = post(&crucible, &short).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

/// What a runner that hangs does not tell is estimated, and no request waits for it.
#[tokio::test]
async fn a_runner_whose_slots_hang_holds_up_no_answer() {
    if !HAS_PROCESSES {
        return;
    }
    let mut ollama = RunnersOllama::start("50", &[]);
    let mut crucible = ollama.before("first_token = \"60s\"");
    let short = json!({"model": "m", "messages": [{"role": "user", "content": "repeat 1"}]});
    assert_eq!(post(&crucible, &short).await.status, 200);
    ollama.hang_runners();
    let request = long("repeat 2");
    let estimated = |request: &InFlightDoc| {
        let told = request.prefill;
        told.is_some_and(|p| p.source == PrefillSource::Estimate && p.ratio > 0.0)
    };
    let ((_, answer), _) = tokio::join!(stream(&crucible, &request), seen(&crucible, estimated));
    assert!(answer.done && answer.error().is_none(), "{}", answer.text);
    // The look at its slots goes on, and holds up no end.
    crucible.signal("TERM");
    assert_eq!(crucible.wait().code(), Some(0));
}

/// The clock of the first token is the plain one where a runner stops to tell: it says what was seen last.
#[tokio::test]
async fn a_runner_that_hangs_while_it_reads_is_given_up_with_what_was_seen_last() {
    if !HAS_PROCESSES {
        return;
    }
    let mut ollama = RunnersOllama::start("100", &["--prefill-stops-at", "450"]);
    let crucible = ollama.before("first_token = \"8s\"\ncommit = \"1s\"\nqueue = \"60s\"");
    let request = long("repeat 2");
    let hangs = async {
        seen(&crucible, read_by_runner(0.1, 0)).await;
        ollama.hang_runners();
    };
    let ((_, answer), ()) = tokio::join!(stream(&crucible, &request), hangs);
    let error = answer.error().unwrap_or_else(|| panic!("{}", answer.text));
    assert_eq!(error["code"], "first_token_timeout", "{error}");
    let message = error["message"].as_str().unwrap_or_default();
    let (percent, seconds) = how_far(message);
    assert!((1..=95).contains(&percent) && seconds >= 8, "{message}");
}
