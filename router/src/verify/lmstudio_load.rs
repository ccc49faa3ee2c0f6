//! Checks of the settings of `tuning.lmstudio` that only the WebSocket API takes and reports:
//! `gpu_layers`, `model_ttl`, `key_cache_quantization` and `value_cache_quantization`.

use crucible_config::{checked::EngineKind, tuning::TuningState};

use super::{
    Evidence, Finding, each,
    lmstudio::{is_mlx, reload},
    policy, residents,
};
use crate::{
    catalog::ModelKind,
    engine::{self, IdleTtl, LoadConfig},
    view::EngineView,
};

const NOWHERE: &str = "nowhere: only LM Studio's WebSocket API tells it";
const AT: &str = "getLoadConfig of LM Studio's WebSocket API";
const LISTED: &str = "listLoaded of LM Studio's WebSocket API";

/// Compares the GPU ratio that LM Studio's WebSocket API (`getLoadConfig`) tells of each loaded model with
/// `max` for -1 layers and `off` for 0. Any other number, or that API switched off, is not verifiable.
pub(super) fn layers(evidence: &Evidence) -> Finding {
    each(evidence, EngineKind::Lmstudio, |engine| {
        let layers = evidence.config.tuning.lmstudio.gpu_layers;
        if !driven(evidence, engine) {
            let why =
                "its REST API neither takes nor shows layers; its automatic choice is left alone";
            return Finding::unknown(layers.to_string(), why, NOWHERE).with_fix(turn_on(engine));
        }
        let wanted = match layers {
            -1 => "max",
            0 => "off",
            _ => {
                let why = "LM Studio takes a share of the layers, not a count of them";
                return Finding::unknown(layers.to_string(), why, AT);
            }
        };
        read(evidence, engine, wanted, |load| load.gpu_ratio.as_deref())
    })
}

/// Checks `model_ttl` against Crucible's own clock and, where the WebSocket API is on, against LM
/// Studio's, which must be the later one.
pub(super) fn model_ttl(evidence: &Evidence) -> Finding {
    let own = policy::model_ttl(evidence);
    if own.state != TuningState::InEffect || evidence.reported.is_empty() {
        return own;
    }
    let clock = each(evidence, EngineKind::Lmstudio, |engine| {
        own_clock(evidence, engine)
    });
    match clock.state {
        TuningState::NotInEffect => clock,
        TuningState::InEffect => Finding::right(
            format!("{}, {}", own.asked, clock.asked),
            format!("{}, {}", own.found, clock.found),
            &format!("{}, {}", own.read_at, clock.read_at),
        ),
        // Crucible's own clock runs all the same.
        _ => own,
    }
}

fn own_clock(evidence: &Evidence, engine: &EngineView) -> Finding {
    let Some(Ok(told)) = evidence.reported.get(&engine.name) else {
        return Finding::not_applicable("the WebSocket driver is off or not heard", LISTED);
    };
    let ttl = evidence.config.tuning.lmstudio.model_ttl;
    let net = engine::engine_idle_ttl(ttl).as_secs();
    residents(engine, LISTED, |resident| {
        let name = &*resident.info.instance;
        if !resident.owned {
            return None;
        }
        let asked = if resident.pinned {
            format!("no idle clock of LM Studio's for {name}, which is pinned")
        } else {
            format!("{net} s of LM Studio's own idle clock")
        };
        let (fine, found) = match told.get(name)?.ttl {
            IdleTtl::Untold => {
                let why = format!("{name} does not tell its idle clock");
                return Some(Finding::unknown(asked, why, LISTED));
            }
            IdleTtl::Never if resident.pinned => (true, format!("none on {name}")),
            IdleTtl::Never => (true, format!("none on {name}: only Crucible unloads it")),
            IdleTtl::After(held) => (
                !resident.pinned && held >= ttl,
                format!("{} s on {name}", held.as_secs()),
            ),
        };
        Some(if fine {
            Finding::right(asked, found, LISTED)
        } else {
            Finding::wrong(asked, found, LISTED, reload(name))
        })
    })
}

/// Compares the number type of the key cache that LM Studio's WebSocket API (`getLoadConfig`) tells of each
/// loaded model with the configured one. Not verifiable while that API is off, not applicable to MLX models.
pub(super) fn key_cache(evidence: &Evidence) -> Finding {
    let wanted = &evidence.config.tuning.lmstudio.key_cache_quantization;
    cache(evidence, wanted, "K", |load| load.key_cache.as_deref())
}

/// Compares the number type of the value cache that LM Studio's WebSocket API (`getLoadConfig`) tells of each
/// loaded model with the configured one. Not verifiable while that API is off, not applicable to MLX models.
pub(super) fn value_cache(evidence: &Evidence) -> Finding {
    let wanted = &evidence.config.tuning.lmstudio.value_cache_quantization;
    cache(evidence, wanted, "V", |load| load.value_cache.as_deref())
}

fn cache(
    evidence: &Evidence,
    wanted: &str,
    which: &str,
    field: fn(&LoadConfig) -> Option<&str>,
) -> Finding {
    each(evidence, EngineKind::Lmstudio, |engine| {
        if driven(evidence, engine) {
            return read(evidence, engine, wanted, field);
        }
        let why = "its REST API neither takes nor shows the type of the cache";
        if wanted == "f16" {
            let why = format!("{why}; f16 is its default");
            return Finding::unknown(wanted, why, NOWHERE).with_fix(turn_on(engine));
        }
        Finding::unknown(wanted, why, NOWHERE).with_fix(format!(
            "{}, or choose {wanted} as {which} cache quantization in the model's settings in LM \
             Studio's window",
            turn_on(engine)
        ))
    })
}

/// A found engine has no block of its own yet; a block needs no address on a default port.
fn turn_on(engine: &EngineView) -> String {
    if engine.discovered {
        "name each engine in an [[engine]] block (name and kind; url only beyond the default port) \
         and set `websocket = true` in this one's"
            .to_owned()
    } else {
        format!(
            "set `websocket = true` in the [[engine]] block '{}'",
            engine.name
        )
    }
}

fn driven(evidence: &Evidence, engine: &EngineView) -> bool {
    evidence.reported.contains_key(&engine.name)
}

fn read(
    evidence: &Evidence,
    engine: &EngineView,
    wanted: &str,
    field: fn(&LoadConfig) -> Option<&str>,
) -> Finding {
    let told = match evidence.reported.get(&engine.name) {
        Some(Ok(told)) => told,
        Some(Err(why)) => return Finding::unknown(wanted, why, AT),
        None => return Finding::unknown(wanted, "it was not read", AT),
    };
    let mut finding = residents(engine, AT, |resident| {
        let name = &*resident.info.instance;
        if resident.info.kind != ModelKind::Generation {
            return None;
        }
        if is_mlx(engine, resident) {
            let why = format!("{name} runs on MLX, which has no such setting");
            return Some(Finding::not_applicable(why, AT));
        }
        Some(match told.get(name).and_then(|told| field(&told.load)) {
            None => Finding::unknown(wanted, format!("{name} does not tell it"), AT),
            Some(found) if found == wanted => {
                Finding::right(wanted, format!("{found} on {name}"), AT)
            }
            Some(found) => Finding::wrong(wanted, format!("{found} on {name}"), AT, reload(name)),
        })
    });
    if finding.asked.is_empty() {
        wanted.clone_into(&mut finding.asked);
    }
    finding
}
