//! The names that engines answer to beside those that they list their models by. In LM Studio these
//! are the identifier of a loaded instance, which may be a person's own word or `key:2`, and
//! `key@variant`; in llama.cpp's router mode they are aliases.

use super::names::same;
use crate::{catalog::ModelInfo, view::EngineView};

/// Whether the engine serves the model under this name: an alias, the exact identifier of a loaded
/// instance, or `key@variant` of the selected variant, whose key matches in any letter case.
pub(super) fn is_served_as(engine: &EngineView, model: &ModelInfo, name: &str) -> bool {
    if model.names.iter().any(|served| **served == *name) {
        return true;
    }
    if !engine.kind.profile().residents.identifiers {
        return false;
    }
    let mut residents = engine.residents.iter();
    if residents.any(|r| r.info.model == model.id && *r.info.instance == *name) {
        return true;
    }
    let selected = |variant: &str| {
        let told = model.quantization.as_deref();
        told.is_some_and(|told| told.eq_ignore_ascii_case(variant))
    };
    name.rsplit_once('@')
        .is_some_and(|(key, variant)| same(key, &model.id) && selected(variant))
}
