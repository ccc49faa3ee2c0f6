//! The comparison of a prompt with the one before it in the same conversation.

use std::time::Instant;

use crucible_router::demand::Demand;
use parking_lot::Mutex;

use super::planned_request::PlannedRequest;
use crate::{
    dialect::chat::{ChatRequest, RequestTask},
    prefix::{
        fingerprint::{Divergence, Fingerprint},
        tracer::{ConversationFacts, PrefixTracer},
    },
};

/// Compares the prompt of a request with the last one of its conversation, stores its hashes, and
/// notes the result in the record. The prompt is compared in the middle format, message by message,
/// before it is written in the format of an engine.
pub(super) fn trace(planned: &PlannedRequest) {
    let Some(print) = print(&planned.chat) else {
        return;
    };
    let client = planned.demand.client.to_string();
    let facts = facts(&planned.demand, &client);
    let traced = {
        let mut prefixes = planned.app.ledger.prefixes().lock();
        prefixes.trace(facts, print, Instant::now())
    };
    planned.active.note(|record| record.traced = traced);
}

/// Compares the prompt of a request that is not sent. Returns the number of the turn that it would
/// be and the place where it differs from the last one; `None` where prompts of this kind are not
/// compared.
pub(crate) fn compare(
    prefixes: &Mutex<PrefixTracer>,
    chat: &ChatRequest,
    demand: &Demand,
) -> Option<(u32, Option<Divergence>)> {
    let print = print(chat)?;
    let client = demand.client.to_string();
    prefixes.lock().compare(facts(demand, &client), &print)
}

fn print(chat: &ChatRequest) -> Option<Fingerprint> {
    (chat.task == RequestTask::Chat).then(|| Fingerprint::of(&chat.body, &chat.peek))
}

fn facts<'a>(demand: &Demand, client: &'a str) -> ConversationFacts<'a> {
    ConversationFacts {
        session: demand.session,
        client,
        tools: demand.tools,
    }
}
