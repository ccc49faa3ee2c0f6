//! The versions from which on engines have the features that Crucible relies on.
//!
//! Sources: Ollama's release history (up to 0.33) and LM Studio's changelog (up to 0.4.25).

use std::{cmp::Ordering, fmt};

use crucible_config::checked::EngineKind;

/// The version of an engine: `major.minor.patch`, and whether it is a prerelease of that version
/// (`-rc2`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineVersion {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number, 0 where it is absent.
    pub patch: u32,
    /// Whether it is a release candidate or the like, which comes before the release.
    pub prerelease: bool,
}

/// A feature that an engine has since a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineFeature {
    /// The kind of engine that has the feature.
    pub engine: EngineKind,
    /// The first version that has the feature.
    pub since: EngineVersion,
    /// The words about older versions: the lack, and where it matters what Crucible does about it.
    pub without: &'static str,
}

/// All features that are checked, by engine and from the oldest on.
pub static FEATURES: [EngineFeature; 7] = [
    ollama(0, 10, 0, "the loaded context cannot be read back"),
    ollama(0, 12, 10, "tool calls have no ids; Crucible makes them up"),
    ollama(0, 17, 5, "its default repeat_penalty is 1.1, not 1.0"),
    ollama(0, 22, 0, "thinking has no level `max`; `high` is used"),
    ollama(
        0,
        30,
        0,
        "models do not run in llama.cpp's server; error texts and reloads differ",
    ),
    lmstudio(0, 3, 29, "there is no /v1/responses to pass through"),
    lmstudio(
        0,
        4,
        0,
        "loads cannot be controlled; it loads models by itself",
    ),
];

const fn since(major: u32, minor: u32, patch: u32) -> EngineVersion {
    EngineVersion {
        major,
        minor,
        patch,
        prerelease: false,
    }
}

const fn ollama(major: u32, minor: u32, patch: u32, without: &'static str) -> EngineFeature {
    EngineFeature {
        engine: EngineKind::Ollama,
        since: since(major, minor, patch),
        without,
    }
}

const fn lmstudio(major: u32, minor: u32, patch: u32, without: &'static str) -> EngineFeature {
    EngineFeature {
        engine: EngineKind::Lmstudio,
        since: since(major, minor, patch),
        without,
    }
}

/// The features that an engine of this version lacks, one sentence each.
pub fn missing_feature_notes(engine: EngineKind, version: &str) -> Vec<String> {
    let told = lacking(engine, version).map(|feature| {
        let version = version.trim();
        format!(
            "version {version} is older than {}: {}",
            feature.since, feature.without
        )
    });
    told.collect()
}

/// The features that an engine of this version lacks; none for a version that cannot be read (a
/// build from source says `0.0.0`).
pub fn lacking(engine: EngineKind, version: &str) -> impl Iterator<Item = &'static EngineFeature> {
    let version = EngineVersion::parse(version).filter(|v| *v > since(0, 0, 0));
    FEATURES.iter().filter(move |feature| {
        feature.engine == engine && version.is_some_and(|v| v < feature.since)
    })
}

// === impl EngineVersion ===

impl EngineVersion {
    /// Reads a version such as `0.33.0-rc2`, `v0.4.25+1` or `0.4`; `None` for anything else, such
    /// as a build number (`b10488`).
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix('v').unwrap_or(text);
        let text = text.split('+').next()?;
        let (numbers, prerelease) = match text.split_once('-') {
            Some((numbers, _)) => (numbers, true),
            None => (text, false),
        };
        let mut numbers = numbers.split('.').map(str::parse::<u32>);
        let major = numbers.next()?.ok()?;
        let minor = numbers.next()?.ok()?;
        let patch = numbers.next().unwrap_or(Ok(0)).ok()?;
        Some(Self {
            major,
            minor,
            patch,
            prerelease,
        })
    }
}

impl Ord for EngineVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |v: &Self| (v.major, v.minor, v.patch, !v.prerelease);
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for EngineVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for EngineVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        f.write_str(if self.prerelease { "-pre" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_ordered() {
        let rising = [
            "0.4",
            "v0.4.25+1",
            "0.9.6",
            "0.12.10",
            "0.33.0-rc2",
            "0.33.0",
            "1.0.0",
        ];
        let parsed: Vec<_> = rising
            .iter()
            .map(|t| EngineVersion::parse(t).unwrap())
            .collect();
        assert!(
            parsed.windows(2).all(|pair| pair[0] < pair[1]),
            "{parsed:?}"
        );
        for text in ["b10488-abc", "", "7", "x.y"] {
            assert_eq!(EngineVersion::parse(text), None, "{text}");
        }
    }

    #[test]
    fn advice_names_what_is_missing() {
        assert_eq!(
            missing_feature_notes(EngineKind::Ollama, "0.33.0"),
            Vec::<String>::new()
        );
        assert_eq!(
            missing_feature_notes(EngineKind::Ollama, "0.0.0"),
            Vec::<String>::new()
        );
        assert_eq!(
            missing_feature_notes(EngineKind::Llamacpp, "0.1.0"),
            Vec::<String>::new()
        );
        let old = missing_feature_notes(EngineKind::Ollama, "0.22.1");
        assert_eq!(old.len(), 1);
        assert!(
            old[0].starts_with("version 0.22.1 is older than 0.30.0"),
            "{old:?}"
        );
    }
}
