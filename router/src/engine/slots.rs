//! The readings of a llama.cpp server's slots from its `GET /slots` (b11549): the number of requests
//! that it processes, and the part of their prompts that it had in its cache.
//!
//! Ollama (0.30 and newer) runs one such server per model, whose port stands in its command line.
//! The server reports these numbers, Ollama itself does not.

use std::{path::PathBuf, time::Duration};

use futures_util::{StreamExt as _, future::join_all, stream::FuturesUnordered};
use serde_json::Value;
use tokio::{task::spawn_blocking, time::timeout};
use url::Url;

use super::{
    EngineError,
    http::{EngineEndpoint, flag},
};
use crate::{
    machine::{local::local_port, ollama_process},
    transport::EngineAddress,
};

/// The time that the other runners of an Ollama have for their slots once one of them has shown a prompt.
const OTHERS: Duration = Duration::from_secs(1);

/// `None` where it does not tell: `--no-slots` answers 501, older ones 404, and one that is busy
/// with a long prompt answers late.
pub(super) async fn processing(endpoint: &EngineEndpoint, model: &str) -> Option<u32> {
    count(&slots_of(endpoint, model).await?)
}

/// Reads the prompts that a server reads at this moment; `None` where it does not tell.
pub(super) async fn prompts(endpoint: &EngineEndpoint, model: &str) -> Option<Vec<SlotPrompt>> {
    Some(unread(&slots_of(endpoint, model).await?))
}

async fn slots_of(endpoint: &EngineEndpoint, model: &str) -> Option<Value> {
    let told = match endpoint.get("/slots").await {
        // A server with several models wants the name of one, and would load it.
        Err(EngineError::Refused { status: 400, .. }) => {
            let query = [("model", model), ("autoload", "false")];
            endpoint.get_with("/slots", &query).await
        }
        told => told,
    };
    told.ok()
}

/// Counts the requests of all runners of the Ollama at an address of this machine; `None` where one
/// of them does not report its slots. `root` is the root of the file system: `/`, or another one in
/// tests.
pub(super) async fn of_runners(root: PathBuf, endpoint: &EngineEndpoint) -> Option<u32> {
    let port = local_port(endpoint.address().url().as_str()).ok()?;
    let found = spawn_blocking(move || ollama_process::find(&root, port)).await;
    let ports = found
        .ok()?
        .ok()?
        .runners
        .into_iter()
        .map(|runner| runner_address(runner.value(&["--port"])?.parse().ok()?));
    // One that hides its port may be at work.
    let bases = ports.collect::<Option<Vec<EngineAddress>>>()?;
    if bases.is_empty() {
        return None;
    }
    let asked = bases.into_iter().map(|base| async {
        let answer = endpoint.elsewhere(base).get("/slots").await;
        count(&answer.ok()?)
    });
    join_all(asked).await.into_iter().sum()
}

/// The prompt of one request in a slot, as far as its server says: exact once the first token of the
/// answer was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotReading {
    /// The tokens of the prompt that were read for this request.
    pub read: u64,
    /// The tokens of the prompt that were in the slot's cache already.
    pub cached: u64,
}

/// A prompt that a slot reads at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotPrompt {
    /// The number of the server's task, which rises with each request.
    pub task: u64,
    /// The tokens of the prompt up to the end of the batch that is being read. The whole prompt is as long
    /// or longer, which a slot does not show.
    pub begun: u64,
    /// The tokens of the prompt that were in the slot's cache already.
    pub cached: u64,
    /// The tokens of the prompt that were read for this request; they grow by the batch.
    pub read: u64,
}

/// Reads the slots of the runners at these ports of this machine that have begun to answer; `None` where
/// one of the runners does not answer.
pub(super) async fn readings(ports: &[u16], endpoint: &EngineEndpoint) -> Option<Vec<SlotReading>> {
    let answers = join_all(asked(ports, endpoint)).await;
    let answers: Option<Vec<Value>> = answers.into_iter().collect();
    Some(answers?.iter().flat_map(begun).collect())
}

/// Reads the prompts that the runners at these ports of this machine read at this moment; what does not
/// answer reads none. Once one of them has shown a prompt, the others have [`OTHERS`] yet, since one that
/// hangs must not hide what the rest does. Each runner counts its tasks by itself.
pub(super) async fn prompts_of_runners(
    ports: &[u16],
    endpoint: &EngineEndpoint,
) -> Vec<SlotPrompt> {
    let mut asked: FuturesUnordered<_> = asked(ports, endpoint).collect();
    let mut prompts = Vec::new();
    while prompts.is_empty()
        && let Some(slots) = asked.next().await
    {
        prompts.extend(slots.iter().flat_map(unread));
    }
    let others = async {
        while let Some(slots) = asked.next().await {
            prompts.extend(slots.iter().flat_map(unread));
        }
    };
    // What came until then is in the list.
    let _ = timeout(OTHERS, others).await;
    prompts
}

/// Asks each of the runners at these ports for its slots.
fn asked<'a>(
    ports: &'a [u16],
    endpoint: &'a EngineEndpoint,
) -> impl Iterator<Item = impl Future<Output = Option<Value>> + 'a> {
    ports.iter().map(move |port| async move {
        let runner = endpoint.elsewhere(runner_address(*port)?);
        runner.get("/slots").await.ok()
    })
}

/// The ports of the runners of the Ollama at an address of this machine; empty where they cannot be
/// told.
pub(super) async fn runner_ports(root: PathBuf, endpoint: &EngineEndpoint) -> Vec<u16> {
    let Ok(port) = local_port(endpoint.address().url().as_str()) else {
        return Vec::new();
    };
    let found = spawn_blocking(move || ollama_process::find(&root, port)).await;
    let Ok(Ok(process)) = found else {
        return Vec::new();
    };
    let runners = process.runners.iter().filter(|runner| !runner.embeds());
    let ports = runners.filter_map(|runner| runner.value(&["--port"])?.parse().ok());
    ports.collect()
}

fn runner_address(port: u16) -> Option<EngineAddress> {
    let url = Url::parse(&format!("http://127.0.0.1:{port}")).ok()?;
    EngineAddress::new(url, None).ok()
}

/// The slots that are answering: their counts are reset as soon as an answer ends (b11434).
fn begun(slots: &Value) -> Vec<SlotReading> {
    let reading = |slot: &Value| {
        let decoded = slot["next_token"][0]["n_decoded"].as_u64()?;
        let begun = flag(slot, "is_processing")? && decoded > 0;
        begun.then_some(SlotReading {
            read: slot["n_prompt_tokens_processed"].as_u64()?,
            cached: slot["n_prompt_tokens_cache"].as_u64()?,
        })
    };
    let slots = slots.as_array().map(Vec::as_slice).unwrap_or_default();
    slots.iter().filter_map(reading).collect()
}

/// The slots that have a prompt of which no token was answered yet.
fn unread(slots: &Value) -> Vec<SlotPrompt> {
    let prompt = |slot: &Value| {
        let decoded = slot["next_token"][0]["n_decoded"].as_u64().unwrap_or(0);
        let unread = flag(slot, "is_processing")? && decoded == 0;
        unread.then_some(SlotPrompt {
            task: slot["id_task"].as_u64()?,
            begun: slot["n_prompt_tokens"].as_u64()?,
            cached: slot["n_prompt_tokens_cache"].as_u64()?,
            read: slot["n_prompt_tokens_processed"].as_u64()?,
        })
    };
    let slots = slots.as_array().map(Vec::as_slice).unwrap_or_default();
    slots.iter().filter_map(prompt).collect()
}

fn count(slots: &Value) -> Option<u32> {
    let slots = slots.as_array().filter(|slots| !slots.is_empty())?;
    slots
        .iter()
        .map(|slot| flag(slot, "is_processing").map(u32::from))
        .sum()
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use axum::{Json, Router, http::StatusCode, routing::get};
    use serde_json::json;

    use super::*;
    use crate::engine::testing::Fake;

    /// The answer of a real server with two slots (xllamacpp 2026.10.11549), one of them at work.
    const REAL: &str = include_str!("testdata/slots_b11549.json");

    fn slots(status: StatusCode, body: Value) -> Router {
        Router::new().route("/slots", get(move || async move { (status, Json(body)) }))
    }

    #[tokio::test]
    async fn the_slots_at_work_are_counted_and_what_does_not_tell_is_none() {
        let real: Value = serde_json::from_str(REAL).unwrap();
        let closed = json!({"error": {"code": 501, "type": "not_supported_error",
            "message": "This server does not support slots endpoint. Start it with `--slots`"}});
        for (status, body, processing) in [
            (200, real, Some(1)),
            (200, json!([{"id": 0, "is_processing": false}]), Some(0)),
            (501, closed, None),
            (404, json!({"error": {"message": "File Not Found"}}), None),
            (200, json!([]), None),
            // Builds of 2024.
            (200, json!([{"id": 0, "state": 0}]), None),
            (200, json!("Unexpected endpoint"), None),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let fake = Fake::start(slots(status, body.clone())).await;
            let told = super::processing(&fake.endpoint(), "a model").await;
            assert_eq!(told, processing, "{body}");
        }
    }

    #[tokio::test]
    async fn a_server_of_several_models_is_asked_about_one_and_loads_none() {
        let ask = |uri: http::Uri| async move {
            let Some(query) = uri.query() else {
                let error = json!({"error": {"message": "model name is missing"}});
                return (StatusCode::BAD_REQUEST, Json(error));
            };
            let busy = query == "model=a+b&autoload=false";
            (StatusCode::OK, Json(json!([{ "is_processing": busy }])))
        };
        let fake = Fake::start(Router::new().route("/slots", get(ask))).await;
        assert_eq!(processing(&fake.endpoint(), "a b").await, Some(1));
    }

    fn process(root: &Path, pid: u32, parent: u32, words: &[&str]) {
        let folder = root.join(format!("proc/{pid}"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("comm"), words[0]).unwrap();
        fs::write(folder.join("cmdline"), format!("{}\0", words.join("\0"))).unwrap();
        fs::write(folder.join("status"), format!("PPid:\t{parent}\n")).unwrap();
    }

    #[tokio::test]
    async fn the_runners_of_an_ollama_on_this_machine_are_asked() {
        let busy = Fake::start(slots(StatusCode::OK, json!([{"is_processing": true}]))).await;
        let idle = Fake::start(slots(StatusCode::OK, json!([{"is_processing": false}]))).await;
        let mute = Fake::start(slots(StatusCode::NOT_FOUND, json!({}))).await;
        let port = |fake: &Fake| fake.url.port().unwrap().to_string();
        let (busy, idle, mute) = (port(&busy), port(&idle), port(&mute));
        // Ollama itself is asked nothing.
        let ollama = Fake::start(Router::new()).await;
        for (runners, processing) in [
            (vec![], None),
            (vec![&idle], Some(0)),
            (vec![&idle, &busy], Some(1)),
            (vec![&busy, &busy], Some(2)),
            (vec![&idle, &mute], None),
            (vec![&idle, &String::new()], None),
        ] {
            let root = tempfile::tempdir().unwrap();
            process(root.path(), 9, 1, &["ollama", "serve"]);
            for (pid, port) in (12..).zip(&runners) {
                let line = ["llama-server", "--model", "/m", "--port", port];
                let line = if port.is_empty() { &line[..3] } else { &line };
                process(root.path(), pid, 9, line);
            }
            let told = of_runners(root.path().to_owned(), &ollama.endpoint()).await;
            assert_eq!(told, processing, "{runners:?}");
        }
    }

    #[test]
    fn slots_that_answer_are_read_and_no_others() {
        let slot = |processing: bool, decoded: u64| {
            json!({"is_processing": processing, "n_prompt_tokens": 31, "n_prompt_tokens_processed": 20,
                "n_prompt_tokens_cache": 10, "next_token": [{"n_decoded": decoded}]})
        };
        let reading = SlotReading {
            read: 20,
            cached: 10,
        };
        // One reads its prompt yet, one is done, one is older than these counts.
        let old = json!({"is_processing": true});
        let slots = json!([slot(true, 1), slot(true, 0), slot(false, 3), old]);
        assert_eq!(begun(&slots), [reading]);
        assert_eq!(begun(&json!({"error": "no slots"})), []);
    }

    #[test]
    fn a_prompt_is_unread_until_its_first_token() {
        let slot = |processing: bool, decoded: u64| {
            json!({"is_processing": processing, "id_task": 7, "n_prompt_tokens": 1031,
                "n_prompt_tokens_processed": 512, "n_prompt_tokens_cache": 10,
                "next_token": [{"n_decoded": decoded}]})
        };
        let prompt = SlotPrompt {
            task: 7,
            begun: 1031,
            cached: 10,
            read: 512,
        };
        let old = json!({"is_processing": true});
        let slots = json!([slot(true, 0), slot(true, 1), slot(false, 0), old]);
        assert_eq!(unread(&slots), [prompt]);
        assert_eq!(unread(&json!({"error": "no slots"})), []);
    }

    #[tokio::test]
    async fn a_runner_that_hangs_hides_no_prompt_of_another() {
        let busy = json!([{"is_processing": true, "id_task": 7, "n_prompt_tokens": 1031,
            "n_prompt_tokens_processed": 512, "n_prompt_tokens_cache": 10}]);
        let reading = Fake::start(slots(StatusCode::OK, busy)).await;
        let idle = Fake::start(slots(StatusCode::OK, json!([{"is_processing": false}]))).await;
        let hangs = std::future::pending::<Json<Value>>;
        let hung = Fake::start(Router::new().route("/slots", get(hangs))).await;
        let ports = [&hung, &idle, &reading].map(|fake| fake.url.port().unwrap());
        let ollama = Fake::start(Router::new()).await;
        let shown = prompts_of_runners(&ports, &ollama.endpoint()).await;
        let tasks: Vec<u64> = shown.iter().map(|prompt| prompt.task).collect();
        assert_eq!(tasks, [7]);
    }

    #[tokio::test]
    async fn the_ports_of_runners_are_those_of_their_command_lines() {
        let ollama = Fake::start(Router::new()).await;
        let root = tempfile::tempdir().unwrap();
        process(root.path(), 9, 1, &["ollama", "serve"]);
        process(root.path(), 12, 9, &["llama-server", "--port", "7001"]);
        process(
            root.path(),
            13,
            9,
            &["llama-server", "--embedding", "--port", "7002"],
        );
        process(root.path(), 14, 8, &["llama-server", "--port", "7003"]);
        let ports = runner_ports(root.path().to_owned(), &ollama.endpoint()).await;
        assert_eq!(ports, [7001]);
    }

    #[tokio::test]
    async fn an_ollama_elsewhere_has_no_processes_here() {
        let root = tempfile::tempdir().unwrap();
        process(root.path(), 9, 1, &["ollama", "serve"]);
        let url = Url::parse("http://192.0.2.1:11434").unwrap();
        let client = crate::engine::client(Duration::from_secs(1));
        let url = EngineAddress::new(url, None).unwrap();
        let told = of_runners(
            root.path().to_owned(),
            &EngineEndpoint::new(client, url, None),
        )
        .await;
        assert_eq!(told, None);
    }
}
