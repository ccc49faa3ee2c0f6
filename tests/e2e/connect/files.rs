//! Files that the user changed since, that are links, and that cannot be changed safely.

use std::path::Path;

use super::running;

#[tokio::test]
async fn what_the_user_changed_since_is_kept_or_the_undo_is_refused() {
    let (_sim, _crucible, person) = running("").await;
    let before = "# mine\nmodel = \"gpt\"\n\n[tui]\ntheme = 'x'\n";
    let path = person.write(".codex/config.toml", before);
    let read = || std::fs::read_to_string(&path).expect("text");
    assert_eq!(person.run(&["connect", "codex", "--apply"]).await.code, 0);
    person.write(
        ".codex/config.toml",
        &read().replace("[tui]", "[tui] # looks"),
    );
    let again = person
        .run(&["connect", "codex", "--model", "other", "--apply"])
        .await;
    assert_eq!(again.code, 0, "{again:?}");
    assert!(
        read().contains("# looks") && read().contains("model = \"other\""),
        "{}",
        read()
    );
    person.write(".codex/config.toml", &format!("# top\n{}", read()));
    let undone = person.run(&["connect", "codex", "--undo"]).await;
    assert_eq!(undone.code, 0, "{undone:?}");
    assert!(
        undone.out.contains("what was changed there since is kept"),
        "{undone:?}"
    );
    assert_eq!(
        read(),
        format!("# top\n{}", before.replace("[tui]", "[tui] # looks"))
    );
    assert_eq!(
        person
            .run(&["connect", "codex", "--model", "qwen", "--apply"])
            .await
            .code,
        0
    );
    // What the client itself writes, directly below, and a value of the user's own.
    let changed = read().replace("model = \"qwen\"", "model = \"theirs\"");
    let trusted = "\n[projects.\"/work\"]\ntrust_level = \"trusted\"\n";
    person.write(".codex/config.toml", &format!("{changed}{trusted}"));
    let undone = person.run(&["connect", "codex", "--undo"]).await;
    assert_eq!(undone.code, 0, "{undone:?}");
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
    assert_eq!(person.run(&["connect", "codex", "--apply"]).await.code, 0);
    let broken = read().replace("model_provider = \"crucible\"", "model_provider = [");
    person.write(".codex/config.toml", &broken);
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
