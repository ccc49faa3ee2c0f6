//! Faults that a test arms: a closed list of kinds, each taken by the next request or load that
//! it fits.

use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};

/// The ways in which a simulated engine can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Send nothing more after `after_events` (default 1); go on after `delay_ms` if it is given.
    Stall,
    /// Send nothing more after `after_events` (default 1), though the engine is done with the
    /// request: its slot is free.
    Lost,
    /// Close the connection in the middle of an event, after `after_bytes` of the body or in the
    /// event that follows `after_events` (default 1). Non-streamed: a body that is too short.
    Cut,
    /// End properly after `after_events` (default 1), without `done` or `[DONE]`.
    Eof,
    /// After `after_events` (default 1), an error in the engine's own form, then the end.
    ErrorEvent,
    /// 400 with a bare string as `error` (LM Studio 0.4.x).
    BareError,
    /// 200 with an error object.
    #[serde(rename = "error_200")]
    Error200,
    /// 200 and `application/json` with an error object, also where a stream was asked for (LM Studio:
    /// "a streamed request may be answered 200 `application/json` with an error object or string";
    /// reported, not seen).
    #[serde(rename = "json_200")]
    Json200,
    /// The same with a bare string as `error`.
    #[serde(rename = "bare_200")]
    Bare200,
    /// A 200 stream with no content at all (LM Studio on context overflow).
    EmptyStream,
    /// Accept the request and never answer.
    NoHeaders,
    /// Wait `delay_ms` (default 1000) before the engine even looks at the request.
    SlowHeaders,
    /// 500 in the engine's own form.
    #[serde(rename = "http_500")]
    Http500,
    /// 503 with Ollama's queue text.
    #[serde(rename = "http_503")]
    Http503,
    /// 429 with `Retry-After` of `delay_ms` in seconds (default 1), without waiting.
    #[serde(rename = "http_429")]
    Http429,
    /// 302 to another host.
    Redirect,
    /// 200 with an HTML page.
    Html,
    /// The next load fails.
    LoadFail,
    /// The next load never ends.
    LoadHang,
    /// The next load runs out of memory.
    LoadOom,
    /// The next load gets half the context that it should.
    WrongContext,
    /// After `after_events` (default 1) all residents are gone and their answers with them.
    Crash,
    /// Event number `after_events` (default 1) is malformed JSON. Non-streamed: the body is.
    Garbage,
    /// Event number `after_events` (default 1) carries `after_bytes` bytes (default 1 MiB).
    BigEvent,
    /// Send in pieces of `after_bytes` (default 1), `delay_ms` apart.
    Split,
    /// Line ends are CR LF.
    Crlf,
    /// Only comments (SSE) or empty lines (NDJSON), `delay_ms` (default 1000) apart, for ever.
    CommentsOnly,
    /// LM Studio: the answer names `text` as the model that gave it.
    Alias,
}

/// One armed fault, as in `POST /sim/fault` and in a script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The way in which the engine goes wrong.
    pub kind: FaultKind,
    /// Bytes before it happens, or its size.
    #[serde(default)]
    pub after_bytes: Option<u64>,
    /// Events before it happens.
    #[serde(default)]
    pub after_events: Option<u64>,
    /// Milliseconds; the meaning is the kind's.
    #[serde(default)]
    pub delay_ms: Option<u64>,
    /// The number of requests or loads that it hits; default 1.
    #[serde(default = "once")]
    pub count: u64,
    /// The words of the engine, where an error of its own form is the fault; else those of the kind.
    #[serde(default)]
    pub text: Option<String>,
    /// Only paths that start with this. Without it the faults before an answer hit inference
    /// requests only.
    #[serde(default)]
    pub path: Option<String>,
    /// Before an answer: only requests whose body has this text in it.
    #[serde(default)]
    pub body: Option<String>,
}

/// When a fault acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Instead of handling the request.
    Early,
    /// When a model is loaded.
    Load,
    /// On an answer: at most one of these.
    Ending,
    /// On an answer: any number of these.
    Shape,
    /// On the name that an answer is given.
    Name,
}

/// The faults that are armed, in the order in which they are taken.
#[derive(Debug, Default)]
pub(crate) struct Armory(Mutex<Vec<Fault>>);

fn once() -> u64 {
    1
}

// === impl FaultKind ===

impl FaultKind {
    /// All kinds, in the order of the documentation.
    pub const ALL: [Self; 28] = [
        Self::Stall,
        Self::Lost,
        Self::Cut,
        Self::Eof,
        Self::ErrorEvent,
        Self::BareError,
        Self::Error200,
        Self::Json200,
        Self::Bare200,
        Self::EmptyStream,
        Self::NoHeaders,
        Self::SlowHeaders,
        Self::Http500,
        Self::Http503,
        Self::Http429,
        Self::Redirect,
        Self::Html,
        Self::LoadFail,
        Self::LoadHang,
        Self::LoadOom,
        Self::WrongContext,
        Self::Crash,
        Self::Garbage,
        Self::BigEvent,
        Self::Split,
        Self::Crlf,
        Self::CommentsOnly,
        Self::Alias,
    ];

    /// Its name in JSON.
    pub fn name(self) -> String {
        serde_json::to_value(self)
            .ok()
            .and_then(|value| value.as_str().map(str::to_owned))
            .unwrap_or_default()
    }

    pub(crate) fn stage(self) -> Stage {
        match self {
            Self::BareError
            | Self::Error200
            | Self::Json200
            | Self::Bare200
            | Self::EmptyStream
            | Self::NoHeaders
            | Self::SlowHeaders
            | Self::Http500
            | Self::Http503
            | Self::Http429
            | Self::Redirect
            | Self::Html => Stage::Early,
            Self::LoadFail | Self::LoadHang | Self::LoadOom | Self::WrongContext => Stage::Load,
            Self::Stall
            | Self::Lost
            | Self::Cut
            | Self::Eof
            | Self::ErrorEvent
            | Self::Crash
            | Self::CommentsOnly => Stage::Ending,
            Self::Garbage | Self::BigEvent | Self::Split | Self::Crlf => Stage::Shape,
            Self::Alias => Stage::Name,
        }
    }
}

// === impl Fault ===

impl Fault {
    /// A fault that acts once, with the kind's defaults.
    pub fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            after_bytes: None,
            after_events: None,
            delay_ms: None,
            count: 1,
            text: None,
            path: None,
            body: None,
        }
    }

    /// Sets the bytes before the fault happens, or its size.
    #[must_use]
    pub fn after_bytes(mut self, bytes: u64) -> Self {
        self.after_bytes = Some(bytes);
        self
    }

    /// Sets the events before the fault happens.
    #[must_use]
    pub fn after_events(mut self, events: u64) -> Self {
        self.after_events = Some(events);
        self
    }

    /// Sets the milliseconds, whose meaning is the kind's.
    #[must_use]
    pub fn delay_ms(mut self, delay_ms: u64) -> Self {
        self.delay_ms = Some(delay_ms);
        self
    }

    /// Sets how often it acts.
    #[must_use]
    pub fn times(mut self, count: u64) -> Self {
        self.count = count;
        self
    }

    /// Sets what the engine says.
    #[must_use]
    pub fn saying(mut self, text: &str) -> Self {
        self.text = Some(text.to_owned());
        self
    }

    /// Sets the paths it is for.
    #[must_use]
    pub fn on_path(mut self, path: &str) -> Self {
        self.path = Some(path.to_owned());
        self
    }

    /// Sets the text that a request's body must have.
    #[must_use]
    pub fn on_body(mut self, text: &str) -> Self {
        self.body = Some(text.to_owned());
        self
    }

    /// Events before it acts.
    pub(crate) fn events(&self) -> u64 {
        self.after_events.unwrap_or(1)
    }

    fn is_in(&self, body: &[u8]) -> bool {
        let text = String::from_utf8_lossy(body);
        self.body.as_deref().is_none_or(|want| text.contains(want))
    }

    fn fits(&self, path: &str, inference: bool) -> bool {
        self.path
            .as_deref()
            .map_or(inference, |prefix| path.starts_with(prefix))
    }
}

// === impl Armory ===

impl Armory {
    pub(crate) fn new(faults: Vec<Fault>) -> Self {
        Self(Mutex::new(faults))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.0.lock()
    }

    pub(crate) fn arm(&self, fault: Fault) {
        self.lock().push(fault);
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    /// Takes the first fault of a stage that fits.
    pub(crate) fn take(&self, stage: Stage, path: &str, inference: bool) -> Option<Fault> {
        let mut armed = self.lock();
        let fits = |fault: &Fault| fault.kind.stage() == stage && fault.fits(path, inference);
        let index = armed.iter().position(fits)?;
        spend(&mut armed, index)
    }

    /// The same for what comes before an answer, which may be for some bodies only.
    pub(crate) fn take_early(&self, path: &str, inference: bool, body: &[u8]) -> Option<Fault> {
        let mut armed = self.lock();
        let fits = |fault: &Fault| {
            fault.kind.stage() == Stage::Early && fault.fits(path, inference) && fault.is_in(body)
        };
        let index = armed.iter().position(fits)?;
        spend(&mut armed, index)
    }

    /// Takes what acts on an answer: one ending and one of each shape.
    pub(crate) fn take_for_answer(&self, path: &str) -> Vec<Fault> {
        let mut taken: Vec<Fault> = self.take(Stage::Ending, path, true).into_iter().collect();
        let mut armed = self.lock();
        let mut index = 0;
        while let Some(fault) = armed.get(index) {
            let new = taken.iter().all(|other| other.kind != fault.kind);
            if fault.kind.stage() == Stage::Shape && fault.fits(path, true) && new {
                let before = armed.len();
                taken.extend(spend(&mut armed, index));
                if armed.len() < before {
                    continue;
                }
            }
            index += 1;
        }
        taken
    }
}

/// Uses a fault once; it leaves the list with its last use.
fn spend(armed: &mut Vec<Fault>, index: usize) -> Option<Fault> {
    let fault = armed.get_mut(index)?;
    fault.count = fault.count.saturating_sub(1);
    let taken = fault.clone();
    if fault.count == 0 {
        armed.remove(index);
    }
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_all_kinds_are_read_back() {
        for kind in FaultKind::ALL {
            let fault: Fault =
                serde_json::from_value(serde_json::json!({"kind": kind.name()})).unwrap();
            assert_eq!(fault.kind, kind);
        }
    }

    #[test]
    fn a_fault_acts_as_often_as_it_says_and_endings_do_not_mix() {
        let armory = Armory::default();
        armory.arm(Fault::new(FaultKind::Cut).times(2));
        armory.arm(Fault::new(FaultKind::Eof));
        armory.arm(Fault::new(FaultKind::Crlf));
        let kinds = |faults: Vec<Fault>| faults.iter().map(|f| f.kind).collect::<Vec<_>>();
        assert_eq!(
            kinds(armory.take_for_answer("/x")),
            [FaultKind::Cut, FaultKind::Crlf]
        );
        assert_eq!(kinds(armory.take_for_answer("/x")), [FaultKind::Cut]);
        assert_eq!(kinds(armory.take_for_answer("/x")), [FaultKind::Eof]);
        assert!(armory.take_for_answer("/x").is_empty());
    }

    #[test]
    fn an_early_fault_leaves_listings_alone_unless_it_names_them() {
        let armory = Armory::default();
        armory.arm(Fault::new(FaultKind::Http500));
        armory.arm(Fault::new(FaultKind::Html).on_path("/api/ps"));
        assert!(armory.take_early("/api/tags", false, b"").is_none());
        let taken = armory.take_early("/api/ps", false, b"").unwrap();
        assert_eq!(taken.kind, FaultKind::Html);
    }

    #[test]
    fn an_early_fault_may_be_for_some_bodies_only() {
        let armory = Armory::default();
        armory.arm(Fault::new(FaultKind::Http500).on_body("poison"));
        assert!(armory.take_early("/x", true, b"{}").is_none());
        assert!(armory.take_early("/x", true, b"a poison b").is_some());
    }
}
