//! Requests as clients of all sorts write them, on every kind of engine: what is meant plainly is
//! served, in the way that the engine takes.

mod characters;
mod forms;
mod history;
mod images;
mod nulls;
mod stops;
mod thinking;
mod tools;

use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{Whole, post, post_raw},
    engines::{asked, engine, start},
};
use serde_json::{Value, json};

/// The kinds of engines.
const KINDS: [&str; 4] = ["lmstudio", "ollama", "llamacpp", "openai"];

/// An engine of each kind behind one Crucible; each has a model of its name that sees.
struct Four {
    sims: Vec<(&'static str, Sim)>,
    crucible: Crucible,
}

/// The model of the engine of this kind.
fn model(kind: &str) -> String {
    format!("{kind}-vl")
}

// === impl Four ===

impl Four {
    async fn start() -> Self {
        let mut sims = Vec::new();
        let mut toml = String::new();
        for kind in KINDS {
            let name = format!("{}=1GB", model(kind));
            let options = match kind {
                "lmstudio" => Options::lmstudio(&[&name]),
                "ollama" => Options::ollama(&[&name, "thinker-think=1GB", "gpt-oss=1GB"]),
                _ => Options::openai(&[&name]),
            };
            let sim = start(options).await;
            toml.push_str(&engine(kind, kind, &sim.url()));
            sims.push((kind, sim));
        }
        let crucible = Crucible::start(&toml);
        Self { sims, crucible }
    }

    fn sim(&self, kind: &str) -> &Sim {
        let (_, sim) = self.sims.iter().find(|(k, _)| *k == kind).expect("it");
        sim
    }

    /// What the engine of this kind was sent last.
    fn sent(&self, kind: &str) -> Value {
        asked(&self.sim(kind).log()).pop().expect("a request")
    }

    /// Asks the model of the engine of this kind, streamed and whole, for three words; gives the
    /// last answer's note.
    async fn served(&self, kind: &str, fields: &Value) -> String {
        let mut note = String::new();
        for stream in [true, false] {
            let mut body = json!({ "model": model(kind), "stream": stream });
            for (name, value) in fields.as_object().expect("fields") {
                body[name] = value.clone();
            }
            let answer = post(&self.crucible, &body).await;
            good(&answer, &format!("{kind} {fields}"));
            answer.header("x-crucible-note").clone_into(&mut note);
        }
        note
    }

    /// The same of a body that is written by hand.
    async fn served_raw(&self, kind: &str, fields: &str) -> String {
        let mut note = String::new();
        for stream in [true, false] {
            let body = format!(
                r#"{{"model":"{}","stream":{stream},{fields}}}"#,
                model(kind)
            );
            let answer = post_raw(&self.crucible, body).await;
            good(&answer, &format!("{kind} {fields}"));
            answer.header("x-crucible-note").clone_into(&mut note);
        }
        note
    }
}

/// The three words came.
fn good(answer: &Whole, what: &str) {
    assert_eq!(answer.status, 200, "{what}: {}", answer.text);
    assert!(answer.text.contains("word2"), "{what}: {}", answer.text);
}

/// A user's message that asks for three words.
fn user() -> Value {
    json!({ "role": "user", "content": "repeat 3" })
}
