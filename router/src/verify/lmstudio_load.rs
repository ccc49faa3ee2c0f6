//! Rows 2, 9 and 10: what only LM Studio's WebSocket API takes and shows.

use crucible_config::checked::EngineKind;

use super::{
    Evidence, Finding, each,
    lmstudio::{is_mlx, reload},
    residents,
};
use crate::{catalog::ModelKind, engine::LoadConfig, view::EngineView};

const NOWHERE: &str = "nowhere: only LM Studio's WebSocket API tells it";
const AT: &str = "getLoadConfig of LM Studio's WebSocket API";

/// Row 2.
pub(super) fn layers(evidence: &Evidence) -> Finding {
    each(evidence, EngineKind::Lmstudio, |engine| {
        let layers = evidence.config.tuning.lmstudio.gpu_layers;
        if !driven(evidence, engine) {
            let why =
                "its REST API neither takes nor shows layers; its automatic choice is left alone";
            return Finding::unknown(layers.to_string(), why, NOWHERE);
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

/// Row 9.
pub(super) fn key_cache(evidence: &Evidence) -> Finding {
    let wanted = &evidence.config.tuning.lmstudio.key_cache_quantization;
    cache(evidence, wanted, "K", |load| load.key_cache.as_deref())
}

/// Row 10.
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
            return Finding::unknown(wanted, why, NOWHERE);
        }
        Finding::unknown(wanted, why, NOWHERE).with_fix(format!(
            "choose {wanted} as {which} cache quantization in the model's settings in LM Studio's window"
        ))
    })
}

fn driven(evidence: &Evidence, engine: &EngineView) -> bool {
    evidence.load_configs.contains_key(&engine.name)
}

fn read(
    evidence: &Evidence,
    engine: &EngineView,
    wanted: &str,
    field: fn(&LoadConfig) -> Option<&str>,
) -> Finding {
    let loads = match evidence.load_configs.get(&engine.name) {
        Some(Ok(loads)) => loads,
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
        Some(match loads.get(name).and_then(field) {
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
