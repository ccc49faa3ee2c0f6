//! Models that are copied, made, pulled and deleted over the API. Ollama 0.33.0-rc2, server/routes.go `CopyHandler`,
//! `DeleteHandler`, `PullHandler`, server/create.go `CreateHandler`.
//!
//! A model can come only under a name that the simulator was started with and that was deleted since.

use serde_json::{Value, json};

use crate::http::{self, Call, Reply};
use crate::ollama::catalog::{find, full_name};
use crate::ollama::errors::native;
use crate::sim::Core;

fn named<'a>(call: &'a Call, keys: &[&str]) -> &'a str {
    let values = keys.iter().filter_map(|key| call.get(key));
    let mut names = values.filter_map(Value::as_str);
    names.find(|name| !name.is_empty()).unwrap_or_default()
}

/// Lets a deleted model be there again; false where there never was one.
fn comes(core: &Core, name: &str) -> bool {
    let wanted = full_name(name);
    let mut models = core.options.models.iter();
    let found = models.find(|model| full_name(&model.name).eq_ignore_ascii_case(&wanted));
    if let Some(model) = found {
        core.deleted.remove(&model.name);
    }
    found.is_some()
}

/// 200 with an empty body.
pub(crate) fn copy(core: &Core, call: &Call) -> Reply {
    let source = named(call, &["source"]);
    if find(core, source).is_none() {
        return native(404, &format!("model {source:?} not found"));
    }
    if comes(core, named(call, &["destination"])) {
        http::text(200, "")
    } else {
        native(500, "the simulator has no model of that name")
    }
}

pub(crate) fn create(core: &Core, call: &Call) -> Reply {
    if find(core, named(call, &["from"])).is_none() {
        return native(404, "pull model manifest: file does not exist");
    }
    if !comes(core, named(call, &["model", "name"])) {
        return native(400, "invalid model name");
    }
    progress(
        call,
        &[
            "using existing layer sha256:1",
            "writing manifest",
            "success",
        ],
    )
}

pub(crate) fn pull(core: &Core, call: &Call) -> Reply {
    if comes(core, named(call, &["model", "name"])) {
        return progress(
            call,
            &[
                "pulling manifest",
                "pulling 1",
                "verifying sha256 digest",
                "success",
            ],
        );
    }
    let error = json!({"error": "pull model manifest: file does not exist"});
    if call.get("stream") == Some(&Value::Bool(false)) {
        return http::json(500, &error);
    }
    // The stream has begun.
    lines(&[json!({"status": "pulling manifest"}), error])
}

/// 200 with an empty body.
pub(crate) fn delete(core: &Core, call: &Call) -> Reply {
    let name = named(call, &["model", "name"]);
    match find(core, name) {
        Some(model) => {
            core.deleted.add(&model.name);
            http::text(200, "")
        }
        None => native(404, &format!("model '{name}' not found")),
    }
}

/// The lines of a job, or its last one where no stream is wanted.
fn progress(call: &Call, statuses: &[&str]) -> Reply {
    let all: Vec<Value> = statuses
        .iter()
        .map(|status| json!({"status": status}))
        .collect();
    match all.last() {
        Some(last) if call.get("stream") == Some(&Value::Bool(false)) => http::json(200, last),
        _ => lines(&all),
    }
}

fn lines(all: &[Value]) -> Reply {
    let mut text = String::new();
    for line in all {
        text.push_str(&line.to_string());
        text.push('\n');
    }
    http::full(200, "application/x-ndjson", text)
}
