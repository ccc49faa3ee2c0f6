//! The probe whether LM Studio takes `frequency_penalty` for its own repeat penalty: two short
//! seeded generations are compared, and a small file keeps the outcome.
//!
//! LM Studio 0.4 reports its repeat penalty under that name. If it reads requests in the same way,
//! a value of 0.1 rewards words that were used before, and the text soon repeats itself.

pub mod context;

use std::{
    collections::{BTreeMap, HashSet},
    fs, io,
    path::Path,
    sync::Arc,
    time::Duration,
};

use crucible_config::{Config, checked::EngineKind};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use tokio::time::timeout;

use super::{
    engine_access,
    evidence::{PenaltyProbe, Probes},
};
use crate::{
    catalog::ModelKind,
    engine::{EngineEndpoint, EngineError},
    state_dir,
    view::{EngineView, ResidentView, View},
};

const FILE: &str = "probes.json";
/// The longest time for both generations; the model is loaded already.
const BUDGET: Duration = Duration::from_mins(2);
const TOKENS: u32 = 48;
/// The part of the other text's variety below which a text counts as repeating itself.
const CIRCLE: f64 = 0.5;
/// The length in characters below which a text shows nothing.
const SHORTEST: usize = 12;
/// The length in characters of the pieces that are compared.
const PIECE: usize = 3;

/// Probes every LM Studio that has a loaded model which takes penalties; nothing is loaded.
///
/// `busy` are the models that are answering now, as `engine/instance`, which are left alone. `tell`
/// gets a sentence before each probe, and one for each engine that is not probed.
pub async fn run(
    config: &Config,
    view: &View,
    busy: &[String],
    tell: &mut dyn FnMut(&str),
) -> Probes {
    let mut probes = Probes::new();
    for engine in view
        .engines
        .iter()
        .filter(|e| e.kind == EngineKind::Lmstudio)
    {
        let answer = match held(engine, busy) {
            None => Err("no idle generation model that takes penalties is loaded".to_owned()),
            Some(model) => {
                tell(&format!(
                    "{}: {model} answers the same short question twice, with at most {TOKENS} tokens",
                    engine.name
                ));
                timeout(BUDGET, penalty(config, engine, model))
                    .await
                    .unwrap_or(Err(EngineError::Timeout))
                    .map_err(|e| e.to_string())
            }
        };
        match answer {
            Ok(probe) => {
                probes.insert(Arc::clone(&engine.name), probe);
            }
            Err(why) => tell(&format!("{} was not probed: {why}", engine.name)),
        }
    }
    probes
}

/// Reads the outcomes of earlier probes; empty where there are none or the file cannot be read.
pub fn load(state_dir: &Path) -> Probes {
    let all: BTreeMap<String, PenaltyProbe> = read(&state_dir.join(FILE));
    all.into_iter()
        .map(|(name, probe)| (Arc::from(name), probe))
        .collect()
}

/// Writes the outcomes of probes; engines that were not probed this time keep their last outcome.
pub fn save(state_dir: &Path, probes: &Probes) -> io::Result<()> {
    let mut all = load(state_dir);
    all.extend(probes.clone());
    let all: BTreeMap<&str, &PenaltyProbe> = all.iter().map(|(name, p)| (&**name, p)).collect();
    write(state_dir, FILE, &all)
}

/// Whether a probe found that the engine rewards repetition, so that no frequency penalty is filled
/// in there.
pub fn rewards_repetition(probes: &Probes, engine: &str) -> bool {
    probes.get(engine).is_some_and(|p| p.rewards_repetition)
}

/// Reads a file of outcomes; the default where there is none or it has another form.
fn read<T: DeserializeOwned + Default>(path: &Path) -> T {
    let text = state_dir::read(path).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn write(folder: &Path, name: &str, all: &impl Serialize) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let file = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer(&file, all)?;
    file.persist(folder.join(name))?;
    Ok(())
}

fn held<'a>(engine: &'a EngineView, busy: &[String]) -> Option<&'a Arc<str>> {
    let idle = |instance: &str| !busy.contains(&format!("{}/{instance}", engine.name));
    let takes = |model: &str| {
        let mut models = engine.models.iter();
        let model = models.find(|m| &*m.id == model);
        model.is_none_or(|m| m.format.as_deref() != Some("mlx"))
    };
    let generation = |r: &&ResidentView| r.info.kind == ModelKind::Generation;
    let mut held = engine.residents.iter().filter(generation);
    held.find(|r| engine.is_up() && takes(&r.info.model) && idle(&r.info.instance))
        .map(|r| &r.info.instance)
}

async fn penalty(
    config: &Config,
    engine: &EngineView,
    model: &str,
) -> Result<PenaltyProbe, EngineError> {
    let endpoint = engine_access::endpoint(config, engine)?;
    let plain = generate(&endpoint, model, None).await?;
    let penalised = generate(&endpoint, model, Some(0.1)).await?;
    judge(&plain, &penalised)
        .ok_or_else(|| EngineError::Unexpected("its answers are too short to compare".into()))
}

async fn generate(
    endpoint: &EngineEndpoint,
    model: &str,
    penalty: Option<f64>,
) -> Result<String, EngineError> {
    let mut body = json!({
        "model": model, "seed": 7, "temperature": 0, "max_tokens": TOKENS, "stream": false,
        "messages": [{"role": "user", "content": "Name twenty different animals in one line."}],
    });
    if let Some(penalty) = penalty {
        body["frequency_penalty"] = json!(penalty);
    }
    let answer = endpoint.post("/v1/chat/completions", &body).await?;
    let message = &answer["choices"][0]["message"];
    let text = |key: &str| message[key].as_str().unwrap_or_default().to_owned();
    Ok(text("content") + &text("reasoning_content"))
}

/// Compares the text without a penalty with the one under 0.1; `None` where either is too short.
fn judge(plain: &str, penalised: &str) -> Option<PenaltyProbe> {
    let (before, after) = (variety(plain)?, variety(penalised)?);
    let rewards_repetition = after < before * CIRCLE;
    let what = if rewards_repetition {
        "0.1 makes the text repeat itself: it is taken for the repeat penalty"
    } else {
        "0.1 does not make the text repeat itself"
    };
    Some(PenaltyProbe {
        rewards_repetition,
        words: format!(
            "{what} ({:.0}% different pieces without it, {:.0}% with it)",
            before * 100.0,
            after * 100.0
        ),
    })
}

/// Returns the share of a text's pieces that are different, from 0 to 1; `None` for a text that is
/// too short.
fn variety(text: &str) -> Option<f64> {
    let letters: Vec<char> = text.chars().collect();
    if letters.len() < SHORTEST {
        return None;
    }
    let pieces: Vec<&[char]> = letters.windows(PIECE).collect();
    let different: HashSet<&[char]> = pieces.iter().copied().collect();
    let count = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    Some(count(different.len()) / count(pieces.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANIMALS: &str = "Ant, bear, cat, dog, eagle, fox, goose, horse, ibis, jackal, koala";

    #[test]
    fn a_circle_is_told_from_another_choice_of_words() {
        let circle = judge(
            ANIMALS,
            "Ant, bear, bear, bear, bear, bear, bear, bear, bear, bear",
        );
        assert!(circle.unwrap().rewards_repetition);
        let glued = judge(ANIMALS, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
        assert!(glued.unwrap().rewards_repetition);
        let other = judge(
            ANIMALS,
            "Lion, tiger, zebra, wolf, otter, seal, whale, crane, duck",
        );
        let other = other.unwrap();
        assert!(!other.rewards_repetition, "{}", other.words);
        assert_eq!(judge(ANIMALS, "No."), None);
    }

    #[test]
    fn what_was_found_is_remembered_engine_by_engine() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        assert!(load(&state).is_empty());
        let probe = judge(ANIMALS, "aaaaaaaaaaaaaaaaaaaaaa").unwrap();
        save(&state, &Probes::from([("a".into(), probe.clone())])).unwrap();
        let fine = judge(ANIMALS, ANIMALS).unwrap();
        save(&state, &Probes::from([("b".into(), fine)])).unwrap();
        let all = load(&state);
        assert_eq!(all["a"], probe);
        assert!(rewards_repetition(&all, "a") && !rewards_repetition(&all, "b"));
        assert!(!rewards_repetition(&all, "c"));
        fs::write(state.join(FILE), "not json").unwrap();
        assert!(load(&state).is_empty());
    }
}
