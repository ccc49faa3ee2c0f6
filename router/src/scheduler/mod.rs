//! The load scheduler: who gets a permit, and which model is loaded or unloaded.
//!
//! A **permit** is one request's right to use one **resident**, a loaded model. A **pool** is the
//! memory that models compete for. The scheduler is two parts that are visibly apart:
//!
//! - [`Scheduler`] (`state_machine`) decides. It is a pure step function: an [`Input`] and the time in,
//!   [`Action`]s out. It knows no clock, no task and no engine.
//! - `SchedulerActor` (`actor`) owns it. It turns requests, polls and the ends of loads into inputs,
//!   carries out the actions, keeps the clock, and publishes the view.
//!
//! # Inputs and actions
//!
//! Requests arrive, leave, or give their permit back; polls bring the [`EngineFacts`] of all engines;
//! loads and unloads end well or badly; time passes. The answers are: grant a permit, refuse a
//! request, load a model, unload a resident, report an event.
//!
//! # Guarantees
//!
//! 100,000 random schedules assert these after every step (`state_machine::properties`):
//!
//! - At most one load or unload is in flight per pool, and all who wait for a model share its load.
//! - Nothing that is busy, pinned or foreign is unloaded, nor what was loaded for a request that still
//!   waits for its first permit.
//! - No load exceeds the budget of its pool or the number of models of its engine, except a model
//!   that exceeds the budget by itself and is loaded alone.
//! - Requests of one client and class for one model are granted in order of arrival; only one whose
//!   session is warm in a slot passes others, within the bounds on overtaking.
//! - A queue that waits for something busy is overtaken at most so many times as `overtake_count`
//!   and `overtake_age` allow, so every wait is bounded (`docs/scheduling.md` gives the bound).
//! - No client has more than its part of a full queue while others wait or come.
//! - Grants are releases plus permits that are out; a request that left is never granted; everything
//!   drains.
//!
//! # Example: two models that do not fit together
//!
//! The engine `e` may hold one model. It holds `a`, and answers the request with ticket 1. Then a
//! request for `b` comes with ticket 2:
//!
//! | input | actions | because |
//! |---|---|---|
//! | [`Arrive`](Input::Arrive) 2 | none | `b` needs the eviction of `a`, and `a` is busy: nothing running is ever ended |
//! | [`Released`](Input::Released) 1 | [`Unload`](Action::Unload) `a` | `a` is idle now |
//! | [`Unloaded`](Input::Unloaded) | [`Emit`](Action::Emit) `a` was evicted, [`Load`](Action::Load) `b` | the room that was made is reserved for `b` |
//! | [`Loaded`](Input::Loaded) `b` | [`Emit`](Action::Emit) the load ended, [`Grant`](Action::Grant) 2 | `b` serves the request that it was loaded for first |
//!
//! The test `state_machine::tests::example` takes exactly these steps. The rules by which the
//! scheduler decides are in `docs/scheduling.md`.

mod actor;
mod messages;
mod persisted;
mod state_machine;

pub(crate) use self::actor::{
    PermitAnswer, SchedulerActor,
    resident_store::{self, ResidentStore},
};
pub use self::{
    actor::SchedulerEngines,
    messages::{
        Action, EngineFacts, GpuMemory, Input, LoadCommand, LoadFailure, PermitGrant, PermitRequest,
    },
    persisted::{ContextRecord, OwnedResident, PersistedState},
    state_machine::{ContextReason, Scheduler},
};
