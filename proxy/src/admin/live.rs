//! `GET /crucible/events`: the state and the last minutes as server-sent events, for the live page.
//!
//! ```text
//! event: timeline
//! data: [{"kind":"load","at_ms":1795906800000,"took_s":2.1,"engine":"lmstudio",...}]
//!
//! event: state
//! data: {"owns_state":true,"engines":[...],"pools":[...],"queue":[],"in_flight":[...]}
//! ```
//!
//! The first `timeline` has the last 15 minutes, later ones what is new. A `state` is the document of
//! `GET /crucible/state`; one comes at once, then at most two a second, and none while nothing changes but the
//! time. It is made once for all pages. An `inspector` says whether requests are kept, at once and whenever that or
//! their list changes.
//!
//! A page that reads slowly misses states. One that takes nothing for `timeouts.client_stall` while there is
//! something for it is given up, as every client that does not read; the system keeps little for a page, so
//! that this is soon found out. No system tells a server whether a program reads what its own system has taken for
//! it, so a comment is as long as it needs to be to fill that room within minutes, also where nothing else is sent.

use std::{
    convert::Infallible,
    sync::{Arc, LazyLock},
    time::Duration,
};

use axum::{Extension, body::Body, extract::State, response::Response};
use bytes::Bytes;
use crucible_documents::{StateDoc, timeline::TimelineEntry};
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Uri, header};
use serde::Serialize;
use tokio::{
    sync::watch,
    time::{Interval, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{inspect, state};
use crate::{reply, request::ActiveRequest, server::ClientPeer, state::AppState};

/// The time between two looks at the state while a page is open.
const LOOK: Duration = Duration::from_millis(500);
/// The time between two comments, by which a page notices a dead connection.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// The bytes of a comment: 16 KiB a minute fill what both systems take of an idle page, some 80 KiB, in five minutes.
const COMMENT_BYTES: usize = 4096;
/// The comment, which all pages share.
static COMMENT: LazyLock<Bytes> =
    LazyLock::new(|| format!(":{}\n\n", ".".repeat(COMMENT_BYTES - 3)).into());

/// One open page.
struct OpenPage {
    app: AppState,
    state: watch::Receiver<Bytes>,
    timeline: watch::Receiver<u64>,
    /// The number of the last entry of the timeline that was sent.
    seen: u64,
    heartbeat: Interval,
    began: bool,
    inspector: watch::Receiver<u64>,
    /// Whether the page may use the inspector.
    is_here: bool,
}

/// Answers with the stream, which ends when Crucible drains.
pub(super) async fn events(
    State(app): State<AppState>,
    peer: Option<Extension<ClientPeer>>,
    active: Option<Extension<Arc<ActiveRequest>>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let is_here = inspect::is_here(peer.as_deref(), &uri, &headers);
    open(app, peer.as_deref(), active.as_deref(), is_here)
}

/// The same for `metrics_listen`, where the inspector is not served.
pub(super) async fn events_without_inspector(
    State(app): State<AppState>,
    peer: Option<Extension<ClientPeer>>,
    active: Option<Extension<Arc<ActiveRequest>>>,
) -> Response {
    open(app, peer.as_deref(), active.as_deref(), false)
}

fn open(
    app: AppState,
    peer: Option<&ClientPeer>,
    active: Option<&Arc<ActiveRequest>>,
    is_here: bool,
) -> Response {
    if let Some(active) = active {
        active.note(|record| record.stream = true);
    }
    if let Some(peer) = peer {
        peer.shrink_send_buffer();
    }
    let mut heartbeat = interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let page = OpenPage {
        state: app.live.subscribe(),
        timeline: app.ledger.timeline().subscribe(),
        seen: 0,
        heartbeat,
        began: false,
        inspector: app.inspector.subscribe(),
        is_here,
        app,
    };
    let frames = stream::unfold(page, |mut page| async {
        let frame = page.next().await?;
        Some((Ok::<_, Infallible>(frame), page))
    });
    let mut response = reply::typed("text/event-stream", Body::from_stream(frames));
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply::unbuffered(headers);
    response
}

/// Publishes the state for open pages until `stop`; while none is open it sleeps.
pub(crate) async fn run(app: AppState, stop: CancellationToken) {
    let publishing = async {
        loop {
            app.live.opened().await;
            let mut looks = interval(LOOK);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut last = None;
            while app.live.is_watched() {
                looks.tick().await;
                let now = state::now(&app);
                let settled = without_ages(&now);
                if moves(&now) || last.as_ref() != Some(&settled) {
                    app.live.publish(frame("state", &now));
                    last = Some(settled);
                }
            }
        }
    };
    stop.run_until_cancelled(publishing).await;
}

// === impl OpenPage ===

impl OpenPage {
    /// The next frame; `None` once Crucible drains.
    async fn next(&mut self) -> Option<Bytes> {
        if !self.began {
            self.began = true;
            self.heartbeat.reset();
            let mut first = self.entries().to_vec();
            first.extend_from_slice(&self.inspector_status());
            first.extend_from_slice(&frame("state", &state::now(&self.app)));
            return Some(first.into());
        }
        let draining = self.app.draining.clone();
        tokio::select! {
            biased;
            () = draining.cancelled() => None,
            changed = self.inspector.changed() => changed.ok().map(|()| self.inspector_status()),
            changed = self.timeline.changed() => changed.ok().map(|()| self.entries()),
            changed = self.state.changed() => {
                changed.ok()?;
                Some(self.state.borrow_and_update().clone())
            }
            _ = self.heartbeat.tick() => Some(COMMENT.clone()),
        }
    }

    /// Whether requests are kept, which every page says.
    fn inspector_status(&mut self) -> Bytes {
        self.inspector.mark_unchanged();
        frame("inspector", &self.app.inspector.status(self.is_here))
    }

    /// What is new in the timeline.
    fn entries(&mut self) -> Bytes {
        self.timeline.mark_unchanged();
        let (entries, newest): (Vec<Arc<TimelineEntry>>, u64) =
            self.app.ledger.timeline().after(self.seen);
        self.seen = newest;
        frame("timeline", &entries)
    }
}

/// One server-sent event; JSON has no line ends outside its texts, where they are escaped.
fn frame(event: &str, document: &impl Serialize) -> Bytes {
    // These documents have no keys or numbers that JSON lacks.
    let data = serde_json::to_string(document).unwrap_or_default();
    format!("event: {event}\ndata: {data}\n\n").into()
}

/// Whether numbers change that a page shows as they move.
fn moves(state: &StateDoc) -> bool {
    let loads = state.pools.iter().any(|pool| pool.loading.is_some());
    loads || !state.in_flight.is_empty() || !state.queue.is_empty()
}

/// The state without what changes by time alone.
fn without_ages(state: &StateDoc) -> StateDoc {
    let mut settled = state.clone();
    if let Some(instance) = &mut settled.instance {
        instance.now_ms = None;
    }
    for resident in settled
        .pools
        .iter_mut()
        .flat_map(|pool| &mut pool.residents)
    {
        resident.idle_s = 0.0;
    }
    settled
}
