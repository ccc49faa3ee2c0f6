//! `crucible check`: what it refuses, in which words, with which exit code.

mod names;

use std::{path::Path, process::Command};

use crucible_sim::Options;
use crucible_tests::{
    Crucible, binary,
    chat::{body, post},
    engines::{Both, engine, start},
    rest::ready,
};
use tempfile::TempDir;

/// Exit code, stdout, stderr.
type Said = (Option<i32>, String, String);

/// Runs `check` on a file, in its folder, with these variables besides.
fn check(file: &Path, env: &[(&str, &str)]) -> Said {
    run(
        &["check", "--config", &file.display().to_string()],
        file,
        env,
    )
}

fn run(args: &[&str], file: &Path, env: &[(&str, &str)]) -> Said {
    let mut command = Command::new(binary::crucible());
    command.args(args).envs(env.iter().copied());
    if let Some(folder) = file.parent() {
        command.current_dir(folder);
    }
    let out = command.output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (out.status.code(), text(&out.stdout), text(&out.stderr))
}

async fn off_the_runtime(file: &Path) -> Said {
    let file = file.to_path_buf();
    tokio::task::spawn_blocking(move || check(&file, &[]))
        .await
        .expect("it ran")
}

/// A folder with a configuration.
fn folder(text: &str) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    std::fs::write(folder.path().join("crucible.toml"), text).expect("written");
    folder
}

const SPAWN: &str = "[[engine]]\nname = \"local\"\nkind = \"llamacpp\"\n";

/// (file, whether `serve` would start with it, parts of what `check` says).
const REFUSED: &[(&str, bool, &[&str])] = &[
    (
        "[[engine]]\nname = \"local\"\nkind = \"llamacpp\"\nmodel_path = \"absent.gguf\"\ncommand = [\"sh\"]\n",
        true,
        &[
            "crucible.toml:4: engine[0].model_path",
            "absent.gguf",
            "folder of the configuration file",
        ],
    ),
    (
        "[[engine]]\nname = \"local\"\nkind = \"llamacpp\"\nmodel_path = \"crucible.toml\"\ncommand = [\"no-such-server\"]\n",
        true,
        &[
            "crucible.toml:5: engine[0].command",
            "no folder of PATH",
            "install it",
        ],
    ),
    (
        "[[engine]]\nname = \"local\"\nkind = \"llamacpp\"\nmodel_path = \"crucible.toml\"\ncommand = [\"~/no/such/server\"]\n",
        true,
        &["engine[0].command", "/no/such/server", "not there"],
    ),
    (
        "[[engine]]\nname = \"o\"\nkind = \"ollama\"\napi_key_env = \"NOBODY_SET_THIS\"\n",
        true,
        &[
            "crucible.toml:4: engine[0].api_key_env",
            "NOBODY_SET_THIS",
            "set NOBODY_SET_THIS where",
        ],
    ),
    (
        "[[rule]]\nwhen = { model = \"auto\" }\nuse = \"no-such-thing\"\n",
        true,
        &[
            "crucible.toml:3: rule[0].use",
            "\"no-such-thing\"",
            "a virtual model, a model or an engine",
        ],
    ),
    (
        "[[rule]]\nwhen = { model = \"gpt-4\" }\nuse = \"fast\"\n",
        true,
        &[
            "crucible.toml:2: rule[0].when.model",
            "\"gpt-4\"",
            "auto, fast, quality",
        ],
    ),
    (
        "[[model]]\nname = \"a\"\naliases = [\"b\"]\n[[model]]\nname = \"b\"\naliases = [\"a\"]\n",
        true,
        &[
            "model[0].aliases",
            "model[1].aliases",
            "a circle of aliases, a -> b -> a",
        ],
    ),
    (
        "[virtual]\na = [\"b\"]\nb = [\"A\"]\n",
        false,
        &["virtual.a", "contains itself"],
    ),
    (
        "[tuning.ollama]\nquantization = \"q5\"\n",
        true,
        &[
            "crucible.toml:2: tuning.ollama.quantization",
            "\"q5\"",
            "did you mean",
        ],
    ),
    (
        "[guard]\nopen = [\"/api/pulls\"]\n",
        true,
        &["crucible.toml:2: guard.open", "did you mean \"/api/pull\"?"],
    ),
    (
        "state_dir = \"C:\\Users\\me\\state\"\n",
        false,
        &[
            "crucible.toml:1: state_dir",
            "single quotes",
            "state_dir = 'C:\\Users\\me\\state'",
            "1 problem",
        ],
    ),
    (
        "listen = \"0.0.0.0:0\"\n[[key]]\nname = \"a\"\nhash = \"sha256:REPLACE-with-what-crucible-key-new-prints\"\n",
        false,
        &[
            "crucible.toml:4: key[0].hash",
            "not a hash",
            "crucible key new",
            "1 problem",
        ],
    ),
];

#[test]
fn each_thing_that_does_nothing_or_cannot_be_is_refused_with_its_place_and_what_to_do() {
    for (text, starts, parts) in REFUSED {
        let folder = folder(text);
        let file = folder.path().join("crucible.toml");
        let (code, out, err) = check(&file, &[]);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{text}: {err}");
        assert!(
            !err.contains("warning: "),
            "what it refuses is an error: {err}"
        );
        for part in *parts {
            assert!(err.contains(part), "{text}: {part} in: {err}");
        }
        let show = ["config", "show", "--config", &file.display().to_string()];
        let (code, _, err) = run(&show, &file, &[]);
        assert_eq!(code, Some(if *starts { 0 } else { 2 }), "{text}: {err}");
    }
}

#[test]
fn everything_is_told_at_once() {
    let folder = folder(
        "[[model]]\nname = \"a\"\naliases = [\"A\"]\n[[rule]]\nuse = \"no-such-thing\"\n\
         [tuning.ollama]\nquantization = \"q5\"\n[[engine]]\nname = \"o\"\nkind = \"ollama\"\n\
         url = \"http://127.0.0.1:1\"\napi_key_env = \"NOBODY_SET_THIS\"\n",
    );
    let file = folder.path().join("crucible.toml");
    let (code, _, err) = check(&file, &[("CRUCIBLE_HOME", "/opt")]);
    assert_eq!(code, Some(2), "{err}");
    for part in [
        "model[0].aliases",
        "rule[0].use",
        "tuning.ollama.quantization",
        "engine[0].api_key_env",
        "CRUCIBLE_HOME",
        "5 problems",
    ] {
        assert!(err.contains(part), "{part}: {err}");
    }
}

#[test]
fn variables_that_nobody_reads_are_refused_by_check_and_told_by_the_others() {
    let folder = folder("listen = \"127.0.0.1:0\"\n");
    let file = folder.path().join("crucible.toml");
    let path = file.display().to_string();
    for (name, value, refused) in [
        ("CRUCIBLE_VERSION", "1.2.3", true),
        ("CRUCIBLE_HOME", "/opt/crucible", true),
        ("CRUCIBLE_PORT", "8484", true),
        ("CRUCIBLE_PORT", "tcp://10.96.0.7:8484", false),
        ("CRUCIBLE_SERVICE_HOST", "10.96.0.7", false),
        ("CRUCIBLE_SERVICE_PORT", "8484", false),
        ("CRUCIBLE_SERVICE_PORT_HTTP", "8484", false),
        ("CRUCIBLE_PORT_8484_TCP", "tcp://10.96.0.7:8484", false),
        ("CRUCIBLE_PORT_8484_TCP_ADDR", "10.96.0.7", false),
        ("CRUCIBLE_GATEWAY_SERVICE_HOST", "10.96.0.8", false),
    ] {
        let (code, _, err) = check(&file, &[(name, value)]);
        let expected = if refused { 2 } else { 0 };
        assert_eq!(code, Some(expected), "{name}={value}: {err}");
        assert_eq!(err.contains(name), refused, "{name}={value}: {err}");
        for command in [&["config", "show"][..], &["tunings"]] {
            let all = [command, &["--config", &path]].concat();
            let (code, _, err) = run(&all, &file, &[(name, value)]);
            assert_eq!(code, Some(0), "{command:?} {name}={value}: {err}");
            assert_eq!(err.contains(name), refused, "{command:?} {name}: {err}");
        }
        // It starts, whatever is there.
        let crucible = Crucible::start_with("", &[], &[(name, value)]);
        assert_eq!(crucible.log().contains(name), refused, "{}", crucible.log());
    }
    let (code, _, err) = check(&file, &[("CRUCIBLE_TIMEOUTS__IDLE", "soon")]);
    assert_eq!(code, Some(2), "{err}");
    let serve = ["serve", "--config", &path];
    let (code, _, err) = run(&serve, &file, &[("CRUCIBLE_TIMEOUTS__IDLE", "soon")]);
    assert_eq!(code, Some(2), "a known variable with a bad value: {err}");
}

#[test]
fn a_tilde_is_the_home_folder_in_the_file_a_variable_and_a_flag() {
    let home = folder("");
    let at = |name: &str| home.path().join(name);
    std::fs::write(at("model.gguf"), "").expect("written");
    std::fs::write(
        at("set.toml"),
        format!("{SPAWN}model_path = \"~/model.gguf\"\ncommand = [\"sh\"]\n"),
    )
    .expect("written");
    let folder = at("elsewhere");
    std::fs::create_dir(&folder).expect("a folder");
    let home_of = home.path().display().to_string();
    let env = [("HOME", home_of.as_str())];
    let inside = folder.join("crucible.toml");
    for (args, env, part) in [
        (&["check", "--config=~/set.toml"][..], &env[..], "1 engine"),
        (
            &["check"],
            &[env[0], ("CRUCIBLE_CONFIG", "~/set.toml")],
            "1 engine",
        ),
        (
            &["config", "show"],
            &[env[0], ("CRUCIBLE_STATE_DIR", "~/state")],
            "~/state",
        ),
    ] {
        let (code, out, err) = run(args, &inside, env);
        assert_eq!(code, Some(0), "{args:?}: {err}");
        assert!(out.contains(part), "{args:?}: {out}");
    }
    assert!(!folder.join("~").exists(), "no folder of that name is made");
}

#[test]
fn each_shipped_example_is_fine_or_says_what_is_still_to_be_filled_in() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/config");
    let mut seen = 0;
    for entry in std::fs::read_dir(examples).expect("examples") {
        let file = entry.expect("a file").path();
        let name = file.file_name().and_then(|n| n.to_str()).expect("a name");
        // No engine of this machine's is asked.
        let args = [
            "check",
            "--config",
            &file.display().to_string(),
            "--engine",
            "lmstudio=lmstudio@http://127.0.0.1:1",
            "--engine",
            "ollama=ollama@http://127.0.0.1:2",
        ];
        let (code, out, err) = run(&args, &file, &[]);
        let parts: &[&str] = match name {
            "lan-with-key.toml" => &[
                "key[0].hash",
                "key[1].hash",
                "make one with `crucible key new`",
                "2 problems",
            ],
            "llamacpp-spawn.toml" => &["engine[0].model_path", "model.gguf"],
            "agent.toml" | "both-engines.toml" | "hybrid.toml" | "minimal.toml" => &[],
            other => panic!("say here what `check` says of {other}"),
        };
        let expected = if parts.is_empty() { 0 } else { 2 };
        assert_eq!(code, Some(expected), "{name}: {err}");
        assert_eq!(out.contains("fine"), parts.is_empty(), "{name}: {out}");
        for part in parts {
            assert!(err.contains(part), "{name}: {part} in {err}");
        }
        seen += 1;
    }
    assert_eq!(seen, 6);
}
