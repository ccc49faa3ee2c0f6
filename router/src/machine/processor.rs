//! The processor of this machine, as the operating system reports it.

use std::sync::OnceLock;

/// Returns the processor's brand name; `None` where the system does not report one.
pub fn processor_name() -> Option<String> {
    let mut system = sysinfo::System::new().ok()?;
    system.refresh_cpu_list(sysinfo::CpuRefreshKind::nothing());
    let brand = system.cpus().first()?.brand().trim();
    (!brand.is_empty()).then(|| brand.to_owned())
}

/// Returns the number of physical cores; 0 where the system does not report it. It is read once.
pub fn physical_cores() -> u32 {
    static CORES: OnceLock<u32> = OnceLock::new();
    *CORES.get_or_init(|| {
        sysinfo::System::physical_core_count()
            .ok()
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(0)
    })
}
