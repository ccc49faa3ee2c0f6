//! The names that requests may use are those that configuration and commands may use.

use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    chat::{body, post},
    engines::{client, engine, start},
};
use serde_json::Value;
use tempfile::TempDir;

/// Runs a command with this configuration: exit code and what it said.
async fn command(args: &[&str], toml: &str) -> (i32, String) {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("crucible.toml");
    let state = folder.path().join("state").display().to_string();
    let text = format!("listen = \"127.0.0.1:0\"\nstate_dir = {state:?}\n{toml}");
    std::fs::write(&path, text).expect("written");
    let mut all: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
    all.extend(["--config".to_owned(), path.display().to_string()]);
    let run = tokio::task::spawn_blocking(move || {
        let args: Vec<&str> = all.iter().map(String::as_str).collect();
        Crucible::command(&args, "")
    });
    let (code, out, err) = run.await.expect("it ran");
    drop(folder);
    (code, out + &err)
}

async fn context_of(crucible: &Crucible, name: &str) -> u64 {
    let url = crucible.at("/crucible/explain");
    let answer = client().post(url).json(&body(name, "hi")).send().await;
    let told: Value = answer.expect("an answer").json().await.expect("JSON");
    told["context"]["given"].as_u64().unwrap_or_default()
}

const NAMES: [&str; 8] = [
    "small-a",
    "SMALL-A",
    "small-a:latest",
    "ollama/small-a",
    "Ollama/Small-A:latest",
    "ollama/small*",
    "ollama/*",
    "small*",
];

#[tokio::test]
async fn settings_of_a_model_count_under_every_name_that_a_request_may_use() {
    let sim = start(Options::ollama(&["small-a=1GB", "big:8b-q4_0=1GB"])).await;
    let own = engine("ollama", "ollama", &sim.url());
    for name in NAMES.into_iter().chain(["big:8b", "ollama/big:8b"]) {
        let literal = !name.contains('*');
        let alias = if literal {
            "aliases = [\"nick\"]\n"
        } else {
            ""
        };
        let toml = format!("{own}[[model]]\nname = \"{name}\"\ncontext = 3000\n{alias}");
        let crucible = Crucible::start(&toml);
        let asked = if name.contains("big") {
            "big:8b"
        } else {
            "small-a"
        };
        assert_eq!(context_of(&crucible, asked).await, 3000, "{name}");
        if literal {
            for alias in ["nick", "ollama/nick"] {
                let answer = post(&crucible, &body(alias, "repeat 1")).await;
                assert_eq!(answer.status, 200, "{name} {alias}: {}", answer.text);
            }
        }
        let (code, said) = command(&["check"], &toml).await;
        assert_eq!(code, 0, "{name}: {said}");
    }
}

#[tokio::test]
async fn every_key_that_names_a_model_takes_every_name() {
    let sim = start(Options::ollama(&["small-a=1GB", "other=1GB"])).await;
    let own = engine("ollama", "ollama", &sim.url());
    for name in NAMES.into_iter().filter(|name| !name.contains('*')) {
        let toml = format!(
            "default_model = \"{name}\"\n{own}\
             [[model]]\nname = \"absent\"\nfallback = [\"{name}\"]\n\
             [scheduler]\nsmall_model = \"{name}\"\n[startup]\nwarm = [\"{name}\"]\n\
             [virtual]\nmine = [\"{name}\"]\n\
             [[rule]]\nwhen = {{ model = \"auto\" }}\nuse = \"{name}\"\n"
        );
        let crucible = Crucible::start(&toml);
        for asked in ["nobody-knows-this", "absent", "mine", "auto", name] {
            let answer = post(&crucible, &body(asked, "repeat 1")).await;
            assert_eq!(answer.status, 200, "{name} {asked}: {}", answer.text);
            let told = answer.header("x-crucible-model");
            assert_eq!(told, "small-a:latest", "{name} {asked}");
        }
        // All that is warm is this model.
        assert!(
            sim.log()
                .loads
                .iter()
                .all(|load| load.model.starts_with("small-a"))
        );
    }
}

#[tokio::test]
async fn check_names_what_means_no_model_where_the_engines_can_be_asked() {
    let sim = start(Options::ollama(&["small-a=1GB"])).await;
    let own = engine("ollama", "ollama", &sim.url());
    let toml = |name: &str| {
        format!(
            "default_model = \"{name}\"\n{own}\
             [[model]]\nname = \"ollama/{name}\"\nfallback = [\"{name}-f\"]\n\
             [scheduler]\nsmall_model = \"{name}\"\n[startup]\nwarm = [\"{name}\"]\n\
             [virtual]\nmine = [\"{name}\"]\n\
             [[rule]]\nwhen = {{ model = \"auto\" }}\nuse = \"{name}\"\n"
        )
    };
    let (code, said) = command(&["check"], &toml("nothing")).await;
    assert_eq!(code, 2, "{said}");
    for path in [
        "default_model",
        "model[0].name",
        "model[0].fallback",
        "scheduler.small_model",
        "startup.warm",
        "virtual.mine",
        "rule[0].use",
    ] {
        assert!(said.contains(path), "{path}: {said}");
    }
    // An engine that does not answer may have anything.
    sim.stop().await;
    let whole = toml("nothing");
    let (without_rule, _) = whole.split_once("[[rule]]").expect("a rule");
    let (code, said) = command(&["check"], without_rule).await;
    assert_eq!(code, 0, "{said}");
}

#[tokio::test]
async fn bench_takes_every_name_and_names_one_that_nobody_has() {
    let sim = start(Options::ollama(&["small-a=1GB"])).await;
    let own = engine("ollama", "ollama", &sim.url());
    for name in ["Small-A", "ollama/small-a:latest"] {
        let args = ["bench", "--model", name, "--time", "1s"];
        let (_, said) = command(&args, &own).await;
        assert!(
            said.contains("measures small-a:latest on ollama"),
            "{name}: {said}"
        );
    }
    for args in [
        &["bench", "--model", "nothing"][..],
        &["bench", "--engine", "ollama", "--model", "nothing"],
    ] {
        let (code, said) = command(args, &own).await;
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("--model nothing"), "{said}");
    }
}
