//! What both versions of the driver's library share: its name, and the memory of a card.

/// The name of the library that the driver itself installs; the one without a number belongs to the development
/// package on most systems.
pub(super) const NUMBERED: &str = "libnvidia-ml.so.1";

/// The memory of one card as NVML counts it, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct NvmlMemory {
    /// All memory of the card.
    pub(super) total: u64,
    /// What nobody holds.
    pub(super) free: u64,
    /// What processes hold; by a driver before R510 also what the driver keeps for itself.
    pub(super) used: u64,
}
