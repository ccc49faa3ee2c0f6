//! `crucible connect`: settings of client programs are printed, written, verified and taken back.

mod files;

use std::time::Duration;

use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    engines::{engine, start},
    person::{Person, Printed},
};
use serde_json::Value;

/// The clients with a file, its path below the home folder on Linux, and what may stand there before.
const WITH_FILE: [(&str, &str, &str); 11] = [
    (
        "aider",
        ".aider.conf.yml",
        "# mine\nmodel: gpt # theirs\ndark-mode: true",
    ),
    ("claude-code", ".claude/settings.json", JSON),
    ("cline", ".cline/data/settings/providers.json", JSON),
    (
        "codex",
        ".codex/config.toml",
        "# mine\nmodel = \"gpt\" # theirs\n[tui]\ntheme = 'x'",
    ),
    (
        "continue",
        ".continue/models/crucible.yaml",
        "name: an old one\n",
    ),
    (
        "copilot",
        ".config/Code/User/chatLanguageModels.json",
        "[\n\t// mine\n]\n",
    ),
    (
        "crush",
        ".config/crush/crush.json",
        "{\"options\":{\"debug\":true}}",
    ),
    (
        "llm",
        ".config/io.datasette.llm/extra-openai-models.yaml",
        "- model_id: a # mine\n",
    ),
    ("opencode", ".config/opencode/opencode.json", JSON),
    ("qwen-code", ".qwen/settings.json", JSON),
    ("zed", ".config/zed/settings.json", JSON),
];

const JSON: &str = "// mine\r\n{\r\n  \"theme\": \"One Dark\", // theirs\r\n  /* more */\r\n}\r\n";

/// A simulated LM Studio, Crucible in front of it, and a person whose Crucible it is.
async fn running(toml: &str) -> (Sim, Crucible, Person) {
    let sim = start(Options::lmstudio(&["qwen=2GB", "other=2GB"])).await;
    let crucible = Crucible::start(&format!(
        "{toml}\n{}",
        engine("lmstudio", "lmstudio", &sim.url())
    ));
    let person = Person::new(crucible.addr());
    (sim, crucible, person)
}

/// The line of the log for the request that ended last; it is written once the answer is out.
async fn last_request(crucible: &Crucible, endpoint: &str) -> String {
    for _ in 0..200 {
        let log = crucible.log();
        let last = log.lines().rev().find(|line| line.contains("endpoint="));
        if let Some(line) = last.filter(|line| line.contains(endpoint)) {
            return line.to_owned();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no request to {endpoint}: {}", crucible.log())
}

/// A written file still has the lines that were there, and each line of it was shown before.
fn keeps_theirs_and_is_shown(client: &str, theirs: Option<&str>, written: &str, out: &str) {
    if client != "continue" {
        for part in theirs
            .unwrap_or_default()
            .lines()
            .filter(|l| !l.starts_with("model"))
        {
            let part = part.trim_end_matches(['}', '{']).trim_start_matches('{');
            assert!(written.contains(part), "{client}: {part} in {written}");
        }
    }
    for line in written.lines().filter(|line| !line.trim().is_empty()) {
        let shown = out
            .lines()
            .any(|shown| shown.get(1..) == Some(line.trim_end_matches('\r')));
        assert!(shown || theirs.is_some(), "{client}: {line} in {out}");
    }
}

#[tokio::test]
async fn each_file_is_written_verified_and_restored_to_the_byte() {
    let (_sim, crucible, person) = running("").await;
    for (client, file, theirs) in WITH_FILE {
        for theirs in [None, Some(""), Some(theirs)] {
            if let Some(theirs) = theirs {
                person.write(file, theirs);
            }
            let before = person.everything();
            let path = person.home().join(file);
            let Printed { code, out, err } = person
                .run(&["connect", client, "--model", "qwen", "--apply"])
                .await;
            assert_eq!(code, 0, "{client} {theirs:?}: {out}{err}");
            assert!(
                out.contains("verified: qwen on lmstudio answered in"),
                "{client}: {out}"
            );
            let written = std::fs::read_to_string(&path).expect("written");
            for part in [crucible.url(), "qwen"] {
                assert!(written.contains(part), "{client}: {part} in {written}");
            }
            keeps_theirs_and_is_shown(client, theirs, &written, &out);
            let again = person
                .run(&["connect", client, "--model", "qwen", "--apply"])
                .await;
            assert!(again.out.contains("there already"), "{client}: {again:?}");
            let other = person
                .run(&["connect", client, "--model", "other", "--apply"])
                .await;
            assert_eq!(other.code, 0, "{client}: {other:?}");
            assert!(
                !std::fs::read_to_string(&path)
                    .expect("text")
                    .contains("qwen\""),
                "{client}"
            );
            let undone = person.run(&["connect", client, "--undo"]).await;
            assert_eq!(undone.code, 0, "{client}: {undone:?}");
            assert_eq!(person.everything(), before, "{client} {theirs:?}");
        }
        std::fs::remove_dir_all(person.home()).expect("emptied");
        std::fs::create_dir(person.home()).expect("made");
    }
    let left = std::fs::read_dir(person.state().join("connect"))
        .expect("there")
        .count();
    assert_eq!(left, 0, "records are forgotten");
}

#[tokio::test]
async fn the_request_of_the_check_is_in_the_client_s_format() {
    let (_sim, crucible, person) = running("").await;
    for (client, endpoint) in [
        ("codex", "responses"),
        ("claude-code", "messages"),
        ("zed", "chat"),
    ] {
        let applied = person.run(&["connect", client, "--apply"]).await;
        assert_eq!(applied.code, 0, "{client}: {applied:?}");
        let line = last_request(&crucible, &format!("endpoint=\"{endpoint}\"")).await;
        assert!(line.contains("status=200"), "{client}: {line}");
    }
}

#[tokio::test]
async fn without_a_crucible_the_settings_are_written_and_that_nothing_was_asked_is_said() {
    let person = Person::new("127.0.0.1:1");
    let printed = person.run(&["connect", "codex"]).await;
    assert_eq!(printed.code, 0, "{printed:?}");
    assert!(
        printed.out.contains("base_url = \"http://127.0.0.1:1/v1\""),
        "{printed:?}"
    );
    assert!(
        printed
            .err
            .contains("no Crucible answers at http://127.0.0.1:1"),
        "{printed:?}"
    );
    assert!(person.everything().is_empty(), "printing writes nothing");
    let applied = person
        .run(&["connect", "codex", "--model", "m", "--apply"])
        .await;
    assert_eq!(applied.code, 1, "{applied:?}");
    assert!(
        applied.err.contains("not verified: no Crucible answers"),
        "{applied:?}"
    );
    assert!(person.home().join(".codex/config.toml").exists());
    assert_eq!(person.run(&["connect", "codex", "--undo"]).await.code, 0);
    assert!(person.everything().is_empty());
    let nothing = person.run(&["connect", "codex", "--undo"]).await;
    assert!(
        nothing.code == 1 && nothing.err.contains("nothing to undo"),
        "{nothing:?}"
    );
}

#[tokio::test]
async fn all_clients_are_listed_with_what_was_found_here() {
    let person = Person::new("127.0.0.1:1");
    person.write(".codex/config.toml", "");
    let listed = person.run(&["connect"]).await;
    assert_eq!(listed.code, 0, "{listed:?}");
    let line = |name: &str| {
        let line = listed.out.lines().find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("{name} in {}", listed.out))
            .to_owned()
    };
    assert!(line("codex").ends_with("~/.codex"), "{}", line("codex"));
    assert!(line("zed").ends_with("no"), "{}", line("zed"));
    let json = person.run(&["connect", "--json"]).await;
    let json: Value = serde_json::from_str(&json.out).expect("JSON");
    let clients = json["clients"].as_array().expect("a list");
    for client in clients {
        let name = client["client"].as_str().expect("a name");
        let printed = person
            .run(&["connect", name, "--json", "--model", "m"])
            .await;
        assert_eq!(printed.code, 0, "{name}: {printed:?}");
        let printed: Value = serde_json::from_str(&printed.out).expect("JSON");
        let count = |key: &str| printed[key].as_array().map_or(0, Vec::len);
        let variables = printed["environment"]
            .as_object()
            .map_or(0, serde_json::Map::len);
        assert!(
            count("files") + count("steps") + variables > 0,
            "{name}: {printed}"
        );
        if count("files") == 0 {
            let refused = person.run(&["connect", name, "--apply"]).await;
            assert!(
                refused.code == 2 && refused.err.contains("no file"),
                "{name}: {refused:?}"
            );
        }
    }
    let wrong = person.run(&["connect", "codx"]).await;
    assert!(
        wrong.code == 2 && wrong.err.contains("did you mean codex?"),
        "{wrong:?}"
    );
}

#[tokio::test]
async fn a_key_goes_where_the_client_reads_it_and_the_context_is_the_real_one() {
    let secret = "crucible-secret";
    let hash = hash_of(secret);
    let (_sim, crucible, mut person) = running(&format!(
        "[[key]]\nname = \"k\"\nhash = \"{hash}\"\n[[model]]\nname = \"qwen\"\ncontext = 65536\n"
    ))
    .await;
    let wanted = person.run(&["connect", "opencode", "--apply"]).await;
    assert_eq!(wanted.code, 1, "{wanted:?}");
    assert!(wanted.err.contains("wants a client key"), "{wanted:?}");
    person.run(&["connect", "opencode", "--undo"]).await;
    person.set("CRUCIBLE_KEY", secret);
    let url = format!("{}/v1/", crucible.url());
    let applied = person
        .run(&["connect", "opencode", "--apply", "--url", &url])
        .await;
    assert_eq!(applied.code, 0, "{applied:?}");
    let file = person.home().join(".config/opencode/opencode.json");
    let text = std::fs::read_to_string(file).expect("text");
    let json: Value = serde_json::from_str(&text).expect("JSON");
    let provider = &json["provider"]["crucible"];
    assert_eq!(provider["options"]["apiKey"], secret);
    assert_eq!(
        provider["options"]["baseURL"],
        format!("{}/v1", crucible.url())
    );
    assert_eq!(provider["models"]["qwen"]["limit"]["context"], 65536);
    assert!(!crucible.log().contains(secret));
}

fn hash_of(secret: &str) -> String {
    use sha2::{Digest as _, Sha256};
    use std::fmt::Write as _;

    let mut text = String::from("sha256:");
    for byte in Sha256::digest(secret.as_bytes()) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[tokio::test]
async fn folders_that_are_no_absolute_paths_are_ignored_with_words() {
    let mut person = Person::new("127.0.0.1:1");
    person.set("XDG_CONFIG_HOME", "relative/config");
    let printed = person.run(&["connect", "zed"]).await;
    assert!(
        printed.err.contains(
            "XDG_CONFIG_HOME is \"relative/config\", which is no absolute path, and is ignored"
        ),
        "{printed:?}"
    );
    assert!(
        printed.out.contains(".config/zed/settings.json") && !printed.out.contains("relative"),
        "{printed:?}"
    );
    person.set("HOME", "nowhere");
    let refused = person.run(&["connect", "zed"]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused
            .err
            .contains("HOME is \"nowhere\", which is no absolute path"),
        "{refused:?}"
    );
    let unknown = person.run(&["connect", "nope"]).await;
    assert!(
        unknown
            .err
            .contains("nope: no such client. Known are: aider,"),
        "{unknown:?}"
    );
    let near = person.run(&["connect", "codexx"]).await;
    assert!(
        near.err.contains("; did you mean codex? Known are: "),
        "{near:?}"
    );
}
