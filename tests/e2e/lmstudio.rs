//! What LM Studio refuses or says oddly, and what a client of Crucible gets instead.

mod forms;

use crucible_sim::{Options, Overflow, Sim};
use crucible_tests::{
    Crucible,
    chat::{body, header, post, stream},
    engines::{asked, engine, start},
};
use serde_json::{Value, json};

/// LM Studio, Ollama, llama.cpp and an OpenAI server behind one Crucible; the model of each has
/// the engine's name.
struct Four {
    engines: Vec<(&'static str, Sim)>,
    crucible: Crucible,
}

impl Four {
    async fn start() -> Self {
        let mut engines = Vec::new();
        let mut toml = String::new();
        for (kind, options) in [
            ("lmstudio", Options::lmstudio(&["lmstudio-notools=1GB"])),
            ("ollama", Options::ollama(&["ollama=1GB"])),
            ("llamacpp", Options::openai(&["llamacpp=1GB"])),
            ("openai", Options::openai(&["openai=1GB"])),
        ] {
            let sim = start(options).await;
            toml.push_str(&engine(kind, kind, &sim.url()));
            engines.push((kind, sim));
        }
        let crucible = Crucible::start(&toml);
        Self { engines, crucible }
    }

    /// The text that the engine of this kind was sent last.
    fn sent(&self, kind: &str) -> String {
        let (_, sim) = self.engines.iter().find(|(k, _)| *k == kind).expect("it");
        let log = sim.log();
        let mut prompts = log.requests.iter().filter(|r| r.body.contains("\"hi\""));
        prompts.next_back().expect("a prompt").body.clone()
    }
}

fn model(kind: &str) -> &str {
    if kind == "lmstudio" {
        "lmstudio-notools"
    } else {
        kind
    }
}

const ALPHA: &str = r#"{"type":"function","function":{"name":"alpha","parameters":{"type":"object","z":1.0,"a":[]}}}"#;
const BETA: &str = r#"{"function":{"name":"beta"},"type":"function"}"#;
const GAMMA: &str = r#"{"type":"function","function":{"name":"gamma"}}"#;

/// A body whose tools keep the bytes that are written here.
fn with_choice(kind: &str, streamed: bool, choice: &str) -> String {
    let name = model(kind);
    format!(
        r#"{{"model":"{name}","messages":[{{"role":"user","content":"hi"}}],"tools":[{ALPHA},{BETA},{GAMMA}],"tool_choice":{choice},"stream":{streamed}}}"#
    )
}

#[tokio::test]
async fn a_tool_choice_that_is_an_object_becomes_a_word_and_the_tools_that_it_leaves() {
    let four = Four::start().await;
    let named = r#"{"type":"function","function":{"name":"beta"}}"#;
    let flat = r#"{"type":"function","name":"beta"}"#;
    let allowed = r#"{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"gamma"}},{"type":"function","function":{"name":"alpha"}}]}}"#;
    let allowed_flat = r#"{"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"gamma"},{"type":"function","name":"alpha"}]}"#;
    let beta = format!("[{BETA}]");
    let two = format!("[{ALPHA},{GAMMA}]");
    for (choice, word, tools) in [
        (named, "required", &beta),
        (flat, "required", &beta),
        (allowed, "required", &two),
        (allowed_flat, "auto", &two),
    ] {
        for kind in ["lmstudio", "ollama", "llamacpp"] {
            for streamed in [false, true] {
                let what = format!("{kind} {choice} {streamed}");
                let request: Value =
                    serde_json::from_str(&with_choice(kind, streamed, choice)).expect("JSON");
                let note = if streamed {
                    let (headers, answer) = stream(&four.crucible, &request).await;
                    assert!(answer.done && answer.error().is_none(), "{}", answer.text);
                    header(&headers, "x-crucible-note").to_owned()
                } else {
                    let answer = crucible_tests::chat::post_raw(
                        &four.crucible,
                        with_choice(kind, false, choice),
                    )
                    .await;
                    assert_eq!(answer.status, 200, "{what}: {}", answer.text);
                    answer.header("x-crucible-note").to_owned()
                };
                assert!(note.contains("tool_choice"), "{what}: {note}");
                let sent = four.sent(kind);
                let seen: Value = serde_json::from_str(&sent).expect("JSON");
                if !streamed {
                    assert!(
                        sent.contains(&format!("\"tools\":{tools}")),
                        "{what}: {sent}"
                    );
                }
                assert_eq!(seen["tools"], json_of(tools), "{what}");
                if kind != "ollama" {
                    assert_eq!(seen["tool_choice"], word, "{what}");
                }
            }
        }
        // It knows the object itself.
        let whole = with_choice("openai", false, choice);
        let answer = crucible_tests::chat::post_raw(&four.crucible, whole.clone()).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let seen: Value = serde_json::from_str(&four.sent("openai")).expect("JSON");
        assert_eq!(seen["tool_choice"], json_of(choice));
    }
    // A forced call really comes.
    let request = with_choice("lmstudio", false, named);
    let answer = crucible_tests::chat::post_raw(&four.crucible, request).await;
    let call = &answer.json["choices"][0]["message"]["tool_calls"][0]["function"]["name"];
    assert_eq!(call, "beta", "{}", answer.text);
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[tokio::test]
async fn a_named_tool_that_is_not_offered_is_a_clear_400_before_anything_is_loaded() {
    let four = Four::start().await;
    let named = r#"{"type":"function","function":{"name":"delta"}}"#;
    let allowed =
        r#"{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"name":"delta"}]}}"#;
    for kind in ["lmstudio", "ollama", "llamacpp"] {
        for (choice, param) in [
            (named, "tool_choice.function.name"),
            (allowed, "tool_choice.allowed_tools.tools[0].name"),
        ] {
            let mut request = body(model(kind), "hi");
            request["tool_choice"] = json_of(choice);
            for tools in [Value::Null, json!([]), json_of(&format!("[{ALPHA}]"))] {
                request["tools"] = tools;
                let answer = post(&four.crucible, &request).await;
                assert_eq!((answer.status, answer.code()), (400, "unsupported_value"));
                assert_eq!(answer.json["error"]["param"], param, "{}", answer.text);
                assert!(answer.message().contains("'delta'"), "{}", answer.text);
            }
        }
    }
    for (_, sim) in &four.engines {
        assert!(asked(&sim.log()).is_empty());
        assert!(sim.log().loads.is_empty());
    }
}

#[tokio::test]
async fn json_mode_becomes_the_schema_of_any_object_on_lmstudio_alone() {
    let four = Four::start().await;
    let own = json!({ "type": "object", "properties": { "a": { "type": "integer" } } });
    for kind in ["lmstudio", "ollama", "llamacpp", "openai"] {
        let mut request = body(model(kind), "hi");
        for (format, schema) in [
            (
                json!({ "type": "json_object" }),
                json!({ "type": "object" }),
            ),
            (json!({ "type": "json_object", "schema": own }), own.clone()),
        ] {
            request["response_format"] = format.clone();
            let answer = post(&four.crucible, &request).await;
            assert_eq!(answer.status, 200, "{kind}: {}", answer.text);
            assert!(json_of(answer.content()).is_object(), "{}", answer.text);
            let noted = answer.header("x-crucible-note").contains("json_schema");
            assert_eq!(noted, kind == "lmstudio", "{kind}: {:?}", answer.headers);
            let (headers, streamed) = stream(&four.crucible, &request).await;
            assert!(streamed.done && json_of(&streamed.content()).is_object());
            assert_eq!(
                header(&headers, "x-crucible-note").contains("json_schema"),
                noted
            );
            let seen = json_of(&four.sent(kind));
            match kind {
                "lmstudio" => {
                    assert_eq!(seen["response_format"]["type"], "json_schema");
                    assert_eq!(seen["response_format"]["json_schema"]["schema"], schema);
                }
                "ollama" => assert!(!seen["format"].is_null(), "{seen}"),
                _ => assert_eq!(seen["response_format"], format),
            }
        }
        request["response_format"] = json!({ "type": "text" });
        let answer = post(&four.crucible, &request).await;
        assert_eq!(answer.status, 200, "{kind}: {}", answer.text);
        assert!(!answer.header("x-crucible-note").contains("response_format"));
    }
    // What asks for no format is refused by LM Studio, too.
    for nothing in [json!({}), json!({ "type": null }), Value::Null] {
        for streamed in [false, true] {
            let mut request = body(model("lmstudio"), "hi");
            request["response_format"] = nothing.clone();
            request["stream"] = streamed.into();
            let answer = post(&four.crucible, &request).await;
            assert_eq!(answer.status, 200, "{nothing} {streamed}: {}", answer.text);
            let seen = json_of(&four.sent("lmstudio"));
            assert!(seen.get("response_format").is_none(), "{seen}");
        }
    }
}

/// LM Studio's own flag only says which models are better at it.
#[tokio::test]
async fn a_model_that_was_not_trained_for_tools_is_asked_all_the_same() {
    let sim = start(Options::lmstudio(&["a-notools=1GB", "b=1GB"])).await;
    let crucible = Crucible::start(&engine("gpu", "lmstudio", &sim.url()));
    let mut request = body("a-notools", "call tool alpha");
    request["tools"] = json_of(&format!("[{ALPHA}]"));
    for (name, answers) in [
        ("a-notools", "a-notools"),
        ("gpu/a-notools", "a-notools"),
        // Where the choice is free, a trained one is taken, although the other is loaded.
        ("auto", "b"),
        ("fast", "b"),
    ] {
        request["model"] = name.into();
        let answer = post(&crucible, &request).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.header("x-crucible-model"), answers, "{name}");
        let call = &answer.json["choices"][0]["message"]["tool_calls"][0]["function"]["name"];
        assert_eq!(call, "alpha", "{}", answer.text);
    }
}

#[tokio::test]
async fn tools_that_must_not_be_called_need_no_model_that_calls_tools() {
    for (kind, options) in [
        ("ollama", Options::ollama(&["a-notools=1GB"])),
        ("lmstudio", Options::lmstudio(&["a-notools=1GB"])),
        ("llamacpp", Options::openai(&["a-notools=1GB"])),
        ("openai", Options::openai(&["a-notools=1GB"])),
    ] {
        let sim = start(options).await;
        let crucible = Crucible::start(&engine("one", kind, &sim.url()));
        let mut request = body("a-notools", "call tool alpha");
        request["tools"] = json_of(&format!("[{ALPHA}]"));
        for choice in [json!("none"), json!({ "type": "none" })] {
            if kind == "openai" && choice.is_object() {
                continue;
            }
            request["tool_choice"] = choice;
            let answer = post(&crucible, &request).await;
            assert_eq!(answer.status, 200, "{kind}: {}", answer.text);
            let (_, streamed) = stream(&crucible, &request).await;
            assert!(streamed.done && streamed.error().is_none(), "{kind}");
        }
        if kind == "ollama" {
            request["tool_choice"] = json!("auto");
            let answer = post(&crucible, &request).await;
            assert_eq!(answer.status, 400, "{}", answer.text);
            assert!(answer.message().contains("tools"), "{}", answer.text);
        }
    }
}

/// More tokens than its estimate says: the engine has to say so itself.
#[tokio::test]
async fn a_prompt_that_lmstudio_finds_too_long_gets_more_context_whichever_way_it_says_so() {
    for form in [
        Overflow::Bare,
        Overflow::KeepFirst,
        Overflow::NKeep,
        Overflow::Json200,
        Overflow::Event,
        Overflow::Empty,
    ] {
        for streamed in [false, true] {
            let mut options = Options::lmstudio(&["m=1GB"]);
            options.overflow = form;
            let sim = start(options).await;
            let own = engine("one", "lmstudio", &sim.url());
            let crucible = Crucible::start(&format!("{own}permits = 1\n"));
            let mut request = body("m", &"\u{5b57}".repeat(4200));
            request["max_tokens"] = 100.into();
            let note = if streamed {
                let (headers, answer) = stream(&crucible, &request).await;
                assert!(answer.done, "{form:?}: {}", answer.text);
                header(&headers, "x-crucible-note").to_owned()
            } else {
                let answer = post(&crucible, &request).await;
                assert_eq!(answer.status, 200, "{form:?}: {}", answer.text);
                answer.header("x-crucible-note").to_owned()
            };
            let counted = form != Overflow::Empty;
            assert!(
                note.contains("loaded with more context"),
                "{form:?}: {note}"
            );
            assert_eq!(note.contains("4200 tokens"), counted, "{form:?}: {note}");
            let log = sim.log();
            let loaded = log
                .loads
                .iter()
                .map(|load| load.tuple["context_length"].as_u64());
            assert_eq!(
                loaded.collect::<Vec<_>>(),
                [Some(4096), Some(8192)],
                "{form:?}"
            );
        }
    }
}

#[tokio::test]
async fn names_that_lmstudio_itself_serves_a_model_under_are_found() {
    let sim = start(Options::lmstudio(&["Pub/m=1GB:@q4_k_m+q8_0", "other=1GB"])).await;
    for _ in 0..2 {
        let load = json!({ "model": "Pub/m", "context_length": 4096 });
        let url = format!("{}/api/v1/models/load", sim.url());
        let sent = crucible_tests::engines::client().post(url).json(&load);
        assert_eq!(sent.send().await.expect("an answer").status(), 200);
    }
    let crucible = Crucible::start(&engine("gpu", "lmstudio", &sim.url()));
    for name in ["Pub/m:2", "gpu/Pub/m:2", "pub/m@Q4_K_M", "gpu/Pub/m@q4_k_m"] {
        let answer = post(&crucible, &body(name, "repeat 2")).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text);
        assert_eq!(answer.header("x-crucible-model"), "Pub/m", "{name}");
        assert_eq!(answer.content(), "word0 word1", "{name}");
    }
    // Not what a load of the key would bring.
    let answer = post(&crucible, &body("Pub/m@q8_0", "hi")).await;
    assert_eq!(answer.status, 404, "{}", answer.text);
}
