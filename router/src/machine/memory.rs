//! The memory that models on this machine may share.

use std::{path::Path, sync::OnceLock};

use super::gpu;

/// The memory of this machine in bytes. A size is `None` where the system does not report it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MachineMemory {
    /// Main memory, or less where the control group of Crucible has a smaller limit.
    pub(crate) ram: Option<u64>,
    /// Memory of the largest graphics card.
    pub(crate) vram: Option<u64>,
    /// Whether CPU and GPU share one memory (Apple silicon).
    pub(crate) unified: bool,
}

// === impl MachineMemory ===

impl MachineMemory {
    /// Returns the memory of the machine that Crucible runs on. It is read once.
    pub(crate) fn here() -> Self {
        static HERE: OnceLock<MachineMemory> = OnceLock::new();
        *HERE.get_or_init(|| Self {
            ram: ram().filter(|ram| *ram > 0),
            vram: gpu::largest_of(Path::new("/"), &gpu::nvidia()).map(|gpu| gpu.memory),
            unified: cfg!(all(target_os = "macos", target_arch = "aarch64")),
        })
    }
}

fn ram() -> Option<u64> {
    let mut system = sysinfo::System::new().ok()?;
    system.refresh_memory();
    let total = system.total_memory();
    let limit = system.cgroup_limits().map(|l| l.total_memory);
    Some(limit.map_or(total, |limit| limit.min(total)))
}
