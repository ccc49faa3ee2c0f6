//! The machine that Crucible runs on: memory, processors, processes and the time it is awake.
//!
//! Everything that is read from `/proc`, `/sys`, cgroups or a driver of graphics cards is read here,
//! below a root that tests replace. This room knows no engine's API and no configuration; it depends on
//! no other room of this crate.

pub mod awake;
pub mod cgroup;
mod files;
pub mod gpu;
pub mod hardware;
pub(crate) mod local;
pub(crate) mod memory;
pub mod ollama_process;
pub(crate) mod processes;
mod processor;
pub mod readings;

pub use self::{
    cgroup::{MemoryLimit, NoMemoryLimit},
    gpu::GraphicsCard,
    hardware::Hardware,
    processor::{physical_cores, processor_name},
};

/// Something that was read of the system, or one line that says why it could not be.
pub type Readable<T> = Result<T, String>;
