//! The check that the model that was asked is the one that answers.
//!
//! LM Studio (0.4) writes the instance that gave an answer into its `model`. With loads on request
//! switched off, it answers a request for a model that is not loaded by another model that is, and
//! only that name tells. Such an answer is never signed with the name that was asked for. Other
//! engines write any name there and are not judged.

use std::{sync::Arc, time::Duration};

use crucible_router::{permit::Permit, view::View};

use crate::{
    error::{Error, ErrorKind},
    state::AppState,
};

/// The longest wait for a new list of an engine that answered under a name which its last list
/// lacks.
const ASK: Duration = Duration::from_secs(1);

/// The model and the instance that are expected to answer a request.
#[derive(Clone, Debug)]
pub(super) struct ExpectedAnswerer {
    engine: Arc<str>,
    model: Arc<str>,
    instance: Arc<str>,
}

/// The names that an engine lists.
#[derive(Debug, Default)]
struct Known<'a> {
    models: Vec<&'a str>,
    /// The instances, each with its model.
    instances: Vec<(&'a str, &'a str)>,
}

/// The owner of a name that an engine wrote into its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    /// The model that was asked.
    Asked,
    /// Another model of that engine.
    Another,
    /// No model that the engine lists.
    Nobody,
}

// === impl ExpectedAnswerer ===

impl ExpectedAnswerer {
    /// Returns the expectation for a granted permit; `None` for an engine whose names are not judged.
    pub(super) fn of(permit: &Permit) -> Option<Self> {
        permit.kind.profile().names_answerer.then(|| Self {
            engine: Arc::clone(&permit.engine),
            model: Arc::clone(&permit.model),
            instance: Arc::clone(&permit.instance),
        })
    }

    /// Checks `name`, the model that an answer names; the error is an answer of another model. A
    /// name that no list has makes Crucible ask the engine for a new list once; where it stays
    /// unknown, it is accepted and remembered.
    pub(super) async fn check(&self, app: &AppState, name: Option<String>) -> Result<(), Error> {
        let Some(name) = name.filter(|name| !self.is_own(name)) else {
            return Ok(());
        };
        let name = &*name;
        let named = |view: &View| self.named(&Known::of(view, &self.engine), name);
        let mut whose = named(&app.router.view());
        if whose == Named::Nobody && !app.spellings.knows(&self.engine, name) {
            // Somebody may have loaded it a moment ago, under a name of their own.
            app.router.poll_now(&self.engine, ASK).await;
            whose = named(&app.router.view());
            if whose == Named::Nobody {
                app.spellings.add(&self.engine, name);
            }
        }
        if whose != Named::Another {
            return Ok(());
        }
        let (asked, name) = (&self.model, name.chars().take(200).collect::<String>());
        Err(Error::new(
            ErrorKind::EngineError,
            format!(
                "the engine answered with '{name}' instead of '{asked}'; the answer was dropped: load \
                 '{asked}' there, or switch on its loading on request"
            ),
        )
        .not_loaded())
    }

    fn is_own(&self, name: &str) -> bool {
        name.eq_ignore_ascii_case(&self.instance) || name.eq_ignore_ascii_case(&self.model)
    }

    fn named(&self, known: &Known<'_>, name: &str) -> Named {
        if self.is_own(name) {
            return Named::Asked;
        }
        let is = |known: &str| known.eq_ignore_ascii_case(name);
        let mut named = known.instances.iter().filter(|(i, _)| is(i)).peekable();
        if named.peek().is_some() {
            return if named.any(|(_, model)| **model == *self.model) {
                Named::Asked
            } else {
                Named::Another
            };
        }
        if known.models.iter().any(|id| is(id)) {
            return Named::Another;
        }
        if stem(name).eq_ignore_ascii_case(stem(&self.model)) {
            return Named::Asked;
        }
        // An instance that came since the last poll is named after its model.
        let of_another = |id: &&str| stem(id).eq_ignore_ascii_case(stem(name));
        if known.models.iter().any(of_another) {
            return Named::Another;
        }
        Named::Nobody
    }
}

// === impl Known ===

impl<'a> Known<'a> {
    fn of(view: &'a View, engine: &str) -> Self {
        let Some(engine) = view.engine(engine) else {
            return Self::default();
        };
        let residents = engine.residents.iter().map(|r| &r.info);
        Self {
            models: engine.models.iter().map(|m| &*m.id).collect(),
            instances: residents.map(|i| (&*i.instance, &*i.model)).collect(),
        }
    }
}

/// Returns a name without folders, without the number of an instance (`key:2`), a variant
/// (`key@q8_0`) and the signs of a weights file: `.gguf`, `-GGUF`, a quantization (`-Q4_K_M`,
/// `:q8_0`).
fn stem(name: &str) -> &str {
    let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let mut name = name.split_once('@').map_or(name, |(key, _)| key);
    loop {
        let shorter = without_suffix(name);
        if shorter.len() == name.len() {
            return name;
        }
        name = shorter;
    }
}

fn without_suffix(name: &str) -> &str {
    let Some(at) = name.rfind(['.', '-', ':']).filter(|at| *at > 0) else {
        return name;
    };
    let (key, end) = (&name[..at], &name[at + 1..]);
    let number = !end.is_empty() && end.bytes().all(|b| b.is_ascii_digit());
    let goes = match name.as_bytes()[at] {
        b':' => number || is_quantization(end),
        _ => end.eq_ignore_ascii_case("gguf") || is_quantization(end),
    };
    if goes { key } else { name }
}

/// Whether a word is llama.cpp's or MLX's name of a quantization: `q4_k_m`, `iq2_xs`, `bf16`,
/// `4bit`.
fn is_quantization(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    if matches!(&*word, "f16" | "f32" | "bf16" | "fp16" | "mxfp4") {
        return true;
    }
    let digit = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    let quant = word.strip_prefix('i').unwrap_or(&word).strip_prefix('q');
    quant.is_some_and(digit) || digit(&word) && word.ends_with("bit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_spellings_of_the_same_are_no_false_alarm() {
        let asked = |model: &str, instance: &str| ExpectedAnswerer {
            engine: "e".into(),
            model: model.into(),
            instance: instance.into(),
        };
        let key = asked("qwen/qwen3-8b", "qwen/qwen3-8b");
        let second = asked("qwen/qwen3-8b", "qwen/qwen3-8b:2");
        let own = asked("qwen/qwen3-8b", "my-coder");
        let known = Known {
            models: vec!["qwen/qwen3-8b", "llama-3.2-3b", "qwen/qwen3-8b-vl"],
            instances: vec![("my-coder", "qwen/qwen3-8b"), ("helper", "llama-3.2-3b")],
        };
        for (expected, name, named) in [
            (&key, "qwen/qwen3-8b", Named::Asked),
            (&key, "Qwen/Qwen3-8B", Named::Asked),
            (&key, "qwen/qwen3-8b:2", Named::Asked),
            (&key, "qwen/qwen3-8b@q8_0", Named::Asked),
            (&key, "qwen3-8b", Named::Asked),
            (&key, "qwen3-8b.gguf", Named::Asked),
            (&key, "Qwen/Qwen3-8B-GGUF", Named::Asked),
            (&key, "qwen3-8b:q4_k_m", Named::Asked),
            (&key, "qwen3-8b-4bit", Named::Asked),
            (
                &key,
                "/models/Qwen/Qwen3-8B-GGUF/Qwen3-8B-Q4_K_M.gguf",
                Named::Asked,
            ),
            (&key, "C:\\models\\Qwen3-8B-IQ2_XS.gguf", Named::Asked),
            (&key, "my-coder", Named::Asked),
            (&second, "qwen/qwen3-8b", Named::Asked),
            (&second, "qwen/qwen3-8b:3", Named::Asked),
            (&own, "my-coder", Named::Asked),
            (&own, "qwen/qwen3-8b", Named::Asked),
            (&key, "llama-3.2-3b", Named::Another),
            (&key, "LLAMA-3.2-3b:2", Named::Another),
            (&key, "helper", Named::Another),
            (&key, "llama-3.2-3b.gguf", Named::Another),
            (&key, "hub/Llama-3.2-3B-GGUF", Named::Another),
            (&key, "/models/Llama-3.2-3B-Q8_0.gguf", Named::Another),
            (&key, "qwen3-8b-vl-q4_k_m", Named::Another),
            (&key, "qwen3", Named::Nobody),
            (&own, "helper", Named::Another),
            (&key, "qwen/qwen3-8b-vl", Named::Another),
            (&key, "gpt-4", Named::Nobody),
        ] {
            let found = expected.named(&known, name);
            assert_eq!(found, named, "{expected:?} {name}");
        }
        assert_eq!(key.named(&Known::default(), "llama-3.2-3b"), Named::Nobody);
    }
}
