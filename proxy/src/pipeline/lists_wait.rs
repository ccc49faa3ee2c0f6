//! The time in which a request waits for the lists of engines, before its plan can be made.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    time::Duration,
};

use tokio::time::Instant;

use crate::request::ActiveRequest;

/// Runs `planning` and notes how long it was not ready, which is a wait for engines and no time of Crucible's own.
pub(super) async fn noted<F: Future>(active: &ActiveRequest, planning: F) -> F::Output {
    let (output, waited) = timed(pin!(planning)).await;
    if !waited.is_zero() {
        active.note(|record| record.lists_wait += waited);
    }
    output
}

/// Returns what the future is ready with, and the time since it first was not; none for one that was ready at once.
async fn timed<F: Future>(mut future: Pin<&mut F>) -> (F::Output, Duration) {
    let mut since: Option<Instant> = None;
    let output = poll_fn(|cx| {
        let polled = future.as_mut().poll(cx);
        if polled.is_pending() {
            since.get_or_insert_with(Instant::now);
        }
        polled
    })
    .await;
    (
        output,
        since.map_or(Duration::ZERO, |since| since.elapsed()),
    )
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_what_is_waited_for_counts() {
        let half = Duration::from_millis(500);
        assert_eq!(timed(pin!(ready(1))).await, (1, Duration::ZERO));
        assert_eq!(timed(pin!(sleep(half))).await, ((), half));
    }
}
