//! The state as the open pages see it: one frame, made once for all of them.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Notify, watch};

/// The newest frame, and who waits for it. A page that reads slowly misses frames and gets the newest one, so
/// that no page holds more than one. A clone is one reference more.
#[derive(Clone, Debug)]
pub(crate) struct LiveFeed {
    frame: watch::Sender<Bytes>,
    opened: Arc<Notify>,
}

// === impl LiveFeed ===

impl Default for LiveFeed {
    fn default() -> Self {
        Self {
            frame: watch::channel(Bytes::new()).0,
            opened: Arc::default(),
        }
    }
}

impl LiveFeed {
    /// Adds a page, which gets the frames that are published from now on.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Bytes> {
        let page = self.frame.subscribe();
        self.opened.notify_one();
        page
    }

    /// Returns once a page is open.
    pub(crate) async fn opened(&self) {
        while !self.is_watched() {
            self.opened.notified().await;
        }
    }

    /// Whether a page is open.
    pub(crate) fn is_watched(&self) -> bool {
        self.frame.receiver_count() > 0
    }

    /// Gives all open pages a new frame.
    pub(crate) fn publish(&self, frame: Bytes) {
        self.frame.send_replace(frame);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_page_gets_the_newest_frame_only() {
        let feed = LiveFeed::default();
        assert!(!feed.is_watched());
        let mut page = feed.subscribe();
        feed.opened().await;
        for frame in ["one", "two"] {
            feed.publish(Bytes::from_static(frame.as_bytes()));
        }
        page.changed().await.unwrap();
        assert_eq!(&**page.borrow_and_update(), b"two");
        drop(page);
        assert!(!feed.is_watched());
    }
}
