//! llama.cpp's server in router mode (`llama-server` without `-m`, b11434,
//! `tools/server/server-models.cpp`): several models, each in a process of its own.
//!
//! A model's context and slots are those of its preset: a load names the model and nothing else. It
//! returns before the model is ready, so its status is looked at; one that failed tells the exit code
//! of its process and no text. Its folder is read at its start, and where a list is asked for so.

use std::{collections::HashMap, sync::Arc};

use serde_json::Value;

use super::super::{
    Listing,
    http::{count, count32, flag, items, text},
    openai::parse_models,
};
use super::resident::resident_of;
use crate::catalog::ModelKind;

/// The facts that the process of a model reported while it ran.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ModelFacts {
    /// The arguments of that process, its port among them.
    pub(super) arguments: Vec<String>,
    slots: Option<u32>,
    /// The tokens for each slot.
    context: Option<u64>,
    trained: Option<u64>,
    bytes: Option<u64>,
    tools: Option<bool>,
    vision: Option<bool>,
}

/// The status of a model in the router's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ModelStatus {
    /// The model answers, or wakes up to answer.
    Ready,
    /// The model becomes ready without further action.
    Coming,
    /// The process of the model ended with this exit code.
    Failed(i64),
    /// The model is not loaded.
    Unloaded,
    /// The list has no such model.
    Absent,
}

// === impl ModelStatus ===

impl ModelStatus {
    /// The status of a model in the answer to `GET /models`.
    pub(super) fn of(body: &Value, model: &str) -> Self {
        let mut entries = items(body, "data").iter();
        let found = entries.find(|e| text(e, "id").as_deref() == Some(model));
        found.map_or(Self::Absent, Self::of_entry)
    }

    fn of_entry(entry: &Value) -> Self {
        let none = Value::Null;
        let status = entry.get("status").unwrap_or(&none);
        match text(status, "value").as_deref() {
            Some("loaded" | "sleeping") => Self::Ready,
            Some("loading" | "downloading" | "downloaded") => Self::Coming,
            _ if flag(status, "failed") == Some(true) => {
                let code = status.get("exit_code").and_then(Value::as_i64);
                Self::Failed(code.unwrap_or(-1))
            }
            _ => Self::Unloaded,
        }
    }
}

/// Whether these are the answers of a server in router mode.
pub(super) fn is_router(body: &Value, props: &Value) -> bool {
    text(props, "role").as_deref() == Some("router")
        || items(body, "data")
            .iter()
            .any(|e| e.get("status").is_some())
}

/// The models whose processes run.
pub(super) fn running(body: &Value) -> Vec<String> {
    let entries = items(body, "data").iter();
    let running = entries.filter(|e| {
        matches!(
            ModelStatus::of_entry(e),
            ModelStatus::Ready | ModelStatus::Coming
        )
    });
    running.filter_map(|entry| text(entry, "id")).collect()
}

/// Returns the running models whose facts are not read yet, or were read of other arguments.
pub(super) fn unread(body: &Value, read: &HashMap<Arc<str>, ModelFacts>) -> Vec<String> {
    let running = items(body, "data").iter().filter(|entry| {
        // One that sleeps is not woken for this.
        let status = entry.get("status").and_then(|s| text(s, "value"));
        status.as_deref() == Some("loaded")
    });
    let new = running.filter_map(|entry| {
        let id = text(entry, "id")?;
        let known = read
            .get(&*id)
            .is_some_and(|t| t.arguments == arguments(entry));
        (!known).then_some(id)
    });
    new.collect()
}

/// Reads the facts of a running model from its entry in the list and its own `/props`.
pub(super) fn facts(body: &Value, model: &str, props: &Value) -> ModelFacts {
    let none = Value::Null;
    let mut entries = items(body, "data").iter();
    let entry = entries.find(|e| text(e, "id").as_deref() == Some(model));
    let entry = entry.unwrap_or(&none);
    let meta = entry.get("meta").unwrap_or(&none);
    let settings = props.get("default_generation_settings").unwrap_or(&none);
    let able = |key: &str, field: &str| props.get(key).and_then(|v| flag(v, field));
    ModelFacts {
        arguments: arguments(entry),
        slots: count32(props, "total_slots").filter(|n| *n > 0),
        context: count(settings, "n_ctx").or_else(|| count(meta, "n_ctx")),
        trained: count(meta, "n_ctx_train"),
        bytes: count(meta, "size"),
        tools: able("chat_template_caps", "supports_tools"),
        vision: able("modalities", "vision"),
    }
}

/// The models' files, by model.
pub(super) fn files(body: &Value) -> Vec<(String, String)> {
    let entries = items(body, "data").iter();
    entries
        .filter_map(|entry| {
            let path = value(&arguments(entry), &["--model", "-m"])?.to_owned();
            Some((text(entry, "id")?, path))
        })
        .collect()
}

/// `sizes` are those of the models' files, where they can be read here.
pub(super) fn parse(
    body: &Value,
    props: &Value,
    told: &HashMap<Arc<str>, ModelFacts>,
    sizes: &HashMap<String, u64>,
) -> Result<Listing, super::EngineError> {
    let mut models = parse_models(body)?;
    let mut residents = Vec::new();
    for model in &mut models {
        let mut entries = items(body, "data").iter();
        let Some(entry) = entries.find(|e| text(e, "id").as_deref() == Some(&model.id)) else {
            continue;
        };
        let arguments = arguments(entry);
        let nothing = ModelFacts::default();
        let told = told.get(&model.id).unwrap_or(&nothing);
        let slots = told.slots.or_else(|| {
            let slots = value(&arguments, &["--parallel", "-np"])?;
            slots.parse().ok().filter(|n| *n > 0)
        });
        let context = told.context.or_else(|| preset_context(&arguments, slots));
        model.format.get_or_insert_with(|| "gguf".into());
        model.max_context = [context, told.trained, model.max_context]
            .into_iter()
            .flatten()
            .min();
        model.size_bytes = told
            .bytes
            .or(model.size_bytes)
            .or_else(|| sizes.get(&*model.id).copied());
        model.capabilities.tools = told.tools;
        model.capabilities.vision = told.vision.or_else(|| sees(entry));
        model.names = items(entry, "aliases")
            .iter()
            .filter_map(|alias| alias.as_str().map(Arc::from))
            .collect();
        if arguments.iter().any(|a| a.starts_with("--embedding")) {
            model.kind = ModelKind::Embedding;
        }
        if ModelStatus::of_entry(entry) == ModelStatus::Ready {
            residents.push(resident_of(model, slots, context));
        }
    }
    Ok(Listing {
        version: text(props, "build_info"),
        models,
        residents,
        load_control: true,
        // 0 is no limit.
        max_loaded: count32(props, "max_instances").filter(|n| *n > 0),
    })
}

fn arguments(entry: &Value) -> Vec<String> {
    let none = Value::Null;
    let status = entry.get("status").unwrap_or(&none);
    let words = items(status, "args").iter();
    words
        .filter_map(|w| w.as_str().map(str::to_owned))
        .collect()
}

/// The word after one of these flags.
fn value<'a>(arguments: &'a [String], flags: &[&str]) -> Option<&'a str> {
    let at = arguments.iter().position(|a| flags.contains(&a.as_str()))?;
    arguments.get(at + 1).map(String::as_str)
}

/// The context of one slot by the preset alone: the whole is divided by the slots, unless all slots
/// share it.
fn preset_context(arguments: &[String], slots: Option<u32>) -> Option<u64> {
    let whole: u64 = value(arguments, &["--ctx-size", "-c"])?.parse().ok()?;
    let shared = ["--kv-unified", "-kvu"];
    let is_shared = arguments.iter().any(|a| shared.contains(&a.as_str()));
    match slots {
        _ if whole == 0 => None,
        _ if is_shared => Some(whole),
        Some(slots) => Some(whole / u64::from(slots)),
        // How many there will be is the server's choice.
        None => None,
    }
}

fn sees(entry: &Value) -> Option<bool> {
    let architecture = entry.get("architecture")?;
    let inputs = items(architecture, "input_modalities");
    (!inputs.is_empty()).then(|| inputs.iter().any(|input| input == "image"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The answers of a real server (b11434) with one model loaded, one that failed, one that loads
    /// and one that never ran, `-c 2048 -np 2`.
    const MODELS: &str = include_str!("../testdata/router_models_b11434.json");
    const PROPS: &str = include_str!("../testdata/router_props_b11434.json");
    const CHILD: &str = include_str!("../testdata/router_child_props_b11434.json");

    fn read(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_list_of_a_real_server_is_read() {
        let (body, props) = (read(MODELS), read(PROPS));
        assert!(is_router(&body, &props));
        assert!(!is_router(
            &json!({"data": [{"id": "m"}]}),
            &json!({"total_slots": 1})
        ));
        let none = HashMap::new();
        assert_eq!(unread(&body, &none), ["small"]);
        assert_eq!(running(&body), ["small"]);
        let known = HashMap::from([(Arc::from("small"), facts(&body, "small", &read(CHILD)))]);
        assert!(unread(&body, &known).is_empty());
        let sizes = HashMap::from([("other".to_owned(), 7)]);
        let listing = parse(&body, &props, &known, &sizes).unwrap();
        assert!(listing.load_control);
        assert_eq!(listing.max_loaded, Some(1));
        let model = |id: &str| listing.models.iter().find(|m| &*m.id == id).unwrap();
        assert_eq!(model("small").max_context, Some(1024));
        assert_eq!(model("small").size_bytes, Some(96_576_768));
        assert_eq!(model("small").capabilities.tools, Some(false));
        assert_eq!(model("other").max_context, Some(1024), "by its preset");
        assert_eq!(model("other").size_bytes, Some(7));
        assert_eq!(model("other").capabilities.vision, Some(false));
        let [held] = listing.residents.as_slice() else {
            panic!("{:?}", listing.residents);
        };
        assert_eq!(
            (&*held.model, held.context, held.parallel),
            ("small", Some(2048), Some(2))
        );
        // A new process has its own port.
        let mut changed = body.clone();
        for entry in changed["data"].as_array_mut().unwrap() {
            entry["status"]["args"] = json!(["--port", "1"]);
        }
        assert_eq!(unread(&changed, &known), ["small"]);
    }

    #[test]
    fn a_model_is_ready_on_its_way_failed_or_not_there() {
        let body = read(MODELS);
        for (model, state) in [
            ("small", ModelStatus::Ready),
            ("broken", ModelStatus::Failed(1)),
            ("other", ModelStatus::Unloaded),
            ("nothing", ModelStatus::Absent),
        ] {
            assert_eq!(ModelStatus::of(&body, model), state, "{model}");
        }
        for (word, state) in [
            ("sleeping", ModelStatus::Ready),
            ("loading", ModelStatus::Coming),
            ("downloading", ModelStatus::Coming),
            ("anything", ModelStatus::Unloaded),
        ] {
            let body = json!({"data": [{"id": "m", "status": {"value": word}}]});
            assert_eq!(ModelStatus::of(&body, "m"), state, "{word}");
        }
    }

    #[test]
    fn a_preset_tells_the_context_of_a_slot_only_where_it_says_all_of_it() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for (text, slots, context) in [
            ("--ctx-size 4096", Some(2), Some(2048)),
            ("-c 4096 --kv-unified", Some(2), Some(4096)),
            ("-c 4096 -kvu", None, Some(4096)),
            ("-c 4096", None, None),
            ("-c 0", Some(2), None),
            ("--parallel 2", Some(2), None),
        ] {
            assert_eq!(preset_context(&words(text), slots), context, "{text}");
        }
    }
}
