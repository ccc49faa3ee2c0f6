//! The inspector: what is kept while it is on, for whom, and that nothing is left of it afterwards.

mod access;
mod bounds;
mod command;
mod engine_answers;
mod formats;
mod hidden_text;
mod page;
mod page_end;
mod turns;

use crucible_documents::inspector::{InspectedDoc, InspectedRowDoc, InspectorDoc};
use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{Whole, get, whole},
    engines::{client, engine, start},
    rest::{eventually, ready},
};
use serde_json::json;

/// One model on LM Studio.
async fn one() -> (Sim, Crucible) {
    let sim = start(Options::lmstudio(&["one=1GB"])).await;
    let crucible = Crucible::start(&engine("gpu", "lmstudio", &sim.url()));
    ready(&crucible).await;
    (sim, crucible)
}

async fn switch(crucible: &Crucible, minutes: f64) -> Whole {
    let request = client()
        .post(crucible.at("/crucible/inspect"))
        .json(&json!({ "minutes": minutes }));
    whole(request.send().await.expect("an answer")).await
}

async fn on(crucible: &Crucible) {
    let said = switch(crucible, 10.0).await;
    assert_eq!(said.status, 200, "{}", said.text);
}

async fn list(crucible: &Crucible) -> InspectorDoc {
    let said = get(crucible, "/crucible/inspect").await;
    assert_eq!(said.status, 200, "{}", said.text);
    serde_json::from_str(&said.text).expect("an inspector")
}

/// The rows, once so many requests have ended and are compared.
async fn ended(crucible: &Crucible, count: usize) -> Vec<InspectedRowDoc> {
    eventually("the requests have ended", || async {
        let rows = list(crucible).await.requests;
        let is_whole = |row: &InspectedRowDoc| {
            let end = row.ended.as_ref();
            end.is_some_and(|end| end.turn.is_none() || !row.change.is_empty())
        };
        (rows.len() >= count && rows.iter().all(is_whole)).then_some(rows)
    })
    .await
}

async fn shown(crucible: &Crucible, id: &str) -> InspectedDoc {
    // The `#` of a number is no fragment.
    let id = id.replace('#', "%23");
    let said = get(crucible, &format!("/crucible/inspect/{id}")).await;
    assert_eq!(said.status, 200, "{}", said.text);
    serde_json::from_str(&said.text).expect("a request")
}
