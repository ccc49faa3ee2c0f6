//! The record of one request: it gathers facts along the request's way, and the ledger writes them to
//! metrics, events and log exactly once.

mod active;
mod closed_request;
mod ending;
mod facts;
mod phases;
mod prefill;
mod prompt_reading;
pub(crate) mod waits;

pub(crate) use self::{
    active::{ActiveRequest, ActiveRequestEntry, ActiveRequests},
    closed_request::{ClosedRequest, Moment},
    facts::{PromptFacts, RequestFacts, RequestPhase, TargetInstance},
    prompt_reading::PromptReading,
};
