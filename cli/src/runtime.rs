//! The runtime of every command that talks to engines.

use tokio::runtime::{Builder, Runtime};

use crate::CommandFailure;

/// Starts a runtime with a thread for each processor.
///
/// # Errors
/// The system gives no threads.
pub fn runtime() -> Result<Runtime, CommandFailure> {
    Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| CommandFailure::wrong(format!("no runtime: {e}")))
}
