//! Anthropic's format, so far its list of models: its clients ask the same path as OpenAI's, with a
//! header of their own, and read another form.

use crucible_router::plan::Listed;
use serde_json::{Value, json};

/// Returns the list of models in Anthropic's form. No engine reports when a model was made, so
/// `created_at` is the beginning of the epoch.
pub(crate) fn model_list(listing: &[Listed]) -> Value {
    let data: Vec<Value> = listing
        .iter()
        .map(|listed| {
            json!({
                "type": "model",
                "id": listed.id,
                "display_name": listed.id,
                "created_at": "1970-01-01T00:00:00Z",
            })
        })
        .collect();
    json!({
        "data": data,
        "has_more": false,
        "first_id": listing.first().map(|l| &*l.id),
        "last_id": listing.last().map(|l| &*l.id),
    })
}
