//! What all loads share: their time, and the faults that hit them.

use crate::faults::{FaultKind, Stage};
use crate::sim::Core;

/// Why a load did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoadFailure {
    Fails,
    OutOfMemory,
}

/// Takes the load's time. Ok tells whether the context comes out wrong.
pub(crate) async fn take_time(core: &Core, seq: u64, path: &str) -> Result<bool, LoadFailure> {
    let fault = core
        .faults
        .take(Stage::Load, path, true)
        .map(|fault| fault.kind);
    if let Some(kind) = fault {
        core.log.fault(seq, &kind.name());
    }
    if fault == Some(FaultKind::LoadHang) {
        std::future::pending::<()>().await;
    }
    if !core.options.load_time.is_zero() {
        tokio::time::sleep(core.options.load_time).await;
    }
    match fault {
        Some(FaultKind::LoadFail) => Err(LoadFailure::Fails),
        Some(FaultKind::LoadOom) => Err(LoadFailure::OutOfMemory),
        other => Ok(other == Some(FaultKind::WrongContext)),
    }
}
