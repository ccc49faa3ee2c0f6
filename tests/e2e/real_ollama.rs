//! The load scheduler with a real Ollama of this machine (`TEST_OLLAMA_URL`, `TEST_OLLAMA_MODEL`)
//! and two real models. The second is a copy of the first that differs in one letter of its name
//! inside the file: a model of its own for Ollama. It is deleted afterwards.
//!
//! What Ollama held and which of its runners lived is read at each of Crucible's calls, by a relay
//! in between: nothing depends on when somebody looked. The relay needs a thread while Crucible ends.

use std::{collections::BTreeSet, panic::AssertUnwindSafe, time::SystemTime};

use crucible_tests::{
    Crucible,
    chat::{body, open, post, stream},
    clean::queued,
    engines::{client, engine},
    relay::{Call, Relay, listed, runners},
    rest::{eventually, ready},
    sse::Stream,
    target::Target,
};
use futures_util::FutureExt as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::real::{long, whole};

const COPY: &str = "crucible-test-copy:latest";

/// A real Ollama, the relay in front of it, and its address.
struct Real {
    target: Target,
    url: String,
    relay: Relay,
}

// === impl Real ===

impl Real {
    async fn start() -> Option<Self> {
        let target = Target::real_ollama().await?;
        let url = target.url.clone().expect("a URL");
        let relay = Relay::start(&url).await;
        assert_eq!(runners(), BTreeSet::new(), "nothing is loaded");
        Some(Self { target, url, relay })
    }

    /// Crucible in front of the relay, with room for one model.
    async fn crucible(&self, more: &str) -> Crucible {
        let own = engine("ollama", "ollama", self.relay.url());
        let crucible = Crucible::start(&format!(
            "{more}\n{own}device = \"cpu\"\npermits = 1\n\
             [tuning.ollama]\nmax_loaded_models = 1\n"
        ));
        ready(&crucible).await;
        crucible
    }

    /// The entry of its only model in `/api/ps`.
    async fn only(&self) -> Value {
        let mut held = listed(&client(), &self.url).await;
        assert_eq!(held.len(), 1, "{held:?}");
        held.remove(0)
    }

    async fn ask(&self, path: &str, body: &Value) -> reqwest::Response {
        let send = client()
            .post(format!("{}{path}", self.url))
            .json(body)
            .send();
        send.await.expect("Ollama answers")
    }

    /// Makes the copy.
    async fn copy(&self) {
        let show = self
            .ask("/api/show", &json!({ "model": self.target.model }))
            .await;
        let show: Value = show.json().await.expect("JSON");
        let told = show["modelfile"].as_str().expect("a Modelfile");
        let mut files = told.lines().filter_map(|line| line.strip_prefix("FROM /"));
        let file = files.next().expect("the path of the model's file");
        let mut gguf = std::fs::read(format!("/{file}")).expect("its file on this machine");
        let key = b"general.name";
        let mut at = gguf.windows(key.len()).position(|bytes| bytes == key);
        // The key, its type (4 bytes), the length of its text (8), the text.
        let letter = at.as_mut().map(|at| *at + key.len() + 12);
        let letter = &mut gguf[letter.expect("a model with a name")];
        *letter = if *letter == b'X' { b'Y' } else { b'X' };
        let digest = Sha256::digest(&gguf)
            .iter()
            .fold("sha256:".to_owned(), |text, byte| {
                format!("{text}{byte:02x}")
            });
        let blob = client()
            .post(format!("{}/api/blobs/{digest}", self.url))
            .body(gguf)
            .send()
            .await
            .expect("Ollama takes it");
        assert!(blob.status().is_success(), "{}", blob.status());
        let create = json!({
            "model": COPY, "files": { "copy.gguf": digest }, "stream": false,
            "template": show["template"],
        });
        let made = self.ask("/api/create", &create).await;
        assert!(made.status().is_success(), "{:?}", made.text().await);
    }

    async fn delete_copy(&self) {
        // What is deleted while it is loaded can no longer be unloaded by its name.
        let unload = json!({ "model": COPY, "keep_alive": 0 });
        self.ask("/api/generate", &unload).await;
        let delete = client()
            .delete(format!("{}/api/delete", self.url))
            .json(&json!({ "model": COPY }))
            .send();
        let status = delete.await.expect("Ollama answers").status();
        assert!(status.is_success(), "{status}");
    }

    /// Runs a test with both models; the copy is deleted however it ends.
    async fn with_copy(&self, test: impl AsyncFnOnce(&Self)) {
        self.copy().await;
        let ended = AssertUnwindSafe(test(self)).catch_unwind().await;
        self.delete_copy().await;
        if let Err(panic) = ended {
            std::panic::resume_unwind(panic);
        }
    }
}

/// At each load the engine held nothing and no runner lived; at each unload nothing was being
/// answered; each answer came from what was held.
fn one_at_a_time(calls: &[Call]) {
    for call in calls {
        let others = || calls.iter().filter(|other| other.runs_at(call));
        if call.answers() {
            assert_eq!(call.held, [call.model()], "{call:?}");
            assert_eq!(call.runners.len(), 1, "{call:?}");
        } else {
            assert_eq!(others().next().map(|c| &c.path), None, "beside: {call:?}");
            // Ollama's own clock may have come before an unload.
            let most = usize::from(call.unloads());
            assert!(
                call.held.len() <= most && call.runners.len() <= most,
                "{call:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_models_take_turns_in_room_for_one_and_no_answer_is_cut() {
    let Some(real) = Real::start().await else {
        return;
    };
    real.with_copy(async |real| {
        let crucible = real.crucible("").await;
        let models = [real.target.model.as_str(), COPY];
        let turns = |model| {
            let crucible = &crucible;
            async move {
                for tokens in [30, 40, 50] {
                    whole(&stream(crucible, &long(model, tokens)).await.1, tokens);
                }
            }
        };
        tokio::join!(
            turns(models[0]),
            turns(models[1]),
            turns(models[0]),
            turns(models[1])
        );
        let calls = real.relay.calls();
        one_at_a_time(&calls);
        assert_eq!(calls.iter().filter(|c| c.answers()).count(), 12);
        let loaded: Vec<&str> = calls
            .iter()
            .filter(|c| c.loads())
            .map(Call::model)
            .collect();
        assert!(models.iter().all(|m| loaded.contains(m)), "{loaded:?}");
        // Each turn of a model serves all who wait for it: not one load per request.
        assert!(loaded.len() <= 7, "{loaded:?}");
        let unloads = calls.iter().filter(|c| c.unloads()).count();
        assert_eq!(unloads, loaded.len() - 1, "{calls:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_answer_is_waited_for_before_a_swap() {
    let Some(real) = Real::start().await else {
        return;
    };
    real.with_copy(async |real| {
        let crucible = real.crucible("").await;
        let mut running = open(&crucible, &long(&real.target.model, 400)).await;
        let first = running.chunk().await.expect("a chunk").expect("a chunk");
        let before = runners();
        let other = long(COPY, 8);
        let other = stream(&crucible, &other);
        let rest = async {
            queued(&crucible, 1).await;
            assert_eq!(runners(), before, "it still runs");
            Stream::read(running).await
        };
        let (rest, (_, other)) = tokio::join!(rest, other);
        let first = Stream::parse(&String::from_utf8_lossy(&first));
        assert!(first.error().is_none() && !first.done, "{}", first.text);
        whole(&rest, 400);
        whole(&other, 8);
        let calls = real.relay.calls();
        one_at_a_time(&calls);
        let order: Vec<&str> = calls.iter().map(Call::model).collect();
        let own = real.target.model.as_str();
        // Load, answer and unload of the one; load and answer of the other.
        assert_eq!(order, [own, own, own, COPY, COPY], "{calls:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_prompt_grows_the_context_and_is_answered_whole() {
    let Some(real) = Real::start().await else {
        return;
    };
    // Other names of the given one may have a larger context, which all of its names get.
    real.with_copy(async |real| grows(real, COPY).await).await;
}

async fn grows(real: &Real, model: &str) {
    let small = format!("[[model]]\nname = {model:?}\ncontext = 1024\n");
    let crucible = real.crucible(&small).await;
    whole(&stream(&crucible, &long(model, 8)).await.1, 8);
    let small = real.only().await;
    assert_eq!(small["context_length"], 1024, "{small}");
    let before = runners();
    let mut request = long(model, 8);
    request["messages"][0]["content"] = json!("The sea is wide and blue. ".repeat(200));
    let (_, answer) = stream(&crucible, &request).await;
    whole(&answer, 8);
    let usage = &answer.events.last().expect("events")["usage"];
    // More than the first context, so that nothing of it was cut away.
    assert!(usage["prompt_tokens"].as_u64() > Some(1400), "{usage}");
    let large = real.only().await;
    assert_eq!(large["context_length"], 8192, "{large}");
    assert!(runners().is_disjoint(&before), "another runner");
    one_at_a_time(&real.relay.calls());
    // It stays as large: nothing is loaded for a small one.
    whole(&stream(&crucible, &long(model, 8)).await.1, 8);
    assert_eq!(real.relay.loads().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_model_goes_and_comes_again() {
    let Some(real) = Real::start().await else {
        return;
    };
    let crucible = real.crucible("[tuning.lmstudio]\nmodel_ttl = \"2s\"").await;
    for _ in 0..2 {
        // Longer than the time to live: what is in use stays.
        let request = long(&real.target.model, 300);
        whole(&stream(&crucible, &request).await.1, 300);
        eventually("Ollama unloads it", || async {
            let held = listed(&client(), &real.url).await;
            (held.is_empty() && runners().is_empty()).then_some(())
        })
        .await;
    }
    assert_eq!(real.relay.loads().len(), 2);
    one_at_a_time(&real.relay.calls());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_asks_for_does_not_load_the_model_anew() {
    let Some(real) = Real::start().await else {
        return;
    };
    let crucible = real.crucible("").await;
    let model = &real.target.model;
    whole(&stream(&crucible, &long(model, 8)).await.1, 8);
    let before = (runners(), real.only().await["context_length"].clone());
    assert_eq!(before.0.len(), 1);
    for wish in [
        json!({ "options": { "num_ctx": 1024, "num_thread": 1, "num_batch": 64 } }),
        json!({ "num_ctx": 2048 }),
        json!({ "keep_alive": "24h" }),
        json!({ "keep_alive": 0 }),
    ] {
        let mut request = body(model, "hello");
        request["max_tokens"] = 4.into();
        let fields = request.as_object_mut().expect("an object");
        fields.extend(wish.as_object().expect("an object").clone());
        let answer = post(&crucible, &request).await;
        assert_eq!(answer.status, 200, "{wish}: {}", answer.text);
        let held = real.only().await;
        assert_eq!(
            (runners(), held["context_length"].clone()),
            before,
            "{wish}"
        );
        let listing = real.target.driver().list().await.expect("a listing");
        let until = listing.residents[0].expires_at.expect("until when");
        let left = until.duration_since(SystemTime::now()).expect("in future");
        // Neither the client's day nor its zero.
        let minutes = left.as_secs() / 60;
        assert!((2..60).contains(&minutes), "{wish}: {left:?}");
    }
    assert_eq!(real.relay.loads().len(), 1);
}

const NAMES: [&str; 3] = [
    "crucible-test-cp:latest",
    "crucible-test-from:latest",
    "crucible-test-gpu:latest",
];

// === impl Real, names over the same weights ===

impl Real {
    /// Makes a copy, a derivative, and one whose load has an option that Crucible does not send.
    async fn with_names(&self, test: impl AsyncFnOnce(&Self)) {
        let base = &self.target.model;
        let copy = json!({ "source": base, "destination": NAMES[0] });
        let derived = json!({
            "model": NAMES[1], "from": base, "stream": false, "system": "You are brief.",
            "parameters": { "num_ctx": 3000, "num_thread": 1 },
        });
        let other = json!({
            "model": NAMES[2], "from": base, "stream": false, "parameters": { "draft_num_predict": 3 },
        });
        for (path, made) in [
            ("/api/copy", copy),
            ("/api/create", derived),
            ("/api/create", other),
        ] {
            let made = self.ask(path, &made).await;
            assert!(made.status().is_success(), "{:?}", made.text().await);
        }
        let ended = AssertUnwindSafe(test(self)).catch_unwind().await;
        let unload = json!({ "model": base, "keep_alive": 0 });
        self.ask("/api/generate", &unload).await;
        for name in NAMES {
            let delete = client()
                .delete(format!("{}/api/delete", self.url))
                .json(&json!({ "model": name }))
                .send();
            assert!(delete.await.expect("Ollama answers").status().is_success());
        }
        if let Err(panic) = ended {
            std::panic::resume_unwind(panic);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_over_the_same_weights_share_a_runner_whichever_comes_first() {
    let Some(real) = Real::start().await else {
        return;
    };
    real.with_names(async |real| {
        let base = real.target.model.as_str();
        for names in [[base, NAMES[0], NAMES[1]], [NAMES[1], NAMES[0], base]] {
            let relay = Relay::start(&real.url).await;
            let own = engine("ollama", "ollama", relay.url());
            let crucible = Crucible::start(&format!("{own}device = \"cpu\"\npermits = 1\n"));
            ready(&crucible).await;
            let mut lived = BTreeSet::new();
            for name in names.iter().chain(&names) {
                whole(&stream(&crucible, &long(name, 8)).await.1, 8);
                lived.append(&mut runners());
            }
            assert_eq!(lived.len(), 1, "one runner for all: {:?}", relay.calls());
            assert_eq!(relay.loads().len(), 1, "{:?}", relay.calls());
            assert_eq!(real.only().await["name"], names[0]);
            // Crucible's end unloads what it loaded.
            drop(crucible);
            let unload = json!({ "model": names[2], "keep_alive": 0 });
            real.ask("/api/generate", &unload).await;
            eventually("it is unloaded by another name", || async {
                runners().is_empty().then_some(())
            })
            .await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_with_other_options_is_a_swap_of_crucibles() {
    let Some(real) = Real::start().await else {
        return;
    };
    real.with_names(async |real| {
        let crucible = real.crucible("").await;
        for name in [real.target.model.as_str(), NAMES[2], NAMES[0]] {
            whole(&stream(&crucible, &long(name, 8)).await.1, 8);
            assert_eq!(real.only().await["name"], name);
        }
        one_at_a_time(&real.relay.calls());
        assert_eq!(real.relay.loads().len(), 3);
    })
    .await;
}

/// Ollama answers 5xx to these (seen on 0.33.0-rc2), or takes them; no answer is the engine's fault.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_asks_wrongly_is_its_own_fault_and_what_ollama_takes_is_taken() {
    let Some(real) = Real::start().await else {
        return;
    };
    let crucible = real.crucible("").await;
    let schema = |schema: Value| {
        json!({ "response_format": { "type": "json_schema",
            "json_schema": { "name": "n", "schema": schema } } })
    };
    for (wish, status) in [
        (schema(json!("{}")), 400),
        (schema(json!([])), 400),
        (schema(json!(true)), 400),
        (json!({ "temperature": 1e39 }), 400),
        (json!({ "temperature": "x" }), 400),
        (json!({ "max_tokens": -1, "stop": [" "] }), 200),
        (
            json!({ "max_tokens": null, "max_completion_tokens": 4.0 }),
            200,
        ),
        (json!({ "seed": 42.0, "n": 1.0, "top_k": 20.0 }), 200),
        (json!({ "seed": -1, "top_k": 1.5 }), 200),
        (json!({ "top_k": 1e10 }), 200),
        (json!({ "stop": ["zzz", 1] }), 200),
        (
            json!({ "stop": 7, "response_format": { "type": "xml" } }),
            200,
        ),
        (json!({ "logprobs": true, "top_logprobs": 2 }), 200),
    ] {
        let mut request = body(&real.target.model, "hello");
        request["max_tokens"] = 4.into();
        let fields = request.as_object_mut().expect("an object");
        fields.extend(wish.as_object().expect("an object").clone());
        let answer = post(&crucible, &request).await;
        assert_eq!(answer.status, status, "{wish}: {}", answer.text);
        if status == 400 {
            let named = &answer.json["error"]["param"];
            assert!(named.is_string(), "{wish}: {}", answer.text);
        }
    }
    // No limit for Ollama; the schema ends it.
    for name in ["max_tokens", "max_completion_tokens"] {
        let mut request = body(&real.target.model, "Yes?");
        request[name] = 0.into();
        request["response_format"] = schema(json!({ "enum": ["yes"] }))["response_format"].take();
        let answer = post(&crucible, &request).await;
        assert_eq!(answer.content(), "\"yes\"", "{name}: {}", answer.text);
        let note = answer.header("x-crucible-note");
        assert!(note.contains("no limit"), "{name}: {note}");
    }
    assert_eq!(real.relay.loads().len(), 1);
}
