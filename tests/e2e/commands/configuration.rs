//! `crucible check` and `crucible config show`: what is wrong with a configuration, and where its values come from.

use serde_json::Value;

use super::*;

const BAD: &str = "listne = \"127.0.0.1:0\"\ndefault_model = 3\n[timeouts]\nidle = \"soon\"\n\
                   [[engine]]\nname = \"a\"\nkind = \"lmstudioo\"\nurl = \"http://127.0.0.1:1\"\n";

#[tokio::test]
async fn check_says_fine_or_tells_every_problem() {
    let good = File::new(
        "listen = \"127.0.0.1:0\"\n[[engine]]\nname = \"a\"\nkind = \"ollama\"\nurl = \"http://127.0.0.1:1\"\n",
    );
    let (code, out, err) = good.run(&["check"], "").await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(
        out.contains("fine (1 engine configured") && out.contains("profile hybrid"),
        "{out}"
    );
    let bad = File::new(BAD);
    let (code, out, err) = bad.run(&["check"], "").await;
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    let file = bad.path.display().to_string();
    for (line, parts) in [
        (1, &["listne", "did you mean \"listen\"?"][..]),
        (2, &["default_model", "found 3", "expected a string"]),
        (4, &["timeouts.idle", "\"soon\"", "30s"]),
        (7, &["engine[0].kind", "did you mean \"lmstudio\"?"]),
    ] {
        let told = err
            .lines()
            .find(|l| l.contains(&format!("{file}:{line}: ")))
            .unwrap_or_else(|| panic!("line {line} is named: {err}"));
        for part in parts {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
    assert!(err.contains("4 problems"), "{err}");
}

#[tokio::test]
async fn each_bad_file_is_named_with_its_line_and_what_to_do() {
    for (text, place, part) in [
        ("x = [\n", ":1: ", "expected"),
        ("listen = \"0.0.0.0:0\"\n", ":1: listen", "crucible key new"),
        ("\nlisten = \"nowhere\"\n", ":2: listen", "expected"),
        (
            "[[key]]\nname = \"a\"\nhash = \"sha256:zz\"\n",
            ":3: key[0].hash",
            "crucible key new",
        ),
        (
            "[pool.gpu]\nbudget = \"lots\"\n",
            ":2: pool.gpu.budget",
            "16GB",
        ),
        (
            "[[engine]]\nname = \"a\"\nkind = \"ollama\"\nurl = \"ftp://x\"\n",
            ":4: engine[0].url",
            "http",
        ),
        (
            "[[rule]]\nwhen = { modle = \"auto\" }\nuse = \"fast\"\n",
            ":2: rule[0].when.modle",
            "did you mean",
        ),
        (
            "[tuning.lmstudio]\ntemperature = 9\n",
            ":2: tuning.lmstudio.temperature",
            "from 0 to 2",
        ),
        (
            "[tuning.lmstudio]\ngpu_memory_fraction = 1.5\n",
            ":2: tuning.lmstudio.gpu_memory_fraction",
            "expected",
        ),
        (
            "[limits]\nconnections = 0\n",
            ":2: limits.connections",
            "from 1",
        ),
        (
            "[timeouts]\nidle = \"-3s\"\n",
            ":2: timeouts.idle",
            "duration",
        ),
        ("profile = \"fast\"\n", ":1: profile", "hybrid"),
        ("[log]\nformat = \"xml\"\n", ":2: log.format", "json"),
    ] {
        let file = File::new(text);
        for command in ["check", "serve", "models", "tunings"] {
            let (code, out, err) = file.run(&[command], "").await;
            assert_eq!(
                (code, out.as_str()),
                (2, ""),
                "{command} on {text:?}: {err}"
            );
            assert!(err.contains(place), "{place} in: {err}");
            assert!(err.contains(part), "{part} in: {err}");
        }
    }
}

#[tokio::test]
async fn a_missing_file_and_an_unknown_variable_are_named() {
    let mut file = File::new("");
    file.path.set_file_name("absent.toml");
    let (code, _, err) = file.run(&["check"], "").await;
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("absent.toml"), "{err}");
    let file = File::new("");
    let out = std::process::Command::new(binary::crucible())
        .args(["check", "--config"])
        .arg(&file.path)
        .env("CRUCIBLE_TIMEOUTS__IDEL", "3s")
        .output()
        .expect("it runs");
    let err = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{err}");
    assert!(
        err.contains("did you mean CRUCIBLE_TIMEOUTS__IDLE?"),
        "{err}"
    );
}

#[tokio::test]
async fn config_show_tells_values_and_where_they_come_from() {
    let file = File::new("listen = \"127.0.0.1:0\"\n[timeouts]\nidle = \"45s\"\n");
    let (code, out, err) = file.run(&["config", "show"], "").await;
    assert_eq!((code, err.as_str()), (0, ""));
    let row = |out: &str, key: &str| {
        out.lines()
            .find(|l| l.split_whitespace().next() == Some(key))
            .unwrap_or_else(|| panic!("{key} is shown: {out}"))
            .to_owned()
    };
    assert!(row(&out, "timeouts.idle").contains("45s"), "{out}");
    assert!(
        !out.contains(&file.path.display().to_string()),
        "no origin unless asked"
    );
    let (_, out, _) = file.run(&["config", "show", "--origin"], "").await;
    let origin = format!("{}:3", file.path.display());
    assert!(row(&out, "timeouts.idle").contains(&origin), "{out}");
    assert!(
        row(&out, "timeouts.load").contains("profile hybrid"),
        "{out}"
    );
    let (_, out, _) = file.run(&["config", "show", "--json"], "").await;
    let json: Value = serde_json::from_str(&out).expect("JSON");
    // Plain seconds and bytes, for scripts.
    assert_eq!(json["timeouts.idle"], 45, "{out}");
    assert_eq!(json["limits.body"], 32_000_000, "{out}");
    let (_, out, _) = file
        .run(&["config", "show", "--json", "--origin"], "")
        .await;
    let json: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(json["timeouts.idle"]["value"], 45, "{out}");
    assert_eq!(json["timeouts.idle"]["origin"]["source"], origin);
}
