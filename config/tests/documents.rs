//! Examples are valid; the generated pages and the schema are current.
//!
//! `UPDATE_DOCS=1 cargo test -p crucible-config --test documents` writes them anew.

#![expect(clippy::unwrap_used, reason = "helpers of tests may unwrap too")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use crucible_config::{ConfigSources, load, reference, schema, tuning::TUNINGS};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn compare(path: &str, text: &str) {
    let path = root().join(path);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == text,
        "{} is stale: run with UPDATE_DOCS=1",
        path.display()
    );
}

#[test]
fn the_page_of_tunings_is_current() {
    compare("docs/tunings.md", &reference::tunings());
}

#[test]
fn the_page_of_keys_is_current() {
    compare("docs/configuration.md", &reference::configuration());
}

#[test]
fn the_schema_is_current() {
    let text = serde_json::to_string_pretty(&schema::schema()).unwrap();
    compare("crucible.schema.json", &format!("{text}\n"));
}

#[test]
fn the_profile_as_a_file_is_current_and_changes_nothing() {
    compare(
        "examples/config/hybrid.toml",
        &reference::hybrid_profile_toml(),
    );
    let with = |file| {
        let sources = ConfigSources {
            file,
            ..ConfigSources::default()
        };
        let config = load(&sources).unwrap_or_else(|p| panic!("{p}")).config;
        serde_json::to_value(config.tuning_report()).unwrap()
    };
    let path = root().join("examples/config/hybrid.toml");
    assert_eq!(with(Some(path)), with(None));
}

#[test]
fn every_row_is_explained_whole() {
    for row in &TUNINGS {
        for text in [row.short, row.meaning, row.verified, row.engines] {
            assert!(!text.trim().is_empty(), "{}", row.id);
        }
        assert!(row.superseded_by != Some(""), "{}", row.id);
        let page = reference::tunings();
        for part in [row.meaning.trim(), row.verified, row.engines] {
            assert!(page.contains(part), "{}: {part}", row.id);
        }
    }
}

#[test]
fn every_example_is_valid_without_a_warning() {
    let mut seen = 0;
    for entry in fs::read_dir(root().join("examples/config")).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("lan-with-key.toml") {
            // It holds placeholders, which are refused until there are keys.
            continue;
        }
        let sources = ConfigSources {
            file: Some(path.clone()),
            ..ConfigSources::default()
        };
        let loaded = load(&sources).unwrap_or_else(|p| panic!("{p}"));
        assert!(
            loaded.warnings.0.is_empty(),
            "{}: {}",
            path.display(),
            loaded.warnings
        );
        seen += 1;
    }
    assert!(seen >= 5);
}
