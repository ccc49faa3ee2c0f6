//! The pace of a body on its way: a body that stops coming, or comes too slowly, is given up.
//!
//! A clock that only asks for some progress would let a client hold a connection for as long as it
//! likes with a byte now and then. So there is also a floor for the bytes of each [`WINDOW`]. Only
//! time in which Crucible waits for the client counts: bytes that have come are read first, however
//! late that is.

use std::{pin::pin, time::Duration};

use bytes::{Buf, Bytes};
use crucible_config::Config;
use futures_util::FutureExt as _;
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use crate::error::{Error, ErrorKind};

/// The span of time over which the bytes that come are counted.
const WINDOW: Duration = Duration::from_secs(30);

/// A window whose end was seen later than this was not spent waiting for the client.
const LATE: Duration = Duration::from_secs(1);

/// The slowest pace that a body may have.
#[derive(Clone, Copy, Debug)]
pub struct PaceFloor {
    /// The longest time without a byte.
    pub silence: Duration,
    /// The least bytes per second, counted over [`WINDOW`].
    pub rate: u64,
}

/// A body that is given up where it is slower than its floor.
pub(super) struct PacedBody<B> {
    body: B,
    pace: PaceClock,
}

/// The clocks of a body on its way.
#[derive(Debug)]
struct PaceClock {
    floor: PaceFloor,
    /// The end of the present window; `None` before the first wait.
    ends: Option<Instant>,
    /// The bytes of the present window so far.
    came: u64,
}

// === impl PaceFloor ===

impl PaceFloor {
    /// Returns the configured floor (`timeouts.body`, `limits.body_rate`).
    pub(super) const fn of(config: &Config) -> Self {
        Self {
            silence: config.timeouts.body,
            rate: config.limits.body_rate,
        }
    }
}

// === impl PaceClock ===

impl PaceClock {
    const fn new(floor: PaceFloor) -> Self {
        Self {
            floor,
            ends: None,
            came: 0,
        }
    }

    const fn arrived(&mut self, bytes: usize) {
        self.came = self.came.saturating_add(bytes as u64);
    }

    /// Returns the instant at which a wait has to be judged.
    fn due(&mut self, silent_since: Instant) -> Instant {
        let ends = *self.ends.get_or_insert(silent_since + WINDOW);
        ends.min(silent_since + self.floor.silence)
    }

    /// Judges a wait in which nothing has come by now.
    ///
    /// # Errors
    /// `request_timeout` where the body is silent for too long or came too slowly.
    fn judge(&mut self, silent_since: Instant, now: Instant) -> Result<(), Error> {
        if now >= silent_since + self.floor.silence {
            return Err(Error::new(
                ErrorKind::RequestTimeout,
                "the body stopped coming (timeouts.body)",
            ));
        }
        let Some(ends) = self.ends.filter(|ends| now >= *ends) else {
            return Ok(());
        };
        let least = self.floor.rate.saturating_mul(WINDOW.as_secs());
        if self.came < least && now < ends + LATE {
            return Err(Error::new(
                ErrorKind::RequestTimeout,
                format!(
                    "the body comes too slowly: {} bytes in {} s, and at least {} a second are \
                     asked for (limits.body_rate)",
                    self.came,
                    WINDOW.as_secs(),
                    self.floor.rate
                ),
            ));
        }
        self.ends = Some(now + WINDOW);
        self.came = 0;
        Ok(())
    }
}

// === impl PacedBody ===

impl<B> PacedBody<B>
where
    B: Body + Unpin,
    B::Error: std::fmt::Display,
{
    /// Wraps a request's body, whose bytes must not come more slowly than `floor` allows.
    pub(super) const fn new(body: B, floor: PaceFloor) -> Self {
        Self {
            body,
            pace: PaceClock::new(floor),
        }
    }

    /// Returns the wrapped body, to ask for its length and its end.
    pub(super) const fn body(&self) -> &B {
        &self.body
    }

    /// Waits for the next bytes; `None` at the end of the body.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        let Self { body, pace } = self;
        loop {
            let mut frame = pin!(body.frame());
            let came = match frame.as_mut().now_or_never() {
                Some(came) => came,
                None => match pace.wait(frame).await {
                    Ok(came) => came,
                    Err(slow) => return Some(Err(slow)),
                },
            };
            let Ok(frame) = came? else {
                return Some(Err(Error::new(ErrorKind::BadRequest, "the body broke off")));
            };
            if let Ok(mut data) = frame.into_data() {
                let length = data.remaining();
                pace.arrived(length);
                return Some(Ok(data.copy_to_bytes(length)));
            }
        }
    }
}

impl PaceClock {
    async fn wait<T>(&mut self, mut next: impl Future<Output = T> + Unpin) -> Result<T, Error> {
        let silent_since = Instant::now();
        loop {
            // What is there comes first, also after the time is up.
            match timeout_at(self.due(silent_since), &mut next).await {
                Ok(came) => return Ok(came),
                Err(_) => self.judge(silent_since, Instant::now())?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body::Frame;
    use http_body_util::StreamBody;
    use tokio::time::sleep;

    use super::*;

    const FLOOR: PaceFloor = PaceFloor {
        silence: Duration::from_secs(30),
        rate: 1000,
    };

    /// A body of so many pieces of that size, one after each wait; gives when it ended, and how.
    async fn read(pieces: usize, size: usize, wait: f64, floor: PaceFloor) -> (u64, Option<Error>) {
        let pieces = futures_util::stream::unfold(pieces, move |left| async move {
            let left = left.checked_sub(1)?;
            sleep(Duration::from_secs_f64(wait)).await;
            let piece = Frame::data(Bytes::from(vec![b'x'; size]));
            Some((Ok::<_, Infallible>(piece), left))
        });
        let began = Instant::now();
        let mut paced = PacedBody::new(Box::pin(StreamBody::new(pieces)), floor);
        let mut error = None;
        while let Some(came) = paced.next().await {
            if let Err(slow) = came {
                error = Some(slow);
                break;
            }
        }
        (began.elapsed().as_secs(), error)
    }

    #[tokio::test(start_paused = true)]
    async fn a_drip_is_given_up_after_one_window_and_an_honest_slow_upload_is_not() {
        let off = PaceFloor { rate: 0, ..FLOOR };
        let short = PaceFloor {
            silence: Duration::from_secs(5),
            ..FLOOR
        };
        for (pieces, size, wait, floor, after, told) in [
            // One byte now and then: long, and however often.
            (100, 1, 29.0, FLOOR, 30, Some("limits.body_rate")),
            (100_000, 1, 0.25, FLOOR, 30, Some("limits.body_rate")),
            (100, 29_000, 29.9, FLOOR, 30, Some("limits.body_rate")),
            // Silence is a fault of its own.
            (100, 1, 31.0, FLOOR, 30, Some("timeouts.body")),
            (100, 1, 6.0, short, 5, Some("timeouts.body")),
            // A line that is bad, but above the floor: ten minutes, and in gusts.
            (600, 1100, 1.0, FLOOR, 600, None),
            (30, 64_000, 20.0, FLOOR, 600, None),
            // Too slow, but done before it can be told.
            (29, 1, 1.0, FLOOR, 29, None),
            (10, 1, 29.0, off, 290, None),
        ] {
            let what = format!("{pieces} x {size} each {wait}");
            let (seconds, error) = read(pieces, size, wait, floor).await;
            assert_eq!(seconds, after, "{what}");
            let message = error.map(|error| {
                assert_eq!(error.kind, ErrorKind::RequestTimeout, "{what}");
                error.message.into_owned()
            });
            match told {
                Some(told) => assert!(message.is_some_and(|m| m.contains(told)), "{what}"),
                None => assert_eq!(message, None, "{what}"),
            }
        }
    }

    #[test]
    fn time_in_which_nothing_was_read_does_not_count() {
        let mut pace = PaceClock::new(FLOOR);
        let began = Instant::now();
        pace.due(began);
        // The process stood still over the end of the window.
        let since = began + Duration::from_secs(29);
        assert!(pace.judge(since, began + WINDOW + LATE).is_ok());
        // Which began anew then.
        let ends = began + WINDOW + LATE + WINDOW;
        assert_eq!(pace.due(ends - Duration::from_secs(9)), ends);
        assert!(pace.judge(ends - Duration::from_secs(9), ends).is_err());
    }
}
