//! The cases, in the order of a round.

use clap::ValueEnum;
use serde::Serialize;

use crate::{
    load::Order,
    shape::{ANSWER, BURST, IDLE, PACED},
    subject::{BenchSubject, Subject},
};

/// One kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Case {
    /// 1,000 streams that stand still: memory only.
    #[value(name = Self::Idle1000.name())]
    Idle1000,
    /// One connection, 2 KiB, everything on one core.
    #[value(name = Self::SmallC1.name())]
    SmallC1,
    /// 64 connections, 2 KiB.
    #[value(name = Self::SmallC64.name())]
    SmallC64,
    /// 16 connections, 64 KiB.
    #[value(name = Self::BigC16.name())]
    BigC16,
    /// 200 streams of 100 chunks at 20 ms.
    #[value(name = Self::Stream200.name())]
    Stream200,
    /// 16 streams of 500 chunks without pauses.
    #[value(name = Self::Burst16.name())]
    Burst16,
}

// === impl Case ===

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Case {
    /// Those that share one start of the subjects; `Idle1000` has a fresh one.
    pub(crate) const LOADED: [Self; 5] = [
        Self::SmallC1,
        Self::SmallC64,
        Self::BigC16,
        Self::Stream200,
        Self::Burst16,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Idle1000 => "idle-1000",
            Self::SmallC1 => "small-c1",
            Self::SmallC64 => "small-c64",
            Self::BigC16 => "big-c16",
            Self::Stream200 => "stream-200",
            Self::Burst16 => "burst-16",
        }
    }

    /// Whether it says something about this subject; translation is measured per chunk.
    pub(crate) fn applies_to(self, kind: BenchSubject) -> bool {
        match kind {
            BenchSubject::Direct => self != Self::Idle1000,
            BenchSubject::Translated | BenchSubject::Responses | BenchSubject::Messages => {
                self == Self::Stream200
            }
            BenchSubject::Nginx | BenchSubject::Crucible => true,
        }
    }

    /// Whether the subject moves to the load's core: across two virtual CPUs the wake-up of
    /// a halted one would be all there is to see.
    pub(crate) const fn on_one_core(self) -> bool {
        matches!(self, Self::SmallC1)
    }

    /// The load for one subject; `quick` is about a tenth.
    pub(crate) fn order(self, subject: &Subject, quick: bool) -> Order {
        let (model, concurrency, requests) = match self {
            Self::Idle1000 => (IDLE, 1000, 0),
            Self::SmallC1 => (ANSWER, 1, 5000),
            Self::SmallC64 => (ANSWER, 64, 50_000),
            Self::BigC16 => (ANSWER, 16, 15_000),
            Self::Stream200 => (PACED, 200, 400),
            Self::Burst16 => (BURST, 16, 320),
        };
        let requests = match (quick, self) {
            (true, Self::Stream200) => 200,
            (true, _) => requests / 10,
            (false, _) => requests,
        };
        Order {
            address: subject.address.clone(),
            model: model.to_owned(),
            format: subject.kind.format(),
            stream: matches!(self, Self::Idle1000 | Self::Stream200 | Self::Burst16),
            concurrency,
            body_bytes: if self == Self::BigC16 {
                64 * 1024
            } else {
                2 * 1024
            },
            warmup: match self {
                Self::Idle1000 | Self::Stream200 => 0,
                Self::Burst16 => 16,
                _ => requests / 20,
            },
            requests,
            spread_ms: if matches!(self, Self::Idle1000 | Self::Stream200) {
                1000
            } else {
                0
            },
            hold: self == Self::Idle1000,
            pids: subject.pids.clone(),
        }
    }
}
