//! The facts of a model in Ollama's words.

use std::time::{Duration, SystemTime};

use crucible_config::checked::EngineKind;
use humantime::format_rfc3339_seconds;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::dialect::listed_model::ListedModel;

/// The first second that has no four digits for its year.
const YEAR_10000: u64 = 253_402_300_800;

/// `details` of a model, in which no text is null.
pub(super) fn details(listed: &ListedModel<'_>) -> Value {
    let (model, metadata) = (listed.model, &listed.model.metadata);
    let family = listed.architecture();
    let families = match &*metadata.families {
        [] => json!([family]),
        families => json!(families),
    };
    json!({
        "parent_model": metadata.parent.as_deref().unwrap_or_default(),
        "format": model.format.as_deref().unwrap_or_default(),
        "family": family,
        "families": families,
        "parameter_size": metadata.parameter_size.as_deref().unwrap_or_default(),
        "quantization_level": model.quantization.as_deref().unwrap_or("unknown"),
    })
}

/// What the model can do, in Ollama's words; pickers offer nothing for a word that is missing. An engine that
/// does not say whether its model takes tools may be asked with them.
pub(super) fn capabilities(listed: &ListedModel<'_>) -> Vec<Value> {
    let told = listed.described_by(EngineKind::Ollama);
    let told = told.and_then(|members| members.get("capabilities")?.as_array());
    if let Some(told) = told.filter(|told| !told.is_empty()) {
        return told.clone();
    }
    if listed.embeds() {
        return vec!["embedding".into()];
    }
    let able = &listed.model.capabilities;
    let words = [
        ("completion", true),
        ("vision", able.vision == Some(true)),
        ("tools", listed.takes_tools()),
        ("thinking", able.thinking == Some(true)),
        ("insert", able.insert == Some(true)),
    ];
    let can = words.into_iter().filter(|(_, can)| *can);
    can.map(|(word, _)| word.into()).collect()
}

pub(super) fn modified_at(listed: &ListedModel<'_>) -> String {
    let seconds = listed.model.created.and_then(|at| u64::try_from(at).ok());
    let seconds = seconds.filter(|seconds| *seconds < YEAR_10000);
    let at = seconds.map(Duration::from_secs).unwrap_or_default();
    let at = SystemTime::UNIX_EPOCH.checked_add(at);
    format_rfc3339_seconds(at.unwrap_or(SystemTime::UNIX_EPOCH)).to_string()
}

/// The digest of the model, or one of its name where its engine has none: it stays the same.
pub(super) fn digest(listed: &ListedModel<'_>) -> String {
    let told = listed.model.metadata.digest.clone();
    told.unwrap_or_else(|| made_up_digest(&format!("{}/{}", listed.engine.name, listed.model.id)))
}

pub(super) fn made_up_digest(name: &str) -> String {
    let bytes = Sha256::digest(name.as_bytes());
    bytes
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or('0');
            text.extend([digit(byte >> 4), digit(byte & 15)]);
            text
        })
}
