//! Checks of the settings of `tuning.lmstudio` that show in the list of loaded models: their
//! number, batch size, flash attention and context.

use crucible_config::checked::EngineKind;

use super::{Evidence, Finding, context::context, each, residents};
use crate::{
    catalog::{ModelInfo, ModelKind},
    view::{EngineView, ResidentView},
};

const LIST: &str = "GET /api/v1/models of LM Studio";
const WINDOW: &str = "nowhere: LM Studio shows it in its window only";

/// Compares the number of generation models that LM Studio lists as loaded in `GET /api/v1/models` with the
/// limit, engine by engine: more is not in effect. Embedding models do not count.
pub(super) fn loaded_models(evidence: &Evidence) -> Finding {
    let limit = evidence.config.tuning.lmstudio.max_loaded_models;
    each(evidence, EngineKind::Lmstudio, |engine| {
        within_count(engine, limit, LIST)
    })
}

/// Checks `max_loaded_models` of an engine against the number of its loaded models.
pub(super) fn within_count(engine: &EngineView, limit: u32, at: &str) -> Finding {
    let held: Vec<&ResidentView> = engine
        .residents
        .iter()
        .filter(|r| r.info.kind == ModelKind::Generation)
        .collect();
    let names: Vec<&str> = held.iter().map(|r| &*r.info.instance).collect();
    let asked = format!("at most {limit} generation models");
    let found = if names.is_empty() {
        "none is loaded".to_owned()
    } else {
        format!("{} loaded: {}", names.len(), names.join(", "))
    };
    if u32::try_from(held.len()).is_ok_and(|n| n <= limit) {
        return Finding::right(asked, found, at);
    }
    let fix = unload(held.into_iter().filter(|r| !r.owned));
    Finding::wrong(asked, found, at, fix)
}

/// Finds whether LM Studio's `GET /v1/models` lists models that are not loaded, which it does only while
/// just-in-time loading is on, and compares that with the setting. Not verifiable while all are loaded.
pub(super) fn jit_loading(evidence: &Evidence) -> Finding {
    const AT: &str = "GET /v1/models against GET /api/v1/models of LM Studio";
    each(evidence, EngineKind::Lmstudio, |engine| {
        let wanted = evidence.config.tuning.lmstudio.jit_loading;
        let listed = match evidence.listed.get(&engine.name) {
            Some(Ok(listed)) => listed,
            Some(Err(why)) => return Finding::unknown(wanted.to_string(), why, AT),
            None => return Finding::unknown(wanted.to_string(), "the list was not read", AT),
        };
        let loaded = |id: &str| {
            let mut held = engine.residents.iter();
            held.any(|r| &*r.info.instance == id || &*r.info.model == id)
        };
        let unloaded: Vec<&ModelInfo> = engine.models.iter().filter(|m| !loaded(&m.id)).collect();
        if unloaded.is_empty() {
            let why = "every model is loaded, so the lists cannot differ";
            return Finding::unknown(wanted.to_string(), why, AT);
        }
        let on = unloaded
            .iter()
            .any(|m| listed.iter().any(|id| **id == *m.id));
        let found = if on {
            "on: models that are not loaded are listed"
        } else {
            "off: only loaded models are listed"
        };
        if on == wanted {
            Finding::right(wanted.to_string(), found, AT)
        } else {
            let fix = "switch \"Just in Time Model Loading\" in LM Studio's developer window, or \
                       set tuning.lmstudio.jit_loading to what it is";
            Finding::wrong(wanted.to_string(), found, AT, fix)
        }
    })
}

/// Counts as not verifiable on every LM Studio, whose HTTP API does not tell the switch. The evidence names
/// the loaded models that Crucible did not load: only among those can the switch unload any.
pub(super) fn auto_evict(evidence: &Evidence) -> Finding {
    each(evidence, EngineKind::Lmstudio, |engine| {
        let wanted = evidence.config.tuning.lmstudio.auto_evict.to_string();
        let foreign: Vec<&str> = foreign(evidence, engine).collect();
        if foreign.is_empty() {
            let why = "the switch is not told over HTTP; it touches only models that LM Studio \
                       loaded by itself, and every loaded one is Crucible's";
            return Finding::unknown(wanted, why, WINDOW);
        }
        let why = format!(
            "the switch is not told over HTTP; {} was not loaded by Crucible, and if LM Studio \
             loaded it by itself the switch may end it in the middle of an answer",
            foreign.join(", ")
        );
        Finding::unknown(wanted, why, WINDOW).with_fix(format!(
            "lms unload {}; Crucible loads it on the next request",
            foreign[0]
        ))
    })
}

/// Returns the loaded generation models that Crucible did not load; none where no instance of it
/// runs.
pub(super) fn foreign<'a>(
    evidence: &'a Evidence,
    engine: &'a EngineView,
) -> impl Iterator<Item = &'a str> {
    let runs = evidence.counters.is_some();
    engine
        .residents
        .iter()
        .filter(move |r| runs && !r.owned && r.info.kind == ModelKind::Generation)
        .map(|r| &*r.info.instance)
}

/// Compares `eval_batch_size` of each loaded generation model in LM Studio's `GET /api/v1/models` with the
/// configured number. A model that does not tell it is not verifiable, one that runs on MLX not applicable.
pub(super) fn batch_size(evidence: &Evidence) -> Finding {
    let wanted = evidence.config.tuning.lmstudio.batch_size.to_string();
    load_field(evidence, &wanted, "eval_batch_size", |r| {
        r.info.batch_size.map(|n| n.to_string())
    })
}

/// Compares `flash_attention` of each loaded generation model in LM Studio's `GET /api/v1/models` with the
/// configured value. A model that does not tell it is not verifiable, one that runs on MLX not applicable.
pub(super) fn flash_attention(evidence: &Evidence) -> Finding {
    let wanted = evidence.config.tuning.lmstudio.flash_attention.to_string();
    load_field(evidence, &wanted, "flash_attention", |r| {
        r.info.flash_attention.map(|on| on.to_string())
    })
}

fn load_field(
    evidence: &Evidence,
    wanted: &str,
    field: &str,
    read: impl Fn(&ResidentView) -> Option<String>,
) -> Finding {
    let at = format!("loaded_instances[].config.{field} of {LIST}");
    each(evidence, EngineKind::Lmstudio, |engine| {
        let mut finding = residents(engine, &at, |resident| {
            let name = &*resident.info.instance;
            if is_mlx(engine, resident) {
                let why = format!("{name} runs on MLX, which has no such setting");
                return Some(Finding::not_applicable(why, &at));
            }
            Some(match read(resident) {
                None => Finding::unknown(wanted, format!("{name} does not tell it"), &at),
                Some(found) if found == wanted => {
                    Finding::right(wanted, format!("{found} on {name}"), &at)
                }
                Some(found) => {
                    Finding::wrong(wanted, format!("{found} on {name}"), &at, reload(name))
                }
            })
        });
        if finding.asked.is_empty() {
            wanted.clone_into(&mut finding.asked);
        }
        finding
    })
}

/// Whether the resident's model is in the format of MLX, on which llama.cpp's options have no
/// effect.
pub(super) fn is_mlx(engine: &EngineView, resident: &ResidentView) -> bool {
    let mut models = engine.models.iter();
    let model = models.find(|m| m.id == resident.info.model);
    model.is_some_and(|m| m.format.as_deref() == Some("mlx"))
}

/// Compares the context of each loaded generation model in LM Studio's `GET /api/v1/models` with the
/// one configured per request. Less is not in effect, nor is what `crucible doctor --probe` found smaller.
pub(super) fn context_length(evidence: &Evidence) -> Finding {
    let at = format!("loaded_instances[].config.context_length of {LIST}");
    each(evidence, EngineKind::Lmstudio, |engine| {
        residents(engine, &at, |resident| {
            context(evidence, engine, resident, &at)
        })
    })
}

/// Returns the advice to unload the instance `name`, so that the next request loads it with the
/// value.
pub(super) fn reload(name: &str) -> String {
    format!("lms unload {name}; Crucible loads it with this value on the next request")
}

/// Returns the advice which of the models to unload; without a model it is to wait.
pub(super) fn unload<'a>(mut held: impl Iterator<Item = &'a ResidentView>) -> String {
    match held.next() {
        Some(resident) => format!(
            "unload {}, which Crucible did not load, or set `[scheduler] evict_foreign = true`",
            resident.info.instance
        ),
        None => "wait: Crucible unloads the least recently used model once it is idle".to_owned(),
    }
}

/// Returns a count in words, such as `2 loaded models`.
pub(super) fn models(n: usize) -> String {
    format!("{n} loaded {}", if n == 1 { "model" } else { "models" })
}

/// Returns this fraction (0 to 1) of `total`, rounded down to whole bytes.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bytes of memory are far below 2^52 and the fraction is between 0 and 1"
)]
pub(super) fn share(total: u64, fraction: f64) -> u64 {
    (total as f64 * fraction) as u64
}

/// Writes a number of bytes in gigabytes of 10^9 bytes, such as `8.2 GB`.
pub(super) fn bytes(n: u64) -> String {
    let tenths = n / 100_000_000;
    format!("{}.{} GB", tenths / 10, tenths % 10)
}
