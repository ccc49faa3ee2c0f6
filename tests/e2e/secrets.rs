//! What no log says, whatever its level: keys, tokens, prompts, answers.

use std::path::Path;

use crucible_documents::inspector::InspectorDoc;
use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    chat::body,
    engines::{client, engine, start},
    rest::logged,
};
use serde_json::json;

const PROMPT: &str = "the canary sings at dawn";
const TOKEN: &str = "token-of-the-engine-7b1f";
const SYSTEM: &str = "a secret order of the house";

/// The same bytes as a dump in other forms shows them.
fn forms(secret: &str) -> Vec<String> {
    let hex: Vec<String> = secret.bytes().map(|b| format!("{b:02x}")).collect();
    let apart: Vec<String> = secret.bytes().map(|b| b.to_string()).collect();
    vec![secret.to_owned(), hex.concat(), apart.join(", ")]
}

/// Asks in every way, and wrongly too.
async fn talk(crucible: &Crucible, key: &str, model: &str) {
    let mut request = body(model, PROMPT);
    request["messages"] = json!([
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": PROMPT},
    ]);
    for streamed in [false, true] {
        request["stream"] = streamed.into();
        let sent = client()
            .post(crucible.at("/v1/chat/completions"))
            .bearer_auth(key)
            .json(&request)
            .send()
            .await
            .expect("an answer");
        assert_eq!(sent.status().as_u16(), 200);
        let text = sent.text().await.expect("text");
        assert!(text.contains("word"), "{text}");
    }
    for broken in [
        "{\"model\": \"MODEL\", \"messages\": [{\"role\": \"user\", \"content\": \"PROMPT\"",
        "{\"model\": \"MODEL\", \"messages\": [{\"role\": \"user\", \"content\": {\"PROMPT\": 1}}]}",
        "{\"model\": \"absent\", \"messages\": [{\"role\": \"user\", \"content\": \"PROMPT\"}]}",
    ] {
        let text = broken.replace("MODEL", model).replace("PROMPT", PROMPT);
        let request = client()
            .post(crucible.at("/v1/chat/completions"))
            .bearer_auth(key);
        // Some engines take what others refuse.
        let sent = request.body(text).send().await.expect("an answer");
        drop(sent.bytes().await);
    }
    let wrong = client()
        .get(crucible.at("/v1/models"))
        .bearer_auth(format!("{key}-wrong"));
    let sent = wrong.send().await.expect("an answer");
    assert_eq!(sent.status().as_u16(), 401);
}

async fn engines() -> [(Sim, &'static str, &'static str); 4] {
    [
        (
            start(Options::lmstudio(&["gpu=1GB"])).await,
            "lmstudio",
            "gpu",
        ),
        (start(Options::ollama(&["cpu=1GB"])).await, "ollama", "cpu"),
        (start(Options::openai(&["file"])).await, "llamacpp", "file"),
        (start(Options::openai(&["far"])).await, "openai", "far"),
    ]
}

#[tokio::test]
async fn no_level_shows_a_secret_a_prompt_or_an_answer() {
    let engines = engines().await;
    let (code, out, _) = Crucible::command(&["key", "new"], "");
    assert_eq!(code, 0);
    let secret = out
        .split_whitespace()
        .find(|word| word.starts_with("crk-"))
        .expect("a secret");
    let block = &out[out.find("[[key]]").expect("a block")..];
    let mut toml = block.to_owned();
    for (sim, kind, model) in &engines {
        toml.push_str(&engine(model, kind, &sim.url()));
        toml.push_str("api_key_env = \"SECRET_OF_THE_TEST\"\n");
        if *kind == "lmstudio" {
            toml.push_str("websocket = true\n");
        }
    }
    for (level, format) in [
        ("trace", "text"),
        ("trace", "json"),
        (
            "debug,hyper=trace,reqwest=trace,tungstenite=trace,log=trace",
            "text",
        ),
    ] {
        let crucible = Crucible::start_with(
            &format!("{toml}[log]\nlevel = {level:?}\nformat = {format:?}\n"),
            &[],
            &[
                ("SECRET_OF_THE_TEST", TOKEN),
                // What other programs read is not read here.
                ("RUST_LOG", "trace"),
            ],
        );
        logged(&crucible, "health").await;
        for (_, _, model) in &engines {
            talk(&crucible, secret, model).await;
        }
        logged(&crucible, "model_not_found").await;
        let log = crucible.log();
        for shown in [PROMPT, SYSTEM, TOKEN, secret, "word0"] {
            for form in forms(shown) {
                assert!(!log.contains(&form), "{level}, {format}: {shown} in\n{log}");
            }
        }
    }
}

/// All texts below a folder.
fn files(folder: &Path) -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.push_str(&files(&path));
        } else {
            all.push_str(&String::from_utf8_lossy(
                &std::fs::read(&path).unwrap_or_default(),
            ));
        }
    }
    all
}

async fn read_with(crucible: &Crucible, secret: &str, path: &str) -> String {
    let request = client().get(crucible.at(path)).bearer_auth(secret);
    let answer = request.send().await.expect("an answer");
    answer.text().await.expect("text")
}

/// Switches the inspector on for so many minutes, or off.
async fn switch(crucible: &Crucible, secret: &str, minutes: u8) {
    let request = client()
        .post(crucible.at("/crucible/inspect"))
        .bearer_auth(secret)
        .json(&json!({ "minutes": minutes }));
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 200);
}

/// None of these texts is in a place, in any of its forms.
fn has_none_of(place: &str, text: &str, never: &[&str]) {
    for shown in never {
        for form in forms(shown) {
            assert!(!text.contains(&form), "{place}: {shown} in\n{text}");
        }
    }
}

#[tokio::test]
async fn an_inspector_that_was_on_leaves_no_prompt_and_never_has_a_key() {
    let engines = engines().await;
    let (_, out, _) = Crucible::command(&["key", "new"], "");
    let secret = out
        .split_whitespace()
        .find(|word| word.starts_with("crk-"))
        .expect("a secret");
    let mut toml = out[out.find("[[key]]").expect("a block")..].to_owned();
    for (sim, kind, model) in &engines {
        toml.push_str(&engine(model, kind, &sim.url()));
        toml.push_str("api_key_env = \"SECRET_OF_THE_TEST\"\n");
    }
    let crucible = Crucible::start_with(
        &format!("{toml}[log]\nlevel = \"trace\"\n"),
        &[],
        &[("SECRET_OF_THE_TEST", TOKEN)],
    );
    let get = async |path: &str| read_with(&crucible, secret, path).await;
    switch(&crucible, secret, 10).await;
    let mut kept = String::new();
    for (_, _, model) in &engines {
        talk(&crucible, secret, model).await;
        let list: InspectorDoc =
            serde_json::from_str(&get("/crucible/inspect").await).expect("a list");
        for row in &list.requests {
            kept.push_str(&get(&format!("/crucible/inspect/{}", row.request_id)).await);
        }
    }
    // It has what it is for, and no secret beside.
    assert!(kept.contains(PROMPT) && kept.contains(SYSTEM) && kept.contains("word0"));
    for never in [secret, TOKEN] {
        assert!(!kept.contains(never), "{never}");
    }
    let while_on = ["/crucible/state", "/metrics", "/crucible/tunings"];
    for path in while_on {
        let text = get(path).await;
        assert!(!text.contains(PROMPT) && !text.contains(SYSTEM), "{path}");
    }
    switch(&crucible, secret, 0).await;
    logged(&crucible, "the inspector is off").await;
    let state = crucible.config().with_file_name("state");
    let mut left = vec![
        ("the log", crucible.log()),
        ("the state folder", files(&state)),
    ];
    for path in [
        "/crucible/inspect",
        "/crucible/inspect/last",
        "/crucible/state",
        "/metrics",
    ] {
        left.push((path, get(path).await));
    }
    for (place, text) in left {
        has_none_of(place, &text, &[PROMPT, SYSTEM, TOKEN, secret, "word0"]);
    }
}
