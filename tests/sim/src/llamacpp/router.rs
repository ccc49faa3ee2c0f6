//! llama-server's router mode (b11434, `tools/server/server-models.cpp`, seen on a real one): started
//! without a model, it lists files and runs one process for each model that is asked for.
//!
//! Its folder is read at its start and with `GET /models?reload=1`. A load takes a model's name and nothing else, and returns before the model is ready. Beyond
//! `--models-max` the one that was used longest ago is unloaded, whatever it does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{error, slot_context};
use crate::http::{self, Call, Reply};
use crate::loading;
use crate::log::LoadOutcome;
use crate::model_spec::ModelSpec;
use crate::sim::Core;

/// The processes of the models.
#[derive(Debug)]
pub(crate) struct Router {
    runs: Mutex<BTreeMap<String, Run>>,
    changed: watch::Sender<u64>,
    /// The models that its folder had when it was read last.
    read: Mutex<BTreeSet<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Unloaded,
    Loading,
    Loaded,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    status: Status,
    /// Its process ended by itself.
    failed: bool,
    /// Counts up with each process.
    number: u64,
    /// When it was asked last, as a count.
    used: u64,
}

// === impl Router ===

impl Router {
    /// It has read the files of these models.
    pub(crate) fn new(models: &[ModelSpec]) -> Self {
        let names = models.iter().map(|model| model.name.clone());
        Self {
            runs: Mutex::default(),
            changed: watch::Sender::new(0),
            read: Mutex::new(names.collect()),
        }
    }

    fn has(&self, model: &str) -> bool {
        let read = self.read.lock();
        read.contains(model)
    }

    /// `?reload=1`: what runs and has no file any more is unloaded.
    fn reread(&self, core: &Core) {
        let now: BTreeSet<String> = core.available().map(|m| m.name.clone()).collect();
        let gone: Vec<String> = self
            .runs()
            .keys()
            .filter(|m| !now.contains(*m))
            .cloned()
            .collect();
        for model in gone {
            self.stop(core, &model, "reload");
        }
        *self.read.lock() = now;
    }

    /// A model of the list.
    pub(crate) fn find<'a>(&self, core: &'a Core, name: &str) -> Option<&'a ModelSpec> {
        let mut models = core.options.models.iter();
        models.find(|model| model.name == name && self.has(name))
    }

    fn runs(&self) -> MutexGuard<'_, BTreeMap<String, Run>> {
        self.runs.lock()
    }

    fn run(&self, model: &str) -> Run {
        let runs = self.runs();
        runs.get(model).copied().unwrap_or(Run {
            status: Status::Unloaded,
            failed: false,
            number: 0,
            used: 0,
        })
    }

    fn set(&self, model: &str, run: Run) {
        self.runs().insert(model.to_owned(), run);
        self.changed.send_modify(|n| *n += 1);
    }

    pub(crate) fn is_running(&self, model: &str) -> bool {
        self.run(model).status != Status::Unloaded
    }

    /// False: it does not run.
    pub(crate) fn stop(&self, core: &Core, model: &str, cause: &str) -> bool {
        let run = self.run(model);
        if run.status == Status::Unloaded {
            return false;
        }
        core.log.unload(model, cause, 0);
        let stopped = Run {
            status: Status::Unloaded,
            failed: false,
            ..run
        };
        self.set(model, stopped);
        true
    }

    /// All processes end.
    pub(crate) fn crash(&self, core: &Core) {
        let all: Vec<String> = self.runs().keys().cloned().collect();
        for model in all {
            self.stop(core, &model, "crash");
        }
    }

    /// Starts a process, and makes room for it.
    fn start(&self, core: &Arc<Core>, call: &Call, model: &ModelSpec, asked: bool) {
        self.make_room(core);
        let number = self.run(&model.name).number + 1;
        let loading = Run {
            status: Status::Loading,
            failed: false,
            number,
            used: call.seq,
        };
        self.set(&model.name, loading);
        let tuple = json!({"ctx-size": core.options.context, "parallel": core.options.parallel});
        let mark = core
            .log
            .load_begins(call.seq, &model.name, &model.name, tuple, asked);
        let (owner, name) = (Arc::clone(core), model.name.clone());
        let (seq, path) = (call.seq, call.path.clone());
        core.tracker.spawn(async move {
            let stop = owner.stop.clone();
            let ended = loading::take_time(&owner, seq, &path);
            let Some(ended) = stop.run_until_cancelled(ended).await else {
                return;
            };
            let (outcome, status) = match ended {
                Ok(_) => (LoadOutcome::Loaded, Status::Loaded),
                Err(_) => (LoadOutcome::Failed, Status::Unloaded),
            };
            if let super::Engine::Llama(server) = &owner.engine {
                owner.log.load_ends(mark, outcome);
                server.router().started(&name, number, status);
            }
        });
    }

    /// Stops the processes that were used longest ago until one more has room.
    fn make_room(&self, core: &Core) {
        let most = core.options.router.unwrap_or_default();
        let mut held: Vec<(u64, String)> = self
            .runs()
            .iter()
            .filter(|(_, run)| run.status != Status::Unloaded)
            .map(|(name, run)| (run.used, name.clone()))
            .collect();
        held.sort();
        if most > 0 && held.len() >= most {
            let gone = held.len() + 1 - most;
            for (_, name) in held.into_iter().take(gone) {
                self.stop(core, &name, "evicted");
            }
        }
    }

    /// Notes how the start of a process ended, unless it was stopped or started again meanwhile.
    fn started(&self, name: &str, number: u64, status: Status) {
        let run = self.run(name);
        if run.number == number && run.status == Status::Loading {
            let failed = status != Status::Loaded;
            self.set(
                name,
                Run {
                    status,
                    failed,
                    ..run
                },
            );
        }
    }

    /// A request for an answer: loads what does not run, and waits for what loads.
    pub(crate) async fn ready(
        &self,
        core: &Arc<Core>,
        call: &Call,
        model: &ModelSpec,
    ) -> Result<(), Reply> {
        let mut changed = self.changed.subscribe();
        if !self.is_running(&model.name) {
            if !autoloads(call) {
                return Err(invalid("model is not loaded"));
            }
            self.start(core, call, model, true);
        }
        loop {
            let run = self.run(&model.name);
            match run.status {
                Status::Loaded => {
                    let used = call.seq;
                    self.set(&model.name, Run { used, ..run });
                    return Ok(());
                }
                Status::Unloaded => {
                    let text = format!("model name={} failed to load", model.name);
                    return Err(error(500, "server_error", &text));
                }
                Status::Loading => {}
            }
            if changed.changed().await.is_err() {
                return Err(error(500, "server_error", "the server is stopping"));
            }
        }
    }
}

fn invalid(message: &str) -> Reply {
    error(400, "invalid_request_error", message)
}

/// `?autoload=false`.
fn autoloads(call: &Call) -> bool {
    match parameter(call, "autoload").as_deref() {
        None | Some("") => true,
        Some(word) => matches!(word, "true" | "1"),
    }
}

fn parameter(call: &Call, name: &str) -> Option<String> {
    let query = call.query.as_deref()?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    Some(
        value
            .replace('+', " ")
            .replace("%3A", ":")
            .replace("%2F", "/"),
    )
}

/// The model that a body names; `None` where it is no JSON.
fn named(call: &Call) -> Option<&str> {
    call.json.as_ref()?;
    Some(
        call.get("model")
            .and_then(Value::as_str)
            .unwrap_or_default(),
    )
}

fn no_json() -> Reply {
    invalid("[json.exception.parse_error.101] parse error")
}

/// What router mode answers itself; `None` goes on to a process.
pub(crate) async fn handle(core: &Arc<Core>, router: &Router, call: &Call) -> Option<Reply> {
    Some(match (call.method.as_str(), call.path.as_str()) {
        ("GET", "/models" | "/v1/models") => {
            if parameter(call, "reload").is_some_and(|word| !word.is_empty()) {
                router.reread(core);
            }
            list(core, router)
        }
        ("GET", "/props" | "/slots") => return of_a_process(core, router, call).await,
        ("POST", "/models/load") => match named(call) {
            Some(name) => load(core, router, call, name),
            None => no_json(),
        },
        ("POST", "/models/unload") => match named(call) {
            Some(name) if router.find(core, name).is_none() => invalid("model is not found"),
            Some(name) if router.stop(core, name, "request") => success(),
            Some(_) => invalid("model is not running"),
            None => no_json(),
        },
        _ => return None,
    })
}

fn success() -> Reply {
    http::json(200, &json!({"success": true}))
}

fn load(core: &Arc<Core>, router: &Router, call: &Call, name: &str) -> Reply {
    let Some(model) = router.find(core, name) else {
        // Its 404s have one text.
        return error(404, "not_found_error", "File Not Found");
    };
    if router.is_running(name) {
        return invalid("model is already running");
    }
    let model = model.clone();
    router.start(core, call, &model, false);
    success()
}

/// `/props` and `/slots` want the name of a model, but for the server's own props.
async fn of_a_process(core: &Arc<Core>, router: &Router, call: &Call) -> Option<Reply> {
    let name = parameter(call, "model").unwrap_or_default();
    if name.is_empty() && call.path == "/props" {
        return Some(http::json(
            200,
            &json!({
                "role": "router", "max_instances": core.options.router, "models_autoload": true,
                "model_alias": "llama-server", "model_path": "none",
                "default_generation_settings": {"params": null, "n_ctx": 0},
                "build_info": core.options.version,
            }),
        ));
    }
    if name.is_empty() {
        return Some(invalid("model name is missing from the request"));
    }
    let Some(model) = router.find(core, &name).cloned() else {
        return Some(invalid(&format!("model '{name}' not found")));
    };
    router.ready(core, call, &model).await.err()
}

fn list(core: &Core, router: &Router) -> Reply {
    let context = slot_context(&core.options);
    let entry = |model: &ModelSpec| {
        let run = router.run(&model.name);
        let value = match run.status {
            Status::Unloaded => "unloaded",
            Status::Loading => "loading",
            Status::Loaded => "loaded",
        };
        let port = if run.number == 0 {
            0
        } else {
            50_000 + run.number
        };
        let mut entry = json!({
            "id": model.name, "aliases": [], "tags": [], "object": "model", "owned_by": "llamacpp",
            "created": 1_750_000_000,
            "status": {"value": value, "args": [
                "/usr/bin/llama-server", "--host", "127.0.0.1", "--port", port.to_string(),
                "--alias", model.name, "--ctx-size", core.options.context.to_string(),
                "--model", format!("/models/{}.gguf", model.name),
                "--parallel", core.options.parallel.to_string(),
            ]},
            "architecture": {
                "input_modalities": if model.sees() { json!(["text", "image"]) } else { json!(["text"]) },
                "output_modalities": ["text"],
            },
            "source": "models_dir", "can_remove": false,
        });
        if run.failed {
            entry["status"]["exit_code"] = json!(1);
            entry["status"]["failed"] = json!(true);
        }
        if run.status == Status::Loaded {
            entry["meta"] = json!({
                "n_ctx": context, "n_ctx_train": model.max_context, "size": model.bytes,
            });
        }
        entry
    };
    let models = core.options.models.iter();
    let data: Vec<Value> = models.filter(|m| router.has(&m.name)).map(entry).collect();
    http::json(200, &json!({"data": data, "object": "list"}))
}
