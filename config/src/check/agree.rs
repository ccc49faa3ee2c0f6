//! The pairs of keys that mean the same. The value of the higher layer holds for both, and within
//! one layer that of the first key of the pair.

use crate::{
    keys::{self, KeyShape, timeouts},
    kind::Value,
    settings::{ConfigLayer, ProblemReport, Settings},
    tuning::TuningId,
};

/// Returns the pairs: the path of the key that wins within one layer, and the engine setting that
/// means the same.
fn pairs() -> [(String, TuningId); 6] {
    let row = |id: TuningId| id.path().to_owned();
    [
        (
            timeouts::IDLE.path().to_string(),
            TuningId::LmstudioStreamTimeout,
        ),
        (
            row(TuningId::OllamaMaxLoadedModels),
            TuningId::EnvironmentOllamaMaxLoadedModels,
        ),
        (
            row(TuningId::OllamaMaxQueue),
            TuningId::EnvironmentOllamaMaxQueue,
        ),
        (
            row(TuningId::OllamaNumParallel),
            TuningId::EnvironmentOllamaNumParallel,
        ),
        (
            row(TuningId::OllamaNumThreads),
            TuningId::EnvironmentOllamaNumThreads,
        ),
        (
            row(TuningId::OllamaNumaPolicy),
            TuningId::EnvironmentOllamaNumaPolicy,
        ),
    ]
}

/// Sets both keys of each pair to the value and origin of the one that wins. Reports a value that
/// the other key cannot have.
pub(super) fn agree(settings: &mut Settings, report: &mut ProblemReport) {
    let fixed = keys::fixed();
    for (first, second) in pairs() {
        let (first, second) = (first.as_str(), second.path());
        warn_if_different(settings, report, first, second);
        let (from, to) = if settings.layer(second) > settings.layer(first) {
            (second, first)
        } else {
            (first, second)
        };
        let kind = fixed
            .iter()
            .find(|(path, _)| path == to)
            .and_then(|(_, key)| match key.shape {
                KeyShape::Value(kind) => Some(kind),
                _ => None,
            });
        let Some((kind, winner)) = kind.zip(settings.entries.get(from).cloned()) else {
            continue;
        };
        let value = match &winner.value {
            Value::Integer(n) => kind.read_text(&n.to_string()),
            Value::Text(text) => kind.read_text(text),
            other => Ok(other.clone()),
        };
        match value {
            Ok(value) => settings.set(to, value, winner.origin),
            Err(wrong) => {
                let expected = kind.expected();
                report.error(
                    from,
                    &winner.origin.source,
                    &wrong.found,
                    &expected,
                    &wrong.hint,
                );
            }
        }
    }
}

/// Warns where the keys at the paths `first` and `second` are set in one layer to different values;
/// `first` wins.
pub(super) fn warn_if_different(
    settings: &Settings,
    report: &mut ProblemReport,
    first: &str,
    second: &str,
) {
    let (Some(a), Some(b)) = (settings.entries.get(first), settings.entries.get(second)) else {
        return;
    };
    let plain = |value: &Value| value.to_text().trim_matches('"').to_owned();
    let differs = plain(&a.value) != plain(&b.value);
    if a.origin.layer == b.origin.layer && a.origin.layer > ConfigLayer::Profile && differs {
        report.warn(
            second,
            &b.origin.source,
            &plain(&b.value),
            &format!("{}, as {first} says", plain(&a.value)),
            &format!("{first} wins; remove one of them"),
        );
    }
}
