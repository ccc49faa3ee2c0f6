//! The memory of this machine's graphics cards, and who computes on them.
//!
//! AMD's cards are read from `/sys/class/drm` below a given root (Linux, amdgpu), NVIDIA's through
//! the driver's library NVML where it is installed. What neither reports is unknown, never an error.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// A sample is used again for this long before the cards are read anew.
const READ_EVERY: Duration = Duration::from_secs(1);

/// A driver that knows its cards.
trait CardDriver {
    /// Returns the number of cards; `None` if the driver does not report it.
    fn count(&self) -> Option<u32>;

    /// Returns the memory of one card; `None` if it is not reported, or the card has none of its own.
    fn memory(&self, card: u32) -> Option<CardMemory>;

    /// Returns the ids of the processes that compute on it; `None` if they are not reported.
    fn holders(&self, card: u32) -> Option<Vec<u32>>;
}

/// Memory of one card, or of several, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CardMemory {
    /// All memory, held or not.
    pub(crate) total: u64,
    /// Memory that no process holds; `None` where that is not reported.
    pub(crate) free: Option<u64>,
}

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
    let cards = std::fs::read_dir(cards).into_iter().flatten();
    cards.filter_map(|card| {
        let device = card.ok()?.path().join("device");
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

#[cfg(all(feature = "nvml", any(target_os = "linux", target_os = "windows")))]
mod nvml {
    use std::sync::OnceLock;

    use nvml_wrapper::Nvml;

    use super::{CardDriver, CardMemory};

    // === impl CardDriver for Nvml ===

    impl CardDriver for Nvml {
        fn count(&self) -> Option<u32> {
            self.device_count().ok()
        }

        fn memory(&self, card: u32) -> Option<CardMemory> {
            let memory = self.device_by_index(card).ok()?.memory_info().ok()?;
            Some(CardMemory {
                total: memory.total,
                free: Some(memory.free),
            })
        }

        fn holders(&self, card: u32) -> Option<Vec<u32>> {
            let all = self.device_by_index(card).ok()?.running_compute_processes();
            Some(all.ok()?.into_iter().map(|process| process.pid).collect())
        }
    }

    /// Returns the driver's library where it is installed; it is looked for once.
    pub(super) fn driver() -> Option<&'static Nvml> {
        static DRIVER: OnceLock<Option<Nvml>> = OnceLock::new();
        DRIVER.get_or_init(open).as_ref()
    }

    fn open() -> Option<Nvml> {
        // The name without a number belongs to the development package on most systems.
        let numbered = || {
            Nvml::builder()
                .lib_path("libnvidia-ml.so.1".as_ref())
                .init()
        };
        Nvml::init().or_else(|_| numbered()).ok()
    }
}

/// Asks NVIDIA's driver about its cards.
#[cfg(all(feature = "nvml", any(target_os = "linux", target_os = "windows")))]
pub(crate) fn nvidia() -> DriverReport {
    nvml::driver().map(ask).unwrap_or_default()
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
