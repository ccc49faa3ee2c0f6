//! Time in which the process runs, and that in which it stands still.
//!
//! Where a machine sleeps, Linux and macOS stop the monotonic clock, Windows does not; and a process
//! that is stopped, or a virtual machine that is paused, finds it far ahead when it goes on. What a
//! model is idle, a load takes and a request waits for is meant as time in which somebody could have done
//! something: else all of it would be over at once, before what has come meanwhile is read.

use std::{pin::pin, time::Duration};

use tokio::time::{Instant, timeout_at};

/// The time between two looks at the clocks.
pub(crate) const BEAT: Duration = Duration::from_secs(1);
/// A look that comes so much later than it should tells of a pause; a busy machine may be late too.
pub const LATE: Duration = Duration::from_secs(2);

/// A clock that stands still while the process does: the system's monotonic clock, less all pauses.
///
/// It is looked at once per [`BEAT`]; a look that comes too late tells of a pause. The deadlines of the
/// scheduler are moments of this clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AwakeClock {
    /// The last look, on the system's clock.
    seen: Instant,
    /// All pauses together.
    paused: Duration,
}

/// Before a silence is judged, what came while the process stood still is read: a timer may ring before
/// the process hears of that.
pub const READ_FIRST: Duration = Duration::from_millis(10);

/// Returns the output of the future by `deadline`; `None` where it is late. If the process did not
/// run for a while past the deadline, the future is polled first and then has all of `budget` anew,
/// because the length of that pause is unknown.
pub async fn within<F: Future>(
    mut deadline: Instant,
    budget: Duration,
    future: F,
) -> Option<F::Output> {
    let mut future = pin!(future);
    loop {
        if let Ok(output) = timeout_at(deadline, &mut future).await {
            return Some(output);
        }
        let now = Instant::now();
        if let Ok(output) = timeout_at(now + READ_FIRST, &mut future).await {
            return Some(output);
        }
        if now.saturating_duration_since(deadline) < LATE {
            return None;
        }
        deadline = now + budget;
    }
}

// === impl AwakeClock ===

impl AwakeClock {
    /// Starts the clock at `now`.
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            seen: now,
            paused: Duration::ZERO,
        }
    }

    /// Looks at the clock and returns its moment; what the look is late by counts as a pause.
    pub(crate) fn look(&mut self, now: Instant) -> Instant {
        let late = now
            .saturating_duration_since(self.seen)
            .saturating_sub(BEAT);
        if late >= LATE {
            self.paused += late;
        }
        self.seen = now;
        self.running(now)
    }

    /// Returns the moment of this clock for one of the system's.
    pub(crate) fn running(&self, moment: Instant) -> Instant {
        moment.checked_sub(self.paused).unwrap_or(moment)
    }

    /// Returns the moment of this clock for one of the standard library's clock.
    pub(crate) fn running_std(&self, moment: std::time::Instant) -> std::time::Instant {
        self.running(Instant::from_std(moment)).into_std()
    }

    /// Returns the moment of the system's clock at which this clock reaches one, if no pause comes before.
    pub(crate) fn on_system_clock(&self, moment: Instant) -> Instant {
        moment.checked_add(self.paused).unwrap_or(moment)
    }

    /// Returns the moment at which the clock is to be looked at next.
    pub(crate) fn next(&self) -> Instant {
        self.seen + BEAT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_pause_does_not_count_and_a_busy_machine_is_none() {
        let start = Instant::now();
        let mut awake = AwakeClock::new(start);
        for at in [1, 2, 4, 6] {
            let now = start + SECOND * at;
            assert_eq!(awake.look(now).duration_since(start), SECOND * at);
        }
        // An hour later the second has passed that was due.
        let now = start + SECOND * 3606;
        assert_eq!(awake.look(now).duration_since(start), SECOND * 7);
        assert_eq!(awake.next(), now + BEAT);
        assert_eq!(awake.running(now), awake.look(now));
        assert_eq!(
            awake.on_system_clock(awake.running(now) + SECOND),
            now + SECOND
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_budget_that_passed_in_a_pause_begins_anew() {
        let budget = SECOND * 5;
        let never = std::future::pending::<()>();
        let begun = Instant::now();
        assert_eq!(within(begun + budget, budget, never).await, None);
        assert_eq!(begun.elapsed(), budget + READ_FIRST);
        // It is stopped for an hour, and the answer comes 3 s after that.
        let begun = Instant::now();
        let answer = async {
            tokio::time::advance(SECOND * 3600).await;
            tokio::time::sleep(SECOND * 3).await;
            7
        };
        assert_eq!(within(begun + budget, budget, answer).await, Some(7));
        // It never does.
        let begun = Instant::now();
        let silence = async {
            tokio::time::advance(SECOND * 3600).await;
            std::future::pending::<()>().await;
        };
        assert_eq!(within(begun + budget, budget, silence).await, None);
        assert_eq!(begun.elapsed(), SECOND * 3605 + READ_FIRST);
    }

    #[test]
    fn a_clock_that_goes_back_says_nothing() {
        let start = Instant::now() + SECOND * 10;
        let mut awake = AwakeClock::new(start);
        let earlier = awake.look(start.checked_sub(SECOND).unwrap());
        assert_eq!(start.duration_since(earlier), SECOND);
    }
}
