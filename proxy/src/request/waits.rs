//! The times in which a request waits for others before it has a plan: for the bytes of its client, and for
//! the lists of engines. Neither is time of Crucible's own.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    time::Duration,
};

use tokio::time::Instant;

use super::{ActiveRequest, RequestFacts};

/// The time in which a future was not ready, which goes to the record of the request when this is dropped:
/// also where the client leaves before the future is ready.
struct NotedWait<'a> {
    active: &'a ActiveRequest,
    /// The field of the record that the time is added to.
    field: fn(&mut RequestFacts) -> &mut Duration,
    waited: Duration,
    /// The end of the last poll that found the future not ready.
    since: Option<Instant>,
}

/// Runs `receiving` and notes how long it waited for bytes of the client's body. The work on the bytes that
/// have come, such as their decompression, is none of that time.
pub(crate) async fn for_body<F: Future>(active: &ActiveRequest, receiving: F) -> F::Output {
    noted(active, |record| &mut record.body_wait, pin!(receiving)).await
}

/// Runs `planning` and notes how long it waited for the lists of engines.
pub(crate) async fn for_lists<F: Future>(active: &ActiveRequest, planning: F) -> F::Output {
    noted(active, |record| &mut record.lists_wait, pin!(planning)).await
}

async fn noted<F: Future>(
    active: &ActiveRequest,
    field: fn(&mut RequestFacts) -> &mut Duration,
    mut future: Pin<&mut F>,
) -> F::Output {
    let mut wait = NotedWait {
        active,
        field,
        waited: Duration::ZERO,
        since: None,
    };
    poll_fn(|cx| {
        wait.pause();
        let polled = future.as_mut().poll(cx);
        if polled.is_pending() {
            wait.since = Some(Instant::now());
        }
        polled
    })
    .await
}

// === impl NotedWait ===

impl NotedWait<'_> {
    /// Adds the time since the last poll.
    fn pause(&mut self) {
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
        }
    }
}

impl Drop for NotedWait<'_> {
    fn drop(&mut self) {
        self.pause();
        if !self.waited.is_zero() {
            self.active
                .note(|record| *(self.field)(record) += self.waited);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::{dialect, endpoint::Endpoint};

    #[tokio::test(start_paused = true)]
    async fn only_what_is_waited_for_counts() {
        let active = ActiveRequest::new("r".into(), Endpoint::Chat, dialect::unasked());
        let waits = || active.note(|record| (record.body_wait, record.lists_wait));
        let half = Duration::from_millis(500);
        assert_eq!(for_body(&active, ready(1)).await, 1);
        assert_eq!(waits(), (Duration::ZERO, Duration::ZERO));
        for_body(&active, async {
            sleep(half).await;
            sleep(half).await;
        })
        .await;
        for_lists(&active, sleep(half)).await;
        assert_eq!(waits(), (2 * half, half));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_leaves_was_waited_for_until_then() {
        let active = ActiveRequest::new("r".into(), Endpoint::Chat, dialect::unasked());
        let second = Duration::from_secs(1);
        let left = timeout(second, for_body(&active, pending::<()>())).await;
        assert!(left.is_err());
        assert_eq!(active.note(|record| record.body_wait), second);
    }
}
