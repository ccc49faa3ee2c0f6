//! The breaker by behaviour; the properties are in a file of their own.

mod properties;

use super::*;

fn client(name: &str) -> ClientId {
    ClientId::of_key(name)
}

fn a() -> ClientId {
    client("a")
}

fn b() -> ClientId {
    client("b")
}

/// Reports the same of a client so often; gives whether Crucible is to ask itself.
fn times(
    breaker: &mut CircuitBreaker,
    n: u32,
    who: &ClientId,
    outcome: RequestOutcome,
    now: Instant,
) -> bool {
    let mut asks = false;
    for _ in 0..n {
        asks = breaker.report(who, BreakerPass::Closed, outcome, now);
    }
    asks
}

fn opened(now: Instant) -> CircuitBreaker {
    let mut breaker = CircuitBreaker::default();
    times(
        &mut breaker,
        OPEN_AFTER,
        &a(),
        RequestOutcome::ConnectFailed,
        now,
    );
    assert_eq!(breaker.state(now), BreakerState::Open);
    breaker
}

fn probe(breaker: &mut CircuitBreaker, who: &ClientId, now: Instant) -> BreakerPass {
    let pass = breaker.try_pass(who, now).unwrap();
    assert_ne!(pass, BreakerPass::Closed);
    pass
}

const SERVER: [RequestOutcome; 2] = [RequestOutcome::ServerFailed, RequestOutcome::Silent];

#[test]
fn failures_of_the_connection_count_whoever_meets_them() {
    let now = Instant::now();
    let mut breaker = CircuitBreaker::default();
    assert!(!times(
        &mut breaker,
        OPEN_AFTER - 1,
        &a(),
        RequestOutcome::ConnectFailed,
        now
    ));
    assert_eq!(breaker.state(now), BreakerState::Closed);
    assert!(!times(
        &mut breaker,
        1,
        &a(),
        RequestOutcome::ConnectFailed,
        now
    ));
    assert_eq!(breaker.state(now), BreakerState::Open);
}

#[test]
fn one_clients_failures_only_make_crucible_ask_itself() {
    for outcome in SERVER {
        let now = Instant::now();
        let mut breaker = CircuitBreaker::default();
        assert!(!times(&mut breaker, OPEN_AFTER - 1, &a(), outcome, now));
        assert!(times(&mut breaker, 1, &a(), outcome, now));
        assert!(times(&mut breaker, 100, &a(), outcome, now));
        assert_eq!(breaker.try_pass(&b(), now), Ok(BreakerPass::Closed));

        // One at a time.
        let own = breaker.begin_own_probe(now).unwrap();
        assert_eq!(breaker.begin_own_probe(now), None);
        let mut well = breaker.clone();
        well.end_own_probe(own, ProbeResult::Answers, now);
        assert_eq!(well.state(now), BreakerState::Closed);
        // It begins to count anew, and is not asked again at once.
        assert!(!times(&mut well, OPEN_AFTER - 1, &a(), outcome, now));
        assert!(times(&mut well, 1, &a(), outcome, now));
        assert_eq!(well.begin_own_probe(now), None);
        assert!(well.begin_own_probe(now + OPEN_MIN).is_some());

        let mut unknown = breaker.clone();
        unknown.end_own_probe(own, ProbeResult::Unknown, now);
        assert_eq!(unknown.try_pass(&b(), now), Ok(BreakerPass::Closed));

        breaker.end_own_probe(own, ProbeResult::Failing { silent: false }, now);
        assert_eq!(breaker.state(now), BreakerState::Open);
    }
}

#[test]
fn two_clients_failures_open_it_as_soon_as_one_clients_would() {
    for outcome in SERVER {
        let now = Instant::now();
        for first in 1..OPEN_AFTER {
            let mut breaker = CircuitBreaker::default();
            times(&mut breaker, first, &a(), outcome, now);
            times(&mut breaker, OPEN_AFTER - first - 1, &b(), outcome, now);
            assert_eq!(breaker.state(now), BreakerState::Closed);
            assert!(!times(&mut breaker, 1, &b(), outcome, now));
            assert_eq!(breaker.state(now), BreakerState::Open, "{first}");
        }
    }
}

#[test]
fn what_came_before_an_answer_is_forgotten() {
    let now = Instant::now();
    let mut breaker = CircuitBreaker::default();
    times(
        &mut breaker,
        OPEN_AFTER,
        &a(),
        RequestOutcome::ServerFailed,
        now,
    );
    let own = breaker.begin_own_probe(now).unwrap();
    breaker.report(&b(), BreakerPass::Closed, RequestOutcome::Answered, now);
    breaker.end_own_probe(own, ProbeResult::Failing { silent: false }, now);
    assert_eq!(breaker.state(now), BreakerState::Closed);
    times(
        &mut breaker,
        OPEN_AFTER - 1,
        &b(),
        RequestOutcome::ServerFailed,
        now,
    );
    assert_eq!(breaker.state(now), BreakerState::Closed);
}

/// It was asked early, because one client met silence twice.
#[test]
fn a_failing_probe_of_its_own_counts_until_the_next_answer() {
    let now = Instant::now();
    let mut breaker = CircuitBreaker::default();
    times(&mut breaker, 2, &a(), RequestOutcome::Silent, now);
    let own = breaker.begin_own_probe(now).unwrap();
    breaker.end_own_probe(own, ProbeResult::Failing { silent: true }, now);
    assert_eq!(breaker.state(now), BreakerState::Closed);
    times(
        &mut breaker,
        OPEN_AFTER - 2,
        &a(),
        RequestOutcome::Silent,
        now,
    );
    assert_eq!(breaker.state(now), BreakerState::Open);
}

#[test]
fn what_says_nothing_of_its_health_changes_nothing() {
    let now = Instant::now();
    let mut breaker = CircuitBreaker::default();
    times(
        &mut breaker,
        OPEN_AFTER - 1,
        &a(),
        RequestOutcome::ServerFailed,
        now,
    );
    for outcome in [
        RequestOutcome::Refused,
        RequestOutcome::Abandoned,
        RequestOutcome::Began,
    ] {
        times(&mut breaker, 100, &b(), outcome, now);
        assert_eq!(breaker.state(now), BreakerState::Closed, "{outcome:?}");
    }
    times(&mut breaker, 1, &b(), RequestOutcome::ServerFailed, now);
    assert_eq!(breaker.state(now), BreakerState::Open);
    // Who refuses a request is there.
    let mut breaker = CircuitBreaker::default();
    times(
        &mut breaker,
        OPEN_AFTER - 1,
        &a(),
        RequestOutcome::ConnectFailed,
        now,
    );
    times(&mut breaker, 1, &b(), RequestOutcome::Refused, now);
    times(
        &mut breaker,
        OPEN_AFTER - 1,
        &a(),
        RequestOutcome::ConnectFailed,
        now,
    );
    assert_eq!(breaker.state(now), BreakerState::Closed);
}

#[test]
fn one_probe_decides_and_only_that_one() {
    let now = Instant::now();
    let mut breaker = opened(now);
    let later = now + OPEN_MIN;
    assert_eq!(breaker.state(later), BreakerState::HalfOpen);
    let pass = probe(&mut breaker, &a(), later);
    let busy = breaker.try_pass(&b(), later).unwrap_err();
    assert_eq!((busy.remaining, busy.retry_after()), (Duration::ZERO, 1));
    // Of requests that were sent before it opened.
    times(&mut breaker, 9, &b(), RequestOutcome::ServerFailed, later);
    breaker.report(&b(), BreakerPass::Closed, RequestOutcome::Abandoned, later);
    assert!(breaker.try_pass(&b(), later).is_err());
    breaker.report(&a(), pass, RequestOutcome::ServerFailed, later);
    assert_eq!(breaker.cooldown(later).unwrap().remaining, OPEN_MIN * 2);
    let again = later + OPEN_MIN * 2;
    let pass = probe(&mut breaker, &a(), again);
    breaker.report(&a(), pass, RequestOutcome::Answered, again);
    assert_eq!(breaker.try_pass(&b(), again), Ok(BreakerPass::Closed));
    times(
        &mut breaker,
        OPEN_AFTER,
        &a(),
        RequestOutcome::ConnectFailed,
        again,
    );
    assert_eq!(breaker.cooldown(again).unwrap().remaining, OPEN_MIN);
}

#[test]
fn the_first_event_is_recovery_and_the_next_wait_is_longer_without_an_end() {
    let now = Instant::now();
    let mut breaker = opened(now);
    let later = now + OPEN_MIN;
    let pass = probe(&mut breaker, &a(), later);
    breaker.report(&a(), pass, RequestOutcome::Began, later);
    assert_eq!(breaker.try_pass(&b(), later), Ok(BreakerPass::Closed));
    breaker.report(&a(), pass, RequestOutcome::ServerFailed, later);
    assert_eq!(breaker.state(later), BreakerState::Closed);
    times(
        &mut breaker,
        OPEN_AFTER - 1,
        &b(),
        RequestOutcome::ServerFailed,
        later,
    );
    assert_eq!(breaker.cooldown(later).unwrap().remaining, OPEN_MIN * 2);
    breaker.report(&a(), BreakerPass::Closed, RequestOutcome::Answered, later);
    assert_eq!(breaker.state(later), BreakerState::Closed);
}

#[test]
fn a_probe_that_comes_to_nothing_makes_room() {
    let now = Instant::now();
    let later = now + OPEN_MIN;
    for outcome in [RequestOutcome::Abandoned, RequestOutcome::Refused] {
        let mut breaker = opened(now);
        let pass = probe(&mut breaker, &a(), later);
        breaker.report(&a(), pass, outcome, later);
        assert_eq!(breaker.state(later), BreakerState::HalfOpen);
        probe(&mut breaker, &b(), later);
        assert!(breaker.try_pass(&a(), later).is_err());
        // One that is never heard of again.
        probe(&mut breaker, &a(), later + PROBE_EXPIRES);
    }
}

/// Its probe fails each time, while the engine is well and others wait.
#[test]
fn one_clients_probes_cannot_keep_it_open_for_others() {
    let now = Instant::now();
    let mut breaker = opened(now);
    let first = now + OPEN_MIN;
    let pass = probe(&mut breaker, &a(), first);
    assert!(breaker.try_pass(&b(), first).is_err());
    assert!(!breaker.report(&a(), pass, RequestOutcome::ServerFailed, first));
    let second = first + OPEN_MIN * 2;
    let pass = probe(&mut breaker, &a(), second);
    assert!(breaker.report(&a(), pass, RequestOutcome::ServerFailed, second));
    let own = breaker.begin_own_probe(second).unwrap();
    assert!(breaker.try_pass(&b(), second).is_err());
    let mut failing = breaker.clone();
    failing.end_own_probe(own, ProbeResult::Failing { silent: true }, second);
    assert_eq!(failing.cooldown(second).unwrap().remaining, OPEN_MIN * 4);
    breaker.end_own_probe(own, ProbeResult::Answers, second);
    assert_eq!(breaker.try_pass(&b(), second), Ok(BreakerPass::Closed));
}

#[test]
fn nobody_else_waits_so_one_request_in_a_cycle_is_enough() {
    let mut now = Instant::now();
    let mut breaker = opened(now);
    for cycle in 0..10 {
        let wait = breaker.cooldown(now).unwrap().remaining;
        assert_eq!(wait, (OPEN_MIN * (1 << cycle.min(5))).min(OPEN_MAX));
        let nanosecond = Duration::from_nanos(1);
        now += wait.saturating_sub(nanosecond);
        assert!(breaker.try_pass(&a(), now).is_err());
        now += nanosecond;
        let pass = probe(&mut breaker, &a(), now);
        assert!(breaker.try_pass(&a(), now).is_err());
        assert!(!breaker.report(&a(), pass, RequestOutcome::ServerFailed, now));
    }
}

#[test]
fn an_engine_that_asks_for_it_is_left_alone_so_long_and_no_longer() {
    let now = Instant::now();
    let second = Duration::from_secs(1);
    for (asked, waits) in [(7, 7), (60, 60), (61, 60), (u64::MAX, 60)] {
        let mut breaker = CircuitBreaker::default();
        let wait = Duration::from_secs(asked);
        assert!(!breaker.report(&a(), BreakerPass::Closed, RequestOutcome::Busy(wait), now));
        // Other answers that end meanwhile do not shorten it, a shorter wish neither.
        breaker.report(&b(), BreakerPass::Closed, RequestOutcome::Answered, now);
        breaker.report(&b(), BreakerPass::Closed, RequestOutcome::Busy(second), now);
        let left_alone = breaker.try_pass(&b(), now).unwrap_err();
        assert!(left_alone.engine_asked);
        assert_eq!(left_alone.retry_after(), waits);
        assert_eq!(left_alone.state_after, BreakerState::Closed);
        let wait = Duration::from_secs(waits);
        let end = now + wait;
        let just_before = now + wait.saturating_sub(Duration::from_millis(1));
        assert_eq!(
            breaker
                .try_pass(&b(), just_before)
                .unwrap_err()
                .retry_after(),
            1
        );
        // Nothing was learned of its health: no probe is needed.
        assert_eq!(breaker.try_pass(&b(), end), Ok(BreakerPass::Closed));
    }
}

#[test]
fn its_wishes_and_its_failures_are_counted_apart() {
    let now = Instant::now();
    let mut breaker = CircuitBreaker::default();
    times(
        &mut breaker,
        OPEN_AFTER - 1,
        &a(),
        RequestOutcome::ServerFailed,
        now,
    );
    times(&mut breaker, 100, &b(), RequestOutcome::Busy(OPEN_MIN), now);
    let later = now + OPEN_MIN;
    assert_eq!(breaker.state(later), BreakerState::Closed);
    times(&mut breaker, 1, &b(), RequestOutcome::ServerFailed, later);
    assert_eq!(breaker.state(later), BreakerState::Open);
    // Half open, the probe is told to wait: that is no recovery, and the next may probe then.
    let half = later + OPEN_MIN;
    let pass = probe(&mut breaker, &a(), half);
    breaker.report(&a(), pass, RequestOutcome::Busy(OPEN_MIN * 3), half);
    let left_alone = breaker.try_pass(&b(), half).unwrap_err();
    assert_eq!(
        (left_alone.retry_after(), left_alone.state_after),
        (3, BreakerState::HalfOpen)
    );
    probe(&mut breaker, &b(), half + OPEN_MIN * 3);
}
