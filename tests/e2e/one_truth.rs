//! `explain`, the headers of an answer, the state and the commands tell the same of one request.

mod commands;

use std::{collections::BTreeSet, time::Duration};

use crucible_documents::{ExplainDoc, StateDoc, VerifiedDoc};
use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{Whole, body, get, open, whole},
    engines::{client, engine, start},
    rest::{eventually, ready, state},
    scripted::{Leave, Script, Scripted},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::beside_instance::agreeing;

/// A request that was explained and then answered.
struct Answered {
    explained: ExplainDoc,
    answer: Whole,
    /// The context of the resident that answered, all its slots together.
    whole_context: Option<u64>,
}

async fn posted(crucible: &Crucible, path: &str, request: &Value, key: &str) -> Whole {
    let answer = client().post(crucible.at(path)).json(request);
    whole(answer.bearer_auth(key).send().await.expect("an answer")).await
}

async fn explained(crucible: &Crucible, request: &Value, key: &str) -> ExplainDoc {
    let answer = posted(crucible, "/crucible/explain", request, key).await;
    serde_json::from_str(&answer.text).expect(&answer.text)
}

fn assert_headers(answer: &Whole, explained: &ExplainDoc, what: &str) {
    let told = [&explained.engine, &explained.model].map(|name| name.as_deref().unwrap_or(""));
    let named = ["x-crucible-engine", "x-crucible-model"].map(|name| answer.header(name));
    assert_eq!(named, told, "{what}");
    let reason = explained.reason.map_or("", |reason| reason.as_str());
    assert_eq!(answer.header("x-crucible-reason"), reason, "{what}");
    let named = answer.header("x-crucible-defaults").split(',');
    let named: BTreeSet<&str> = named.filter(|name| !name.is_empty()).collect();
    let told: BTreeSet<&str> = explained.defaults.keys().map(String::as_str).collect();
    assert_eq!(named, told, "{what}");
}

/// Explains a request, sends it, and compares what is said of it everywhere.
async fn asked(crucible: &Crucible, what: &str, request: &Value, key: &str) -> Answered {
    let before = explained(crucible, request, key).await;
    let answer = posted(crucible, "/v1/chat/completions", request, key).await;
    assert_eq!(answer.status, 200, "{what}: {}", answer.text);
    assert_headers(&answer, &before, what);
    let state = client().get(crucible.at("/crucible/state"));
    let state = state.bearer_auth(key).send().await.expect("an answer");
    let state: StateDoc = state.json().await.expect("a state");
    let [engine, model] = ["engine", "model"].map(|name| {
        let header = format!("x-crucible-{name}");
        answer.header(&header).to_owned()
    });
    let resident = state.resident(&engine, &model);
    let whole_context = resident.and_then(|resident| resident.context);
    let in_defaults = before.defaults.contains_key("context");
    assert_eq!(in_defaults, before.context.is_some(), "{what}: {before:?}");
    assert_eq!(
        whole_context.is_some(),
        before.context.is_some(),
        "{what}: {before:?}"
    );
    // What is loaded now is what it was to be.
    let after = explained(crucible, request, key).await;
    assert_eq!(after.engine, before.engine, "{what}");
    assert_eq!(after.model, before.model, "{what}");
    let given = |explained: &ExplainDoc| explained.context.as_ref().map(|c| c.given);
    assert_eq!(given(&after), given(&before), "{what}: {before:?}");
    Answered {
        explained: before,
        answer,
        whole_context,
    }
}

/// Tokens for the request and for the whole instance, and why.
fn context(answered: &Answered) -> (u64, u64, &str) {
    let context = answered.explained.context.as_ref();
    let context = context.expect("a context that is known");
    let whole = answered.whole_context.expect("a resident with a context");
    (context.given, whole, &context.because)
}

fn prompt(model: &str, tokens: usize) -> Value {
    let mut request = body(model, &"word".repeat(tokens));
    request["max_tokens"] = 100.into();
    request
}

fn with(mut request: Value, more: &[(&str, Value)]) -> Value {
    for (name, value) in more {
        request[*name] = value.clone();
    }
    request
}

fn tools() -> Value {
    json!([{ "type": "function", "function": { "name": "f", "parameters": { "type": "object" } } }])
}

async fn one(kind: &str, model: &str, permits: u32, toml: &str) -> (Sim, Crucible) {
    let sim = start(match kind {
        "lmstudio" => Options::lmstudio(&[model]),
        "ollama" => Options::ollama(&[model]),
        _ => Options::openai(&[model]),
    })
    .await;
    let own = engine("one", kind, &sim.url());
    let crucible = Crucible::start(&format!("{toml}\n{own}permits = {permits}\n"));
    ready(&crucible).await;
    (sim, crucible)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_loads_and_grows_is_told_alike_everywhere() {
    // LM Studio's slots share the context of an instance.
    for (kind, slots) in [("lmstudio", 2), ("ollama", 1)] {
        let (_sim, crucible) = one(kind, "m=1GB", 2, "").await;
        for (what, request, given, because) in [
            ("nothing is loaded", prompt("m", 500), 4096, "configured"),
            ("loaded", prompt("m", 500), 4096, "loaded"),
            (
                "a longer answer",
                with(prompt("m", 500), &[("max_tokens", 1500.into())]),
                4096,
                "loaded",
            ),
            (
                "a value of the client's",
                with(
                    prompt("m", 500),
                    &[("temperature", 0.into()), ("top_p", Value::Null)],
                ),
                4096,
                "loaded",
            ),
            (
                "another context is asked for",
                with(prompt("m", 500), &[("num_ctx", 2048.into())]),
                4096,
                "loaded",
            ),
            ("a larger one", prompt("m", 9000), 16_384, "needed"),
            ("a small one again", prompt("m", 500), 16_384, "loaded"),
        ] {
            let what = format!("{kind}: {what}");
            let answered = asked(&crucible, &what, &request, "").await;
            assert_eq!(
                context(&answered),
                (given, given * slots, because),
                "{what}"
            );
            agreeing(&crucible).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_outgrows_its_model_is_told_the_context_that_it_then_gets() {
    for (kind, slots) in [("lmstudio", 2), ("ollama", 1)] {
        let (_sim, crucible) = one(kind, "m=1GB", 2, "").await;
        for (tokens, given) in [(500, 4096), (9000, 32_768)] {
            let request = with(prompt("m", tokens), &[("tools", tools())]);
            let answered = asked(&crucible, kind, &request, "").await;
            let (told, whole, _) = context(&answered);
            assert_eq!((told, whole), (given, given * slots), "{kind} {tokens}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_context_of_the_clients_own_is_noted_only_where_it_has_another() {
    for (kind, slots) in [("lmstudio", 2), ("ollama", 1)] {
        let (_sim, crucible) = one(kind, "m=1GB", 2, "").await;
        for (asks, note) in [
            (16_384, ""),
            (2048, "num_ctx 2048: the context is 16384"),
            (16_384, ""),
        ] {
            let request = with(prompt("m", 500), &[("num_ctx", asks.into())]);
            let what = format!("{kind} {asks}");
            let answered = asked(&crucible, &what, &request, "").await;
            let (given, whole, _) = context(&answered);
            assert_eq!((given, whole), (16_384, 16_384 * slots), "{what}");
            assert_eq!(answered.answer.header("x-crucible-note"), note, "{what}");
        }
    }
}

/// As a person or another program loads it.
async fn load_by_hand(sim: &Sim, kind: &str, tokens: u64) {
    let (path, load) = match kind {
        "lmstudio" => (
            "/api/v1/models/load",
            json!({ "model": "m", "context_length": tokens }),
        ),
        _ => (
            "/api/generate",
            json!({ "model": "m", "options": { "num_ctx": tokens }, "keep_alive": -1 }),
        ),
    };
    let load = client().post(format!("{}{path}", sim.url())).json(&load);
    let loaded = load.send().await.expect("an answer");
    assert!(loaded.status().is_success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_loaded_is_told_as_it_is() {
    for kind in ["lmstudio", "ollama"] {
        for (loaded, tokens, given, because) in [
            (20_000, 500, 20_000, "loaded"),
            (2048, 500, 2048, "loaded"),
            (2048, 9000, 16_384, "needed"),
        ] {
            let (sim, crucible) = one(kind, "m=1GB", 1, "").await;
            load_by_hand(&sim, kind, loaded).await;
            eventually("the load of the person", || async {
                let state = state(&crucible).await;
                state.residents().next().map(|_| ())
            })
            .await;
            let what = format!("{kind} {loaded} {tokens}");
            let answered = asked(&crucible, &what, &prompt("m", tokens), "").await;
            assert_eq!(context(&answered), (given, given, because), "{what}");
            agreeing(&crucible).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_grow_is_told_with_what_it_has() {
    let reject = "[context]\nfit = \"reject\"\n";
    for kind in ["lmstudio", "ollama"] {
        let (_sim, crucible) = one(kind, "m=1GB", 1, reject).await;
        // The prompt fits, and its answer has what is left.
        let request = with(prompt("m", 3900), &[("max_tokens", 1000.into())]);
        let answered = asked(&crucible, kind, &request, "").await;
        let (given, whole, _) = context(&answered);
        assert_eq!((given, whole), (4096, 4096), "{kind}");
        let request = prompt("m", 9000);
        let told = explained(&crucible, &request, "").await;
        let told = told.context.expect("a context");
        assert_eq!((told.given, &*told.because), (4096, "refused"), "{kind}");
        let answer = posted(&crucible, "/v1/chat/completions", &request, "").await;
        assert_eq!(answer.code(), "context_length_exceeded", "{}", answer.text);
        assert!(answer.message().contains("4096"), "{}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_a_model_and_of_a_key_are_told_with_what_is_loaded() {
    let hash = |name: &str, more: &str| {
        let (_, out, _) = tokio::task::block_in_place(|| Crucible::command(&["key", "new"], ""));
        let block = &out[out.find("[[key]]").expect("a block")..];
        let secret = out.split_whitespace().find(|w| w.starts_with("crk-"));
        let named = block.lines().map(|line| match line.split_once(" = ") {
            Some(("name", _)) => format!("name = {name:?}"),
            _ => line.to_owned(),
        });
        let lines: Vec<String> = named.collect();
        let block = format!("{}\n{more}\n", lines.join("\n"));
        (block, secret.expect("a secret").to_owned())
    };
    let (plain, plain_key) = hash("plain", "");
    let (own, own_key) = hash("own", "context = 12000\ndefaults = { temperature = 0.9 }");
    let settings = "[[model]]\nname = \"m\"\naliases = [\"nick\"]\n";
    for kind in ["lmstudio", "ollama"] {
        for (key, model, given) in [
            (&plain_key, "", 4096),
            (&own_key, "", 12_000),
            (&own_key, "context = 9000\n", 9000),
        ] {
            let toml = format!("{plain}{own}{settings}{model}");
            let (_sim, crucible) = keyed(kind, &toml).await;
            for name in ["m", "nick", "one/m"] {
                let answered = asked(&crucible, kind, &prompt(name, 500), key).await;
                let (told, whole, _) = context(&answered);
                assert_eq!((told, whole), (given, given), "{kind} {name} {model}");
            }
        }
    }
}

async fn keyed(kind: &str, toml: &str) -> (Sim, Crucible) {
    let sim = start(match kind {
        "lmstudio" => Options::lmstudio(&["m=1GB"]),
        _ => Options::ollama(&["m=1GB"]),
    })
    .await;
    let own = engine("one", kind, &sim.url());
    let crucible = Crucible::start(&format!("{toml}\n{own}permits = 1\n"));
    (sim, crucible)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_tells_no_context_has_none_anywhere() {
    for kind in ["openai", "llamacpp"] {
        let (_sim, crucible) = one(kind, "m=1GB", 1, "").await;
        for what in ["at first", "again"] {
            let request = prompt("m", 500);
            let what = format!("{kind} {what}");
            let answered = asked(&crucible, &what, &request, "").await;
            let has = answered.explained.context.is_some();
            assert_eq!(has, kind == "llamacpp", "{what}");
            agreeing(&crucible).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_with_other_options_is_told_the_context_of_its_own_load() {
    let mut options = Options::ollama(&["base=1GB", "mine~base+num_thread=1"]);
    options.parallel = 1;
    let sim = start(options).await;
    let own = engine("one", "ollama", &sim.url());
    let crucible = Crucible::start(&format!("{own}permits = 1\n"));
    ready(&crucible).await;
    for (name, tokens) in [("base", 9000), ("mine", 500), ("base", 500)] {
        let answered = asked(&crucible, name, &prompt(name, tokens), "").await;
        let (told, whole, _) = context(&answered);
        assert_eq!(told, whole, "{name} {tokens}");
        agreeing(&crucible).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_and_a_virtual_model_are_told_alike() {
    let lmstudio = start(Options::lmstudio(&["big=4GB", "shared=2GB"])).await;
    let ollama = start(Options::ollama(&["small=1GB", "shared=2GB"])).await;
    let crucible = Crucible::start(&format!(
        "{}{}[[model]]\nname = \"gone\"\nfallback = [\"small\"]\n",
        engine("lmstudio", "lmstudio", &lmstudio.url()),
        engine("ollama", "ollama", &ollama.url()),
    ));
    ready(&crucible).await;
    for (name, tokens, more) in [
        ("gone", 20, vec![]),
        ("auto", 20, vec![]),
        ("auto", 6000, vec![]),
        ("auto", 20, vec![("tools", tools())]),
        ("fast", 20, vec![]),
        ("quality", 20, vec![]),
        ("shared", 20, vec![]),
        ("ollama/shared", 20, vec![]),
    ] {
        let what = format!("{name} {tokens} {more:?}");
        asked_once(&crucible, &what, &with(prompt(name, tokens), &more)).await;
        agreeing(&crucible).await;
    }
}

/// As [`asked`], where a second explanation may name another engine: a conversation stays.
async fn asked_once(crucible: &Crucible, what: &str, request: &Value) {
    let before = explained(crucible, request, "").await;
    let answer = posted(crucible, "/v1/chat/completions", request, "").await;
    assert_eq!(answer.status, 200, "{what}: {}", answer.text);
    assert_headers(&answer, &before, what);
    let headers = open(crucible, request).await;
    let name = headers.headers().get("x-crucible-engine").cloned();
    assert!(name.is_some(), "{what}");
    drop(headers);
}

#[tokio::test]
async fn headers_that_go_out_while_the_model_loads_tell_what_explain_tells() {
    for (kind, mut options) in [
        ("lmstudio", Options::lmstudio(&["qwen=2GB"])),
        ("ollama", Options::ollama(&["qwen=2GB"])),
    ] {
        options.load_time = Duration::from_secs(2);
        let sim = start(options).await;
        let crucible = Crucible::start(&format!(
            "[timeouts]\ncommit = \"100ms\"\n{}",
            engine("one", kind, &sim.url())
        ));
        let mut request = body("qwen", "repeat 3");
        request["top_p"] = json!(0.5);
        let before = explained(&crucible, &request, "").await;
        request["stream"] = json!(true);
        let answer = posted(&crucible, "/v1/chat/completions", &request, "").await;
        // A comment comes first: the headers went out while the model was loaded.
        assert!(answer.text.starts_with(": crucible"), "{}", answer.text);
        assert_headers(&answer, &before, kind);
    }
}
