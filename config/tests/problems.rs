//! What is wrong is told with path, line, found, expected and hint.

#![expect(clippy::unwrap_used, reason = "helpers of tests may unwrap too")]

use std::fs;

use crucible_config::{Flags, Layer, Problems, Severity, Sources, load};

fn sources(text: &str) -> (tempfile::TempDir, Sources) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("crucible.toml");
    fs::write(&path, text).unwrap();
    (
        folder,
        Sources {
            file: Some(path),
            ..Sources::default()
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

const HASH: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// (file, path, then texts of the one error's line).
const BAD: &[(&str, &str, &[&str])] = &[
    (
        "lisen = \"127.0.0.1:1\"",
        "lisen",
        &["crucible.toml:1", "unknown key", "\"listen\""],
    ),
    (
        "[timeouts]\nidel = \"3s\"",
        "timeouts.idel",
        &["crucible.toml:2", "\"timeouts.idle\""],
    ),
    (
        "[timeouts]\nidle = \"soon\"",
        "timeouts.idle",
        &["\"soon\"", "a duration"],
    ),
    (
        "[timeouts]\nidle = 0",
        "timeouts.idle",
        &["found 0", "at least 1ms"],
    ),
    (
        "[timeouts]\nqueue = true",
        "timeouts.queue",
        &["found true", "a duration"],
    ),
    (
        "timeouts = 3",
        "timeouts",
        &["found 3", "a table", "[timeouts]"],
    ),
    (
        "listen = \"8484\"",
        "listen",
        &["\"8484\"", "127.0.0.1:8484"],
    ),
    ("listen = []", "listen", &["an empty list"]),
    (
        "listen = \"0.0.0.0:8484\"",
        "listen",
        &["crucible key new", "allow_unauthenticated = true"],
    ),
    (
        "metrics_listen = \"0.0.0.0:1\"",
        "metrics_listen",
        &["without a key"],
    ),
    (
        "metrics_listen = \"127.0.0.1:8484\"",
        "metrics_listen",
        &["which is in listen"],
    ),
    (
        "profile = \"hybird\"",
        "profile",
        &["\"hybird\"", "did you mean \"hybrid\"?"],
    ),
    (
        "allow_unauthenticated = \"yes\"",
        "allow_unauthenticated",
        &["true or false", "without quotes"],
    ),
    (
        "allowed_hosts = \"a\"",
        "allowed_hosts",
        &["write it as a list"],
    ),
    (
        "allowed_hosts = [\"http://a\"]",
        "allowed_hosts",
        &["a host name"],
    ),
    (
        "allowed_origins = [\"a\"]",
        "allowed_origins",
        &["with scheme"],
    ),
    (
        "[limits]\nbody = \"32XB\"",
        "limits.body",
        &["\"32XB\"", "a size"],
    ),
    (
        "[limits]\nconnections = 0",
        "limits.connections",
        &["from 1"],
    ),
    (
        "[log]\nlevel = \"inof\"",
        "log.level",
        &["did you mean \"info\"?"],
    ),
    (
        "[guard]\nopen = [\"api/pull\"]",
        "guard.open",
        &["starts with a slash"],
    ),
    (
        "[[engine]]\nkind = \"ollama\"",
        "engine[0].name",
        &["no name", "crucible.toml:1"],
    ),
    (
        "[[engine]]\nname = \"a\"",
        "engine[0].kind",
        &["no kind", "\"llamacpp\""],
    ),
    (
        "[[engine]]\nname = \"a/b\"\nkind = \"ollama\"",
        "engine[0].name",
        &["slash"],
    ),
    (
        "[[engine]]\nname = \"a\"\nkind = \"openai\"",
        "engine[0].url",
        &["no url"],
    ),
    (
        "[[engine]]\nname = \"a\"\nkind = \"openai\"\nurl = \"ftp://h\"",
        "engine[0].url",
        &["expected http"],
    ),
    (
        "[[engine]]\nname = \"a\"\nkind = \"openai\"\nurl = \"http://u:pw@h\"",
        "engine[0].url",
        &["credentials", "api_key_env"],
    ),
    (
        "[[engine]]\nname = \"a\"\nkind = \"ollama\"\napi_key_env = \"sk-12\"",
        "engine[0].api_key_env",
        &["does not belong in the file"],
    ),
    (
        "[[engine]]\nname = \"a\"\nkind = \"llamacpp\"\nmanage = \"spawn\"",
        "engine[0].model_path",
        &["no model_path"],
    ),
    (
        "[[engine]]\nname = \"a\"\nkind = \"ollama\"\n[[engine]]\nname = \"A\"\nkind = \"lmstudio\"",
        "engine[1].name",
        &["a second engine"],
    ),
    (
        "[[engine]]\nname = \"a\"\nkind = \"ollama\"\n[[engine]]\nname = \"b\"\nkind = \"openai\"\nurl = \"http://localhost:11434\"",
        "engine[1].url",
        &["the address of engine \"a\""],
    ),
    (
        "[[engine]]\nname = \"a\"\nkind = \"ollama\"\npassthrough = [\"respones\"]",
        "engine[0].passthrough",
        &["did you mean \"responses\"?"],
    ),
    (
        "[[model]]\nname = \"m\"\nengine = \"olama\"",
        "model[0].engine",
        &["did you mean \"ollama\"?"],
    ),
    ("[[model]]\nname = \"m[\"", "model[0].name", &["a glob"]),
    (
        "[[model]]\nname = \"m\"\ncontext = 0",
        "model[0].context",
        &["from 1"],
    ),
    (
        "[[model]]\nname = \"m\"\ndefaults = true",
        "model[0].defaults",
        &["false or a table"],
    ),
    (
        "[pool.gpuu]\nmemory = 1",
        "pool.gpuu",
        &["did you mean \"gpu\"?"],
    ),
    (
        "[pool.gpu]\nmemory = 1\nbudget = 2",
        "pool.gpu.budget",
        &["at most"],
    ),
    (
        "[virtual]\nfast = [\"lmstudoi/*\"]",
        "virtual.fast",
        &["did you mean \"lmstudio/*\"?"],
    ),
    (
        "[virtual]\na = [\"b\"]\nb = [\"a\"]\n",
        "virtual.a",
        &["contains itself"],
    ),
    (
        "[[rule]]\nwhen = { tools = true }",
        "rule[0].use",
        &["no use"],
    ),
    (
        "[tuning.lmstudio]\ngpu_memory_fraction = 1.5",
        "tuning.lmstudio.gpu_memory_fraction",
        &["from 0 to 1"],
    ),
    (
        "[tuning.lmstudio]\ntemperature = 3",
        "tuning.lmstudio.temperature",
        &["from 0 to 2"],
    ),
    (
        "[tuning.ollama]\nnum_threads = 0",
        "tuning.ollama.num_threads",
        &["from 1"],
    ),
    (
        "[tuning.environment]\nOLLAMA_NUM_GPU = 0",
        "tuning.environment.OLLAMA_NUM_GPU",
        &["in quotes"],
    ),
    (
        "[tuning.lmstudio]\nflash_attention = false\nvalue_cache_quantization = \"q8_0\"",
        "tuning.lmstudio.value_cache_quantization",
        &["without flash attention"],
    ),
    (
        "[context]\nmax = 1024",
        "context.max",
        &["at least", "4096"],
    ),
    (
        "[[key]]\nname = \"a\"\nhash = \"geheim\"",
        "key[0].hash",
        &["not a hash", "crucible key new"],
    ),
    ("a = = 1", "", &["crucible.toml:1", "TOML"]),
];

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
    sources.flags = Flags {
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
    assert_eq!(layer("timeouts.idle"), Layer::Environment);
    assert_eq!(layer("timeouts.queue"), Layer::File);
    assert_eq!(layer("listen"), Layer::Flag);
    assert_eq!(layer("limits.body"), Layer::Profile);
}

#[test]
fn an_unknown_variable_names_the_nearest() {
    let sources = Sources {
        environment: vec![("CRUCIBLE_TIMEOUTS__IDEL".into(), "1".into())],
        ..Sources::default()
    };
    let problems = load(&sources).unwrap_err().to_string();
    assert!(
        problems.contains("did you mean CRUCIBLE_TIMEOUTS__IDLE?"),
        "{problems}"
    );
}

#[test]
fn two_keys_that_say_the_same_differently_are_warned_about() {
    let text =
        "[tuning.ollama]\nnum_parallel = 4\n[tuning.environment]\nOLLAMA_NUM_PARALLEL = \"3\"";
    let (_folder, sources) = sources(text);
    let loaded = load(&sources).unwrap();
    assert_eq!(loaded.config.tuning.environment["OLLAMA_NUM_PARALLEL"], "4");
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
    assert_eq!(load(&sources).unwrap().config.keys[0].sha256[0], 0x9f);
}
