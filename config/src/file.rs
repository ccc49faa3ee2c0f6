//! The text of a configuration file, whatever stands at its path.
//!
//! A pipe that nobody writes to, a device without an end and a text in another encoding are told
//! in words; none of them may hold up the one who reads.

use std::{fs::File, io, io::Read as _, path::Path, sync::mpsc::sync_channel, time::Duration};

/// The most bytes that a configuration file may have.
const LARGEST: u64 = 16 << 20;

/// The longest wait for a pipe to be opened; it opens as soon as a program writes to it.
const OPENING: Duration = Duration::from_secs(3);

/// The reason for which a file gave no text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnreadFile {
    /// The words for what was found, such as `more than 16 MiB`.
    pub(crate) found: String,
    /// The words for what would be right.
    pub(crate) expected: &'static str,
    /// The advice that mends it; empty where there is none.
    pub(crate) hint: &'static str,
}

/// Reads the text of the configuration file at `path`, of at most 16 MiB. A pipe that nobody opens
/// for writing is an error after 3 seconds.
pub(crate) fn read(path: &Path) -> Result<String, UnreadFile> {
    let file = if is_read_once(path) {
        open_in_time(path)?
    } else {
        File::open(path)?
    };
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(UnreadFile {
            found: "more than 16 MiB".into(),
            expected: "a configuration file",
            hint: "",
        });
    }
    text(bytes)
}

/// Whether it is there and is no file, such as what a shell gives for `<(...)`.
pub(crate) fn is_read_once(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

/// Opening a pipe waits for somebody who writes to it; where nobody does, the thread that waits is
/// left to the end of the process.
fn open_in_time(path: &Path) -> Result<File, UnreadFile> {
    let (opened, wait) = sync_channel(1);
    let path = path.to_owned();
    std::thread::Builder::new()
        .name("config-open".into())
        .spawn(move || opened.send(File::open(path)))?;
    wait.recv_timeout(OPENING).map_or_else(
        |_| {
            Err(UnreadFile {
                found: "a pipe that nobody writes to".into(),
                expected: "a readable file",
                hint: "",
            })
        },
        |file| Ok(file?),
    )
}

fn text(bytes: Vec<u8>) -> Result<String, UnreadFile> {
    let expected = "text in UTF-8";
    // Two bytes a character: half of what a configuration is made of is then zeros.
    if matches!(bytes.as_slice(), [0xff, 0xfe, ..] | [0xfe, 0xff, ..])
        || matches!(bytes.as_slice(), [0, _, 0, _, ..] | [_, 0, _, 0, ..])
    {
        return Err(UnreadFile {
            found: "text in UTF-16".into(),
            expected,
            hint: "save it as UTF-8 (in PowerShell: Set-Content -Encoding utf8)",
        });
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let before = error.as_bytes().get(..at).unwrap_or_default();
        let line = before.split(|byte| *byte == b'\n').count();
        UnreadFile {
            found: format!("bytes in line {line} that are no UTF-8"),
            expected,
            hint: "save it as UTF-8",
        }
    })
}

// === impl UnreadFile ===

impl From<io::Error> for UnreadFile {
    fn from(error: io::Error) -> Self {
        Self {
            found: error.to_string(),
            expected: "a readable file",
            hint: "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(bytes: &[u8]) -> Result<String, String> {
        text(bytes.to_vec()).map_err(|unread| unread.found)
    }

    #[test]
    fn another_encoding_is_told_by_its_name_or_line() {
        let utf16 = |unit: fn(u16) -> [u8; 2], text: &str| -> Vec<u8> {
            text.encode_utf16().flat_map(unit).collect()
        };
        for bytes in [
            utf16(u16::to_le_bytes, "\u{feff}profile = \"agent\""),
            utf16(u16::to_be_bytes, "\u{feff}profile = \"agent\""),
            utf16(u16::to_le_bytes, "profile = \"agent\""),
            utf16(u16::to_be_bytes, "profile = \"agent\""),
        ] {
            assert_eq!(found(&bytes), Err("text in UTF-16".into()), "{bytes:x?}");
        }
        let latin = b"# here\r\ndefault_model = \"caf\xe9\"\r\n";
        let told = Err("bytes in line 2 that are no UTF-8".into());
        assert_eq!(found(latin), told);
        for text in ["", "x", "caf\u{e9}", "\u{feff}a = 1\r\n"] {
            assert_eq!(found(text.as_bytes()), Ok(text.into()));
        }
    }
}
