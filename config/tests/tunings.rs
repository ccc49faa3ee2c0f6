//! Bad values of the 39 rows are told before anything is applied.

#![expect(clippy::unwrap_used, reason = "helpers of tests may unwrap too")]

use std::fs;

use crucible_config::{
    ConfigSources, Problems, Severity,
    kind::SettingKind,
    load,
    tuning::{TUNINGS, TuningRow},
};

fn problems(text: &str) -> Problems {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("crucible.toml");
    fs::write(&path, text).unwrap();
    let sources = ConfigSources {
        file: Some(path),
        ..ConfigSources::default()
    };
    match load(&sources) {
        Ok(loaded) => loaded.warnings,
        Err(problems) => problems,
    }
}

/// Values that a row never takes, with a part of what is expected instead.
fn bad(row: &TuningRow) -> Vec<(String, String)> {
    match row.kind {
        SettingKind::Number { min, max } => vec![
            (
                format!("{:.1}", max + 0.4),
                format!("a number from {min} to {max}"),
            ),
            (
                format!("{:.1}", min - 0.4),
                format!("a number from {min} to {max}"),
            ),
            ("\"much\"".to_owned(), "a number".to_owned()),
        ],
        SettingKind::Integer { min, max } => vec![
            (
                (min - 1).to_string(),
                format!("an integer from {min} to {max}"),
            ),
            (
                (max + 1).to_string(),
                format!("an integer from {min} to {max}"),
            ),
            ("\"512MB\"".to_owned(), "an integer".to_owned()),
        ],
        SettingKind::IntegerText { min, max } => vec![
            (
                "\"two\"".to_owned(),
                format!("an integer from {min} to {max}"),
            ),
            (
                format!("\"{}\"", min - 1),
                format!("an integer from {min} to {max}"),
            ),
        ],
        SettingKind::Boolean => vec![("\"maybe\"".to_owned(), "true or false".to_owned())],
        SettingKind::OneOf(words) => vec![("\"nope\"".to_owned(), words[0].to_owned())],
        SettingKind::Duration { .. } => vec![
            ("0".to_owned(), "a duration of at least".to_owned()),
            ("\"16GB\"".to_owned(), "a duration".to_owned()),
        ],
        SettingKind::Size { .. } => vec![
            ("0".to_owned(), "a size".to_owned()),
            ("\"5 minutes\"".to_owned(), "a size".to_owned()),
        ],
        SettingKind::Text => vec![("3".to_owned(), "a string".to_owned())],
        _ => Vec::new(),
    }
}

#[test]
fn every_row_names_itself_and_what_it_takes() {
    for row in &TUNINGS {
        let cases = bad(row);
        assert!(!cases.is_empty(), "{} has no bad value", row.id);
        for (value, expected) in cases {
            let file = format!(
                "[tuning.{}]\n{} = {value}\n",
                row.group.as_str(),
                row.id.key()
            );
            let all = problems(&file);
            let path = row.id.path();
            let mut found = all.0.iter();
            let one = found.find(|p| p.path == path && p.severity == Severity::Error);
            let one = one.unwrap_or_else(|| panic!("{file}gave no error at {path}: {all}"));
            let line = one.to_string();
            assert!(
                line.contains(&expected),
                "{file}gave {line}, not {expected}"
            );
            assert!(line.contains("crucible.toml:2"), "{line}");
        }
    }
}

/// (lines of the file, path, how bad it is, part of what is said).
const COMBINATIONS: &[(&str, &str, Severity, &str)] = &[
    (
        "[tuning.lmstudio]\nvalue_cache_quantization = \"q8_0\"\nflash_attention = false\n",
        "tuning.lmstudio.value_cache_quantization",
        Severity::Error,
        "needs flash attention",
    ),
    (
        "[tuning.lmstudio]\ngpu_memory_fraction = 0.0\n",
        "tuning.lmstudio.gpu_memory_fraction",
        Severity::Error,
        "no memory for 2 models, expected a number from 0 to 1, more than 0",
    ),
    (
        "[tuning.ollama]\nmemory_limit = 16\n",
        "tuning.ollama.memory_limit",
        Severity::Error,
        "16 bytes, expected a size of at least 1MB, in which a model fits; with its unit: \"16GB\"",
    ),
    (
        "[pool.gpu]\nmemory = 12\n",
        "pool.gpu.memory",
        Severity::Error,
        "with its unit: \"12GB\"",
    ),
    (
        "[tuning.lmstudio]\nstream_timeout = 30000\n",
        "tuning.lmstudio.stream_timeout",
        Severity::Warning,
        "\"30000ms\" if that was meant",
    ),
    (
        "[tuning.lmstudio]\nkeep_alive_interval = \"10m\"\n",
        "tuning.lmstudio.keep_alive_interval",
        Severity::Warning,
        "at most tuning.lmstudio.model_ttl, 300 s",
    ),
    (
        "[tuning.lmstudio]\nmodel_ttl = 300000\n",
        "tuning.lmstudio.model_ttl",
        Severity::Warning,
        "\"300000ms\" if that was meant, or pin = true",
    ),
    (
        "[[engine]]\nname = \"a\"\nkind = \"ollama\"\npool = \"cppu\"\n",
        "engine[1].pool",
        Severity::Warning,
        "did you mean \"cpu\"?",
    ),
    (
        "[[engine]]\nname = \"a\"\nkind = \"ollama\"\ndevice = \"cpu\"\npool = \"gpu\"\n",
        "engine[1].pool",
        Severity::Warning,
        "\"cpu\", since its device is \"cpu\"",
    ),
    (
        "pool = \"gpu\"\n[[engine]]\nname = \"a\"\nkind = \"openai\"\npool = \"gpu\"\n\
         url = \"http://192.0.2.7:1\"\n",
        "engine[1].pool",
        Severity::Warning,
        "another pool than \"g\", which is on another machine",
    ),
    (
        "[[engine]]\nname = \"a\"\nkind = \"openai\"\nurl = \"http://0.0.0.0:1234\"\n",
        "engine[1].url",
        Severity::Error,
        "the address of engine \"g\"",
    ),
    (
        "[[engine]]\nname = \"a\"\nkind = \"openai\"\nurl = \"http://localhost:8484\"\n",
        "engine[1].url",
        Severity::Error,
        "127.0.0.1:8484, where Crucible itself listens",
    ),
    (
        "[tuning.ollama]\nbatch_size = 8192\n",
        "tuning.ollama.batch_size",
        Severity::Warning,
        "at most tuning.ollama.context_size, 4096",
    ),
    (
        "[tuning.ollama]\nuse_mlock = true\n",
        "tuning.ollama.use_mlock",
        Severity::Warning,
        "no such option any more",
    ),
    (
        "[tuning.ollama]\nquantization = \"banana\"\n",
        "tuning.ollama.quantization",
        Severity::NoEffect,
        "no model has it",
    ),
    (
        "[tuning.environment]\nCUDA_VISIBLE_DEVICES = \"0\"\n",
        "tuning.environment.CUDA_VISIBLE_DEVICES",
        Severity::Warning,
        "engine \"g\" owns the GPU",
    ),
];

#[test]
fn impossible_combinations_are_errors_and_doubtful_ones_warnings() {
    const BESIDE: &str = "[[engine]]\nname = \"g\"\nkind = \"lmstudio\"\n";
    for (file, path, severity, part) in COMBINATIONS {
        let all = problems(&format!("{BESIDE}{file}"));
        let one = all.0.iter().find(|p| p.path == *path);
        let one = one.unwrap_or_else(|| panic!("{file}gave nothing at {path}: {all}"));
        assert_eq!(one.severity, *severity, "{one}");
        assert!(one.to_string().contains(part), "{one}\n  without {part}");
    }
    assert_eq!(problems(BESIDE).0.len(), 0, "{}", problems(BESIDE));
    // A pool of one's own needs no table.
    let own = "[[engine]]\nname = \"a\"\nkind = \"ollama\"\npool = \"attic\"\n";
    assert_eq!(problems(own).0.len(), 0, "{}", problems(own));
    assert_eq!(problems("profile = \"agent\"\n").0.len(), 0);
}
