//! Engines that want a token: which variable holds it, and who says so where it is missing.

use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{body, get, post},
    engines::{engine, start},
    scripted::{Script, Scripted},
};
use tempfile::TempDir;

const TOKEN: &str = "sk-lm-canary12:abcdefghij0123456789";

/// An engine that wants [`TOKEN`].
async fn closed(kind: &str) -> Sim {
    let mut options = match kind {
        "lmstudio" => Options::lmstudio(&["qwen=1GB"]),
        _ => Options::openai(&["qwen=1GB"]),
    };
    options.token = Some(TOKEN.into());
    start(options).await
}

/// Runs a command with this configuration and environment: exit code and what it said.
async fn command(command: &'static str, toml: &str, env: (String, String)) -> (i32, String) {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("crucible.toml");
    let state = folder.path().join("state").display().to_string();
    let text = format!("listen = \"127.0.0.1:0\"\nstate_dir = {state:?}\n{toml}");
    std::fs::write(&path, text).expect("written");
    let run = tokio::task::spawn_blocking(move || {
        let mut program = std::process::Command::new(crucible_tests::binary::crucible());
        program
            .args([command, "--config"])
            .arg(path)
            .env(env.0, env.1);
        program.output().expect("it runs")
    });
    let out = run.await.expect("it ran");
    drop(folder);
    let said = [out.stdout, out.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    (out.status.code().unwrap_or(-1), said.concat())
}

#[tokio::test]
async fn a_missing_or_wrong_token_is_told_with_the_setting_that_holds_it() {
    let refusal = Scripted::start(|_| {
        let body = r#"{"error":{"message":"no access","code":"invalid_api_key"}}"#;
        Script::json("401 Unauthorized", "", body)
    })
    .await;
    let forbidden = Scripted::start(|_| Script::json("403 Forbidden", "", "")).await;
    let (lmstudio, llamacpp) = (closed("lmstudio").await, closed("openai").await);
    for (kind, url, variable, own) in [
        ("lmstudio", lmstudio.url(), "LM_API_TOKEN", ""),
        ("llamacpp", llamacpp.url(), "LLAMA_API_KEY", ""),
        ("openai", refusal.url(), "", ""),
        ("ollama", refusal.url(), "", ""),
        ("ollama", forbidden.url(), "", ""),
        (
            "openai",
            refusal.url(),
            "MY_TOKEN",
            "api_key_env = \"MY_TOKEN\"\n",
        ),
        (
            "lmstudio",
            lmstudio.url(),
            "MY_TOKEN",
            "api_key_env = \"MY_TOKEN\"\n",
        ),
    ] {
        let toml = format!("{}{own}", engine("one", kind, &url));
        for value in ["", "wrong-canary77"] {
            let name = if variable.is_empty() {
                "UNUSED"
            } else {
                variable
            };
            let crucible = Crucible::start_with(&toml, &[], &[(name, value)]);
            let answer = post(&crucible, &body("qwen", "repeat 1")).await;
            assert_eq!(
                (answer.status, answer.code()),
                (503, "no_engine"),
                "{kind} {own}"
            );
            let env = || (name.to_owned(), value.to_owned());
            let (checked, check) = command("check", &toml, env()).await;
            let (_, doctor) = command("doctor", &toml, env()).await;
            assert_eq!(checked, 2, "{check}");
            let state = get(&crucible, "/crucible/state").await.text;
            for said in [answer.message(), &check, &doctor] {
                assert!(said.contains("api_key_env"), "{kind} {own}: {said}");
                assert!(said.contains(variable), "{kind} {own}: {said}");
                let refused = said.contains("refuses the token in");
                assert_eq!(refused, !variable.is_empty() && !value.is_empty(), "{said}");
            }
            for text in [check, doctor, answer.text, state, crucible.log()] {
                assert!(!text.contains("canary77"), "{text}");
            }
        }
    }
}

#[tokio::test]
async fn the_makers_variable_is_used_without_being_named() {
    for (kind, sim, variable) in [
        ("lmstudio", closed("lmstudio").await, "LM_API_TOKEN"),
        ("llamacpp", closed("openai").await, "LLAMA_API_KEY"),
    ] {
        let toml = engine("one", kind, &sim.url());
        let crucible = Crucible::start_with(&toml, &[], &[(variable, TOKEN)]);
        let answer = post(&crucible, &body("qwen", "repeat 1")).await;
        assert_eq!(answer.status, 200, "{kind}: {}", answer.text);
        let env = (variable.to_owned(), TOKEN.to_owned());
        let (code, said) = command("check", &toml, env).await;
        assert_eq!(code, 0, "{said}");
        // Another one that is named stands above it.
        let named = format!("{toml}api_key_env = \"MY_TOKEN\"\n");
        let crucible = Crucible::start_with(&named, &[], &[(variable, TOKEN)]);
        let answer = post(&crucible, &body("qwen", "repeat 1")).await;
        assert!(
            answer.message().contains("MY_TOKEN"),
            "{kind}: {}",
            answer.text
        );
    }
}

/// A token that was read from a file ends in a line break, and a path that is opened needs it as well.
#[tokio::test]
async fn a_token_with_space_around_it_is_used_for_answers_and_for_opened_paths() {
    for value in [
        TOKEN.to_owned(),
        format!("{TOKEN}\n"),
        format!(" {TOKEN}\r\n"),
    ] {
        let sim = closed("lmstudio").await;
        let toml = format!(
            "[guard]\nopen = [\"/api/v1/models/load\"]\n{}",
            engine("one", "lmstudio", &sim.url())
        );
        let crucible = Crucible::start_with(&toml, &[], &[("LM_API_TOKEN", &value)]);
        let answer = post(&crucible, &body("qwen", "repeat 1")).await;
        assert_eq!(answer.status, 200, "{value:?}: {}", answer.text);
        let asked = crucible_tests::engines::client()
            .post(crucible.at("/api/v1/models/load"))
            .json(&serde_json::json!({"model": "absent"}))
            .send();
        let status = asked.await.expect("an answer").status().as_u16();
        assert_ne!(status, 401, "{value:?}");
        let env = ("LM_API_TOKEN".to_owned(), value);
        let (code, said) = command("check", &toml, env).await;
        assert_eq!(code, 0, "{said}");
    }
}

/// An unknown name while another engine is up may be that of the engine that says nothing.
#[tokio::test]
async fn a_name_that_a_closed_engine_may_have_says_so_beside_an_open_one() {
    let lmstudio = closed("lmstudio").await;
    let open = start(Options::ollama(&["llama=1GB"])).await;
    let crucible = Crucible::start(&format!(
        "{}\n{}",
        engine("gpu", "lmstudio", &lmstudio.url()),
        engine("cpu", "ollama", &open.url())
    ));
    for name in ["qwen", "gpu/qwen"] {
        let answer = post(&crucible, &body(name, "repeat 1")).await;
        assert!(matches!(answer.status, 404 | 503), "{}", answer.text);
        let said = answer.message();
        assert!(
            said.contains("LM_API_TOKEN") && said.contains("api_key_env"),
            "{said}"
        );
    }
    assert_eq!(
        post(&crucible, &body("llama", "repeat 1")).await.status,
        200
    );
}

/// llama.cpp's list is open to everybody, and an engine of kind `openai` is asked for nothing else.
#[tokio::test]
async fn an_engine_that_lists_and_does_not_answer_names_the_setting_too() {
    let sim = closed("openai").await;
    let crucible = Crucible::start(&engine("one", "openai", &sim.url()));
    let answer = post(&crucible, &body("qwen", "repeat 1")).await;
    assert_eq!(
        (answer.status, answer.code()),
        (502, "engine_error"),
        "{}",
        answer.text
    );
    assert!(answer.message().contains("api_key_env"), "{}", answer.text);
}
