//! The reader of `GET /crucible/events`: what happens in a running instance, as it happens.

use std::{fmt, pin::Pin, time::Duration};

use eventsource_stream::{Event, Eventsource as _};
use futures_util::{Stream, StreamExt as _};
use http::StatusCode;
use serde_json::Value;

use crate::{StateDoc, inspector::InspectorStatusDoc, timeline::TimelineEntry};

/// The longest time until a connection is there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// The longest time without a byte: the instance sends a comment every 15 s.
const SILENCE: Duration = Duration::from_secs(40);

/// An event of a running instance.
#[derive(Debug)]
pub enum InstanceEvent {
    /// The state at this moment.
    State(Box<StateDoc>),
    /// The entries of the timeline that are new, the oldest first; the first event has those of the last
    /// 15 minutes. Kinds of entries that this version does not know are left out.
    Timeline(Vec<TimelineEntry>),
    /// Whether the inspector keeps requests.
    Inspector(InspectorStatusDoc),
}

/// The cause for which an instance gives no events, or no more of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventsFailure {
    /// Nothing answers, or the instance ended.
    Gone,
    /// It answers only with a client key, and this one is none of them.
    KeyWanted,
    /// The program that answers has no such events.
    Foreign,
}

/// The events of an instance, from the moment at which they were asked for.
pub struct InstanceEvents {
    events: Pin<Box<dyn Stream<Item = Option<Event>> + Send>>,
}

// === impl InstanceEvents ===

impl fmt::Debug for InstanceEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstanceEvents").finish_non_exhaustive()
    }
}

impl InstanceEvents {
    /// Asks the instance at a URL without a path.
    pub(super) async fn begin(url: &str, key: Option<&str>) -> Result<Self, EventsFailure> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE)
            .build();
        let http = http.map_err(|_| EventsFailure::Gone)?;
        let mut request = http.get(format!("{url}/crucible/events"));
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        let answer = request.send().await.map_err(|_| EventsFailure::Gone)?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => return Err(EventsFailure::KeyWanted),
            StatusCode::SERVICE_UNAVAILABLE => return Err(EventsFailure::Gone),
            _ => return Err(EventsFailure::Foreign),
        }
        let events = answer.bytes_stream().eventsource().map(Result::ok);
        Ok(Self {
            events: Box::pin(events),
        })
    }

    /// The next event that this version knows.
    ///
    /// # Errors
    /// The stream ended, or what came is no event of a Crucible.
    pub async fn next(&mut self) -> Result<InstanceEvent, EventsFailure> {
        loop {
            let event = self.events.next().await.flatten();
            let event = event.ok_or(EventsFailure::Gone)?;
            if let Some(event) = InstanceEvent::of(&event.event, &event.data)? {
                return Ok(event);
            }
        }
    }
}

// === impl InstanceEvent ===

impl InstanceEvent {
    /// Reads an event by its name; `None` for a name that this version does not know.
    fn of(name: &str, data: &str) -> Result<Option<Self>, EventsFailure> {
        let foreign = |_| EventsFailure::Foreign;
        match name {
            "state" => {
                let state = serde_json::from_str(data).map_err(foreign)?;
                Ok(Some(Self::State(state)))
            }
            "timeline" => {
                let entries: Vec<Value> = serde_json::from_str(data).map_err(foreign)?;
                let known = entries.into_iter().map(serde_json::from_value);
                Ok(Some(Self::Timeline(known.filter_map(Result::ok).collect())))
            }
            "inspector" => {
                let status = serde_json::from_str(data).map_err(foreign)?;
                Ok(Some(Self::Inspector(status)))
            }
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_later_version_adds_is_passed_over() {
        let known = r#"{"kind":"eviction","at_ms":1,"engine":"gpu","model":"m","reason":"ttl"}"#;
        let data = format!(r#"[{{"kind":"later"}},{known}]"#);
        let event = InstanceEvent::of("timeline", &data).unwrap();
        assert!(matches!(event, Some(InstanceEvent::Timeline(entries)) if entries.len() == 1));
        assert!(InstanceEvent::of("later", "?").unwrap().is_none());
        assert_eq!(
            InstanceEvent::of("state", "{}").unwrap_err(),
            EventsFailure::Foreign
        );
    }
}
