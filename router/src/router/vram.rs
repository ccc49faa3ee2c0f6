//! Memory of this machine's graphics cards.

use std::path::Path;

/// Cards that a driver knows.
trait Cards {
    /// How many; `None` if it does not tell.
    fn count(&self) -> Option<u32>;

    /// Memory of one in bytes; `None` if it does not tell, or has none of its own.
    fn memory(&self, card: u32) -> Option<u64>;
}

/// Memory of the largest card in bytes. What nobody tells is unknown, never an error.
pub(super) fn total() -> Option<u64> {
    amd(Path::new("/sys/class/drm")).max(nvidia())
}

/// The largest of a driver's cards. One that does not tell is left out.
#[cfg_attr(
    not(all(feature = "nvml", any(target_os = "linux", target_os = "windows"))),
    expect(dead_code, reason = "no driver is asked")
)]
fn largest(cards: &impl Cards) -> Option<u64> {
    let all = 0..cards.count()?;
    all.filter_map(|card| cards.memory(card))
        .filter(|bytes| *bytes > 0)
        .max()
}

/// The largest card's memory as amdgpu tells it (Linux, `mem_info_vram_total`).
fn amd(cards: &Path) -> Option<u64> {
    let cards = std::fs::read_dir(cards).ok()?;
    cards
        .filter_map(|card| {
            let path = card.ok()?.path().join("device/mem_info_vram_total");
            std::fs::read_to_string(path).ok()?.trim().parse().ok()
        })
        .filter(|bytes| *bytes > 0)
        .max()
}

#[cfg(all(feature = "nvml", any(target_os = "linux", target_os = "windows")))]
mod nvml {
    use nvml_wrapper::Nvml;

    use super::Cards;

    // === impl Cards for Nvml ===

    impl Cards for Nvml {
        fn count(&self) -> Option<u32> {
            self.device_count().ok()
        }

        fn memory(&self, card: u32) -> Option<u64> {
            let memory = self.device_by_index(card).ok()?.memory_info().ok()?;
            Some(memory.total)
        }
    }

    /// The driver's library, where there is one.
    pub(super) fn open() -> Option<Nvml> {
        // The name without a number belongs to the development package on most systems.
        let numbered = || {
            Nvml::builder()
                .lib_path("libnvidia-ml.so.1".as_ref())
                .init()
        };
        Nvml::init().or_else(|_| numbered()).ok()
    }
}

/// The largest NVIDIA card's memory as the driver's NVML tells it.
#[cfg(all(feature = "nvml", any(target_os = "linux", target_os = "windows")))]
fn nvidia() -> Option<u64> {
    largest(&nvml::open()?)
}

#[cfg(not(all(feature = "nvml", any(target_os = "linux", target_os = "windows"))))]
const fn nvidia() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake(Option<u32>, Vec<Option<u64>>);

    // === impl Cards for Fake ===

    impl Cards for Fake {
        fn count(&self) -> Option<u32> {
            self.0
        }

        fn memory(&self, card: u32) -> Option<u64> {
            self.1.get(usize::try_from(card).unwrap()).copied()?
        }
    }

    #[test]
    fn the_largest_card_that_tells_counts() {
        let cards = vec![Some(8), None, Some(24), Some(0)];
        assert_eq!(largest(&Fake(Some(4), cards.clone())), Some(24));
        assert_eq!(largest(&Fake(Some(1), cards.clone())), Some(8));
        // The driver names more than it describes.
        assert_eq!(largest(&Fake(Some(9), cards)), Some(24));
    }

    #[test]
    fn cards_that_do_not_tell_are_unknown() {
        assert_eq!(largest(&Fake(None, vec![Some(8)])), None);
        assert_eq!(largest(&Fake(Some(0), Vec::new())), None);
        assert_eq!(largest(&Fake(Some(2), vec![None, Some(0)])), None);
    }

    #[test]
    fn amd_tells_by_files() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(amd(folder.path()), None);
        for (card, told) in [("card0", "8000\n"), ("card1", "16000\n"), ("card2", "?")] {
            let device = folder.path().join(card).join("device");
            std::fs::create_dir_all(&device).unwrap();
            std::fs::write(device.join("mem_info_vram_total"), told).unwrap();
        }
        assert_eq!(amd(folder.path()), Some(16_000));
        assert_eq!(amd(&folder.path().join("none")), None);
    }

    #[test]
    fn a_machine_without_the_drivers_library_is_no_error() {
        // What it says depends on the machine; that it says something is what counts.
        assert_ne!(nvidia(), Some(0));
    }
}
