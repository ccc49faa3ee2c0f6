//! A resident of llama.cpp's server, in either mode.

use std::sync::Arc;

use crate::catalog::{ModelInfo, ResidentInfo};

/// Describes a loaded model by its slots and the context in tokens that each of them has.
pub(super) fn resident_of(
    model: &ModelInfo,
    slots: Option<u32>,
    context_per_slot: Option<u64>,
) -> ResidentInfo {
    let whole = |each: u64| each.saturating_mul(u64::from(slots.unwrap_or(1)));
    ResidentInfo {
        context: context_per_slot.map(whole),
        parallel: slots,
        bytes: model.size_bytes,
        ..ResidentInfo::named(Arc::clone(&model.id), model.kind)
    }
}
