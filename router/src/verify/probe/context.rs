//! The probe whether the context that an engine states is really in effect: one prompt that should
//! fit and one that should not, each with an answer of one token.
//!
//! No tokenizer is asked: two short prompts of a repeated word show how many tokens a word is. The
//! engine's own count of prompt tokens decides, or its refusal. An engine that cuts a prompt
//! without an error counts fewer tokens than were sent (`prompt_eval_count` of Ollama 0.33 is the
//! number after the cut).

mod judge;
mod outcome;
mod sizes;

use std::{
    hash::{BuildHasher, RandomState},
    io,
    path::Path,
    time::Duration,
};

use crucible_config::{Config, checked::EngineKind, engine_profile::SlotContext};
use serde_json::Value;
use tokio::time::timeout;

pub use self::outcome::{ContextProbe, ContextProbes, ContextVerdict};
use self::{
    judge::{PromptFate, Sent, judge, overflow},
    sizes::{SHORT, Sizes, Words},
};
use super::{read, write};
use crate::verify::engine_access;
use crate::{
    catalog::ModelKind,
    engine::{EngineEndpoint, EngineError, ask_for_one_token},
    options::{LoadTuple, request_context},
    scheduler::{PersistedState, resident_store},
    state_dir,
    view::{EngineView, ResidentView, View},
};

const FILE: &str = "context_probes.json";
/// The longest time for all prompts to one model; a processor reads some ten tokens in a second.
const BUDGET: Duration = Duration::from_mins(5);
const WORD: &str = " apple";

/// The parts of a question to one loaded model: its engine, its instance and its load options.
struct Asking<'a> {
    endpoint: EngineEndpoint,
    kind: EngineKind,
    instance: &'a str,
    tuple: LoadTuple,
}

/// Probes the contexts of all loaded generation models; nothing is loaded.
///
/// `busy` are the models that are answering now, as `engine/instance`, which are left alone. `tell`
/// gets a sentence before and after each probe, and one for each model that is not probed.
pub async fn run(
    config: &Config,
    view: &View,
    busy: &[String],
    tell: &mut dyn FnMut(&str),
) -> ContextProbes {
    let mut probes = ContextProbes::new();
    let known = |e: &&EngineView| e.is_up() && e.kind.profile().slots != SlotContext::Unknown;
    for engine in view.engines.iter().filter(known) {
        let held = engine.residents.iter();
        let held = held.filter(|r| r.info.kind == ModelKind::Generation);
        let mut none = true;
        for resident in held {
            none = false;
            let name = format!("{}/{}", engine.name, resident.info.instance);
            let outcome = if busy.contains(&name) {
                // A long prompt would wait, or take the cache that the answers need.
                Err("it is busy; probe again when it is not".to_owned())
            } else {
                one(config, engine, resident, tell).await
            };
            match outcome {
                Ok(probe) => {
                    let ContextProbe { stated, words, .. } = &probe;
                    tell(&format!("{name} states a context of {stated}: {words}"));
                    let of_engine = probes.entry(engine.name.to_string()).or_default();
                    of_engine.insert(resident.info.instance.to_string(), probe);
                }
                Err(why) => tell(&format!("the context of {name} was not probed: {why}")),
            }
        }
        if none {
            tell(&format!(
                "{}: no model is loaded whose context could be probed",
                engine.name
            ));
        }
    }
    probes
}

/// Reads the outcomes of earlier probes; empty where there are none or the file cannot be read.
pub fn load(state_dir: &Path) -> ContextProbes {
    read(&state_dir.join(FILE))
}

/// Writes the outcomes of probes; instances that were not probed this time keep their last outcome.
pub fn save(state_dir: &Path, probes: &ContextProbes) -> io::Result<()> {
    let mut all = load(state_dir);
    for (engine, found) in probes {
        all.entry(engine.clone()).or_default().extend(found.clone());
    }
    write(state_dir, FILE, &all)
}

/// Returns the outcome of the last context probe of a resident; `None` where it was never probed, or
/// states another context now.
pub(crate) fn last_probe<'a>(
    probes: &'a ContextProbes,
    engine: &EngineView,
    resident: &ResidentView,
) -> Option<&'a ContextProbe> {
    let probe = probes.get(&*engine.name)?.get(&*resident.info.instance)?;
    (request_context(engine.kind, &resident.info) == Some(probe.stated)).then_some(probe)
}

/// Returns the options that Crucible loaded the resident with, from its file of residents, because
/// a command cannot ask the running instance.
fn loaded_with(folder: &Path, engine: &EngineView, resident: &ResidentView) -> Option<LoadTuple> {
    let text = state_dir::read(&folder.join(resident_store::FILE)).ok()?;
    let memory = PersistedState::parse(&text).ok()?;
    let info = &resident.info;
    let mut owned = memory.owned.iter();
    let same = owned.find(|o| {
        *o.url == *engine.url && o.instance == info.instance && o.context == info.context
    });
    same.map(|owned| owned.tuple)
}

async fn one(
    config: &Config,
    engine: &EngineView,
    resident: &ResidentView,
    tell: &mut dyn FnMut(&str),
) -> Result<ContextProbe, String> {
    let tuple = loaded_with(&config.state_dir, engine, resident);
    if engine.kind.profile().options_on_requests && tuple.is_none() {
        let why = "with which options it was loaded is not written down, and a prompt with others \
                   could make Ollama load it anew";
        return Err(why.to_owned());
    }
    let stated = request_context(engine.kind, &resident.info).ok_or("it states none")?;
    let sizes = Sizes::of(engine, stated)?;
    let over = match sizes.over {
        Some(over) => format!(" and one of about {over}"),
        None => String::new(),
    };
    tell(&format!(
        "{}/{} reads two short prompts, one of about {} tokens{over}, and answers each with one token",
        engine.name, resident.info.instance, sizes.fit
    ));
    let endpoint = engine_access::endpoint(config, engine).map_err(|e| e.to_string())?;
    let asking = Asking {
        endpoint,
        kind: engine.kind,
        instance: &resident.info.instance,
        tuple: tuple.unwrap_or_default(),
    };
    let outcome = timeout(BUDGET, asking.probe(sizes)).await;
    let outcome = outcome.unwrap_or(Err(EngineError::Timeout));
    outcome.map_err(|e| e.to_string())
}

// === impl Asking ===

impl Asking<'_> {
    async fn probe(&self, sizes: Sizes) -> Result<ContextProbe, EngineError> {
        let mut short = [0; 2];
        for (read, words) in short.iter_mut().zip(SHORT) {
            *read = match self.send(words).await? {
                PromptFate::Read(tokens) => tokens,
                PromptFate::Refused(_) => {
                    let why = format!("a prompt of {words} words does not fit");
                    return Err(EngineError::Unexpected(why));
                }
            };
        }
        let words = Words::of(short)?;
        let fit = self.prompt(&words, sizes.fit).await?;
        let over = match sizes.over {
            Some(over) => Some(self.prompt(&words, over).await?),
            None => None,
        };
        Ok(judge(sizes.stated, fit, over))
    }

    async fn prompt(&self, words: &Words, tokens: u64) -> Result<Sent, EngineError> {
        let fate = self.send(words.for_tokens(tokens)).await?;
        Ok(Sent { tokens, fate })
    }

    /// Sends a prompt of so many words, unlike any before, because an engine may not count a cached
    /// part.
    async fn send(&self, words: u64) -> Result<PromptFate, EngineError> {
        let nonce = RandomState::new().hash_one(words) % 1_000_000;
        let count = usize::try_from(words).unwrap_or_default();
        let text = format!("{nonce:06}{}", WORD.repeat(count));
        let asked = ask_for_one_token(&self.endpoint, self.kind, self.instance, &text, &self.tuple);
        match asked.await {
            Ok(answer) => read_tokens(&answer).map(PromptFate::Read).ok_or_else(|| {
                EngineError::Unexpected("its answer tells no prompt tokens".to_owned())
            }),
            Err(EngineError::Refused { status, message }) => {
                overflow(&message).ok_or(EngineError::Refused { status, message })
            }
            Err(error) => Err(error),
        }
    }
}

/// Returns the prompt tokens that an answer counts: Ollama's `prompt_eval_count`, else OpenAI's
/// `usage`.
fn read_tokens(answer: &Value) -> Option<u64> {
    let native = answer.get("prompt_eval_count");
    let open = || answer.get("usage")?.get("prompt_tokens");
    let tokens = native.or_else(open)?.as_u64()?;
    (tokens > 0).then_some(tokens)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use std::collections::BTreeMap;

    use super::*;
    use crate::{scheduler::OwnedResident, verify::testing::all_right};

    #[test]
    fn outcomes_are_remembered_while_the_stated_context_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let fit = Sent {
            tokens: 2400,
            fate: PromptFate::Read(2400),
        };
        let probe = judge(4096, fit, None);
        let of = |name: &str| {
            let found = BTreeMap::from([(name.to_owned(), probe.clone())]);
            ContextProbes::from([("ollama".to_owned(), found)])
        };
        save(folder.path(), &of("llama:3b")).unwrap();
        save(folder.path(), &of("other")).unwrap();
        let all = load(folder.path());
        assert_eq!(all["ollama"].len(), 2);
        let mut evidence = all_right();
        let ollama = evidence.ollama();
        let found = last_probe(&all, ollama, &ollama.residents[0]);
        assert_eq!(found, Some(&probe));
        ollama.residents[0].info.context = Some(8192);
        assert_eq!(last_probe(&all, ollama, &ollama.residents[0]), None);
    }

    #[tokio::test]
    async fn a_model_of_ollamas_that_crucible_did_not_load_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::builtin();
        config.state_dir = folder.path().to_owned();
        let mut ollama = all_right().ollama().clone();
        ollama.url = "http://127.0.0.1:1".to_owned();
        let resident = &ollama.residents[0];
        let mut silent = |text: &str| panic!("{text}");
        let answer = one(&config, &ollama, resident, &mut silent).await;
        assert!(answer.unwrap_err().contains("load it anew"));
        let owned = OwnedResident {
            url: Arc::from(&*ollama.url),
            engine: Arc::clone(&ollama.name),
            model: Arc::clone(&resident.info.model),
            instance: Arc::clone(&resident.info.instance),
            context: resident.info.context,
            tuple: LoadTuple::default(),
        };
        let memory = PersistedState {
            owned: vec![owned],
            ..PersistedState::default()
        };
        std::fs::write(folder.path().join(resident_store::FILE), memory.to_text()).unwrap();
        let mut said = Vec::new();
        let mut tell = |text: &str| said.push(text.to_owned());
        // Nobody is there, but what would be sent was said before.
        assert!(one(&config, &ollama, resident, &mut tell).await.is_err());
        let sizes = "one of about 2454 tokens and one of about 4672";
        assert!(said[0].contains(sizes), "{said:?}");
    }
}
