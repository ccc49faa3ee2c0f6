//! What is known of one graphics card, and what a driver is asked for.

/// A driver that knows its cards.
pub(super) trait CardDriver {
    /// Returns the number of cards; `None` if the driver does not report it.
    fn count(&self) -> Option<u32>;

    /// Returns the memory of one card; `None` if it is not reported, or the card has none of its own.
    fn memory(&self, card: u32) -> Option<CardMemory>;

    /// Returns the ids of the processes that compute on it; `None` if they are not reported.
    fn holders(&self, card: u32) -> Option<Vec<u32>>;

    /// Returns what the card uses at this moment.
    fn reading(&self, card: u32) -> CardReading;
}

/// Memory of one card, or of several, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CardMemory {
    /// All memory, held or not.
    pub(super) total: u64,
    /// Memory that no process holds; `None` where that is not reported.
    pub(super) free: Option<u64>,
}

/// What one graphics card uses at this moment. A field is `None` where its driver does not report it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CardReading {
    /// The memory of the card in bytes.
    pub memory_total: Option<u64>,
    /// The part of it that any process holds, in bytes.
    pub memory_used: Option<u64>,
    /// The share of the last moment in which the card was busy, from 0 to 1.
    pub utilization: Option<f64>,
    /// The temperature in degrees Celsius.
    pub celsius: Option<f64>,
    /// The power that it draws, in watts.
    pub watts: Option<f64>,
    /// The energy that it used since its driver was loaded, in joules.
    pub joules: Option<f64>,
}
