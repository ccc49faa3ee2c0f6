//! What is compared: names and options. Data only.

use crucible_router::engine::Tuple;
use serde::Serialize;

/// One way to load the model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Variant {
    pub(super) name: String,
    /// What is sent; nothing is left out but what the engine decides by itself.
    #[serde(skip)]
    pub(super) tuple: Tuple,
    /// Index of the variant that it is compared with.
    #[serde(skip)]
    pub(super) against: Option<usize>,
}

/// A setting that cannot be varied here, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Fixed {
    pub(super) setting: &'static str,
    pub(super) why: &'static str,
}

/// Ollama 0.33 reads these from its own environment when it starts.
pub(super) const FIXED: [Fixed; 3] = [
    Fixed {
        setting: "flash attention",
        why: "OLLAMA_FLASH_ATTENTION is read when Ollama starts; bench does not restart it",
    },
    Fixed {
        setting: "K/V type",
        why: "OLLAMA_KV_CACHE_TYPE is read when Ollama starts; bench does not restart it",
    },
    Fixed {
        setting: "parallel",
        why: "OLLAMA_NUM_PARALLEL is read when Ollama starts; bench does not restart it",
    },
];

/// The engine's defaults (`bare`), the profile, and the profile with one option changed each.
pub(super) fn variants(bare: Tuple, profile: Tuple) -> Vec<Variant> {
    let mut all = vec![
        Variant {
            name: "engine's defaults".to_owned(),
            tuple: bare,
            against: None,
        },
        Variant {
            name: "profile".to_owned(),
            tuple: profile,
            against: Some(0),
        },
    ];
    let mut changed = |name: String, tuple: Tuple| {
        all.push(Variant {
            name,
            tuple,
            against: Some(1),
        });
    };
    if let Some(threads) = profile.threads {
        let other = if threads > 1 { threads / 2 } else { 2 };
        let threads = Some(other);
        changed(format!("threads {other}"), Tuple { threads, ..profile });
    }
    if let Some(batch) = profile.batch {
        let other = if batch > 128 { 128 } else { 512 };
        let batch = Some(other);
        changed(format!("batch {other}"), Tuple { batch, ..profile });
    }
    if let Some(context) = profile.context {
        // Half is below every model's maximum.
        let other = (context / 2).max(1024);
        let context = Some(other);
        changed(format!("context {other}"), Tuple { context, ..profile });
    }
    if let Some(mmap) = profile.mmap {
        let word = if mmap { "off" } else { "on" };
        let mmap = Some(!mmap);
        changed(format!("mmap {word}"), Tuple { mmap, ..profile });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_changed_variant_differs_from_the_profile_in_one_option() {
        let profile = Tuple {
            context: Some(4096),
            batch: Some(512),
            threads: Some(8),
            gpu_layers: Some(0),
            mmap: Some(true),
            flash_attention: None,
        };
        let all = variants(Tuple::default(), profile);
        let names: Vec<&str> = all.iter().map(|v| v.name.as_str()).collect();
        let changed = ["threads 4", "batch 128", "context 2048", "mmap off"];
        assert_eq!(names[2..], changed);
        for variant in &all[2..] {
            let (a, b) = (variant.tuple, profile);
            let differences = [
                a.context != b.context,
                a.batch != b.batch,
                a.threads != b.threads,
                a.gpu_layers != b.gpu_layers,
                a.mmap != b.mmap,
            ];
            let count = differences.iter().filter(|d| **d).count();
            assert_eq!((count, variant.against), (1, Some(1)), "{}", variant.name);
        }
    }
}
