//! Engines that are found: not where Crucible itself listens, and on the ports beside the usual ones.
//!
//! The ports are those of the real engines, so each test has a network of its own.

use std::{path::Path, process::Command};

use crucible_tests::{Crucible, binary};
use serde_json::Value;
use tempfile::TempDir;

/// Runs a script where nothing but it listens; `$SIM` and `$CRUCIBLE` are the programs. What it
/// started ends with it.
async fn alone(folder: &Path, script: &str) -> String {
    let whole = format!(
        "ip link set lo up || ifconfig lo up\n\
         trap 'for pid in $(jobs -p); do kill -9 \"$pid\"; done' EXIT\n{script}"
    );
    let mut command = Command::new("unshare");
    command
        .args(["-rn", "bash", "-c", &whole])
        .env("SIM", binary::sim())
        .env("CRUCIBLE", binary::crucible())
        .env("XDG_STATE_HOME", folder)
        .current_dir(folder);
    let run = tokio::task::spawn_blocking(move || command.output());
    let out = run.await.expect("it ran").expect("unshare runs");
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{errors}");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// The addresses of the engines that an instance told of.
fn engines(state: &str) -> Vec<String> {
    let state: Value = serde_json::from_str(state).expect("JSON");
    let engines = state["engines"].as_array().expect("a list").iter();
    let mut urls: Vec<String> = engines
        .map(|e| {
            format!(
                "{} {}",
                e["kind"].as_str().unwrap_or_default(),
                e["url"].as_str().unwrap_or_default()
            )
        })
        .collect();
    urls.sort();
    urls
}

const WAIT: &str = r#"
state() {
  for _ in $(seq 600); do
    found=$(curl -s "$1/crucible/state")
    [ "$(grep -o '"discovered":true' <<<"$found" | wc -l)" = "$2" ] && break
    sleep 0.1
  done
  echo "$found"
}
"#;

#[tokio::test]
async fn neither_itself_nor_another_crucible_is_taken_for_an_engine() {
    let folder = TempDir::new().expect("a folder");
    for (listen, url) in [
        (
            r#"["127.0.0.1:11434", "127.0.0.1:1234"]"#,
            "http://127.0.0.1:11434",
        ),
        (r#"["[::]:11434", "0.0.0.0:1234"]"#, "http://127.0.0.1:1234"),
    ] {
        let config = format!(
            "listen = {listen}\nallow_unauthenticated = true\nstate_dir = \"state\"\n\
             metrics_listen = \"127.0.0.1:8080\"\n"
        );
        std::fs::write(folder.path().join("first.toml"), config).expect("written");
        let other = "listen = \"127.0.0.1:11435\"\nstate_dir = \"other\"\n";
        std::fs::write(folder.path().join("other.toml"), other).expect("written");
        let script = format!(
            "{WAIT}
             $SIM ollama --port 11436 --models a >&2 &
             $SIM lmstudio --port 1235 --models q >&2 &
             $CRUCIBLE serve --config first.toml >&2 &
             $CRUCIBLE serve --config other.toml >&2 &
             state {url} 2
             state http://127.0.0.1:11435 2
             $CRUCIBLE models --json --config first.toml"
        );
        let said = alone(folder.path(), &script).await;
        let lines: Vec<&str> = said.lines().collect();
        let found = [
            "lmstudio http://127.0.0.1:1235",
            "ollama http://127.0.0.1:11436",
        ];
        assert_eq!(engines(lines[0]), found, "{listen}");
        assert_eq!(engines(lines[1]), found, "{listen}");
        let models: Value = serde_json::from_str(lines[2]).expect("JSON");
        assert_eq!(models["instance"], true, "{models}");
        assert_eq!(
            models["models"].as_array().map(Vec::len),
            Some(2),
            "{models}"
        );
    }
}

#[tokio::test]
async fn an_engine_is_found_on_each_of_its_ports() {
    let folder = TempDir::new().expect("a folder");
    for (kind, port) in [
        ("lmstudio", 1234),
        ("lmstudio", 1235),
        ("ollama", 11434),
        ("ollama", 11435),
        ("ollama", 11436),
        ("openai", 8080),
        ("openai", 8081),
        ("openai", 9931),
        ("openai --router 1", 9931),
    ] {
        let script = format!(
            "{WAIT}
             $SIM {kind} --port {port} --models a >&2 &
             $CRUCIBLE serve >&2 &
             state http://127.0.0.1:8484 1"
        );
        let said = alone(folder.path(), &script).await;
        let told = if kind.starts_with("openai") {
            "llamacpp"
        } else {
            kind
        };
        assert_eq!(engines(&said), [format!("{told} http://127.0.0.1:{port}")]);
    }
}

#[tokio::test]
async fn an_engine_at_an_address_of_its_own_is_a_problem_that_is_named() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("crucible.toml");
    let engine = |url: &str| format!("[[engine]]\nname = \"e\"\nkind = \"ollama\"\n{url}");
    for (listen, url, own) in [
        ("listen = \"127.0.0.1:11434\"", "", true),
        (
            "listen = \"127.0.0.1:11434\"",
            "url = \"http://localhost:11434\"",
            true,
        ),
        (
            "listen = \"127.0.0.1:11434\"",
            "url = \"http://0.0.0.0:11434\"",
            true,
        ),
        (
            "listen = \"127.0.0.1:11434\"",
            "url = \"http://127.0.0.1:11435\"",
            false,
        ),
        (
            "listen = \"[::1]:8484\"",
            "url = \"http://[::1]:8484\"",
            true,
        ),
        (
            "listen = \"0.0.0.0:8484\"\nallow_unauthenticated = true",
            "url = \"http://127.0.0.1:8484\"",
            true,
        ),
        (
            "listen = [\"127.0.0.1:1\", \"127.0.0.1:8484\"]",
            "url = \"http://127.0.0.1:8484\"",
            true,
        ),
        ("metrics_listen = \"127.0.0.1:11434\"", "", true),
    ] {
        std::fs::write(&file, format!("{listen}\n{}\n", engine(url))).expect("written");
        let path = file.display().to_string();
        for command in ["check", "serve"] {
            if command == "serve" && !own {
                continue;
            }
            let path = path.clone();
            let run = move || Crucible::command(&[command, "--config", &path], "");
            let (code, stdout, stderr) = tokio::task::spawn_blocking(run).await.expect("it ran");
            let said = stdout + &stderr;
            let named =
                said.contains("engine[0].url") && said.contains("where Crucible itself listens");
            assert_eq!(named, own, "{command} {listen} {url}: {said}");
            if own {
                assert!(code > 0, "{command} {listen} {url}: {said}");
            }
        }
    }
}

/// As Ollama's own client reads it.
#[tokio::test]
async fn an_ollama_is_found_where_its_variable_points() {
    let folder = TempDir::new().expect("a folder");
    for (value, port) in [
        ("127.0.0.1:12000", 12000),
        ("0.0.0.0:12000", 12000),
        (":12000", 12000),
        ("http://127.0.0.1:12000/", 12000),
        ("'localhost:12000'", 12000),
        ("http://127.0.0.1", 80),
        ("127.0.0.1:nonsense", 11434),
    ] {
        let script = format!(
            "{WAIT}
             export OLLAMA_HOST=\"{value}\"
             $SIM ollama --port {port} --models a >&2 &
             $CRUCIBLE serve >&2 &
             state http://127.0.0.1:8484 1
             $CRUCIBLE models --json"
        );
        let said = alone(folder.path(), &script).await;
        let lines: Vec<&str> = said.lines().collect();
        let host = if value.contains("localhost") {
            "localhost"
        } else {
            "127.0.0.1"
        };
        let url = match port {
            80 => format!("ollama http://{host}"),
            port => format!("ollama http://{host}:{port}"),
        };
        assert_eq!(engines(lines[0]), [url], "{value}");
        assert!(lines[1].contains("\"a:latest\""), "{value}: {said}");
    }
}

/// Where the variable points to Crucible itself, and Ollama was moved.
#[tokio::test]
async fn crucible_in_the_place_of_an_ollama_does_not_find_itself() {
    let folder = TempDir::new().expect("a folder");
    let config = "listen = \"127.0.0.1:12000\"\nstate_dir = \"state\"\n";
    std::fs::write(folder.path().join("own.toml"), config).expect("written");
    let script = format!(
        "{WAIT}
         export OLLAMA_HOST=127.0.0.1:12000
         $SIM ollama --port 11435 --models a >&2 &
         $CRUCIBLE serve --config own.toml >&2 &
         state http://127.0.0.1:12000 1"
    );
    let said = alone(folder.path(), &script).await;
    assert_eq!(engines(&said), ["ollama http://127.0.0.1:11435"]);
}

/// What the four addresses of an instance said: each engine's model is answered at each of them.
fn answered_at_every_port(said: &str) {
    let mut lines = said.lines();
    let found = [
        "lmstudio http://127.0.0.1:1235",
        "ollama http://127.0.0.1:11435",
    ];
    assert_eq!(engines(lines.next().expect("a state")), found);
    for at in 0..4 {
        for engine in ["ollama", "lmstudio"] {
            let answered = lines.next().unwrap_or_default();
            assert!(
                answered.contains(" 200 "),
                "address {at}: {answered}: {said}"
            );
            let by = format!("x-crucible-engine: {engine}");
            assert!(
                answered.to_lowercase().contains(&by),
                "address {at}: {answered}"
            );
        }
    }
    // Ollama's own API at its port has LM Studio's model, and LM Studio's port has Ollama's.
    for part in ["\"q\"", "true", "a:latest"] {
        let line = lines.next().unwrap_or_default();
        assert!(line.contains(part), "{part}: {line}: {said}");
    }
    assert_eq!(
        lines
            .filter(|line| line.starts_with("listening on "))
            .count(),
        4,
        "{said}"
    );
}

/// As docs/takeover.md says: programs that know only the engines' ports ask Crucible there.
#[tokio::test]
async fn engines_that_moved_answer_at_their_old_ports() {
    let folder = TempDir::new().expect("a folder");
    let config = "listen = [\"127.0.0.1:8484\", \"127.0.0.1:11434\", \"[::1]:11434\", \"127.0.0.1:1234\"]\n\
                  state_dir = \"state\"\n";
    std::fs::write(folder.path().join("crucible.toml"), config).expect("written");
    let script = format!(
        "{WAIT}
         ask() {{
           curl -s -o /dev/null -D - \"$1/v1/chat/completions\" \\
             -d '{{\"model\": \"'$2'\", \"messages\": [{{\"role\": \"user\", \"content\": \"repeat 1\"}}]}}' \\
             | tr -d '\\r' | grep -i -e '^HTTP' -e '^x-crucible-engine:' | tr '\\n' ' '
           echo
         }}
         $SIM ollama --port 11435 --models a >&2 &
         $SIM lmstudio --port 1235 --models q >&2 &
         $CRUCIBLE serve --config crucible.toml >listening 2>log &
         state http://127.0.0.1:11434 2
         for at in http://127.0.0.1:11434 'http://[::1]:11434' http://127.0.0.1:1234 http://127.0.0.1:8484; do
           ask $at a:latest
           ask $at q
         done
         curl -s http://127.0.0.1:11434/api/tags | grep -o '\"model\": *\"q[^\"]*\"' | head -1
         curl -s http://127.0.0.1:11434/api/chat \\
           -d '{{\"model\": \"q\", \"stream\": false, \"messages\": [{{\"role\": \"user\", \"content\": \"repeat 1\"}}]}}' \\
           | grep -o '\"done\": *true'
         curl -s http://127.0.0.1:1234/v1/models | grep -o '\"a:latest\"' | head -1
         cat listening"
    );
    answered_at_every_port(&alone(folder.path(), &script).await);
}

#[tokio::test]
async fn an_lm_studio_that_wants_a_token_is_found_with_and_without_it() {
    let folder = TempDir::new().expect("a folder");
    for (token, works) in [("", false), ("sesame", true)] {
        let script = format!(
            "{WAIT}
             export LM_API_TOKEN={token}
             $SIM lmstudio --port 1234 --models q --token sesame >&2 &
             $CRUCIBLE serve >&2 &
             state http://127.0.0.1:8484 1
             curl -s http://127.0.0.1:8484/v1/chat/completions \
               -d '{{\"model\": \"q\", \"messages\": [{{\"role\": \"user\", \"content\": \"repeat 1\"}}]}}'"
        );
        let said = alone(folder.path(), &script).await;
        let (state, answer) = said.split_once('\n').expect("two lines");
        assert_eq!(engines(state), ["lmstudio http://127.0.0.1:1234"]);
        assert_eq!(answer.contains("word0"), works, "{answer}");
        assert_eq!(answer.contains("LM_API_TOKEN"), !works, "{answer}");
    }
}
