//! The words in which the table of families describes a metric.

use prometheus::{
    CounterVec, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry,
    core::Collector,
};

use super::label_sets::Label;

/// The type of a metric family, as Prometheus' text format names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyType {
    /// A number of events that only grows, and begins at 0 when the process starts.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// Observed values, counted per bucket, with their sum and their number.
    Histogram,
}

/// The unit of a family's values, which its name ends with (before `_total`), as Prometheus' naming
/// rules ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of things, a state or a limit.
    None,
    /// The values are seconds.
    Seconds,
    /// The values are moments, as seconds since the beginning of 1970 (UTC).
    UnixSeconds,
    /// The values are bytes.
    Bytes,
    /// The values are tokens of a model.
    Tokens,
    /// The values are tokens of a model per second.
    TokensPerSecond,
    /// The quotient of two values of the same unit.
    Ratio,
    /// The values are degrees Celsius.
    Celsius,
    /// The values are watts.
    Watts,
    /// The values are joules.
    Joules,
}

/// The part of Crucible that writes a family, and with it the moment at which it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emitter {
    /// The ledger, once, when a request has ended.
    Ledger,
    /// The pipeline, while an answer is made.
    Pipeline,
    /// The router's events, as they happen.
    RouterEvent,
    /// The router's view, at each scrape.
    RouterView,
    /// The list of active requests, at each scrape.
    Requests,
    /// The machine's files and drivers, at each scrape; what cannot be read is absent.
    Machine,
    /// The runtime, at each scrape.
    Runtime,
    /// The verification of settings, every 30 s.
    Settings,
    /// The accept loop, as connections come and go.
    Server,
    /// The instance, at the start and at each reload.
    Instance,
    /// The log on stderr and the event log, at each scrape and at each write.
    Logs,
    /// The metrics themselves.
    Metrics,
    /// The process itself, at each scrape, on Linux.
    Process,
}

/// One metric family: a name and all series that differ in the values of its labels only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Family {
    /// The full name, which is stable.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: FamilyType,
    /// The unit of its values.
    pub unit: Unit,
    /// The labels, in the order in which values are given.
    pub labels: &'static [Label],
    /// The upper bounds of a histogram's buckets without `+Inf`, rising, in the unit of the family; empty
    /// for other types.
    pub buckets: &'static [f64],
    /// The part of Crucible that writes it.
    pub emitter: Emitter,
    /// The meaning, in one sentence.
    pub help: &'static str,
}

/// A vector of the client library that can be made from a family and registered.
pub(super) trait FamilyVector: Collector + Clone + Sized + 'static {
    /// An empty vector with the family's name, help, labels and buckets.
    fn new(family: &Family) -> prometheus::Result<Self>;

    /// An empty vector that the registry shows.
    fn register(registry: &Registry, family: &Family) -> prometheus::Result<Self> {
        let vector = Self::new(family)?;
        registry.register(Box::new(vector.clone()))?;
        Ok(vector)
    }
}

// === impl FamilyType ===

impl FamilyType {
    /// The word of Prometheus' text format for this type.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

// === impl Unit ===

impl Unit {
    /// The word of the documentation for this unit; empty for numbers of things.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Seconds => "s",
            Self::UnixSeconds => "s since 1970",
            Self::Bytes => "bytes",
            Self::Tokens => "tokens",
            Self::TokensPerSecond => "tokens/s",
            Self::Ratio => "ratio",
            Self::Celsius => "°C",
            Self::Watts => "W",
            Self::Joules => "J",
        }
    }
}

// === impl Emitter ===

impl Emitter {
    /// Returns the words of the documentation for the moment at which this part writes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ledger => "at the end of a request",
            Self::Pipeline => "while a request is answered",
            Self::RouterEvent => "as the router acts",
            Self::RouterView | Self::Requests | Self::Runtime => "at each scrape",
            Self::Machine => "at each scrape, where it can be read",
            Self::Settings => "every 30 s",
            Self::Server => "as connections come and go",
            Self::Instance => "at start and reload",
            Self::Logs => "as lines are lost",
            Self::Metrics => "as names come",
            Self::Process => "at each scrape (Linux)",
        }
    }
}

// === impl Family ===

impl Family {
    /// Whether it is one of the families that every Prometheus client has of its process (Linux only).
    pub fn is_process(&self) -> bool {
        self.emitter == Emitter::Process
    }

    /// The names of the labels, in order.
    pub fn label_names(&self) -> impl Iterator<Item = &'static str> {
        self.labels.iter().map(|label| label.name)
    }

    fn names(&self) -> Vec<&'static str> {
        self.label_names().collect()
    }
}

// === impl FamilyVector ===

impl FamilyVector for IntCounterVec {
    fn new(family: &Family) -> prometheus::Result<Self> {
        Self::new(Opts::new(family.name, family.help), &family.names())
    }
}

impl FamilyVector for CounterVec {
    fn new(family: &Family) -> prometheus::Result<Self> {
        Self::new(Opts::new(family.name, family.help), &family.names())
    }
}

impl FamilyVector for GaugeVec {
    fn new(family: &Family) -> prometheus::Result<Self> {
        Self::new(Opts::new(family.name, family.help), &family.names())
    }
}

impl FamilyVector for HistogramVec {
    fn new(family: &Family) -> prometheus::Result<Self> {
        let opts = HistogramOpts::new(family.name, family.help).buckets(family.buckets.to_vec());
        Self::new(opts, &family.names())
    }
}

/// The value of a sample for this count: exact up to 2^53, far beyond any count here.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}
