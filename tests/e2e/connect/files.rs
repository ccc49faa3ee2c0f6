//! Files that the user changed since, that are links, and that cannot be changed safely.

use std::path::Path;

use crucible_tests::person::Person;

use super::running;

/// A file of Codex that its user keeps, with Crucible put in.
const MINE: &str = "# mine\nmodel = \"gpt\"\n\n[tui]\ntheme = 'x'\n";
const CODEX: &str = ".codex/config.toml";

async fn codex(person: &Person, args: &[&str]) {
    let all = [&["connect", "codex"], args].concat();
    let run = person.run(&all).await;
    assert_eq!(run.code, 0, "{run:?}");
}

#[tokio::test]
async fn what_the_user_changed_beside_it_is_kept_by_the_next_apply_and_the_undo() {
    let (_sim, _crucible, person) = running("").await;
    let path = person.write(CODEX, MINE);
    let read = || std::fs::read_to_string(&path).expect("text");
    codex(&person, &["--apply"]).await;
    person.write(CODEX, &read().replace("[tui]", "[tui] # looks"));
    codex(&person, &["--model", "other", "--apply"]).await;
    assert!(
        read().contains("# looks") && read().contains("model = \"other\""),
        "{}",
        read()
    );
    person.write(CODEX, &format!("# top\n{}", read()));
    let undone = person.run(&["connect", "codex", "--undo"]).await;
    assert_eq!(undone.code, 0, "{undone:?}");
    assert!(
        undone.out.contains("what was changed there since is kept"),
        "{undone:?}"
    );
    let looks = MINE.replace("[tui]", "[tui] # looks");
    assert_eq!(read(), format!("# top\n{looks}"));
}

/// The client itself writes directly below, and a value that was put in has become the user's own.
#[tokio::test]
async fn what_the_client_wrote_and_a_value_of_the_users_own_are_kept_by_the_undo() {
    let (_sim, _crucible, person) = running("").await;
    let looks = MINE.replace("[tui]", "[tui] # looks");
    let path = person.write(CODEX, &format!("# top\n{looks}"));
    let read = || std::fs::read_to_string(&path).expect("text");
    codex(&person, &["--model", "qwen", "--apply"]).await;
    let changed = read().replace("model = \"qwen\"", "model = \"theirs\"");
    let trusted = "\n[projects.\"/work\"]\ntrust_level = \"trusted\"\n";
    person.write(CODEX, &format!("{changed}{trusted}"));
    codex(&person, &["--undo"]).await;
    let left = read();
    assert!(
        left.contains("model = \"theirs\"") && left.ends_with(trusted),
        "{left}"
    );
    assert!(
        !left.contains("crucible") && !left.contains("model_context"),
        "{left}"
    );
    assert!(
        left.contains("# top") && left.contains("[tui] # looks"),
        "{left}"
    );
}

#[tokio::test]
async fn a_file_that_was_broken_since_is_refused_and_not_written() {
    let (_sim, _crucible, person) = running("").await;
    let path = person.write(CODEX, MINE);
    let read = || std::fs::read_to_string(&path).expect("text");
    codex(&person, &["--apply"]).await;
    let broken = read().replace("model_provider = \"crucible\"", "model_provider = [");
    person.write(CODEX, &broken);
    for args in [
        &["connect", "codex", "--undo"][..],
        &["connect", "codex", "--apply"],
    ] {
        let refused = person.run(args).await;
        assert_eq!(refused.code, 1, "{refused:?}");
        let said = refused.err.contains("was changed since at the places");
        assert!(said, "{refused:?}");
        assert_eq!(read(), broken, "nothing is written");
    }
    let refused = person.run(&["connect", "codex", "--undo"]).await;
    assert!(refused.err.contains("+model_provider = ["), "{refused:?}");
    assert!(refused.err.contains("0.before"), "{refused:?}");
}

/// Claude Code writes its file anew, in its own spacing, when its user allows a command.
#[tokio::test]
async fn a_file_that_the_client_wrote_anew_loses_only_what_was_put_in() {
    let (_sim, _crucible, person) = running("").await;
    let file = ".claude/settings.json";
    person.write(
        file,
        "{\n    \"permissions\": {\n        \"allow\": [\"Bash(ls)\"]\n    }\n}\n",
    );
    assert_eq!(person.run(&["connect", "claude", "--apply"]).await.code, 0);
    let read = || std::fs::read_to_string(person.home().join(file)).expect("text");
    let mut json: serde_json::Value = serde_json::from_str(&read()).expect("JSON");
    json["permissions"]["allow"] = serde_json::json!(["Bash(ls)", "Bash(git)"]);
    json["env"]["THEIRS"] = "1".into();
    person.write(file, &json.to_string());
    assert_eq!(person.run(&["connect", "claude", "--undo"]).await.code, 0);
    let left: serde_json::Value = serde_json::from_str(&read()).expect("JSON");
    let expected = serde_json::json!({
        "permissions": {"allow": ["Bash(ls)", "Bash(git)"]},
        "env": {"THEIRS": "1"},
    });
    assert_eq!(left, expected);
}

#[cfg(unix)]
#[tokio::test]
async fn links_are_followed_and_permissions_kept() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    let (_sim, _crucible, person) = running("").await;
    let real = person.write("dotfiles/zed.json", "{\n  // mine\n}\n");
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).expect("set");
    std::fs::create_dir_all(person.home().join(".config/zed")).expect("made");
    let link = person.home().join(".config/zed/settings.json");
    symlink("../../dotfiles/zed.json", &link).expect("linked");
    let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(person.run(&["connect", "zed", "--apply"]).await.code, 0);
    assert!(link.is_symlink() && mode(&real) == 0o640);
    assert!(
        std::fs::read_to_string(&real)
            .expect("text")
            .contains("Crucible")
    );
    assert_eq!(person.run(&["connect", "zed", "--undo"]).await.code, 0);
    assert!(link.is_symlink() && mode(&real) == 0o640);
    assert_eq!(
        std::fs::read_to_string(&real).expect("text"),
        "{\n  // mine\n}\n"
    );
    // A new file may hold a key.
    assert_eq!(
        person
            .run(&["connect", "claude-code", "--apply"])
            .await
            .code,
        0
    );
    assert_eq!(mode(&person.home().join(".claude/settings.json")), 0o600);
    for record in ["record.json", "0.after"] {
        assert_eq!(
            mode(&person.state().join("connect/claude-code").join(record)),
            0o600
        );
    }
    std::fs::remove_file(&link).expect("removed");
    symlink("nowhere", &link).expect("linked");
    let refused = person.run(&["connect", "zed", "--apply"]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused
            .err
            .contains("is a link to a file that does not exist"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_changed_safely_is_left_alone_and_said() {
    let (_sim, _crucible, person) = running("").await;
    for (client, file, text, part) in [
        (
            "codex",
            ".codex/config.toml",
            &b"model = ["[..],
            "is not valid TOML",
        ),
        (
            "zed",
            ".config/zed/settings.json",
            b"{\"a\": ",
            "is not valid JSON",
        ),
        (
            "zed",
            ".config/zed/settings.json",
            b"[]",
            "another type at its top",
        ),
        (
            "zed",
            ".config/zed/settings.json",
            b"{\"a\": \"\xff\"}",
            "is not UTF-8",
        ),
        (
            "opencode",
            ".config/opencode/opencode.json",
            b"{\"provider\": 3}",
            "at provider",
        ),
        (
            "aider",
            ".aider.conf.yml",
            b"{model: a}",
            "cannot be changed safely",
        ),
        (
            "llm",
            ".config/io.datasette.llm/extra-openai-models.yaml",
            b"a: 1",
            "another type",
        ),
    ] {
        let path = person.write(file, "");
        std::fs::write(&path, text).expect("written");
        let refused = person.run(&["connect", client, "--apply"]).await;
        assert_eq!(refused.code, 1, "{client}: {refused:?}");
        for part in [part, &path.display().to_string()] {
            assert!(
                refused.err.contains(part),
                "{client}: {part} in {refused:?}"
            );
        }
        assert_eq!(std::fs::read(&path).expect("bytes"), text, "{client}");
        assert!(
            !person.state().join("connect").exists(),
            "{client}: nothing is recorded"
        );
    }
}

#[tokio::test]
async fn the_quotes_from_before_come_back_when_the_file_was_changed_since() {
    let (_sim, _crucible, person) = running("").await;
    for (client, file, before, added) in [
        (
            "codex",
            ".codex/config.toml",
            "model = 'gpt' # theirs\nmodel_context_window = 1_000\n",
            "model_reasoning_effort = 'low'\n",
        ),
        (
            "aider",
            ".aider.conf.yml",
            "model: 'gpt' # theirs\ndark-mode: true\n",
            "light-mode: false\n",
        ),
    ] {
        let path = person.write(file, before);
        let read = || std::fs::read_to_string(&path).expect("text");
        assert_eq!(person.run(&["connect", client, "--apply"]).await.code, 0);
        // Beside each line that was written, so that the values are compared.
        let written = read();
        let first = written.lines().next().expect("a line").to_owned();
        let text = written.replacen(&first, &format!("{added}{first}"), 1);
        person.write(file, &text);
        let undone = person.run(&["connect", client, "--undo"]).await;
        assert_eq!(undone.code, 0, "{undone:?}");
        assert_eq!(read(), format!("{added}{before}"), "{client}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_with_a_key_is_its_users_alone_and_gets_its_permissions_back() {
    use std::os::unix::fs::PermissionsExt as _;

    let (_sim, _crucible, person) = running("").await;
    let file = ".claude/settings.json";
    let before = "{\n  \"env\": {\"ANTHROPIC_API_KEY\": \"sk-theirs\"}\n}\n";
    let path = person.write(file, before);
    let mode = || {
        std::fs::metadata(&path)
            .expect("there")
            .permissions()
            .mode()
            & 0o777
    };
    let set =
        |to| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(to)).expect("set");
    let apply = async |key: &[&str]| {
        let args = [&["connect", "claude-code", "--apply"], key].concat();
        person.run(&args).await
    };
    let key = ["--key", "sk-crucible"];
    set(0o644);
    assert_eq!(apply(&[]).await.code, 0);
    assert_eq!(mode(), 0o644, "it has no key");
    let text = std::fs::read_to_string(&path).expect("text");
    assert!(
        !text.contains("sk-theirs"),
        "the key of its vendor would go along: {text}"
    );
    assert_eq!(apply(&key).await.code, 0);
    assert_eq!(mode(), 0o600);
    // Nothing changes but who may read it.
    set(0o640);
    assert_eq!(apply(&key).await.code, 0);
    assert_eq!(mode(), 0o600);
    // What is gone comes back as it was.
    std::fs::remove_file(&path).expect("removed");
    assert_eq!(
        person.run(&["connect", "claude-code", "--undo"]).await.code,
        0
    );
    assert_eq!(std::fs::read_to_string(&path).expect("text"), before);
    assert_eq!(mode(), 0o644);
    // What is stricter stays so.
    set(0o400);
    set(0o600);
    assert_eq!(apply(&key).await.code, 0);
    assert_eq!(mode(), 0o600);
    assert_eq!(
        person.run(&["connect", "claude-code", "--undo"]).await.code,
        0
    );
    assert_eq!(mode(), 0o600);
}

#[tokio::test]
async fn a_profile_that_names_another_provider_is_changed_too_and_comes_back() {
    let (_sim, _crucible, person) = running("").await;
    let file = ".codex/config.toml";
    let before = "profile = \"work\"\n\n[profiles.work]\nmodel_provider = \"azure\"\nmodel = 'gpt' # theirs\napproval_policy = \"never\"\n";
    let path = person.write(file, before);
    let read = || std::fs::read_to_string(&path).expect("text");
    assert_eq!(person.run(&["connect", "codex", "--apply"]).await.code, 0);
    let text = read();
    let profile = text.split("[profiles.work]").nth(1).expect("the profile");
    let profile = profile.split("\n[").next().expect("its lines");
    for line in [
        "model_provider = \"crucible\"",
        "# theirs",
        "approval_policy = \"never\"",
    ] {
        assert!(profile.contains(line), "{line}: {text}");
    }
    assert!(
        !profile.contains("gpt") && !profile.contains("model_context_window"),
        "{text}"
    );
    assert_eq!(person.run(&["connect", "codex", "--undo"]).await.code, 0);
    assert_eq!(read(), before);
}

#[tokio::test]
async fn settings_that_were_there_already_offer_no_way_back() {
    let (_sim, _crucible, person) = running("").await;
    let first = person.run(&["connect", "zed", "--apply"]).await;
    assert!(first.out.contains("connect zed --undo"), "{first:?}");
    let again = person.run(&["connect", "zed", "--apply"]).await;
    assert!(
        again.out.contains("nothing to change") && again.out.contains("--undo"),
        "{again:?}"
    );
    std::fs::remove_dir_all(person.state().join("connect")).expect("removed");
    let theirs = person.run(&["connect", "zed", "--apply"]).await;
    assert_eq!(theirs.code, 0, "{theirs:?}");
    assert!(theirs.out.contains("nothing to change"), "{theirs:?}");
    assert!(!theirs.out.contains("--undo"), "{theirs:?}");
}
