//! The lines of the log. Times are whole milliseconds; nothing that a person wrote is in them.

use std::{borrow::Cow, sync::Arc};

use crucible_config::checked::{Class, Device, EngineKind};
use serde::{Deserialize, Serialize};

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Line {
    /// A request that came as far as the queue, written at its end.
    Request(RequestLine),
    /// A load, written at its end.
    Load(LoadLine),
    /// Lines that did not fit the channel before this one.
    Dropped {
        /// How many.
        count: u64,
    },
}

/// A request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RequestLine {
    /// When it asked for a permit, since 1970.
    pub(crate) at_ms: u64,
    pub(crate) engine: Arc<str>,
    pub(crate) model: Arc<str>,
    /// Name of the key, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client: Option<Arc<str>>,
    pub(crate) class: Class,
    /// As the engine counted, else estimated.
    pub(crate) prompt_tokens: u64,
    /// As the engine counted, else events with content.
    pub(crate) output_tokens: u64,
    /// For the permit, or until it was refused or left.
    pub(crate) wait_ms: u64,
    /// A load was part of the wait.
    pub(crate) loaded: bool,
    /// From the permit to the end; absent if it never had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) held_ms: Option<u64>,
    /// From asking for a permit to the first token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) first_token_ms: Option<u64>,
    /// HTTP status; 499 if the client left first.
    pub(crate) status: u16,
    /// `ok` or the code of its error.
    pub(crate) outcome: Cow<'static, str>,
    /// Where that is, as known when it was written.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<Place>,
}

/// What replay must know of engine and model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) engine_kind: EngineKind,
    pub(crate) device: Device,
    pub(crate) pool: Arc<str>,
    #[serde(default)]
    pub(crate) embedding: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) size_bytes: Option<u64>,
}

/// A load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LoadLine {
    /// Its start, since 1970.
    pub(crate) at_ms: u64,
    pub(crate) engine: Arc<str>,
    pub(crate) model: Arc<str>,
    pub(crate) took_ms: u64,
    /// `ok`, `error` or `timeout`.
    pub(crate) outcome: Cow<'static, str>,
    /// `request` or `warmup`.
    pub(crate) trigger: Cow<'static, str>,
}
