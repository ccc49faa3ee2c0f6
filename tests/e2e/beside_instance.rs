//! Commands beside a running instance show its truth and never contradict `/crucible/state`.

use std::{
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crucible_documents::{ExplainDoc, ModelsDoc, StateDoc, VerifiedDoc};
use crucible_sim::Options;
use crucible_tests::{
    Crucible, binary,
    chat::{body, post, stream},
    engines::{Both, engine, start},
    rest::{eventually, ready, state},
    scripted::{Leave, Script, Scripted},
};
use tempfile::TempDir;

/// In the place of llama-server.
const LLAMA_SERVER: &str = include_str!("llama_server.py");

/// What `models --json` beside the instance says, which must be what its state says.
pub(super) async fn agreeing(crucible: &Crucible) -> (StateDoc, ModelsDoc) {
    // Between the two an engine may be polled.
    eventually("the command says what the state says", || async {
        let (_, out, err) = crucible.beside(&["models", "--json"]).await;
        let models: ModelsDoc = serde_json::from_str(&out).expect(&err);
        let state = state(crucible).await;
        let expected = ModelsDoc::of(&state, true);
        assert!(models.instance, "{out}");
        let same = models.engines == expected.engines && models.models == expected.models;
        same.then_some((state, models))
    })
    .await
}

/// A block for a child with that model, which answers as llama-server does.
fn child(folder: &Path, name: &str) -> String {
    let script = folder.join("llama_server.py");
    std::fs::write(&script, LLAMA_SERVER).expect("written");
    let model = folder.join(format!("{name}.gguf"));
    std::fs::write(&model, "GGUF").expect("written");
    let command = ["python3".to_owned(), script.display().to_string()];
    format!(
        "[[engine]]\nname = \"child\"\nkind = \"llamacpp\"\nmanage = \"spawn\"\ndevice = \"cpu\"\n\
         command = {command:?}\nmodel_path = {:?}\n",
        model.display().to_string(),
    )
}

#[tokio::test]
async fn models_shows_the_child_that_the_instance_started() {
    let folder = TempDir::new().expect("a folder");
    let crucible = Crucible::start(&child(folder.path(), "tiny"));
    ready(&crucible).await;
    let (_, answer) = stream(&crucible, &body("tiny", "repeat 1")).await;
    assert_eq!(answer.content(), "word");
    let (state, models) = agreeing(&crucible).await;
    assert!(state.resident("child", "tiny").is_some(), "{state:?}");
    assert!(models.models[0].loaded, "{models:?}");
    let (code, out, err) = crucible.beside(&["models"]).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("child/tiny"), "{out}");
}

#[tokio::test]
async fn models_shows_an_engine_as_down_as_long_as_the_instance_takes_it_for_down() {
    let answers = Arc::new(AtomicBool::new(false));
    let back = Arc::clone(&answers);
    let list = r#"{"object":"list","data":[{"id":"far","object":"model"}]}"#;
    let scripted = Scripted::start(move |_| {
        if back.load(Ordering::SeqCst) {
            Script::json("200 OK", "", list)
        } else {
            Script::raw("", Leave::Reset)
        }
    })
    .await;
    let sim = start(Options::lmstudio(&["qwen=1GB"])).await;
    let crucible = Crucible::start(&format!(
        "{}{}[tuning.lmstudio]\nkeep_alive_interval = \"600s\"\n",
        engine("near", "lmstudio", &sim.url()),
        engine("far", "openai", &scripted.url()),
    ));
    ready(&crucible).await;
    let is_away =
        |state: &StateDoc| ["degraded", "down"].contains(&state.engines[1].state.as_str());
    for _ in 0..20 {
        answers.store(false, Ordering::SeqCst);
        eventually("the instance finds it down", || async {
            is_away(&state(&crucible).await).then_some(())
        })
        .await;
        // Whoever asks the engine now finds it well; the instance has not asked it again, unless this machine
        // is busy.
        answers.store(true, Ordering::SeqCst);
        let (state, models) = agreeing(&crucible).await;
        if is_away(&state) {
            assert!(models.engines[1].error.is_some(), "{models:?}");
            return;
        }
    }
    panic!("the instance always asked before the command did");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_with_a_key_show_what_an_instance_that_wants_one_knows() {
    let (_, secret, _) = tokio::task::block_in_place(|| Crucible::command(&["key", "new"], ""));
    let block = &secret[secret.find("[[key]]").expect("a block")..];
    let key = secret.split_whitespace().find(|w| w.starts_with("crk-"));
    let folder = TempDir::new().expect("a folder");
    let crucible = Crucible::start(&format!("{block}\n{}", child(folder.path(), "tiny")));
    let file = folder.path().join("beside.toml");
    let text = std::fs::read_to_string(crucible.config()).expect("readable");
    let listen = format!("listen = \"{}\"", crucible.addr());
    let text = text.replace("listen = \"127.0.0.1:0\"", &listen);
    std::fs::write(&file, text).expect("written");
    let run = |args: &[&str]| {
        let mut command = Command::new(binary::crucible());
        command.args(args).arg("--config").arg(&file);
        command.env("CRUCIBLE_KEY", key.expect("a secret"));
        let output = tokio::task::block_in_place(|| command.output()).expect("it runs");
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(err, "", "{args:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let models: ModelsDoc = serde_json::from_str(&run(&["models", "--json"])).expect("a list");
    assert!(models.instance, "{models:?}");
    assert_eq!(models.engines[0].name, "child".into());
    let told: VerifiedDoc = serde_json::from_str(&run(&["tunings", "--json"])).expect("settings");
    assert!(told.report.tunings.iter().all(|row| row.state.is_some()));
    let explained = run(&["explain", "--json", "tiny"]);
    let explained: ExplainDoc = serde_json::from_str(&explained).expect("an explanation");
    assert_eq!(explained.engine, Some("child".into()));
}

/// A program at Crucible's address that answers every path, with any JSON, is no instance.
#[tokio::test]
async fn another_program_at_the_address_is_taken_for_no_instance() {
    let both = Both::start().await;
    let unknown = r#"{"error":{"message":"no","type":"t","param":null,"code":"unknown_url"}}"#;
    for (status, answer) in [
        ("200 OK", "{}"),
        ("200 OK", r#"{"engines":[],"tunings":[]}"#),
        ("404 Not Found", unknown),
        ("200 OK", "<html></html>"),
    ] {
        let program = Scripted::start(move |_| Script::json(status, "", answer)).await;
        let folder = TempDir::new().expect("a folder");
        let file = folder.path().join("crucible.toml");
        let text = format!(
            "listen = {:?}\nstate_dir = {:?}\n{}",
            program.url().trim_start_matches("http://"),
            folder.path().display().to_string(),
            engine("lmstudio", "lmstudio", &both.lmstudio.url()),
        );
        std::fs::write(&file, text).expect("written");
        let run = async |command: &'static [&'static str]| {
            let file = file.display().to_string();
            let run = move || Crucible::command(&[command, &["--config", &file]].concat(), "");
            let ended = tokio::task::spawn_blocking(run).await.expect("it ran");
            let (code, out, err) = ended;
            assert_eq!(code, 0, "{command:?} {answer}: {err}");
            assert!(err.contains("not as a Crucible"), "{command:?}: {err}");
            out
        };
        let explained = run(&["explain", "--json", "qwen"]).await;
        let explained: ExplainDoc = serde_json::from_str(&explained).expect("an explanation");
        assert_eq!(explained.engine, Some("lmstudio".into()), "{answer}");
        let models = run(&["models", "--json"]).await;
        let models: ModelsDoc = serde_json::from_str(&models).expect("a list");
        assert!(!models.instance && models.engines.len() == 1, "{models:?}");
        let tunings = run(&["tunings"]).await;
        assert!(tunings.contains("No instance answered"), "{tunings}");
    }
}

#[tokio::test]
async fn models_shows_the_devices_that_the_instance_settled_on() {
    let both = Both::start().await;
    ready(&both.crucible).await;
    assert_eq!(
        post(&both.crucible, &body("qwen", "repeat 1")).await.status,
        200
    );
    let loaded = eventually("the load in the list", || async {
        let (state, models) = agreeing(&both.crucible).await;
        let loaded = models.models.iter().filter(|model| model.loaded).count();
        (loaded == state.residents().count() && loaded == 1).then_some(models)
    })
    .await;
    let devices: Vec<&str> = loaded.engines.iter().map(|e| e.device.as_str()).collect();
    assert_eq!(devices, ["gpu", "cpu"]);
}
