//! The inspector: what a client really sent, what was sent on, what came back, and why a prompt was read again.
//!
//! It is off by default. While it is on, the last requests are kept in memory with their bodies, within bounds, and
//! nowhere else: no log, no event, no metric and no file has any of it. Everything is dropped when it is switched off,
//! when its time is over and when the instance ends.
//!
//! The pure part is a list with bounds (`kept_requests`) of requests (`kept_request`) with texts (`kept_text`) and
//! heads without secrets (`redaction`), the difference of two turns (`turn`) and a command
//! line (`curl`). `switch` is the shell: requests pass it at five places, at each of which they ask nothing
//! but whether there is an `InspectedRequest` in their record. One of them is the body of an engine's answer
//! (`copied_body`), of which it keeps what the engine really said, before a translation for the client.

mod comparison;
mod copied_body;
mod curl;
mod kept_request;
mod kept_requests;
mod kept_text;
mod redaction;
mod switch;
mod turn;

pub(crate) use self::{
    copied_body::CopiedBody,
    kept_request::KeptEnd,
    switch::{InspectedPlace, Inspector, SentToEngine},
};
