//! Engines that cannot answer, and what they lack.

use crucible_config::presence;

use super::EngineFault;
use crate::{
    transport::tls_trouble,
    verify::{Evidence, start_advice::start},
    view::EngineView,
};

/// The names of the faults for which an engine cannot be used; with any of them `crucible doctor`
/// fails.
pub const FAULTS: [&str; 4] = ["no_engine", "missing", "down", "refused_access"];

/// The default variable of LM Studio's token; one that is unset is no fault.
const USUAL_TOKEN: &str = "LM_API_TOKEN";

/// Returns the faults that keep engines from answering, engine by engine; one fault says that there
/// is no engine at all. Engines that refuse access are left to another check.
pub(super) fn engine_faults(evidence: &Evidence) -> Vec<EngineFault> {
    let engines = &evidence.view.engines;
    if engines.is_empty() {
        return vec![nothing()];
    }
    let mut all = Vec::new();
    // Of one that refuses access its own remark says all.
    for engine in engines.iter().filter(|engine| !engine.refused_access) {
        let missing = missing(evidence, engine);
        if missing.is_empty() && !engine.is_up() {
            all.push(down(evidence, engine));
        }
        all.extend(missing);
    }
    all
}

fn nothing() -> EngineFault {
    EngineFault {
        engine: "none".to_owned(),
        fault: FAULTS[0],
        asked: "an engine that answers".to_owned(),
        found: "none is configured, and none was found".to_owned(),
        read_from: "the default ports of LM Studio, Ollama and llama.cpp on this machine"
            .to_owned(),
        fix: "start LM Studio's server (`lms server start`) or Ollama (`ollama serve`), name an \
              engine elsewhere in an [[engine]] block, or run `crucible try`"
            .to_owned(),
    }
}

fn missing(evidence: &Evidence, engine: &EngineView) -> Vec<EngineFault> {
    let Some(configured) = evidence.config.engine(&engine.name) else {
        return Vec::new();
    };
    let is_told = |missing: &presence::MissingResource| {
        !missing.is_token() || configured.api_key_env.as_deref() != Some(USUAL_TOKEN)
    };
    let missing = presence::missing_of(configured).into_iter().filter(is_told);
    missing
        .map(|missing| EngineFault {
            engine: engine.name.to_string(),
            fault: FAULTS[1],
            asked: format!("`{}`: {}", missing.key, missing.expected),
            found: missing.found,
            read_from: "this machine".to_owned(),
            fix: missing.hint,
        })
        .collect()
}

fn down(evidence: &Evidence, engine: &EngineView) -> EngineFault {
    let found = engine.error.as_deref().unwrap_or("it has not answered yet");
    let at = match engine.url.as_str() {
        "" => "its child process",
        url => url,
    };
    EngineFault {
        engine: engine.name.to_string(),
        fault: FAULTS[2],
        asked: format!("{} that answers", engine.kind.profile().product),
        found: found.to_owned(),
        read_from: at.to_owned(),
        fix: if let Some((_, fix)) = tls_trouble(found) {
            fix.to_owned()
        } else if answers(found) && !engine.url.is_empty() {
            otherwise(evidence, engine)
        } else {
            start(evidence, engine)
        },
    }
}

/// Whether anything answered at the address, judged by the words of the error.
fn answers(found: &str) -> bool {
    found.starts_with("not understood: ") || found.starts_with("HTTP ")
}

/// Returns the advice for an address at which something else answers, or an engine that fails.
fn otherwise(evidence: &Evidence, engine: &EngineView) -> String {
    let product = engine.kind.profile().product;
    let name = &engine.name;
    let correct = match evidence.config.engine(name) {
        Some(_) => format!("correct `url` or `kind` of engine '{name}'"),
        None => format!("name the address of {product} in an [[engine]] block"),
    };
    format!(
        "something answers there, but not as {product} does: if it is another program, {correct}; \
         else restart it"
    )
}

#[cfg(test)]
mod tests {
    use crucible_config::checked::{EngineConfig, EngineKind, Manage};

    use super::*;
    use crate::{verify::testing::all_right, view::Health};

    fn faults(told: &[EngineFault]) -> Vec<(&str, &str)> {
        told.iter()
            .map(|told| (&*told.engine, told.fault))
            .collect()
    }

    #[test]
    fn each_engine_that_is_down_is_told_with_how_it_starts() {
        let mut evidence = all_right();
        assert_eq!(engine_faults(&evidence), []);
        evidence.ollama().health = Health::Down;
        evidence.ollama().error = Some("unreachable".into());
        let told = engine_faults(&evidence);
        assert_eq!(faults(&told), [("ollama", "down")]);
        assert!(told[0].fix.contains("`ollama serve`"), "{}", told[0].fix);
        assert_eq!(told[0].found, "unreachable");
    }

    #[test]
    fn nobody_is_told_to_start_an_engine_that_wants_a_token() {
        let mut evidence = all_right();
        evidence.ollama().health = Health::Down;
        evidence.ollama().refused_access = true;
        evidence.ollama().error = Some("it wants a token".into());
        assert_eq!(faults(&engine_faults(&evidence)), []);
        let engine = evidence.ollama().clone();
        let advice = start(&evidence, &engine);
        assert!(advice.contains("token"), "{advice}");
        assert!(!advice.contains("ollama serve"), "{advice}");
    }

    #[test]
    fn without_any_engine_it_is_told_what_to_do() {
        let mut evidence = all_right();
        let mut view = (*evidence.view).clone();
        view.engines.clear();
        evidence.view = view.into();
        let told = engine_faults(&evidence);
        assert_eq!(faults(&told), [("none", "no_engine")]);
        assert!(told[0].fix.contains("crucible try"));
    }

    #[test]
    fn what_a_child_lacks_is_told_in_place_of_its_being_down() {
        let mut evidence = all_right();
        let mut config = (*evidence.config).clone();
        let url = "http://127.0.0.1:1".parse().unwrap();
        let child = EngineConfig {
            manage: Manage::Spawn,
            url: None,
            command: vec!["no-such-program".into()],
            model_path: Some("absent.gguf".into()),
            ..config.discovered(EngineKind::Llamacpp, "ollama", url)
        };
        config.engines = vec![child];
        evidence.config = config.into();
        evidence.ollama().health = Health::Down;
        let told = engine_faults(&evidence);
        assert_eq!(
            faults(&told),
            [("ollama", "missing"), ("ollama", "missing")]
        );
        assert!(told[0].found.contains("absent.gguf"), "{}", told[0].found);
        assert!(
            told[1].found.contains("no-such-program"),
            "{}",
            told[1].found
        );
    }
}
