//! `crucible doctor` where engines cannot answer: what it says, and its exit code.

use std::process::Command;

use crucible_sim::Options;
use crucible_tests::{
    Crucible, binary,
    chat::{body, post},
    engines::{Both, engine, start},
    rest::{logged, ready},
    scripted::{Script, Scripted},
};
use serde_json::Value;
use tempfile::TempDir;

/// Exit code, stdout, stderr.
async fn doctor(text: &str, json: bool) -> (Option<i32>, String, String) {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("crucible.toml");
    let state = folder.path().join("state").display().to_string();
    std::fs::write(&file, format!("state_dir = {state:?}\n{text}")).expect("written");
    let mut command = Command::new(binary::crucible());
    command.args(["doctor", "--config"]).arg(&file);
    if json {
        command.arg("--json");
    }
    let out = tokio::task::spawn_blocking(move || command.output()).await;
    drop(folder);
    let out = out.expect("it ran").expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (out.status.code(), text(&out.stdout), text(&out.stderr))
}

const NOWHERE: &str = "listen = \"127.0.0.1:0\"\n";

/// (blocks, fault, parts of what is said).
const CASES: &[(&str, &str, &[&str])] = &[
    (
        "[[engine]]\nname = \"o\"\nkind = \"ollama\"\nurl = \"http://127.0.0.1:1\"\n",
        "down",
        &[
            "o: down",
            "Connection refused",
            "fix: start it: `ollama serve`, or correct `url` of engine 'o'",
        ],
    ),
    (
        "[[engine]]\nname = \"l\"\nkind = \"lmstudio\"\nurl = \"http://127.0.0.1:1\"\n",
        "down",
        &["l: down", "fix: start its server: `lms server start`"],
    ),
    (
        "[[engine]]\nname = \"c\"\nkind = \"llamacpp\"\nurl = \"http://127.0.0.1:1\"\n",
        "down",
        &["c: down", "`llama-server -m MODEL.gguf`"],
    ),
    (
        "[[engine]]\nname = \"far\"\nkind = \"openai\"\nurl = \"http://127.0.0.1:1\"\n",
        "down",
        &["far: down", "correct `url` of engine 'far'"],
    ),
    (
        "[[engine]]\nname = \"c\"\nkind = \"llamacpp\"\nmodel_path = \"absent.gguf\"\ncommand = [\"sh\"]\n",
        "missing",
        &[
            "c: missing",
            "`model_path`: a model file",
            "absent.gguf: No such file",
            "fix: correct the path",
        ],
    ),
    (
        "[[engine]]\nname = \"c\"\nkind = \"llamacpp\"\nmodel_path = \"crucible.toml\"\ncommand = [\"no-such-server\"]\n",
        "missing",
        &[
            "c: missing",
            "\"no-such-server\", which no folder of PATH holds",
            "install it",
        ],
    ),
    (
        "[[engine]]\nname = \"o\"\nkind = \"openai\"\nurl = \"http://127.0.0.1:1\"\napi_key_env = \"NOBODY_SET_THIS\"\n",
        "missing",
        &[
            "o: missing",
            "\"NOBODY_SET_THIS\", a variable that is not set",
            "set NOBODY_SET_THIS where",
        ],
    ),
];

#[tokio::test]
async fn an_engine_that_is_down_or_lacks_something_is_a_finding_with_advice_and_exit_1() {
    for (blocks, fault, parts) in CASES {
        let (code, out, err) = doctor(&format!("{NOWHERE}{blocks}"), false).await;
        assert_eq!(code, Some(1), "{blocks}: {err}");
        assert!(err.contains("1 engine cannot be used"), "{err}");
        for part in *parts {
            assert!(out.contains(part), "{blocks}: {part} in {out}");
        }
        let (code, out, err) = doctor(&format!("{NOWHERE}{blocks}"), true).await;
        assert_eq!(code, Some(1), "{blocks}: {err}");
        let report: Value = serde_json::from_str(&out).expect("JSON");
        let findings = report["findings"].as_array().expect("a list");
        assert_eq!(findings.len(), 1, "{blocks}: {findings:?}");
        assert_eq!(findings[0]["fault"], *fault, "{findings:?}");
        for key in ["engine", "asked", "found", "read_from", "fix"] {
            let told = findings[0][key].as_str();
            assert!(told.is_some_and(|t| !t.is_empty()), "{key}: {findings:?}");
        }
    }
}

#[tokio::test]
async fn one_engine_that_is_down_beside_one_that_is_well_is_told() {
    let sim = start(Options::lmstudio(&["qwen=1GB"])).await;
    let well = engine("lmstudio", "lmstudio", &sim.url());
    let down = engine("ollama", "ollama", "http://127.0.0.1:1");
    let (code, out, err) = doctor(&format!("{NOWHERE}{well}{down}"), false).await;
    assert_eq!(code, Some(1), "{err}");
    assert!(
        out.contains("ollama: down") && !out.contains("lmstudio: down"),
        "{out}"
    );
    // Rows that only it could show say how to have them shown.
    let row = out
        .lines()
        .find(|l| l.contains("  num_parallel "))
        .expect("row 23");
    assert!(
        row.contains("unverifiable") && row.contains("advice: start it: `ollama serve`"),
        "{row}"
    );
    let (code, out, err) = doctor(&format!("{NOWHERE}{well}"), false).await;
    assert_eq!(code, Some(0), "{err}{out}");
}

#[tokio::test]
async fn beside_a_running_instance_its_own_view_is_told() {
    let sim = start(Options::lmstudio(&["qwen=1GB"])).await;
    let toml = format!(
        "{}{}",
        engine("lmstudio", "lmstudio", &sim.url()),
        "[[engine]]\nname = \"child\"\nkind = \"llamacpp\"\nmodel_path = \"absent.gguf\"\ncommand = [\"sh\"]\n",
    );
    let crucible = Crucible::start(&toml);
    ready(&crucible).await;
    // The start tells it too.
    for told in ["warning: ", "absent.gguf"] {
        logged(&crucible, told).await;
    }
    let (code, out, err) = crucible.beside(&["doctor"]).await;
    assert_eq!(code, 1, "{err}");
    assert!(
        out.contains("child: missing") && !out.contains("No instance answered"),
        "{out}"
    );
    let (code, out, _) = crucible.beside(&["doctor", "--json"]).await;
    assert_eq!(code, 1);
    let report: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(report["findings"][0]["fault"], "missing", "{out}");
}

#[tokio::test]
async fn rows_that_are_well_show_what_proves_them() {
    let both = Both::start().await;
    ready(&both.crucible).await;
    for model in ["qwen", "llama3.2:3b"] {
        let answer = post(&both.crucible, &body(model, "repeat 1")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    let (_, out, _) = both.crucible.beside(&["doctor"]).await;
    let rows = out.lines().filter(|l| l.contains("  in effect  "));
    let mut seen = 0;
    for row in rows {
        assert!(
            row.contains("found ") && row.contains("read from "),
            "{row}"
        );
        seen += 1;
    }
    assert!(seen > 5, "{out}");
}

#[tokio::test]
async fn another_program_at_the_address_of_an_engine_is_told_as_such() {
    let page = "<html><body>Welcome to nginx!</body></html>";
    let html = || Script::typed("text/html", page);
    let bad = |status: &str, body: &str| Script::json(status, "", body);
    for (script, found) in [
        (html(), "not understood: the answer is a web page"),
        (
            Script::typed("text/html", ""),
            "not understood: the answer is empty",
        ),
        (
            bad("200 OK", "sure"),
            "not understood: the answer is not JSON",
        ),
        (bad("200 OK", "null"), "not understood: "),
        (
            bad("404 Not Found", "404 page not found"),
            "HTTP 404: 404 page not found",
        ),
        (bad("502 Bad Gateway", page), "HTTP 502 with a web page"),
        (bad("302 Found", ""), "HTTP 302"),
    ] {
        let fake = Scripted::reading(move |_, _| script.clone()).await;
        for (kind, product) in [
            ("ollama", "Ollama"),
            ("llamacpp", "llama.cpp"),
            ("openai", ""),
            ("lmstudio", "LM Studio"),
        ] {
            let (code, out, err) = doctor(
                &format!("{NOWHERE}{}", engine("e", kind, &fake.url())),
                false,
            )
            .await;
            assert_eq!(code, Some(1), "{kind}, {found}: {err}{out}");
            let told = out.split_once("\ne: down").map_or("", |(_, told)| told);
            for part in [
                found,
                "fix: something answers there, but not as ",
                product,
                "correct `url` or `kind` of engine 'e'; else restart it",
            ] {
                assert!(told.contains(part), "{kind}: {part} in: {told}");
            }
        }
    }
}
