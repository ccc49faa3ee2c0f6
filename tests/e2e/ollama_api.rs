//! Ollama's own API through the real binary, in front of every kind of engine; its Python client is driven in
//! `client::ollama`.

mod refusals;
mod running;

use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{Whole, whole},
    engines::{client, engine, start},
};
use serde_json::{Value, json};

use crate::answers::{openai, saying};

/// The kinds, as the configuration names them; each has one model that is named after it.
const KINDS: [&str; 4] = ["lmstudio", "ollama", "llamacpp", "openai"];

/// Crucible in front of one simulated engine of each kind.
struct Kinds {
    sims: Vec<(&'static str, Sim)>,
    crucible: Crucible,
}

// === impl Kinds ===

impl Kinds {
    async fn start(toml: &str) -> Self {
        let mut sims = Vec::new();
        let mut file = toml.to_owned();
        for kind in KINDS {
            let model = format!("{kind}-think-vision=1GB");
            let models = [&*model];
            let options = match kind {
                "lmstudio" => Options::lmstudio(&models),
                "ollama" => Options::ollama(&models),
                _ => Options::openai(&models),
            };
            let sim = start(options).await;
            // Each in memory of its own, so that none has to make room.
            file.push_str(&engine(kind, kind, &sim.url()));
            file = format!("{file}pool = \"{kind}\"\n");
            sims.push((kind, sim));
        }
        Self {
            sims,
            crucible: Crucible::start(&file),
        }
    }

    fn sim(&self, kind: &str) -> &Sim {
        let found = self.sims.iter().find(|(name, _)| *name == kind);
        &found.expect("a kind").1
    }

    fn model(kind: &str) -> String {
        format!("{kind}-think-vision")
    }

    async fn post(&self, path: &str, body: &Value) -> Whole {
        let request = client().post(self.crucible.at(path)).json(body);
        whole(request.send().await.expect("an answer")).await
    }
}

fn ask(model: &str, text: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": text}]})
}

/// The lines of a streamed answer; each ends, and is JSON.
fn lines(answer: &Whole) -> Vec<Value> {
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    assert!(answer.text.ends_with('\n'), "{}", answer.text);
    let each = answer.text.lines();
    each.map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line:?}")))
        .collect()
}

#[tokio::test]
async fn an_ollama_gets_the_clients_members_and_the_load_options_of_the_model() {
    let kinds = Kinds::start("").await;
    let mut request = ask("ollama-think-vision", "repeat 2");
    for (name, value) in [
        ("keep_alive", json!("5m")),
        ("unheard", json!([1])),
        ("think", json!(false)),
        (
            "options",
            json!({"num_ctx": 7, "num_thread": 63, "typical_p": 0.5, "temperature": 0}),
        ),
    ] {
        request[name] = value;
    }
    let answer = kinds.post("/api/chat", &request).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let notes = answer.header("x-crucible-note");
    for part in ["keep_alive", "options.num_thread", "num_ctx 7"] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
    let log = kinds.sim("ollama").log();
    let sent = &log.requests_to("/api/chat").last().expect("a request").body;
    let sent: Value = serde_json::from_str(sent).expect("JSON");
    assert_eq!(sent["unheard"], json!([1]));
    assert_eq!(
        (&sent["shift"], &sent["truncate"]),
        (&json!(false), &json!(false))
    );
    assert!(sent.get("keep_alive").is_none(), "{sent}");
    let options = &sent["options"];
    assert_eq!(
        (&options["typical_p"], &options["temperature"]),
        (&json!(0.5), &json!(0))
    );
    assert_ne!(options["num_thread"], 63, "{sent}");
    assert_ne!(options["num_ctx"], 7, "{sent}");
    // A second client with other wishes loads nothing anew.
    let loads = log.loaded();
    request["options"] = json!({"num_ctx": 9000, "num_thread": 5, "num_gpu": 1});
    assert_eq!(kinds.post("/api/chat", &request).await.status, 200);
    assert_eq!(kinds.sim("ollama").log().loaded(), loads);
}

#[tokio::test]
async fn every_kind_answers_in_lines_of_which_the_last_is_the_end() {
    let kinds = Kinds::start("").await;
    for kind in KINDS {
        let model = Kinds::model(kind);
        let answer = kinds.post("/api/chat", &ask(&model, "repeat 3")).await;
        let all = lines(&answer);
        let (last, rest) = all.split_last().expect("lines");
        let text: String = rest
            .iter()
            .filter_map(|line| line["message"]["content"].as_str())
            .collect();
        assert_eq!(text, "word0 word1 word2", "{kind}: {}", answer.text);
        assert!(rest.iter().all(|line| line["done"] == false), "{kind}");
        assert!(
            rest.iter()
                .any(|line| line["message"]["thinking"].is_string()),
            "{kind}"
        );
        assert_eq!(
            (&last["done"], &last["done_reason"]),
            (&json!(true), &json!("stop"))
        );
        for name in [
            "total_duration",
            "load_duration",
            "prompt_eval_count",
            "eval_count",
        ] {
            assert!(
                last[name].as_u64().is_some_and(|n| n > 0),
                "{kind} {name}: {last}"
            );
        }
        assert!(all.iter().all(|line| line["model"] == model), "{kind}");
        assert_eq!(answer.header("x-crucible-engine"), kind);
        // One document, with the spelling of the client.
        let mut request = ask(&model.to_uppercase(), "repeat 3");
        request["stream"] = false.into();
        let answer = kinds.post("/api/chat", &request).await;
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(
            answer.json["message"]["content"], "word0 word1 word2",
            "{kind}"
        );
        assert_eq!(
            answer.json["model"],
            model.to_uppercase(),
            "{}",
            answer.text
        );
        let request = json!({"model": model, "prompt": "repeat 2", "options": {"num_predict": 1}});
        let all = lines(&kinds.post("/api/generate", &request).await);
        assert_eq!(
            all.last().expect("lines")["done_reason"],
            "length",
            "{kind}"
        );
    }
}

#[tokio::test]
async fn a_request_without_a_prompt_loads_and_never_unloads() {
    let kinds = Kinds::start("").await;
    for kind in ["ollama", "lmstudio"] {
        let model = Kinds::model(kind);
        let before = kinds.sim(kind).log().loaded();
        let answer = kinds.post("/api/generate", &json!({"model": model})).await;
        assert_eq!(
            answer.json["done_reason"], "load",
            "{kind}: {}",
            answer.text
        );
        assert_eq!(kinds.sim(kind).log().loaded(), before + 1, "{kind}");
        let unload = json!({"model": model, "messages": [], "keep_alive": 0});
        let answer = kinds.post("/api/chat", &unload).await;
        assert_eq!(
            answer.json["done_reason"], "unload",
            "{kind}: {}",
            answer.text
        );
        assert!(answer.header("x-crucible-note").contains("stays in memory"));
        let answer = kinds.post("/api/chat", &ask(&model, "repeat 1")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(
            kinds.sim(kind).log().loaded(),
            before + 1,
            "{kind}: it stayed"
        );
    }
    let answer = kinds.post("/api/generate", &json!({"model": "nope"})).await;
    assert_eq!(answer.status, 404, "{}", answer.text);
}

#[tokio::test]
async fn explain_reads_a_body_of_ollamas() {
    let kinds = Kinds::start("").await;
    let mut request = ask("ollama-think-vision", "hi");
    request["options"] = json!({"temperature": 0});
    for path in ["/crucible/explain", "/crucible/explain?path=/api/chat"] {
        let answer = kinds.post(path, &request).await;
        assert_eq!(answer.json["engine"], "ollama", "{}", answer.text);
        assert!(
            answer.json["defaults"].get("temperature").is_none(),
            "{}",
            answer.text
        );
    }
}

#[tokio::test]
async fn arguments_of_several_lines_and_odd_separators_stay_in_one_line() {
    let text = "a\u{2028}b\u{2029}c\u{85}d";
    let arguments = format!("{{\r\n  \"a\": 1,\n  \"t\": \"{text}\"\n}}");
    let call = json!({ "index": 0, "id": "c1", "type": "function",
        "function": { "name": "f", "arguments": arguments } });
    let message = json!({ "role": "assistant", "content": text, "reasoning_content": text,
        "tool_calls": [call] });
    for kind in ["lmstudio", "llamacpp", "openai"] {
        let said = message.clone();
        let (_fake, crucible) = saying(kind, move |streamed| openai(streamed, &said, "")).await;
        for path in ["/api/chat", "/api/generate"] {
            for streamed in [true, false] {
                let mut request = ask("m", "hi");
                request["prompt"] = "hi".into();
                request["stream"] = streamed.into();
                let unneeded = if path == "/api/chat" {
                    "prompt"
                } else {
                    "messages"
                };
                request.as_object_mut().expect("an object").remove(unneeded);
                let sent = client().post(crucible.at(path)).json(&request).send().await;
                let answer = whole(sent.expect("an answer")).await;
                let what = format!("{kind} {path} {streamed}: {:?}", answer.text);
                assert_eq!(answer.status, 200, "{what}");
                // Python's clients split at each of these.
                let splits = |c: char| "\r\u{85}\u{2028}\u{2029}".contains(c);
                assert!(!answer.text.contains(splits), "{what}");
                let all = if streamed {
                    lines(&answer)
                } else {
                    assert!(!answer.text.contains('\n'), "{what}");
                    vec![answer.json]
                };
                let (said, calls) = if path == "/api/chat" {
                    (&all[0]["message"]["content"], 1)
                } else {
                    (&all[0]["response"], 0)
                };
                assert_eq!(said, text, "{what}");
                let found = all
                    .iter()
                    .filter_map(|line| line["message"]["tool_calls"].as_array());
                let found: Vec<_> = found.flatten().collect();
                assert_eq!(found.len(), calls, "{what}");
                for call in found {
                    let arguments = json!({ "a": 1, "t": text });
                    assert_eq!(call["function"]["arguments"], arguments, "{what}");
                }
            }
        }
    }
}

#[tokio::test]
async fn no_member_in_another_spelling_reaches_an_ollama() {
    let kinds = Kinds::start("").await;
    let mut request = ask("ollama-think-vision", "repeat 2");
    for (name, value) in [
        ("Keep_Alive", json!(0)),
        ("\u{212a}eep_alive", json!(0)),
        ("MODEL", json!("zzz")),
        ("Option\u{17f}", json!({"num_gpu": 0})),
        ("Stream", json!(false)),
    ] {
        request[name] = value;
    }
    let answer = kinds.post("/api/chat", &request).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let notes = answer.header("x-crucible-note");
    assert!(notes.contains("Keep_Alive (keep_alive)"), "{notes}");
    let log = kinds.sim("ollama").log();
    let sent = &log.requests_to("/api/chat").last().expect("a request").body;
    let sent: Value = serde_json::from_str(sent).expect("JSON");
    for name in sent.as_object().expect("an object").keys() {
        assert_eq!(*name, name.to_ascii_lowercase(), "{sent}");
        assert!(name.is_ascii(), "{sent}");
    }
    let alone = json!({"model": "ollama-think-vision", "Messages": request["messages"]});
    let answer = kinds.post("/api/chat", &alone).await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    assert!(answer.text.contains("must be spelt `messages`"));
}
