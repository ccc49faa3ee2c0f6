//! What is wrong is told with path, line, found, expected and hint.

#![expect(clippy::unwrap_used, reason = "helpers of tests may unwrap too")]

mod wrong_files;

use std::fs;

use crucible_config::{ConfigFlags, ConfigLayer, ConfigSources, Problems, Severity, load};

use wrong_files::{BAD, HASH};

fn sources(text: &str) -> (tempfile::TempDir, ConfigSources) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("crucible.toml");
    fs::write(&path, text).unwrap();
    (
        folder,
        ConfigSources {
            file: Some(path),
            ..ConfigSources::default()
        },
    )
}

fn problems(text: &str) -> Problems {
    let (_folder, sources) = sources(text);
    match load(&sources) {
        Ok(loaded) => loaded.warnings,
        Err(problems) => problems,
    }
}

/// What is usable but does nothing: (file, path, then texts of the one line).
const NO_EFFECT: &[(&str, &str, &[&str])] = &[
    (
        "[guard]\nopen = [\"/api/pul\"]",
        "guard.open",
        &["crucible.toml:2", "did you mean \"/api/pull\"?"],
    ),
    (
        "[guard]\nopen = [\"/v1/chat/completions\"]",
        "guard.open",
        &["/api/pull, "],
    ),
    ("[guard]\nopen = [\"/api\"]", "guard.open", &["\"/api\""]),
    (
        "[tuning.ollama]\nquantization = \"q5\"",
        "tuning.ollama.quantization",
        &["\"q5\"", "no model has it", "did you mean"],
    ),
    (
        "[[model]]\nname = \"a\"\naliases = [\"b\"]\n[[model]]\nname = \"B:latest\"",
        "model[0].aliases",
        &["the name of model \"B:latest\""],
    ),
    (
        "[[model]]\nname = \"a\"\naliases = [\"A:latest\"]",
        "model[0].aliases",
        &["the model's own name"],
    ),
    (
        "[[model]]\nname = \"a\"\naliases = [\"b\"]\n[[model]]\nname = \"b\"\naliases = [\"a\"]",
        "model[0].aliases",
        &["a circle of aliases, b -> a -> b"],
    ),
    (
        "[[model]]\nname = \"a\"\naliases = [\"b\"]\n[[model]]\nname = \"b\"\naliases = [\"c\"]\n\
         [[model]]\nname = \"c\"\naliases = [\"a\"]",
        "model[2].aliases",
        &["a circle of aliases, a -> c -> b -> a"],
    ),
    (
        "[[model]]\nname = \"a\"\naliases = [\"v\"]\n[virtual]\nv = [\"x\"]",
        "model[0].aliases",
        &["the name of virtual.v", "hides"],
    ),
    (
        "[[model]]\nname = \"a\"\nfallback = [\"b\", \"A\"]",
        "model[0].fallback",
        &["\"A\", the model itself"],
    ),
    (
        "[[model]]\nname = \"a\"\naliases = [\"c\"]\nfallback = [\"c\"]",
        "model[0].fallback",
        &["the model itself"],
    ),
    (
        "[[rule]]\nwhen = { model = \"atuo\" }\nuse = \"fast\"",
        "rule[0].when.model",
        &["did you mean \"auto\"?"],
    ),
    (
        "[[rule]]\nwhen = { model = \"auto\" }\nuse = \"Auto\"",
        "rule[0].use",
        &["the model that it decides"],
    ),
    (
        "[[rule]]\nwhen = { words = [\"draw\", \" \"] }\nuse = \"fast\"",
        "rule[0].when.words",
        &["found \" \"", "remove it"],
    ),
    (
        "[[rule]]\nwhen = { header = { \"User-Agent:\" = \"x\" } }\nuse = \"fast\"",
        "rule[0].when.header.User-Agent:",
        &["the name of a header", "no request matches"],
    ),
];

#[test]
fn what_does_nothing_is_told_and_stops_nobody_but_the_check() {
    for (file, path, texts) in NO_EFFECT {
        let (_folder, sources) = sources(file);
        let loaded = load(&sources).unwrap_or_else(|p| panic!("{file}\n  does not load: {p}"));
        let told = &loaded.warnings.0;
        let found = told
            .iter()
            .find(|p| p.path == *path && p.severity == Severity::NoEffect);
        let line = found.unwrap_or_else(|| panic!("{file}\n  told {told:?}"));
        for text in *texts {
            let line = line.to_string();
            assert!(
                line.contains(text),
                "{file}\n  gave {line}\n  without {text}"
            );
        }
        assert!(line.to_string().starts_with("warning: "), "{line}");
        assert!(loaded.warnings.strict().has_errors(), "{file}");
    }
}

#[test]
fn a_windows_path_between_double_quotes_is_one_problem() {
    for text in [
        "[[engine]]\nname = \"a\"\nkind = \"llamacpp\"\nmodel_path = \"C:\\Users\\me\\m.gguf\"\n",
        "[[engine]]\nname = \"a\"\nkind = \"llamacpp\"\ncommand = [\"C:\\llama\\x.exe\", \"-v\"]\n",
        "state_dir = \"D:\\\"\n",
    ] {
        let all = problems(text);
        assert_eq!(all.0.len(), 1, "{text}: {all}");
        assert!(all.to_string().contains("single quotes"), "{all}");
    }
}

#[test]
fn many_virtual_models_that_name_each_other_are_checked_at_once() {
    let names: Vec<String> = (0..40).map(|n| format!("v{n}")).collect();
    let mut file = "[virtual]\n".to_owned();
    for (i, name) in names.iter().enumerate() {
        let later: Vec<String> = names[i + 1..].iter().map(|n| format!("{n:?}")).collect();
        file.push_str(&format!("{name} = [{}, \"x\"]\n", later.join(", ")).replace("[, ", "["));
    }
    let all = problems(&file);
    assert!(!all.has_errors(), "{all}");
    // Through an alias, and in another case.
    for file in [
        "[virtual]\nA = [\"b\"]\nB = [\"a\"]\n",
        "[[model]]\nname = \"v\"\naliases = [\"al\"]\n[virtual]\nv = [\"al\"]\n",
    ] {
        assert!(
            problems(file).to_string().contains("contains itself"),
            "{file}"
        );
    }
}

#[test]
fn the_home_folder_stands_for_a_tilde_in_every_path() {
    let home = directories::BaseDirs::new()
        .unwrap()
        .home_dir()
        .to_path_buf();
    let (_folder, mut sources) = sources(
        "state_dir = \"~/s\"\n[[engine]]\nname = \"a\"\nkind = \"llamacpp\"\n\
         model_path = \"~/m.gguf\"\ncommand = [\"~/bin/llama-server\", \"--lora\", \"~/l\", \"a~b\"]\n",
    );
    let config = load(&sources).unwrap().config;
    let at = |name: &str| home.join(name);
    assert_eq!(config.state_dir, at("s"));
    assert_eq!(config.engines[0].model_path, Some(at("m.gguf")));
    let text = |name: &str| at(name).display().to_string();
    assert_eq!(
        config.engines[0].command,
        [
            text("bin/llama-server"),
            "--lora".into(),
            text("l"),
            "a~b".into()
        ]
    );
    sources.environment = vec![("CRUCIBLE_STATE_DIR".into(), "~".into())];
    assert_eq!(load(&sources).unwrap().config.state_dir, home);
    sources.flags.set = vec!["state_dir=~/flag".into()];
    assert_eq!(load(&sources).unwrap().config.state_dir, at("flag"));
    let named = vec![("CRUCIBLE_CONFIG".to_owned(), "~/c.toml".to_owned())];
    let found = crucible_config::layers::locate(None, &named, &[]);
    assert_eq!(found, Some(at("c.toml")));
    let found = crucible_config::layers::locate(Some("~/d.toml".into()), &named, &[]);
    assert_eq!(found, Some(at("d.toml")));
}

#[test]
fn every_mistake_is_told_where_it_is_and_how_to_mend_it() {
    for (file, path, texts) in BAD {
        let all = problems(file);
        let one = all
            .0
            .iter()
            .find(|p| p.path == *path && p.severity == Severity::Error);
        let one = one.unwrap_or_else(|| panic!("{file}\n  gave no error at {path}: {all}"));
        let line = one.to_string();
        for text in *texts {
            assert!(
                line.contains(text),
                "{file}\n  gave {line}\n  without {text}"
            );
        }
        assert!(!one.found.is_empty() && !one.expected.is_empty() && !one.source.is_empty());
        assert!(!all.to_string().contains("geheim") && !all.to_string().contains("u:pw"));
    }
}

#[test]
fn all_problems_come_at_once_in_file_order() {
    let all =
        problems("lisen = 1\n[timeouts]\nidle = true\n[[engine]]\nname = \"a\"\nkind = \"x\"\n");
    let paths: Vec<&str> = all.0.iter().map(|p| p.path.as_str()).collect();
    assert_eq!(paths, ["lisen", "timeouts.idle", "engine[0].kind"]);
}

#[test]
fn higher_layers_win_and_keep_their_origin() {
    let (_folder, mut sources) = sources("[timeouts]\nidle = \"40s\"\nqueue = \"1m\"");
    sources.environment = vec![
        ("CRUCIBLE_TIMEOUTS__IDLE".into(), "45s".into()),
        (
            "CRUCIBLE_TUNING__ENVIRONMENT__CUDA_VISIBLE_DEVICES".into(),
            String::new(),
        ),
        ("CRUCIBLE_LIVE_LMSTUDIO".into(), "1".into()),
    ];
    sources.flags = ConfigFlags {
        listen: vec!["127.0.0.1:0".into()],
        engines: vec!["x=ollama@http://127.0.0.1:5".into()],
        set: Vec::new(),
    };
    let loaded = load(&sources).unwrap();
    assert_eq!(loaded.config.timeouts.idle.as_secs(), 45);
    assert_eq!(loaded.config.tuning.lmstudio.stream_timeout.as_secs(), 45);
    assert_eq!(loaded.config.timeouts.queue.as_secs(), 60);
    assert_eq!(loaded.config.engines[0].permits, 2);
    let layer = |path| loaded.origins.get(path).unwrap().layer;
    assert_eq!(layer("timeouts.idle"), ConfigLayer::Environment);
    assert_eq!(layer("timeouts.queue"), ConfigLayer::File);
    assert_eq!(layer("listen"), ConfigLayer::Flag);
    assert_eq!(layer("limits.body"), ConfigLayer::Profile);
}

#[test]
fn an_unknown_variable_names_the_nearest_and_stops_nobody() {
    for (name, value, hint) in [
        (
            "CRUCIBLE_TIMEOUTS__IDEL",
            "1",
            "did you mean CRUCIBLE_TIMEOUTS__IDLE?",
        ),
        (
            "CRUCIBLE_TIMEOUTS_IDLE",
            "1",
            "did you mean CRUCIBLE_TIMEOUTS__IDLE?",
        ),
        ("CRUCIBLE_VERSION", "1.2", "nothing reads it"),
        ("CRUCIBLE_HOME", "/opt/crucible", "nothing reads it"),
        ("CRUCIBLE_PORT", "8484", "the address is CRUCIBLE_LISTEN"),
        ("CRUCIBLE_HOST", "0.0.0.0", "the address is CRUCIBLE_LISTEN"),
        ("CRUCIBLE_GUARD__OPEN", "/api/pull", "guard.open is a list"),
        ("CRUCIBLE_", "", "nothing reads it"),
    ] {
        let sources = ConfigSources {
            environment: vec![(name.into(), value.into())],
            ..ConfigSources::default()
        };
        let loaded = load(&sources).unwrap_or_else(|p| panic!("{name}: {p}"));
        let told = loaded.warnings.to_string();
        assert!(told.starts_with(&format!("warning: {name}: ")), "{told}");
        assert!(told.contains(hint), "{name}: {told}");
        assert!(loaded.warnings.strict().has_errors(), "{name}");
    }
}

#[test]
fn what_kubernetes_puts_there_is_passed_over_and_a_bad_value_is_not() {
    let environment = |pairs: &[(&str, &str)]| ConfigSources {
        environment: pairs
            .iter()
            .map(|(n, v)| ((*n).into(), (*v).into()))
            .collect(),
        ..ConfigSources::default()
    };
    let loaded = load(&environment(&[
        ("CRUCIBLE_PORT", "tcp://10.96.3.2:8484"),
        ("CRUCIBLE_SERVICE_HOST", "10.96.3.2"),
        ("CRUCIBLE_SERVICE_PORT", "8484"),
        ("CRUCIBLE_SERVICE_PORT_HTTP", "8484"),
        ("CRUCIBLE_PORT_8484_TCP", "tcp://10.96.3.2:8484"),
        ("CRUCIBLE_PORT_8484_TCP_ADDR", "10.96.3.2"),
        ("CRUCIBLE_PORT_8484_TCP_PORT", "8484"),
        ("CRUCIBLE_PORT_8484_TCP_PROTO", "tcp"),
        ("CRUCIBLE_GATEWAY_SERVICE_HOST", "10.96.3.3"),
        ("CRUCIBLE_GATEWAY_PORT", "tcp://10.96.3.3:80"),
    ]));
    assert_eq!(loaded.unwrap().warnings, Problems::default());
    let bad = load(&environment(&[("CRUCIBLE_TIMEOUTS__IDLE", "soon")])).unwrap_err();
    assert!(
        bad.has_errors() && bad.to_string().contains("timeouts.idle"),
        "{bad}"
    );
}

#[test]
fn two_keys_that_say_the_same_differently_are_warned_about() {
    let text =
        "[tuning.ollama]\nnum_parallel = 4\n[tuning.environment]\nOLLAMA_NUM_PARALLEL = \"3\"";
    let (_folder, sources) = sources(text);
    let loaded = load(&sources).unwrap();
    assert_eq!(loaded.config.tuning.environment.OLLAMA_NUM_PARALLEL, "4");
    let warning = loaded.warnings.to_string();
    assert!(
        warning.contains("tuning.ollama.num_parallel wins"),
        "{warning}"
    );
}

#[test]
fn a_key_opens_the_network() {
    let (_folder, sources) = sources(&format!(
        "listen = \"0.0.0.0:1\"\n[[key]]\nname = \"a\"\nhash = \"{HASH}\""
    ));
    assert_eq!(load(&sources).unwrap().config.keys[0].sha256[0], 0x5d);
}
