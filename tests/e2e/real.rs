//! The real binary with a real model: llama.cpp's server and the small model of `crucible try`.
//!
//! `TEST_LLAMA_COMMAND` and `TEST_MODEL_PATH` name them; without these they are prepared as `try`
//! does. One thread, generous times: the machine may be busy.

use std::{
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use crucible_cli::embedded;
use crucible_tests::{
    Crucible,
    chat::{body, get, header, open, post, stream},
    clean::Metrics,
    engines::client,
    rest::eventually,
    sse::Stream,
    target::alone,
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// Command of the server, and the model's file.
pub(crate) type Engine = (Vec<String>, PathBuf);

static ENGINE: OnceCell<Engine> = OnceCell::const_new();

pub(crate) async fn engine() -> &'static Engine {
    ENGINE
        .get_or_init(|| async {
            let named = std::env::var("TEST_LLAMA_COMMAND")
                .ok()
                .zip(std::env::var_os("TEST_MODEL_PATH"));
            if let Some((command, model)) = named {
                let words = command.split_whitespace().map(str::to_owned).collect();
                return (words, model.into());
            }
            let plan = embedded::plan(None).await.expect("a plan");
            let ready = embedded::prepare(&plan, |_| {}).await.expect("the engine");
            (ready.command, ready.model_path)
        })
        .await
}

/// Crucible with the engine as its child; no other test has a real engine until it ends.
pub(super) async fn start() -> (Crucible, String) {
    let (command, model_path) = engine().await;
    let alone = alone().await;
    let crucible = Crucible::start(&format!(
        "[[engine]]\nname = \"local\"\nkind = \"llamacpp\"\nmanage = \"spawn\"\npermits = 1\n\
         command = {command:?}\nmodel_path = {:?}\n\
         [tuning.ollama]\nnum_threads = 1\n",
        model_path.display().to_string(),
    ));
    let model = model_path
        .file_stem()
        .expect("a file name")
        .to_string_lossy()
        .into_owned();
    (crucible.keeping(alone), model)
}

/// The address of the child, told by the state.
pub(super) async fn child_url(crucible: &Crucible) -> String {
    eventually("the child's address", || async {
        let state: Value = client()
            .get(crucible.at("/crucible/state"))
            .send()
            .await
            .ok()?
            .json()
            .await
            .ok()?;
        let url = state["engines"][0]["url"].as_str()?.to_owned();
        url.starts_with("http").then_some(url)
    })
    .await
}

/// Requests that the child works on, by its own metrics.
async fn processing(child: &str) -> Option<f64> {
    let text = client()
        .get(format!("{}/metrics", child.trim_end_matches('/')))
        .send()
        .await
        .ok()?
        .text()
        .await
        .ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("llamacpp:requests_processing "))?
        .trim()
        .parse()
        .ok()
}

fn children(pid: u32) -> Vec<u32> {
    let out = Command::new("ps")
        .args(["-o", "pid=", "--ppid", &pid.to_string()])
        .output()
        .expect("ps runs");
    String::from_utf8_lossy(&out.stdout)
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// Not there, or ended and only not yet waited for.
fn is_gone(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.is_empty() || status.contains("State:\tZ")
}

#[tokio::test]
async fn a_real_model_answers_streams_and_keeps_to_a_schema() {
    let (crucible, model) = start().await;
    let mut request = body(&model, "Say hello in five words.");
    request["max_tokens"] = 24.into();
    request["stream_options"] = json!({ "include_usage": true });
    let (headers, streamed) = stream(&crucible, &request).await;
    assert_eq!(header(&headers, "x-crucible-engine"), "local");
    assert!(header(&headers, "x-crucible-defaults").contains("temperature"));
    assert!(!streamed.content().trim().is_empty(), "{}", streamed.text);
    assert!(
        streamed.done && streamed.finish_reason().is_some(),
        "{}",
        streamed.text
    );
    let usage = &streamed.events.last().expect("events")["usage"];
    assert!(
        usage["completion_tokens"].as_u64() > Some(0),
        "{}",
        streamed.text
    );

    request
        .as_object_mut()
        .expect("an object")
        .remove("stream_options");
    let whole = post(&crucible, &request).await;
    assert_eq!(whole.status, 200, "{}", whole.text);
    assert!(!whole.content().trim().is_empty(), "{}", whole.text);

    request["response_format"] = json!({
        "type": "json_schema",
        "json_schema": { "name": "x", "schema": {
            "type": "object",
            "properties": { "ok": { "type": "boolean" } },
            "required": ["ok"],
        } },
    });
    // The grammar allows blank lines, of which a small model may write many before the value.
    request["max_tokens"] = 400.into();
    request["temperature"] = 0.into();
    let answer = post(&crucible, &request).await;
    let json: Value = serde_json::from_str(answer.content()).expect("JSON by the schema");
    assert!(json["ok"].is_boolean(), "{}", answer.text);
}

#[tokio::test]
async fn a_prompt_that_cannot_fit_is_told_with_both_numbers() {
    let (crucible, model) = start().await;
    let answer = post(&crucible, &body(&model, &"many words here ".repeat(20_000))).await;
    assert_eq!(
        (answer.status, answer.code()),
        (400, "context_length_exceeded"),
        "{}",
        answer.text
    );
    assert!(
        answer
            .message()
            .chars()
            .filter(char::is_ascii_digit)
            .count()
            > 6,
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn a_client_that_leaves_frees_the_real_engine() {
    let (crucible, model) = start().await;
    let mut request = body(&model, "Count from one to one thousand, slowly.");
    request["max_tokens"] = 2000.into();
    let mut response = open(&crucible, &request).await;
    response.chunk().await.expect("a chunk");
    let child = child_url(&crucible).await;
    assert_eq!(processing(&child).await, Some(1.0));
    drop(response);
    eventually("the engine is free", || async {
        (processing(&child).await == Some(0.0)).then_some(())
    })
    .await;
    request["max_tokens"] = 4.into();
    assert_eq!(post(&crucible, &request).await.status, 200);
}

#[tokio::test]
async fn an_engine_killed_in_its_answer_is_told_and_comes_back() {
    let (crucible, model) = start().await;
    let mut request = body(&model, "Count from one to one thousand, slowly.");
    request["max_tokens"] = 2000.into();
    let mut response = open(&crucible, &request).await;
    response.chunk().await.expect("a chunk");
    let before = children(crucible.pid());
    assert_eq!(before.len(), 1);
    assert!(
        Command::new("kill")
            .args(["-KILL", &before[0].to_string()])
            .status()
            .expect("kill runs")
            .success()
    );
    let rest = Stream::read(response).await;
    assert!(!rest.broken && !rest.done, "{}", rest.text);
    assert_eq!(
        rest.error().expect("an error")["code"],
        "engine_cut",
        "{}",
        rest.text
    );
    request["max_tokens"] = 4.into();
    let answer = eventually("it answers again", || async {
        let answer = post(&crucible, &request).await;
        (answer.status == 200).then_some(answer)
    })
    .await;
    assert_eq!(answer.header("x-crucible-engine"), "local");
    assert_ne!(children(crucible.pid()), before);
}

/// It was a 503, until a poll noticed that the child had ended.
#[tokio::test]
async fn an_engine_killed_while_it_was_idle_is_started_for_who_comes_first() {
    let (crucible, model) = start().await;
    let mut request = body(&model, "hi");
    request["max_tokens"] = 4.into();
    assert_eq!(post(&crucible, &request).await.status, 200);
    for _ in 0..20 {
        let before = children(crucible.pid());
        let pid = before[0].to_string();
        let killed = Command::new("kill").args(["-KILL", &pid]).status();
        assert!(killed.expect("kill runs").success());
        eventually("the child is gone", || async {
            is_gone(before[0]).then_some(())
        })
        .await;
        let began = Instant::now();
        let answer = post(&crucible, &request).await;
        // A busy machine hears of the end of the kept connection so late that the child may have begun.
        if answer.status == 502 && began.elapsed() >= Duration::from_millis(50) {
            eventually("it runs again", || async {
                (post(&crucible, &request).await.status == 200).then_some(())
            })
            .await;
            continue;
        }
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_ne!(children(crucible.pid()), before);
        return;
    }
    panic!("this machine is too busy to tell");
}

#[tokio::test]
async fn no_child_outlives_crucible() {
    for signal in ["TERM", "KILL"] {
        let (mut crucible, model) = start().await;
        let mut request = body(&model, "hi");
        request["max_tokens"] = 2.into();
        assert_eq!(post(&crucible, &request).await.status, 200);
        let children = children(crucible.pid());
        assert_eq!(children.len(), 1);
        crucible.signal(signal);
        let status = crucible.wait();
        assert_eq!(status.success(), signal == "TERM", "{status}");
        eventually("the child is gone", || async {
            children.iter().all(|pid| is_gone(*pid)).then_some(())
        })
        .await;
    }
}

/// An answer of exactly `tokens` tokens: a schema keeps a small model from ending earlier.
pub(super) fn long(model: &str, tokens: u64) -> Value {
    let mut request = body(model, "Tell a story about the sea.");
    request["max_tokens"] = tokens.into();
    request["stream_options"] = json!({ "include_usage": true });
    request["response_format"] = json!({ "type": "json_schema", "json_schema": {
        "name": "story", "schema": {
            "type": "array", "items": { "enum": ["far out in the ocean, where the water is blue"] },
            "minItems": 1000, "maxItems": 1001,
        },
    } });
    request
}

/// The answer came to its last token.
pub(super) fn whole(answer: &Stream, tokens: u64) {
    assert!(
        answer.done && !answer.broken && answer.error().is_none(),
        "{}",
        answer.text
    );
    assert_eq!(answer.finish_reason(), Some("length"), "{}", answer.text);
    let usage = &answer.events.last().expect("events")["usage"];
    assert_eq!(usage["completion_tokens"], tokens, "{}", answer.text);
}

/// Starts a server and ends with it; writes a line before its start and one after its end. A
/// SIGTERM is passed on.
#[cfg(unix)]
const WITNESS: &str = r#"
log=$1 name=$2
shift 2
echo "start $name $*" >> "$log"
"$@" <&0 &
trap 'kill -TERM $!' TERM
wait $!
wait $!
echo "end $name" >> "$log"
"#;

/// Asks a model several times, one after the other. While each answer runs, its server is asked
/// for the context in effect; each answer must come whole.
#[cfg(unix)]
async fn ask_in_turn(crucible: &Crucible, model: &str, context: u64) {
    for tokens in [20, 30, 40] {
        let mut response = open(crucible, &long(model, tokens)).await;
        let status = response.status();
        assert_eq!(status, 200, "{model}: {:?}", response.headers());
        assert_eq!(header(response.headers(), "x-crucible-model"), model);
        let first = response.chunk().await.expect("a chunk").expect("a chunk");
        let state = get(crucible, "/crucible/state").await.json;
        let engines = state["engines"].as_array().expect("a list");
        let own = engines.iter().find(|e| e["name"] == model);
        let url = own.and_then(|e| e["url"].as_str()).expect("its address");
        let props = client().get(format!("{}/props", url.trim_end_matches('/')));
        let props: Value = props
            .send()
            .await
            .expect("it lives")
            .json()
            .await
            .expect("JSON");
        assert_eq!(
            props["default_generation_settings"]["n_ctx"], context,
            "{props}"
        );
        let rest = Stream::read(response).await;
        let text = format!("{}{}", String::from_utf8_lossy(&first), rest.text);
        assert!(!rest.broken, "{text}");
        whole(&Stream::parse(&text), tokens);
    }
}

/// Two llama.cpp servers whose models fit the pool's budget one at a time: the swap starts one only
/// after the other has ended, which their own lines in one file prove, and no answer is cut for it.
#[cfg(unix)]
#[tokio::test]
async fn two_real_models_take_turns_in_room_for_one() {
    let (command, model_path) = engine().await;
    let _alone = alone().await;
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("servers");
    let mut toml = String::from(
        "[pool.cpu]\nbudget = \"180MB\"\n[tuning.ollama]\nnum_threads = 1\n[context]\nfit = \"reject\"\n",
    );
    let models = [("one", 1024), ("two", 2048)];
    for (name, context) in models {
        let path = folder.path().join(format!("{name}.gguf"));
        std::os::unix::fs::symlink(model_path, &path).expect("a link");
        let log = log.display().to_string();
        let mut witnessed = ["sh", "-c", WITNESS, "witness", &log, name]
            .map(str::to_owned)
            .to_vec();
        witnessed.extend_from_slice(command);
        let own = format!(
            "[[engine]]\nname = \"{name}\"\nkind = \"llamacpp\"\nmanage = \"spawn\"\n\
             permits = 1\npool = \"cpu\"\ncommand = {witnessed:?}\nmodel_path = {:?}\n\
             [[model]]\nname = \"{name}\"\ncontext = {context}\n",
            path.display().to_string(),
        );
        toml.push_str(&own);
    }
    let mut crucible = Crucible::start(&toml);
    let turns = |(name, context)| ask_in_turn(&crucible, name, context);
    tokio::join!(
        turns(models[0]),
        turns(models[1]),
        turns(models[0]),
        turns(models[1])
    );

    let lines = std::fs::read_to_string(&log).expect("their lines");
    let lines: Vec<Vec<&str>> = lines.lines().map(|l| l.split(' ').collect()).collect();
    for pair in lines.chunks(2) {
        let (start, end) = (&pair[0], pair.get(1));
        assert_eq!(start[0], "start", "two at once: {lines:?}");
        let context = models.iter().find(|(name, _)| *name == start[1]);
        let context = context.expect("a model").1.to_string();
        assert!(start.windows(2).any(|w| w == ["-c", &context]), "{start:?}");
        // Only the last one still runs.
        let ended = end.is_some_and(|end| *end == ["end", start[1]]);
        assert!(ended || end.is_none(), "two at once: {lines:?}");
    }
    let starts = lines.iter().filter(|line| line[0] == "start");
    let starts: Vec<&str> = starts.map(|line| line[1]).collect();
    assert!(
        starts.contains(&"one") && starts.contains(&"two"),
        "{starts:?}"
    );
    // A turn serves all who wait for its model: not one load per request.
    assert!(starts.len() <= 7, "{starts:?}");
    // What was started is what Crucible says that it loaded and evicted.
    let metrics = Metrics::of(&crucible).await;
    let sum = |name| metrics.sum(name, &[]);
    let told = (
        sum("crucible_model_loads_total"),
        sum("crucible_model_evictions_total"),
    );
    let starts = f64::from(u32::try_from(starts.len()).expect("a number"));
    assert_eq!(told, (starts, starts - 1.0));
    // The wrapper would outlive a Crucible that is killed, and its server with it.
    crucible.signal("TERM");
    assert!(crucible.wait().success(), "{}", crucible.log());
}
