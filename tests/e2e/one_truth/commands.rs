//! The commands beside an instance: they show what it says, and say where it did not answer.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_show_what_the_instance_says() {
    let (_sim, crucible) = one(
        "lmstudio",
        "m=1GB",
        2,
        &engine("gone", "ollama", "http://127.0.0.1:1"),
    )
    .await;
    asked(&crucible, "a load", &prompt("m", 500), "").await;
    let told = |text: &str| serde_json::from_str::<VerifiedDoc>(text).expect(text);
    let of_instance = told(&get(&crucible, "/crucible/tunings").await.text);
    let commands: [&'static [&'static str]; 2] = [&["doctor", "--json"], &["tunings", "--json"]];
    for command in commands {
        let (_, out, err) = crucible.beside(command).await;
        // What was counted and the time that passed are those of the moment.
        let same = |verified: VerifiedDoc| {
            let rows = verified.report.tunings.into_iter();
            let rows = rows.map(|row| (row.number, row.value, row.engine, row.state, row.advice));
            (rows.collect::<Vec<_>>(), verified.findings)
        };
        assert_eq!(
            same(told(&out)),
            same(of_instance.clone()),
            "{command:?} {err}"
        );
    }
    let (state, models) = agreeing(&crucible).await;
    assert!(models.engines.iter().any(|engine| engine.error.is_some()));
    let down = of_instance.findings.iter().filter(|f| f.fault == "down");
    let down: Vec<&str> = down.map(|finding| &*finding.engine).collect();
    let states = state.engines.iter().filter(|engine| engine.error.is_some());
    let states: Vec<&str> = states.map(|engine| &*engine.name).collect();
    assert_eq!(down, states, "{:?}", of_instance.findings);
    let held = state
        .residents()
        .next()
        .and_then(|r| r.context)
        .expect("a context");
    let mut rows = of_instance.report.tunings.iter();
    let row = rows.find(|row| row.number == 13).expect("row 13");
    let evidence = row.evidence.clone().unwrap_or_default();
    assert!(evidence.contains(&held.to_string()), "{evidence}");
    let (_, out, _) = crucible.beside(&["explain", "--json", "m"]).await;
    let command: ExplainDoc = serde_json::from_str(&out).expect(&out);
    let request = body("m", "");
    assert_eq!(
        command.context,
        explained(&crucible, &request, "").await.context
    );
}

/// An instance that has no time for a question is not passed over without a word.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_tells_its_state_alone_is_named_where_the_engines_are_asked() {
    let sim = start(Options::lmstudio(&["m=1GB"])).await;
    let program = Scripted::start(|path| match path {
        "/crucible/state" => Script::json(
            "200 OK",
            "",
            r#"{"owns_state":true,"engines":[],"pools":[],"queue":[],"in_flight":[]}"#,
        ),
        _ => Script::raw("", Leave::Reset),
    })
    .await;
    let address = program.url().trim_start_matches("http://").to_owned();
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("crucible.toml");
    let text = format!(
        "listen = {address:?}\nstate_dir = {:?}\n{}",
        folder.path().display().to_string(),
        engine("one", "lmstudio", &sim.url()),
    );
    std::fs::write(&file, text).expect("written");
    let file = file.display().to_string();
    for (command, path) in [
        (&["explain", "--json", "m"][..], "POST /crucible/explain"),
        (&["doctor", "--json"], "GET /crucible/tunings"),
        (&["tunings", "--json"], "GET /crucible/tunings"),
    ] {
        let args = [command, &["--config", &file]].concat();
        let (_, out, err) = tokio::task::block_in_place(|| Crucible::command(&args, ""));
        let named = format!("the instance at {address} did not answer {path} in time");
        assert!(err.contains(&named), "{command:?}: {err}");
        assert!(serde_json::from_str::<Value>(&out).is_ok(), "{out}");
    }
}
