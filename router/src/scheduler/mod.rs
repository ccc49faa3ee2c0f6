//! Queues, permits and loads: a pure state machine (`state`) owned by one `desk`.
//!
//! `types` is its language; `queue` takes and refuses, `share` divides a full queue among clients,
//! `line` orders those who wait for one model,
//! `standing` says what they wait for, `dispatch` grants; `loads` starts what moves models, `ended`
//! ends it, `room` weighs memory and picks victims, `hold` keeps what an agent comes back to, `chores` does what nobody asked for; `observe`
//! takes polls, `regained` takes back what an engine loaded by itself, `fit`, `growth` and `to_spare`
//! size contexts, `size` models, `others` is what other programs hold,
//! `estimate` waits; `snapshot` shows and `memory` outlives a run. The rules
//! are in `docs/scheduling.md`.

mod carry;
mod chores;
mod departed;
pub mod desk;
mod dispatch;
mod ended;
mod estimate;
mod failure;
mod fit;
pub(crate) mod given;
mod given_up;
mod growth;
mod hold;
mod line;
mod loads;
pub mod memory;
mod observe;
mod others;
#[cfg(test)]
mod properties;
mod queue;
mod regained;
mod room;
mod runner;
mod share;
mod size;
mod snapshot;
mod standing;
pub mod state;
pub(crate) mod store;
#[cfg(test)]
mod tests;
mod to_spare;
pub mod types;
