//! The event log in `state_dir`: what was asked, waited for and loaded, without prompts, answers or
//! keys.
//!
//! The server appends one JSON line for each event to [`EVENT_LOG_FILE`]; at half of
//! `log.events_size` that file becomes [`OLDER_EVENT_LOG_FILE`]. `crucible replay` reads both. A line
//! that is no event of this version is counted and passed over, so a log that was cut by a full disk
//! or written by another version can still be read.
//!
//! ```
//! use crucible_documents::event_log::{EVENT_LOG_FILE, LoggedEvent, read_event_log};
//!
//! let folder = std::env::temp_dir().join(format!("event-log-{}", std::process::id()));
//! std::fs::create_dir_all(&folder).unwrap();
//! let file = folder.join(EVENT_LOG_FILE);
//! let load = r#"{"event":"load","at_ms":1,"engine":"gpu","model":"qwen","took_ms":2000,"outcome":"ok","trigger":"request"}"#;
//! std::fs::write(&file, format!("{load}\n{{\"event\":\"of a later version\"}}\n")).unwrap();
//!
//! let log = read_event_log(&[file]).unwrap();
//! assert!(matches!(&log.events[..], [LoggedEvent::Load(load)] if load.took_ms == 2000));
//! assert_eq!(log.corrupt, 1);
//! # std::fs::remove_dir_all(&folder).unwrap();
//! ```

mod line;
mod read;

pub use self::{
    line::{EnergyEvent, LoadEvent, LoggedEngineFacts, LoggedEvent, RequestEvent},
    read::{EventLog, UnreadableLog, read_event_log},
};

/// The name of the newer file.
pub const EVENT_LOG_FILE: &str = "events.jsonl";
/// The name of the older file.
pub const OLDER_EVENT_LOG_FILE: &str = "events.1.jsonl";
