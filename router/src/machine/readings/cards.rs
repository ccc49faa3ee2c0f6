//! What each graphics card uses: NVIDIA's by the driver's library, AMD's by the files of amdgpu.
//!
//! AMD's files are those of the kernel's `amdgpu` documentation: `gpu_busy_percent` and
//! `mem_info_vram_*` of the device, temperature in thousandths of a degree and power in microwatts of
//! its sensors (`hwmon`).

use std::path::Path;

use super::super::{
    files::number,
    gpu::{self, CardReading},
};

/// Reads all cards: those of NVIDIA's driver, then those of amdgpu below `root`.
pub(super) fn read(root: &Path) -> Vec<CardReading> {
    let mut cards = gpu::nvidia_cards();
    cards.extend(amd(root));
    cards
}

/// Reads the cards of amdgpu; those of other drivers have none of its files.
fn amd(root: &Path) -> Vec<CardReading> {
    let devices = gpu::card_devices(&root.join("sys/class/drm"));
    let readings = devices.iter().filter_map(|device| {
        let total: u64 = number(&device.join("mem_info_vram_total")).filter(|total| *total > 0)?;
        let used: Option<u64> = number(&device.join("mem_info_vram_used"));
        let busy: Option<f64> = number(&device.join("gpu_busy_percent"));
        Some(CardReading {
            memory_total: Some(total),
            memory_used: used.filter(|used| *used <= total),
            utilization: busy
                .filter(|busy| (0.0..=100.0).contains(busy))
                .map(|busy| busy / 100.0),
            celsius: sensor(device, &["temp1_input"]).map(|thousandths| thousandths / 1e3),
            watts: sensor(device, &["power1_average", "power1_input"]).map(|micro| micro / 1e6),
            joules: None,
        })
    });
    readings.collect()
}

/// Reads the first of these files that one of the device's sensors has.
fn sensor(device: &Path, files: &[&str]) -> Option<f64> {
    let sensors = std::fs::read_dir(device.join("hwmon")).ok()?;
    let mut sensors = sensors.filter_map(Result::ok).map(|sensor| sensor.path());
    sensors.find_map(|sensor| files.iter().find_map(|file| number(&sensor.join(file))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::files::put;

    #[test]
    fn a_card_of_amdgpu_is_read_from_its_files() {
        let root = tempfile::tempdir().unwrap();
        let device = "sys/class/drm/card1/device";
        for (file, text) in [
            ("mem_info_vram_total", "16000\n"),
            ("mem_info_vram_used", "4000\n"),
            ("gpu_busy_percent", "37\n"),
            ("hwmon/hwmon3/temp1_input", "54000\n"),
            ("hwmon/hwmon3/power1_average", "120500000\n"),
        ] {
            put(root.path(), &format!("{device}/{file}"), text);
        }
        // The same card under its second name, and one of another driver.
        put(
            root.path(),
            "sys/class/drm/renderD128/device/mem_info_vram_total",
            "16000\n",
        );
        put(root.path(), "sys/class/drm/card0/device/vendor", "0x8086\n");
        let expected = CardReading {
            memory_total: Some(16_000),
            memory_used: Some(4_000),
            utilization: Some(0.37),
            celsius: Some(54.0),
            watts: Some(120.5),
            joules: None,
        };
        assert_eq!(amd(root.path()), [expected]);
    }

    #[test]
    fn what_a_card_does_not_say_is_unknown() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(amd(root.path()), []);
        let device = "sys/class/drm/card0/device";
        for (file, text) in [
            ("mem_info_vram_total", "16000\n"),
            ("mem_info_vram_used", "16001\n"),
            ("gpu_busy_percent", "101\n"),
            ("hwmon/hwmon3/temp1_input", "hot\n"),
        ] {
            put(root.path(), &format!("{device}/{file}"), text);
        }
        let expected = CardReading {
            memory_total: Some(16_000),
            ..CardReading::default()
        };
        assert_eq!(amd(root.path()), [expected]);
        put(
            root.path(),
            "sys/class/drm/card0/device/hwmon/hwmon3/power1_input",
            "1000000",
        );
        assert_eq!(amd(root.path())[0].watts, Some(1.0));
    }
}
