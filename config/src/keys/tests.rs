//! Every key of the file is read: another value of it makes another configuration.

use std::path::Path;

use super::{KeyShape, ROOT, SettingKey};
use crate::{
    checked::Config,
    glob::Globs,
    kind::SettingKind,
    layers::{ConfigFlags, LoadedConfig, load_text},
    problem::Problems,
};

const HASH: &str = "\"sha256:5d1f58169ba099581d6720480eb44bbaeae698f187d944d63dd71760862e5cc5\"";
const OTHER_HASH: &str =
    "\"sha256:5d1f58169ba099581d6720480eb44bbaeae698f187d944d63dd71760862e5cc6\"";

/// What a table that repeats needs besides the key that is tried.
const NEEDED: [(&str, &[(&str, &str)]); 4] = [
    ("engine", &[("name", "\"e\""), ("kind", "\"ollama\"")]),
    ("model", &[("name", "\"m\"")]),
    ("rule", &[("use", "\"m\"")]),
    ("key", &[("name", "\"k\""), ("hash", HASH)]),
];

/// Files that set one key, and the file without it.
struct Tried {
    path: String,
    without: String,
    with: Vec<String>,
}

fn read(text: &str) -> Result<LoadedConfig, Problems> {
    let file = Some((Path::new("crucible.toml"), Ok(text.to_owned())));
    load_text(file, &[], &ConfigFlags::default())
}

/// All fields as text. Compiled patterns have no order.
fn fields(mut config: Config) -> String {
    config.globs = Globs::default();
    format!("{config:?}")
}

/// Values of a kind as a file writes them: its ends, and whatever a check may ask for.
fn values(kind: SettingKind) -> Vec<String> {
    let texts = |all: &[&str]| all.iter().map(|text| format!("{text:?}")).collect();
    match kind {
        SettingKind::Boolean => vec!["true".to_owned(), "false".to_owned()],
        SettingKind::Integer { min, max } => vec![min.to_string(), max.to_string()],
        SettingKind::IntegerText { .. } => texts(&["3"]),
        SettingKind::Number { min, max } => vec![format!("{:?}", f64::midpoint(min, max))],
        SettingKind::Duration { .. } => texts(&["7s", "70s"]),
        SettingKind::Size { min, max } => {
            vec![min.max(2).to_string(), "\"2GB\"".into(), max.to_string()]
        }
        SettingKind::Text => texts(&["e", "ollama", "debug", "http://127.0.0.1:9", "q8_0"]),
        SettingKind::Secret => vec![OTHER_HASH.to_owned()],
        SettingKind::OneOf(words) => texts(words),
        SettingKind::Rate => texts(&["9/min"]),
        SettingKind::Address | SettingKind::Addresses => texts(&["127.0.0.1:9"]),
        SettingKind::Texts => ["e", "/api/pull", "responses", "https://example.org"]
            .map(|text| format!("[{text:?}]"))
            .to_vec(),
    }
}

/// `make` writes a whole file of one assignment in the table whose keys these are.
fn walk(
    keys: &[SettingKey],
    path: &str,
    without: &str,
    make: &dyn Fn(&str, &str) -> String,
    all: &mut Vec<Tried>,
) {
    let mut add = |path: String, name: &str, values: Vec<String>| {
        all.push(Tried {
            path,
            without: without.to_owned(),
            with: values.iter().map(|value| make(name, value)).collect(),
        });
    };
    let mut below = Vec::new();
    for key in keys {
        let path = super::join(path, key.name);
        match key.shape {
            KeyShape::Value(kind) => add(path, key.name, values(kind)),
            KeyShape::NamedValues(kind) => {
                add(path, &format!("{}.name", key.name), values(kind));
            }
            KeyShape::OffOr(_) => {
                add(path.clone(), key.name, vec!["false".to_owned()]);
                below.push((path, key, key.name.to_owned()));
            }
            KeyShape::Table(_) | KeyShape::Tuning | KeyShape::Rows(_) | KeyShape::Tables(_) => {
                below.push((path, key, key.name.to_owned()));
            }
            KeyShape::Named(_) => below.push((path, key, format!("{}.gpu", key.name))),
        }
    }
    for (path, key, name) in below {
        let keys = key.shape.keys();
        let KeyShape::Tables(_) = key.shape else {
            let make = |key: &str, value: &str| make(&format!("{name}.{key}"), value);
            walk(&keys, &path, without, &make, all);
            continue;
        };
        let (_, needed) = NEEDED
            .into_iter()
            .find(|(table, _)| *table == name)
            .unwrap();
        let make = |key: &str, value: &str| {
            let others = needed.iter().filter(|(other, _)| *other != key);
            let others: Vec<String> = others
                .map(|(key, value)| {
                    format!(
                        "{key} = {value}
"
                    )
                })
                .collect();
            let others = others.concat();
            format!("[[{name}]]\n{others}{key} = {value}\n")
        };
        let (first, value) = needed[0];
        walk(&keys, &path, &make(first, value), &make, all);
    }
}

#[test]
fn every_key_of_the_file_is_read_into_the_configuration() {
    let mut all = Vec::new();
    walk(
        ROOT,
        "",
        "",
        &|key, value| format!("{key} = {value}\n"),
        &mut all,
    );
    assert!(all.len() > 130, "{} keys", all.len());
    for Tried {
        path,
        without,
        with,
    } in all
    {
        let plain = fields(read(&without).unwrap_or_else(|p| panic!("{p}")).config);
        let mut others = 0;
        for file in with {
            match read(&file) {
                Ok(loaded) => {
                    // It is read where an engine speaks TLS; elsewhere a warning names it.
                    let warned = path == "engine.ca_file"
                        && loaded
                            .warnings
                            .0
                            .iter()
                            .any(|p| p.path == "engine[0].ca_file");
                    others += usize::from(warned || fields(loaded.config) != plain);
                }
                Err(problems) => {
                    let told = problems.to_string();
                    assert!(!told.contains("Crucible's own table"), "{file}{told}");
                }
            }
        }
        assert!(others > 0, "no value of {path} changes the configuration");
    }
}

#[test]
fn every_default_is_a_value_of_its_key() {
    for (path, key) in super::fixed() {
        let KeyShape::Value(kind) = key.shape else {
            panic!("{path} is no value");
        };
        let hybrid = Some(key.default).filter(|text| !text.is_empty());
        for text in hybrid.into_iter().chain(key.agent) {
            // A list is read from a file only.
            assert!(
                text == "[]" || kind.read_text(text).is_ok(),
                "{path} = {text}"
            );
        }
    }
}
