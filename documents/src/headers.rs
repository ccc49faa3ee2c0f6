//! The names of the headers that say how an answer was made.

use http::HeaderName;

/// The engine that answers.
pub const X_ENGINE: HeaderName = HeaderName::from_static("x-crucible-engine");
/// The engine's name of the model that answers.
pub const X_MODEL: HeaderName = HeaderName::from_static("x-crucible-model");
/// The header with the reason why engine and model were chosen, one word of
/// [`Reason`](crucible_router::plan::Reason).
pub const X_REASON: HeaderName = HeaderName::from_static("x-crucible-reason");
/// The names of the values that were filled in, with commas; absent if there were none.
pub const X_DEFAULTS: HeaderName = HeaderName::from_static("x-crucible-defaults");
/// The header with sentences on what of the request was clamped, dropped or changed.
pub const X_NOTE: HeaderName = HeaderName::from_static("x-crucible-note");
