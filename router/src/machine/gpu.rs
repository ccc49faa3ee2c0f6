//! The memory of this machine's graphics cards, and who computes on them.
//!
//! AMD's cards are read from `/sys/class/drm` below a given root (Linux, amdgpu), NVIDIA's through
//! the driver's library NVML where it is installed. What neither reports is unknown, never an error.

mod card;
#[cfg(all(feature = "nvml", any(target_os = "linux", target_os = "windows")))]
mod nvml;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

pub use self::card::CardReading;
use self::card::{CardDriver, CardMemory};

/// A sample is used again for this long before the cards are read anew.
const READ_EVERY: Duration = Duration::from_secs(1);

/// Reads how much memory of all cards together is free, at most once a second.
#[derive(Debug, Default)]
pub(crate) struct CardMemoryReader(Mutex<Option<CardMemorySample>>);

/// The memory of all cards together at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CardMemorySample {
    /// Memory of all cards in bytes.
    pub(crate) total: u64,
    /// Memory that no process holds, in bytes.
    pub(crate) free: u64,
    /// The moment at which it was read.
    pub(crate) at: Instant,
}

/// A graphics card of this machine: its memory in bytes, and the source that told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraphicsCard {
    /// The memory of the card in bytes.
    pub memory: u64,
    /// The source of that number, in words for a report.
    pub told_by: &'static str,
}

/// The report of NVIDIA's driver about all its cards taken together; empty where it is not installed. Cards of
/// AMD are read from files instead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DriverReport {
    /// Memory of the largest card in bytes.
    pub(crate) largest: Option<u64>,
    /// Memory of all cards; `None` where one of them does not report its own.
    pub(crate) all: Option<CardMemory>,
    /// Ids of the processes that compute on any card; `None` where they are not reported.
    pub(crate) holders: Option<Vec<u32>>,
}

/// Returns the card with the most memory among AMD's below `root` and NVIDIA's.
pub(crate) fn largest_of(root: &Path, nvidia: &DriverReport) -> Option<GraphicsCard> {
    let of = |told_by| {
        move |bytes| GraphicsCard {
            memory: bytes,
            told_by,
        }
    };
    let amd = amd(&root.join("sys/class/drm")).map(of("amdgpu, /sys/class/drm"));
    let nvidia = nvidia.largest.map(of("NVIDIA's driver, NVML"));
    amd.into_iter().chain(nvidia).max_by_key(|gpu| gpu.memory)
}

/// Returns the largest number that is known and not 0.
fn largest(all: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    all.flatten().filter(|bytes| *bytes > 0).max()
}

/// Returns the memory of the largest card that amdgpu reports (Linux, `mem_info_vram_total`).
fn amd(cards: &Path) -> Option<u64> {
    largest(amd_cards(cards).map(|memory| Some(memory.total)))
}

/// Returns the memory of every card that amdgpu reports.
fn amd_cards(cards: &Path) -> impl Iterator<Item = CardMemory> {
    card_devices(cards).into_iter().filter_map(|device| {
        let read = |name: &str| -> Option<u64> {
            let text = std::fs::read_to_string(device.join(name)).ok()?;
            text.trim().parse().ok()
        };
        let total = read("mem_info_vram_total").filter(|total| *total > 0)?;
        let used = read("mem_info_vram_used").filter(|used| *used <= total);
        Some(CardMemory {
            total,
            free: used.map(|used| total - used),
        })
    })
}

/// Returns the devices of all cards, `card0/device` and so on in the order of their numbers. Each card
/// has further names there, `renderD128` and its sockets, which lead to the same device.
pub(super) fn card_devices(cards: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(cards).into_iter().flatten();
    let mut numbered: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name();
            let number = name.to_str()?.strip_prefix("card")?.parse().ok()?;
            Some((number, entry.path().join("device")))
        })
        .collect();
    numbered.sort_unstable();
    numbered.into_iter().map(|(_, device)| device).collect()
}

/// Adds up the memory of several cards. Free memory that one does not report is unknown of all.
fn together(all: impl Iterator<Item = CardMemory>) -> Option<CardMemory> {
    all.reduce(|one, other| CardMemory {
        total: one.total.saturating_add(other.total),
        free: one.free.zip(other.free).map(|(a, b)| a.saturating_add(b)),
    })
}

/// Reads all cards below `root` and of that driver; `None` where one does not report its memory, or
/// there is no card.
fn read(root: &Path, nvidia: &DriverReport, at: Instant) -> Option<CardMemorySample> {
    let amd: Vec<CardMemory> = amd_cards(&root.join("sys/class/drm")).collect();
    let all = together(amd.into_iter().chain(nvidia.all))?;
    Some(CardMemorySample {
        total: all.total,
        free: all.free.filter(|free| *free <= all.total)?,
        at,
    })
}

// === impl CardMemoryReader ===

impl CardMemoryReader {
    /// Returns a sample of now, or one that is less than a second old.
    pub(crate) fn read(&self) -> Option<CardMemorySample> {
        let mut last = self.0.lock();
        if last.is_none_or(|reading| reading.at.elapsed() >= READ_EVERY) {
            let at = Instant::now();
            *last = read(Path::new("/"), &nvidia(), at);
        }
        *last
    }
}

#[cfg_attr(
    not(all(feature = "nvml", any(target_os = "linux", target_os = "windows"))),
    expect(dead_code, reason = "no driver is asked")
)]
fn readings(driver: &impl CardDriver) -> Vec<CardReading> {
    let count = driver.count().unwrap_or(0);
    (0..count).map(|card| driver.reading(card)).collect()
}

#[cfg_attr(
    not(all(feature = "nvml", any(target_os = "linux", target_os = "windows"))),
    expect(dead_code, reason = "no driver is asked")
)]
fn ask(cards: &impl CardDriver) -> DriverReport {
    let Some(count) = cards.count() else {
        return DriverReport::default();
    };
    let memory: Option<Vec<CardMemory>> = (0..count).map(|card| cards.memory(card)).collect();
    let holders: Option<Vec<Vec<u32>>> = (0..count).map(|card| cards.holders(card)).collect();
    DriverReport {
        largest: largest((0..count).map(|card| Some(cards.memory(card)?.total))),
        all: memory
            .filter(|_| count > 0)
            .and_then(|all| together(all.into_iter())),
        // One card that does not tell may be the one.
        holders: holders.filter(|_| count > 0).map(|all| all.concat()),
    }
}

/// Asks NVIDIA's driver about its cards.
#[cfg(all(feature = "nvml", any(target_os = "linux", target_os = "windows")))]
pub(crate) fn nvidia() -> DriverReport {
    nvml::driver().map(ask).unwrap_or_default()
}

/// Reads what each of NVIDIA's cards uses at this moment.
#[cfg(all(feature = "nvml", any(target_os = "linux", target_os = "windows")))]
pub(super) fn nvidia_cards() -> Vec<CardReading> {
    nvml::driver().map(readings).unwrap_or_default()
}

/// Returns no card, as this build cannot ask NVIDIA's driver.
#[cfg(not(all(feature = "nvml", any(target_os = "linux", target_os = "windows"))))]
pub(super) fn nvidia_cards() -> Vec<CardReading> {
    Vec::new()
}

/// Returns an empty report, as this build cannot ask NVIDIA's driver.
#[cfg(not(all(feature = "nvml", any(target_os = "linux", target_os = "windows"))))]
pub(crate) fn nvidia() -> DriverReport {
    DriverReport::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory and users of each card.
    struct Fake(Option<u32>, Vec<(Option<u64>, Option<Vec<u32>>)>);

    // === impl CardDriver for Fake ===

    impl CardDriver for Fake {
        fn count(&self) -> Option<u32> {
            self.0
        }

        fn memory(&self, card: u32) -> Option<CardMemory> {
            let total = self.1.get(usize::try_from(card).unwrap())?.0?;
            Some(CardMemory {
                total,
                free: Some(total / 4),
            })
        }

        fn holders(&self, card: u32) -> Option<Vec<u32>> {
            self.1.get(usize::try_from(card).unwrap())?.1.clone()
        }

        fn reading(&self, card: u32) -> CardReading {
            CardReading {
                memory_total: self.memory(card).map(|memory| memory.total),
                ..CardReading::default()
            }
        }
    }

    fn fake(count: Option<u32>, memory: &[Option<u64>]) -> Fake {
        Fake(count, memory.iter().map(|m| (*m, None)).collect())
    }

    #[test]
    fn the_largest_card_that_tells_counts() {
        let cards = [Some(8), None, Some(24), Some(0)];
        let largest = |count| ask(&fake(Some(count), &cards)).largest;
        assert_eq!(largest(4), Some(24));
        assert_eq!(largest(1), Some(8));
        // The driver names more than it describes.
        assert_eq!(largest(9), Some(24));
    }

    #[test]
    fn cards_that_do_not_tell_are_unknown() {
        assert_eq!(ask(&fake(None, &[Some(8)])), DriverReport::default());
        assert_eq!(ask(&fake(Some(0), &[])), DriverReport::default());
        let nothing = ask(&fake(Some(2), &[None, Some(0)]));
        assert_eq!((nothing.largest, nothing.all), (None, None));
    }

    #[test]
    fn each_card_that_the_driver_counts_has_a_reading() {
        let cards = fake(Some(3), &[Some(8), None]);
        let total: Vec<_> = readings(&cards).iter().map(|r| r.memory_total).collect();
        assert_eq!(total, [Some(8), None, None]);
        assert_eq!(readings(&fake(None, &[Some(8)])), []);
    }

    #[test]
    fn a_card_counts_once_although_it_has_several_names() {
        let root = tempfile::tempdir().unwrap();
        let cards = root.path().join("sys/class/drm");
        for name in ["card10", "card2", "renderD128", "card2-DP-1", "version"] {
            let device = cards.join(name).join("device");
            std::fs::create_dir_all(&device).unwrap();
            std::fs::write(device.join("mem_info_vram_total"), "100\n").unwrap();
        }
        let names: Vec<_> = card_devices(&cards)
            .iter()
            .map(|device| device.strip_prefix(&cards).unwrap().to_owned())
            .collect();
        assert_eq!(names, ["card2/device", "card10/device"].map(PathBuf::from));
        let all = together(amd_cards(&cards)).unwrap();
        assert_eq!(all.total, 200);
    }

    #[test]
    fn who_computes_is_known_only_where_every_card_tells() {
        let all = vec![(Some(8), Some(vec![7])), (Some(8), Some(vec![9, 7]))];
        assert_eq!(
            ask(&Fake(Some(2), all.clone())).holders,
            Some(vec![7, 9, 7])
        );
        assert_eq!(ask(&Fake(Some(3), all)).holders, None);
    }

    #[test]
    fn what_is_free_is_known_only_where_every_card_tells() {
        let now = Instant::now();
        let root = tempfile::tempdir().unwrap();
        let told = |cards: &[Option<u64>]| {
            let count = u32::try_from(cards.len()).unwrap();
            read(root.path(), &ask(&fake(Some(count), cards)), now)
        };
        let of = |total, free| {
            Some(CardMemorySample {
                total,
                free,
                at: now,
            })
        };
        assert_eq!(told(&[Some(8), Some(24)]), of(32, 8));
        assert_eq!(told(&[Some(8), None]), None);
        assert_eq!(told(&[]), None);
        let device = root.path().join("sys/class/drm/card0/device");
        std::fs::create_dir_all(&device).unwrap();
        std::fs::write(device.join("mem_info_vram_total"), "100\n").unwrap();
        // A card that does not say what is used may be the one that is full.
        assert_eq!(told(&[Some(8)]), None);
        std::fs::write(device.join("mem_info_vram_used"), "90\n").unwrap();
        assert_eq!(told(&[Some(8)]), of(108, 12));
        assert_eq!(
            read(root.path(), &DriverReport::default(), now),
            of(100, 10)
        );
        std::fs::write(device.join("mem_info_vram_used"), "101\n").unwrap();
        assert_eq!(read(root.path(), &DriverReport::default(), now), None);
    }

    #[test]
    fn amd_tells_by_files_and_the_larger_of_both_makers_counts() {
        let root = tempfile::tempdir().unwrap();
        let cards = root.path().join("sys/class/drm");
        assert_eq!(amd(&cards), None);
        for (card, told) in [("card0", "8000\n"), ("card1", "16000\n"), ("card2", "?")] {
            let device = cards.join(card).join("device");
            std::fs::create_dir_all(&device).unwrap();
            std::fs::write(device.join("mem_info_vram_total"), told).unwrap();
        }
        assert_eq!(amd(&cards), Some(16_000));
        let with = |largest| {
            let nvidia = DriverReport {
                largest,
                ..DriverReport::default()
            };
            largest_of(root.path(), &nvidia).unwrap()
        };
        assert_eq!(with(None).memory, 16_000);
        assert_eq!(with(Some(8)).told_by, "amdgpu, /sys/class/drm");
        assert_eq!(with(Some(24_000)).told_by, "NVIDIA's driver, NVML");
        let nothing = tempfile::tempdir().unwrap();
        assert_eq!(largest_of(nothing.path(), &DriverReport::default()), None);
    }

    #[test]
    fn a_machine_without_the_drivers_library_is_no_error() {
        // What it says depends on the machine; that it says something is what counts.
        assert_ne!(nvidia().largest, Some(0));
    }
}
