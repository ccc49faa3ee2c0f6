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
    let changed = read().replace("model = \"qwen\"", "model = \"theirs\"");
    person.write(".codex/config.toml", &changed);
    for args in [
        &["connect", "codex", "--undo"][..],
        &["connect", "codex", "--apply"],
    ] {
        let refused = person.run(args).await;
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(
            refused.err.contains("was changed since at the places"),
            "{refused:?}"
        );
        assert_eq!(read(), changed, "nothing is written");
    }
    let refused = person.run(&["connect", "codex", "--undo"]).await;
    assert!(refused.err.contains("+model = \"theirs\""), "{refused:?}");
    assert!(refused.err.contains("0.before"), "{refused:?}");
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
