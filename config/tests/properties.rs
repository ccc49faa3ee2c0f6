//! What holds whatever stands in a file, a variable or a flag.

#![expect(clippy::unwrap_used, reason = "helpers of tests may unwrap too")]

use std::{collections::BTreeSet, fs};

use crucible_config::{
    ConfigFlags, ConfigLayer, ConfigSources, LoadedConfig, Problems, Severity, keys, load,
};
use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
    sample::select,
};

/// Durations that no check compares with one another.
const TIMES: [&str; 8] = [
    "scheduler.overtake_age",
    "scheduler.linger",
    "scheduler.overflow_after",
    "timeouts.queue",
    "timeouts.drain",
    "timeouts.connect",
    "timeouts.client_stall",
    "routing.first_token",
];

fn loaded(
    text: &str,
    environment: &[(String, String)],
    flags: ConfigFlags,
) -> Result<LoadedConfig, Problems> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("crucible.toml");
    fs::write(&path, text).unwrap();
    load(&ConfigSources {
        file: Some(path),
        environment: environment.to_vec(),
        flags,
        ..ConfigSources::default()
    })
}

/// A dotted key is TOML at any place before the first table.
fn line(path: &str, value: &str) -> String {
    format!("{path} = {value}\n")
}

/// Every path that a file or a variable may name.
fn paths() -> Vec<String> {
    keys::fixed().into_iter().map(|(path, _)| path).collect()
}

/// A value as it stands in TOML, of any type.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| format!("{n:?}")),
        any::<bool>().prop_map(|b| b.to_string()),
        "\\PC{0,12}".prop_map(|text| format!("{text:?}")),
        select(vec![
            "\"30s\"",
            "\"1GB\"",
            "[]",
            "[1]",
            "{}",
            "\"127.0.0.1:0\"",
            "\"\"",
            "[\"a\"]",
            "1979-05-27"
        ])
        .prop_map(str::to_owned),
    ]
}

/// Text that looks like a file of settings now and then.
fn text() -> impl Strategy<Value = String> {
    let known = (select(paths()), value()).prop_map(|(path, value)| line(&path, &value));
    let table = select(vec![
        "[timeouts]",
        "[[engine]]",
        "[[model]]",
        "[[key]]",
        "[[rule]]",
        "[pool.x]",
        "[",
        "]",
    ]);
    let any = "(\\PC|[\\[\\]=\"'#\n{},.]){0,40}";
    let part = prop_oneof![
        4 => known,
        2 => table.prop_map(|table| format!("{table}\n")),
        2 => ("[a-z_]{1,12}", value()).prop_map(|(key, value)| line(&key, &value)),
        1 => any.prop_map(|text| format!("{text}\n")),
    ];
    vec(part, 0..8).prop_map(|parts| parts.concat())
}

fn variables() -> impl Strategy<Value = Vec<(String, String)>> {
    let known = select(paths()).prop_map(|path| keys::variable(&path));
    let name = prop_oneof![3 => known, 1 => "CRUCIBLE_[A-Z_]{0,12}"];
    vec((name, "\\PC{0,12}"), 0..4)
}

fn flags() -> impl Strategy<Value = ConfigFlags> {
    let set = (select(paths()), "\\PC{0,12}").prop_map(|(path, value)| format!("{path}={value}"));
    let set = prop_oneof![3 => set, 1 => "\\PC{0,20}"];
    let parts = (
        vec("\\PC{0,12}", 0..2),
        vec("\\PC{0,20}", 0..2),
        vec(set, 0..3),
    );
    parts.prop_map(|(listen, engines, set)| ConfigFlags {
        listen,
        engines,
        set,
    })
}

proptest! {
    /// Nothing that stands there ends Crucible, and whatever is refused is refused with a reason.
    #[test]
    fn any_text_is_read_or_refused_with_what_is_wrong(
        text in text(),
        environment in variables(),
        flags in flags(),
    ) {
        let problems = match loaded(&text, &environment, flags) {
            Ok(loaded) => {
                prop_assert!(!loaded.warnings.has_errors());
                loaded.warnings
            }
            Err(problems) => {
                prop_assert!(problems.has_errors(), "refused without a reason");
                problems
            }
        };
        for problem in &problems.0 {
            prop_assert!(!problem.expected.is_empty(), "{problem:?}");
            prop_assert!(!problem.to_string().is_empty());
        }
    }

    /// Flags over variables over the file over what is built in, for each key by itself; and each
    /// value says who set it.
    #[test]
    fn the_highest_layer_that_sets_a_key_wins(
        set in btree_map(select(TIMES.to_vec()), [option::of(1..100_000_u64), option::of(1..100_000_u64), option::of(1..100_000_u64)], 0..TIMES.len()),
    ) {
        let mut text = String::new();
        let mut environment = Vec::new();
        let mut flags = ConfigFlags::default();
        for (path, [file, variable, flag]) in &set {
            if let Some(seconds) = file {
                text.push_str(&line(path, &format!("\"{seconds}s\"")));
            }
            if let Some(seconds) = variable {
                environment.push((keys::variable(path), format!("{seconds}s")));
            }
            if let Some(seconds) = flag {
                flags.set.push(format!("{path}={seconds}s"));
            }
        }
        let plain = loaded("", &[], ConfigFlags::default()).unwrap();
        let loaded = loaded(&text, &environment, flags).unwrap();
        for path in TIMES {
            let [file, variable, flag] = set.get(path).copied().unwrap_or_default();
            let layers = [
                (flag, ConfigLayer::Flag),
                (variable, ConfigLayer::Environment),
                (file, ConfigLayer::File),
            ];
            let highest = layers.into_iter().find_map(|(set, layer)| Some((set?, layer)));
            let of = |loaded: &LoadedConfig| loaded.shown.iter().find(|s| s.path == path).unwrap().clone();
            let (shown, built_in) = (of(&loaded), of(&plain));
            if let Some((seconds, layer)) = highest {
                let seconds = u32::try_from(seconds).unwrap();
                prop_assert_eq!(shown.value.as_f64(), Some(f64::from(seconds)), "{}", path);
                prop_assert_eq!(shown.origin.layer, layer, "{}", path);
            } else {
                prop_assert_eq!(&shown.value, &built_in.value, "{}", path);
            }
            prop_assert_eq!(loaded.origins.get(path), Some(&shown.origin));
        }
    }

    /// However many mistakes there are, in whatever layers, each of them is told, and nothing else.
    #[test]
    fn every_mistake_is_told_at_once(
        wrong in btree_map(select(TIMES.to_vec()), 0..3_usize, 0..TIMES.len()),
        unknown in vec("x[a-z]{8}", 0..4),
    ) {
        let mut text = String::new();
        let mut environment = Vec::new();
        let mut flags = ConfigFlags::default();
        let mut expected: BTreeSet<String> = BTreeSet::new();
        for name in &unknown {
            if expected.insert(name.clone()) {
                text.push_str(&line(name, "1"));
            }
        }
        for (path, layer) in &wrong {
            match layer {
                0 => text.push_str(&line(path, "\"soon\"")),
                1 => environment.push((keys::variable(path), "soon".to_owned())),
                _ => flags.set.push(format!("{path}=soon")),
            }
            expected.insert((*path).to_owned());
        }
        let told: BTreeSet<String> = match loaded(&text, &environment, flags) {
            Ok(_) => BTreeSet::new(),
            Err(problems) => {
                let errors = problems.0.into_iter().filter(|p| p.severity == Severity::Error);
                errors.map(|p| p.path).collect()
            }
        };
        prop_assert_eq!(told, expected);
    }
}
