//! Energy in joules, of graphics cards and of processor packages.
//!
//! Packages are read from the kernel's power capping (`/sys/class/powercap/intel-rapl:N`, also on AMD's
//! processors; files that mostly the superuser alone may read). Their counters are in microjoules and
//! begin anew after `max_energy_range_uj`, which takes a busy package tens of minutes: a wrap is
//! accounted for, two between two readings are not noticed.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crucible_config::checked::Device;

use super::super::{files::number, gpu::CardReading};

/// The prefix of the folders of whole packages; `intel-rapl-mmio:0` is the same package once more.
const PACKAGES: &str = "intel-rapl:";

/// The energy that one source used.
#[derive(Clone, Debug, PartialEq)]
pub struct EnergyReading {
    /// The source: `gpu0`, `package0`.
    pub source: String,
    /// The interface that the source was read by.
    pub interface: EnergyInterface,
    /// The joules that it used since the first reading, which only grow.
    pub joules: f64,
}

/// An interface by which energy is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnergyInterface {
    /// The library of NVIDIA's driver.
    Nvml,
    /// The kernel's power capping of processor packages (running average power limit).
    Rapl,
}

/// The last count of each source and its sum since the first reading.
#[derive(Debug, Default)]
pub(super) struct EnergyTotals(BTreeMap<String, SourceTotal>);

#[derive(Clone, Copy, Debug)]
struct SourceTotal {
    last: f64,
    sum: f64,
}

/// The present count of one source in joules.
#[derive(Clone, Debug, PartialEq)]
struct EnergyCount {
    source: String,
    interface: EnergyInterface,
    joules: f64,
    /// The count after which it begins anew; `None` where it only does so with its driver.
    wraps_at: Option<f64>,
}

// === impl EnergyInterface ===

impl EnergyInterface {
    /// The word for it in the event log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nvml => "nvml",
            Self::Rapl => "rapl",
        }
    }

    /// The device that its sources measure.
    pub const fn device(self) -> Device {
        match self {
            Self::Nvml => Device::Gpu,
            Self::Rapl => Device::Cpu,
        }
    }
}

// === impl EnergyTotals ===

impl EnergyTotals {
    /// Reads all sources: the cards, and the packages below `root`.
    pub(super) fn read(&mut self, root: &Path, cards: &[CardReading]) -> Vec<EnergyReading> {
        let cards = cards.iter().enumerate().filter_map(|(number, card)| {
            Some(EnergyCount {
                source: format!("gpu{number}"),
                interface: EnergyInterface::Nvml,
                joules: card.joules?,
                wraps_at: None,
            })
        });
        let counts: Vec<_> = cards.chain(packages(root)).collect();
        counts.iter().map(|count| self.add(count)).collect()
    }

    fn add(&mut self, count: &EnergyCount) -> EnergyReading {
        let first = SourceTotal {
            last: count.joules,
            sum: 0.0,
        };
        let total = self.0.entry(count.source.clone()).or_insert(first);
        let used = if count.joules >= total.last {
            count.joules - total.last
        } else {
            // It began anew: what was left up to its end, and what came since.
            let rest = count.wraps_at.map_or(0.0, |end| end - total.last);
            count.joules + rest.max(0.0)
        };
        total.last = count.joules;
        total.sum += used;
        EnergyReading {
            source: count.source.clone(),
            interface: count.interface,
            joules: total.sum,
        }
    }
}

/// Reads the processor packages that may be read.
fn packages(root: &Path) -> Vec<EnergyCount> {
    let zones = fs::read_dir(root.join("sys/class/powercap"));
    let mut zones: Vec<PathBuf> = zones
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter(|zone| is_package(&zone.file_name().to_string_lossy()))
        .map(|zone| zone.path())
        .collect();
    zones.sort_unstable();
    zones.iter().filter_map(|zone| package(zone)).collect()
}

/// Whether a folder is a whole package, `intel-rapl:0`, and not a part of one, `intel-rapl:0:1`.
fn is_package(name: &str) -> bool {
    let number = name.strip_prefix(PACKAGES);
    number.is_some_and(|number| number.parse::<u32>().is_ok())
}

fn package(zone: &Path) -> Option<EnergyCount> {
    let name = fs::read_to_string(zone.join("name")).ok()?;
    let source: String = name.trim().chars().filter(|c| *c != '-').take(32).collect();
    let plain = !source.is_empty() && source.chars().all(|c| c.is_ascii_alphanumeric());
    let micro: f64 = number(&zone.join("energy_uj"))?;
    let range: Option<f64> = number(&zone.join("max_energy_range_uj"));
    plain.then(|| EnergyCount {
        source,
        interface: EnergyInterface::Rapl,
        joules: micro / 1e6,
        wraps_at: range.map(|range| range / 1e6),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::files::put;

    fn told(readings: &[EnergyReading]) -> Vec<(&str, f64)> {
        let pairs = readings.iter().map(|one| (one.source.as_str(), one.joules));
        pairs.collect()
    }

    #[test]
    fn a_package_counts_from_the_first_reading_and_over_its_wrap() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let zone = "sys/class/powercap/intel-rapl:0";
        put(root, &format!("{zone}/name"), "package-0\n");
        put(root, &format!("{zone}/max_energy_range_uj"), "10000000\n");
        // A part of the package, and the package once more.
        put(root, "sys/class/powercap/intel-rapl:0:0/name", "core\n");
        put(root, "sys/class/powercap/intel-rapl:0:0/energy_uj", "1\n");
        put(
            root,
            "sys/class/powercap/intel-rapl-mmio:0/name",
            "package-0\n",
        );
        put(
            root,
            "sys/class/powercap/intel-rapl-mmio:0/energy_uj",
            "1\n",
        );
        let mut totals = EnergyTotals::default();
        for (micro, joules) in [
            ("9000000", 0.0),
            ("9500000", 0.5),
            // 0.5 J up to its end, and 0.25 J since.
            ("250000", 1.25),
            ("250000", 1.25),
        ] {
            put(root, &format!("{zone}/energy_uj"), micro);
            let readings = totals.read(root, &[]);
            assert_eq!(told(&readings), [("package0", joules)], "{micro}");
        }
    }

    #[test]
    fn a_card_whose_driver_was_loaded_anew_goes_on() {
        let root = tempfile::tempdir().unwrap();
        let mut totals = EnergyTotals::default();
        for (joules, sum) in [(100.0, 0.0), (130.0, 30.0), (5.0, 35.0)] {
            let card = CardReading {
                joules: Some(joules),
                ..CardReading::default()
            };
            let readings = totals.read(root.path(), &[CardReading::default(), card]);
            assert_eq!(told(&readings), [("gpu1", sum)]);
        }
    }

    #[test]
    fn what_may_not_be_read_or_has_an_odd_name_is_left_out() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let mut totals = EnergyTotals::default();
        assert_eq!(totals.read(root, &[]), []);
        put(root, "sys/class/powercap/intel-rapl:0/name", "package-0\n");
        put(root, "sys/class/powercap/intel-rapl:1/name", "a\"b\n");
        put(root, "sys/class/powercap/intel-rapl:1/energy_uj", "1\n");
        assert_eq!(totals.read(root, &[]), []);
    }
}
