//! The option `--probe` of `doctor`: questions to the models that are loaded, whose answers are
//! kept in `state_dir`.

use crucible_config::{
    Config, LiveConfig,
    checked::{EngineConfig, Manage},
};
use crucible_documents::StateDoc;
use crucible_router::verify::probe;

use crate::{CommandFailure, engine_look::look_as, output::write_stderr};

/// Probes the residents that are loaded and idle, and saves the results in `state_dir`. A running
/// instance reads them at its next verification, which follows at once. `state` is the state of
/// that instance, if one runs.
pub(super) async fn run(config: &Config, state: Option<&StateDoc>) -> Result<(), CommandFailure> {
    let config = LiveConfig::from_config(config.clone());
    let current = config.current();
    let source = with_children(&current, state);
    let view = look_as(&config, source, async |router| router.view()).await?;
    let mut progress = |text: &str| write_stderr(text);
    let busy = busy(state);
    let penalties = probe::run(&current, &view, &busy, &mut progress).await;
    let contexts = probe::context::run(&current, &view, &busy, &mut progress).await;
    if penalties.is_empty() && contexts.is_empty() {
        return Ok(());
    }
    let folder = &current.state_dir;
    probe::save(folder, &penalties)
        .and_then(|()| probe::context::save(folder, &contexts))
        .map_err(|e| CommandFailure::wrong(format!("state_dir {}: {e}", folder.display())))
}

/// Returns the configuration in which the running instance's child processes are engines at their
/// addresses.
fn with_children(config: &Config, state: Option<&StateDoc>) -> Config {
    let mut config = config.clone();
    let running = state.map_or(&[][..], |state| &state.engines);
    let spawned = |e: &&mut EngineConfig| e.manage == Manage::Spawn;
    for engine in config.engines.iter_mut().filter(spawned) {
        let child = running.iter().find(|e| e.name == engine.name);
        if let Some(url) = child.and_then(|e| e.url.parse().ok()) {
            engine.url = Some(url);
            engine.manage = Manage::Observe;
        }
    }
    config
}

/// Returns the residents that are serving a request now, as `engine/instance`.
fn busy(state: Option<&StateDoc>) -> Vec<String> {
    let residents = state.into_iter().flat_map(StateDoc::residents);
    let busy = residents.filter(|resident| resident.active != 0);
    busy.map(|resident| format!("{}/{}", resident.engine, resident.instance))
        .collect()
}

#[cfg(test)]
mod tests {
    use crucible_config::checked::EngineKind;
    use crucible_documents::state::EngineDoc;
    use serde_json::json;

    use super::*;

    fn told(name: &str, url: &str) -> EngineDoc {
        serde_json::from_value(json!({
            "name": name, "kind": "llamacpp", "device": "cpu", "pool": "cpu", "url": url,
            "state": "up", "breaker": "closed", "error": null, "version": null, "advice": [],
            "discovered": false, "load_control": true, "wedged": false, "models": [],
            "permits": {"limit": 1, "active": 0}, "queue": {"limit": 1, "waiting": 0},
        }))
        .unwrap()
    }

    #[test]
    fn a_child_is_asked_at_the_address_that_the_instance_tells() {
        let mut config = Config::builtin();
        for name in ["child", "down", "own"] {
            let url = "http://127.0.0.1:1".parse().unwrap();
            let mut engine = config.discovered(EngineKind::Llamacpp, name, url);
            if name != "own" {
                (engine.manage, engine.url) = (Manage::Spawn, None);
            }
            config.engines.push(engine);
        }
        let state = StateDoc {
            engines: vec![
                told("child", "http://127.0.0.1:7"),
                told("down", ""),
                told("own", "http://127.0.0.1:8"),
            ],
            ..StateDoc::default()
        };
        let changed = with_children(&config, Some(&state)).engines;
        let url = |at: usize| changed[at].url.as_ref().map(ToString::to_string);
        assert_eq!(url(0).as_deref(), Some("http://127.0.0.1:7/"));
        assert_eq!(changed[0].manage, Manage::Observe);
        assert_eq!(changed[1..], config.engines[1..]);
        assert_eq!(with_children(&config, None).engines, config.engines);
    }
}
