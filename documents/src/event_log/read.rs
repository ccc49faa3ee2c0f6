//! Reading the log back, line by line.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::line::LoggedEvent;

/// The requests and loads that the files of an event log tell of, in the order of their lines.
#[derive(Debug, Default, PartialEq)]
pub struct EventLog {
    /// Events in the order in which they were written.
    pub events: Vec<LoggedEvent>,
    /// The number of lines that are no events of this version.
    pub corrupt: usize,
    /// The number of events that the writer had to drop.
    pub dropped: u64,
}

/// A file of the log cannot be read.
#[derive(Debug)]
pub struct UnreadableLog {
    /// The file.
    pub path: PathBuf,
    /// The error of the file system.
    pub error: io::Error,
}

/// Reads these files one after the other.
///
/// # Errors
/// A file that is there and cannot be read; a missing one only if none of them is there.
pub fn read_event_log(paths: &[PathBuf]) -> Result<EventLog, UnreadableLog> {
    let mut all = EventLog::default();
    let mut missing = None;
    let mut found = false;
    for path in paths {
        match std::fs::read(path) {
            Ok(bytes) => {
                found = true;
                all.take(&bytes);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                missing = Some(unreadable(path, error));
            }
            Err(error) => return Err(unreadable(path, error)),
        }
    }
    match missing {
        Some(missing) if !found => Err(missing),
        _ => Ok(all),
    }
}

fn unreadable(path: &Path, error: io::Error) -> UnreadableLog {
    UnreadableLog {
        path: path.to_owned(),
        error,
    }
}

// === impl EventLog ===

impl EventLog {
    fn take(&mut self, bytes: &[u8]) {
        for line in bytes.split(|b| *b == b'\n') {
            if line.trim_ascii().is_empty() {
                continue;
            }
            match serde_json::from_slice(line) {
                Ok(LoggedEvent::Dropped { count }) => {
                    self.dropped = self.dropped.saturating_add(count);
                }
                Ok(line) => self.events.push(line),
                Err(_) => self.corrupt += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: &str = "{\"event\":\"load\",\"at_ms\":1,\"engine\":\"e\",\"model\":\"m\",\
                        \"took_ms\":2,\"outcome\":\"ok\",\"trigger\":\"request\"}";
    const REQUEST: &str = "{\"event\":\"request\",\"at_ms\":1,\"engine\":\"e\",\"model\":\"m\",\
                           \"class\":\"interactive\",\"prompt_tokens\":1,\"output_tokens\":2,\
                           \"wait_ms\":3,\"loaded\":true,\"held_ms\":4,\"status\":200,\
                           \"outcome\":\"ok\",\"engine_kind\":\"ollama\",\"device\":\"cpu\",\
                           \"pool\":\"cpu\",\"embedding\":false,\"size_bytes\":7}";

    #[test]
    fn lines_are_read_as_they_are_written() {
        let mut read = EventLog::default();
        read.take(format!("{LOAD}\n{REQUEST}\n").as_bytes());
        let again: Vec<String> = read
            .events
            .iter()
            .map(|line| serde_json::to_string(line).unwrap())
            .collect();
        assert_eq!(again, [LOAD, REQUEST]);
    }

    #[test]
    fn what_is_corrupt_is_counted_and_skipped() {
        let mut read = EventLog::default();
        let cut = &REQUEST[..40];
        let text = format!("{LOAD}\n{cut}\n\n\u{7}\n{{\"event\":\"other\"}}\n{LOAD}");
        read.take(text.as_bytes());
        assert_eq!((read.events.len(), read.corrupt), (2, 3));
        read.take(b"{\"event\":\"dropped\",\"count\":5}\n\xff\n");
        assert_eq!((read.dropped, read.corrupt), (5, 4));
        read.take(b"{\"event\":\"dropped\",\"count\":18446744073709551615}\n");
        assert_eq!(read.dropped, u64::MAX);
    }

    #[test]
    fn one_of_two_files_is_enough() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
        let error = read_event_log(&[one.clone(), two.clone()]).unwrap_err();
        assert_eq!(error.path, two);
        std::fs::write(&one, LOAD).unwrap();
        assert_eq!(read_event_log(&[one, two]).unwrap().events.len(), 1);
    }
}
