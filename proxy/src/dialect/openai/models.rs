//! The list of models in OpenAI's form.

use crucible_router::{hop, plan::Listed};
use serde_json::{Value, json};

/// Returns one model, as `GET /v1/models/{id}` answers it.
pub(crate) fn model(listed: &Listed) -> Value {
    entry(&listed.id, listed.created, &listed.owned_by)
}

/// Returns the entry of a name that is not listed, but that the plan resolves to a model of this
/// engine.
pub(crate) fn unlisted_model(id: &str, engine: &str) -> Value {
    entry(id, 0, engine)
}

/// Returns the whole list, as `GET /v1/models` answers it. For another Crucible each entry also names
/// the instances over which it comes, so that neither asks the other in a circle.
pub(crate) fn list(listing: &[Listed], for_crucible: bool) -> Value {
    let entry = |listed: &Listed| {
        let mut entry = model(listed);
        if for_crucible {
            let via = listed.via.iter().map(|number| &**number);
            let via: Vec<&str> = via.chain([hop::own_mark()]).collect();
            entry[hop::VIA] = json!(via);
        }
        entry
    };
    let data: Vec<Value> = listing.iter().map(entry).collect();
    json!({ "object": "list", "data": data })
}

fn entry(id: &str, created: i64, owned_by: &str) -> Value {
    json!({ "id": id, "object": "model", "created": created, "owned_by": owned_by })
}
