//! The sampling values of a chat request that Crucible's configuration may fill in.

use crucible_config::checked::RequestDefaults;

/// Returns the wire name of each sampling value that may be filled in, with the value for it; `None`
/// where the configuration has none.
pub(crate) fn sampling_defaults(defaults: &RequestDefaults) -> [(&'static str, Option<f64>); 4] {
    [
        ("temperature", defaults.temperature.map(|f| f.value)),
        ("top_p", defaults.top_p.map(|f| f.value)),
        (
            "frequency_penalty",
            defaults.frequency_penalty.map(|f| f.value),
        ),
        (
            "presence_penalty",
            defaults.presence_penalty.map(|f| f.value),
        ),
    ]
}
