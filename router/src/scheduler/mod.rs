//! Queues, permits and loads.

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
