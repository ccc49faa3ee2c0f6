//! Queues, permits and loads: a pure state machine (`state`) inside one `actor`.
//!
//! `types` is its language; `queue` takes and refuses, `dispatch` grants, `loads` moves
//! models in and out, `fit` sizes contexts, `snapshot` shows.

pub mod actor;
mod carry;
mod dispatch;
mod fit;
mod loads;
#[cfg(test)]
mod properties;
mod queue;
mod snapshot;
pub mod state;
#[cfg(test)]
mod tests;
pub mod types;
