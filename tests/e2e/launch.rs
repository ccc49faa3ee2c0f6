//! `crucible launch`: a client is started so that it asks Crucible, and no file is written.

#![cfg(unix)]

use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    engines::{engine, start},
    person::Person,
};
use serde_json::Value;

/// Prints its arguments and its environment, and ends with an exit code of its own.
const FAKE: &str = "for a in \"$@\"; do echo \"arg $a\"; done; env; exit 7";

async fn running(toml: &str) -> (Sim, Crucible, Person) {
    let sim = start(Options::lmstudio(&["qwen=2GB"])).await;
    let crucible = Crucible::start(&format!(
        "{toml}\n{}",
        engine("lmstudio", "lmstudio", &sim.url())
    ));
    let person = Person::new(crucible.addr());
    (sim, crucible, person)
}

#[tokio::test]
async fn each_client_gets_its_variables_and_arguments_and_nothing_is_written() {
    let (_sim, crucible, mut person) =
        running("[[model]]\nname = \"qwen\"\ncontext = 65536\n").await;
    person.set("ANTHROPIC_API_KEY", "elsewhere");
    let (url, v1) = (crucible.url().to_owned(), crucible.at("/v1"));
    for (client, program, expected) in [
        (
            "claude-code",
            "claude",
            vec![
                format!("ANTHROPIC_BASE_URL={url}"),
                "ANTHROPIC_AUTH_TOKEN=none".to_owned(),
                "ANTHROPIC_MODEL=qwen".to_owned(),
                "CLAUDE_CODE_MAX_CONTEXT_TOKENS=65536".to_owned(),
                "CLAUDE_CODE_ATTRIBUTION_HEADER=0".to_owned(),
                "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK=1".to_owned(),
                "arg {\"permissions\":{\"defaultMode\":\"default\"}}".to_owned(),
            ],
        ),
        (
            "codex",
            "codex",
            vec![
                "arg model=\"qwen\"".to_owned(),
                format!("arg model_providers.crucible.base_url=\"{v1}\""),
                "arg model_providers.crucible.wire_api=\"responses\"".to_owned(),
                "arg model_context_window=65536".to_owned(),
            ],
        ),
        (
            "qwen-code",
            "qwen",
            vec![
                format!("OPENAI_BASE_URL={v1}"),
                "OPENAI_MODEL=qwen".to_owned(),
            ],
        ),
        (
            "aider",
            "aider",
            vec![
                format!("OPENAI_API_BASE={v1}"),
                "arg openai/qwen".to_owned(),
            ],
        ),
        (
            "copilot-cli",
            "copilot",
            vec![
                format!("COPILOT_PROVIDER_BASE_URL={v1}"),
                "COPILOT_MODEL=qwen".to_owned(),
            ],
        ),
        (
            "open-webui",
            "open-webui",
            vec![format!("OPENAI_API_BASE_URL={v1}")],
        ),
        (
            "opencode",
            "opencode",
            vec!["OPENCODE_CONFIG_CONTENT={\"provider\":".to_owned()],
        ),
    ] {
        person.install(program, FAKE);
        let ran = person
            .run(&["launch", client, "--", "say hi", "--last"])
            .await;
        assert_eq!(ran.code, 7, "the exit code is the client's: {ran:?}");
        for part in expected {
            let found = ran.out.lines().any(|line| line.starts_with(&part));
            assert!(found, "{client}: {part} in {ran:?}");
        }
        let arguments: Vec<&str> = ran
            .out
            .lines()
            .filter(|line| line.starts_with("arg "))
            .collect();
        assert!(
            arguments.ends_with(&["arg say hi", "arg --last"]),
            "{client}: {arguments:?}"
        );
        let removed = ran
            .out
            .lines()
            .any(|line| line == "ANTHROPIC_API_KEY=elsewhere");
        assert_eq!(removed, client != "claude-code", "{client}");
        assert!(person.everything().is_empty(), "{client}");
    }
}

#[tokio::test]
async fn what_would_be_run_is_printed_for_a_shell_and_for_scripts() {
    let (_sim, crucible, person) = running("").await;
    let printed = person
        .run(&["launch", "opencode", "--print", "--", "run", "say hi"])
        .await;
    assert_eq!(printed.code, 0, "{printed:?}");
    assert!(
        printed.out.starts_with("env OPENCODE_CONFIG_CONTENT='{"),
        "{printed:?}"
    );
    assert!(
        printed.out.trim_end().ends_with("opencode run 'say hi'"),
        "{printed:?}"
    );
    let printed = person
        .run(&["launch", "opencode", "--print", "--json"])
        .await;
    let json: Value = serde_json::from_str(&printed.out).expect("JSON");
    let content = json["environment"]["OPENCODE_CONFIG_CONTENT"]
        .as_str()
        .expect("a text");
    let content: Value = serde_json::from_str(content).expect("JSON");
    let provider = &content["provider"]["crucible"];
    assert_eq!(provider["options"]["baseURL"], crucible.at("/v1"));
    assert_eq!(content["model"], "crucible/qwen");
}

#[tokio::test]
async fn what_stands_in_the_way_is_said() {
    let (_sim, crucible, person) = running("[context]\nfit = \"reject\"\n").await;
    let missing = person.run(&["launch", "claude-code"]).await;
    assert_eq!(missing.code, 1, "{missing:?}");
    for part in [
        "no claude in PATH",
        "npm install -g @anthropic-ai/claude-code",
    ] {
        assert!(missing.err.contains(part), "{part}: {missing:?}");
    }
    person.install("claude", FAKE);
    let small = person.run(&["launch", "claude-code"]).await;
    assert_eq!(small.code, 7, "it is started all the same: {small:?}");
    for part in [
        "20000 tokens",
        "qwen has 4096",
        "profile = \"agent\"",
        "context = 65536",
    ] {
        assert!(small.err.contains(part), "{part}: {small:?}");
    }
    let unable = person.run(&["launch", "zed"]).await;
    assert!(
        unable.code == 2 && unable.err.contains("crucible connect zed"),
        "{unable:?}"
    );
    let unknown = person
        .run(&["launch", "claude-code", "--model", "nope"])
        .await;
    assert!(
        unknown.code == 1 && unknown.err.contains("unknown model 'nope'"),
        "{unknown:?}"
    );
    drop(crucible);
    let none = person.run(&["launch", "claude-code"]).await;
    assert!(
        none.code == 1 && none.err.contains("no Crucible answers"),
        "{none:?}"
    );
}
