//! The settings that a benchmark compares, and their names.

use crucible_router::engine::LoadTuple;
use serde::Serialize;

/// The options with which the model is loaded, and the number of requests that it gets at once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct BenchSetting {
    /// The runner options; a `None` leaves the option to the engine.
    #[serde(flatten)]
    pub(super) tuple: LoadTuple,
    /// The data type of the key and the value cache, such as `q8_0`; `None` leaves it to the
    /// engine.
    pub(super) cache: Option<&'static str>,
    /// The number of requests at once, which is also the number of slots where the engine takes
    /// one.
    pub(super) parallel: u32,
}

/// A setting with the name that reports give it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct BenchVariant {
    /// The name of the variant in reports.
    pub(super) name: String,
    /// The options that the variant runs with.
    pub(super) setting: BenchSetting,
    /// The index of the variant with which this one is compared.
    pub(super) against: Option<usize>,
}

/// A setting that cannot vary on this engine, with the reason for the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct FixedSetting {
    /// The name of the setting, as the report shows it.
    pub(super) setting: &'static str,
    /// The reason for which the setting cannot vary, for the report.
    pub(super) why: &'static str,
}

/// The option in which a variant differs from the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SettingChange {
    Threads,
    Batch,
    FlashAttention,
    Context,
    Cache,
    Parallel,
    Mmap,
}

// === impl BenchSetting ===

impl BenchSetting {
    /// Returns a setting with these runner options and one request at a time.
    pub(super) const fn of(tuple: LoadTuple) -> Self {
        Self {
            tuple,
            cache: None,
            parallel: 1,
        }
    }
}

// === impl SettingChange ===

impl SettingChange {
    /// All changes, in the order of a report.
    pub(super) const ALL: [Self; 7] = [
        Self::Threads,
        Self::Batch,
        Self::FlashAttention,
        Self::Context,
        Self::Cache,
        Self::Parallel,
        Self::Mmap,
    ];

    /// Returns the changed setting and its name; `None` where the profile leaves this option to the
    /// engine.
    fn of(self, profile: BenchSetting) -> Option<(String, BenchSetting)> {
        let mut setting = profile;
        let tuple = &mut setting.tuple;
        let switch = |on: bool| if on { "on" } else { "off" };
        let name = match self {
            Self::Threads => {
                let threads = tuple.threads?;
                let other = if threads > 1 { threads / 2 } else { 2 };
                tuple.threads = Some(other);
                format!("threads {other}")
            }
            Self::Batch => {
                // 512 is what the engines take where nothing is said.
                let other = if tuple.batch.unwrap_or(512) > 128 {
                    128
                } else {
                    512
                };
                tuple.batch = Some(other);
                format!("batch {other}")
            }
            Self::FlashAttention => {
                let other = !tuple.flash_attention.unwrap_or(true);
                tuple.flash_attention = Some(other);
                format!("flash attention {}", switch(other))
            }
            Self::Context => {
                // Half is below every model's maximum.
                let other = (tuple.context? / 2).max(1024);
                tuple.context = Some(other);
                format!("context {other}")
            }
            Self::Cache => {
                let other = if setting.cache == Some("q8_0") {
                    "f16"
                } else {
                    "q8_0"
                };
                setting.cache = Some(other);
                format!("K/V type {other}")
            }
            Self::Parallel => {
                setting.parallel = setting.parallel.saturating_mul(2);
                format!("parallel {}", setting.parallel)
            }
            Self::Mmap => {
                let other = !tuple.mmap.unwrap_or(true);
                tuple.mmap = Some(other);
                format!("mmap {}", switch(other))
            }
        };
        Some((name, setting))
    }
}

/// Returns the variants: the engine's defaults (`bare`), the profile, and the profile with one
/// option changed each.
pub(super) fn variants(
    bare: BenchSetting,
    profile: BenchSetting,
    changes: &[SettingChange],
) -> Vec<BenchVariant> {
    let mut all = vec![
        BenchVariant {
            name: "engine's defaults".to_owned(),
            setting: bare,
            against: None,
        },
        BenchVariant {
            name: "profile".to_owned(),
            setting: profile,
            against: Some(0),
        },
    ];
    let others = changes.iter().filter_map(|change| change.of(profile));
    all.extend(others.map(|(name, setting)| BenchVariant {
        name,
        setting,
        against: Some(1),
    }));
    all
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn each_changed_variant_differs_from_the_profile_in_one_option() {
        let profile = BenchSetting {
            tuple: LoadTuple {
                context: Some(4096),
                batch: Some(512),
                threads: Some(8),
                gpu_layers: Some(0),
                mmap: Some(true),
                flash_attention: None,
                as_loaded: false,
            },
            cache: None,
            parallel: 2,
        };
        let all = variants(
            BenchSetting::of(LoadTuple::default()),
            profile,
            &SettingChange::ALL,
        );
        let names: Vec<&str> = all.iter().map(|v| v.name.as_str()).collect();
        let changed = [
            "threads 4",
            "batch 128",
            "flash attention off",
            "context 2048",
            "K/V type q8_0",
            "parallel 4",
            "mmap off",
        ];
        assert_eq!(names[2..], changed);
        let fields = |setting: BenchSetting| match serde_json::to_value(setting).unwrap() {
            Value::Object(map) => map,
            other => panic!("{other}"),
        };
        let before = fields(profile);
        for variant in &all[2..] {
            let after = fields(variant.setting);
            let differing = after.iter().filter(|(key, value)| before[*key] != **value);
            assert_eq!((differing.count(), variant.against), (1, Some(1)));
        }
    }

    #[test]
    fn what_the_engine_decides_is_not_changed_by_halves() {
        let bare = BenchSetting::of(LoadTuple::default());
        let all = variants(
            bare,
            bare,
            &[SettingChange::Threads, SettingChange::Context],
        );
        assert_eq!(all.len(), 2);
        assert_eq!(json!(bare)["parallel"], 1);
    }
}
