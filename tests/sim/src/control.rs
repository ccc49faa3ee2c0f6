//! `/sim/...`: how a test in another process reads the log, arms faults and writes conversations.

use serde_json::json;

use crate::conversation::Conversation;
use crate::faults::Fault;
use crate::http::{self, Call, Reply};
use crate::sim::Core;

pub(crate) fn handle(core: &Core, call: &Call) -> Reply {
    match (call.method.as_str(), call.path.as_str()) {
        ("GET", "/sim/log") => match serde_json::to_value(core.log.view()) {
            Ok(log) => http::json(200, &log),
            Err(error) => http::json(500, &json!({"error": error.to_string()})),
        },
        ("POST", "/sim/fault") => match serde_json::from_slice::<Fault>(&call.body) {
            Ok(fault) => {
                core.faults.arm(fault.clone());
                http::json(200, &json!({"armed": fault}))
            }
            Err(error) => http::json(400, &json!({"error": error.to_string()})),
        },
        ("POST", "/sim/reset") => {
            core.reset();
            http::json(200, &json!({"reset": true}))
        }
        ("POST", "/sim/converse") => {
            match serde_json::from_slice::<Vec<Conversation>>(&call.body) {
                Ok(conversations) => {
                    let count = conversations.len();
                    core.conversations.set(conversations);
                    http::json(200, &json!({"conversations": count}))
                }
                Err(error) => http::json(400, &json!({"error": error.to_string()})),
            }
        }
        ("POST", "/sim/crash") => {
            core.crash();
            http::json(200, &json!({"crashed": true}))
        }
        ("POST", "/sim/eject") => {
            let ejected = core.eject(named(call, "instance"));
            http::json(200, &json!({"ejected": ejected}))
        }
        ("POST", "/sim/delete") => {
            core.deleted.add(named(call, "model"));
            http::json(200, &json!({"deleted": true}))
        }
        ("POST", "/sim/pull") => {
            core.deleted.remove(named(call, "model"));
            http::json(200, &json!({"pulled": true}))
        }
        _ => http::json(
            404,
            &json!({"error": "GET /sim/log, POST /sim/fault, /sim/converse, /sim/reset, /sim/crash, /sim/eject, /sim/delete, /sim/pull"}),
        ),
    }
}

fn named<'a>(call: &'a Call, key: &str) -> &'a str {
    let value = call.get(key).and_then(serde_json::Value::as_str);
    value.unwrap_or_default()
}
