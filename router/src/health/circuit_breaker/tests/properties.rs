//! What holds whatever clients ask and however engines fail.

use proptest::{collection::vec, prelude::*};

use super::*;

/// What one request of a client comes to, at an engine that is well.
#[derive(Clone, Copy, Debug)]
enum Body {
    Good,
    /// The engine fails it, because of what it asks.
    Poison(RequestOutcome),
    /// It begins, and then fails.
    Late(RequestOutcome),
    Left,
}

fn failure() -> impl Strategy<Value = RequestOutcome> {
    prop::sample::select(vec![
        RequestOutcome::ServerFailed,
        RequestOutcome::Silent,
        RequestOutcome::Refused,
    ])
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        1 => Just(Body::Good),
        1 => Just(Body::Left),
        5 => failure().prop_map(Body::Poison),
        2 => failure().prop_map(Body::Late),
    ]
}

/// Milliseconds until the next one.
fn pause() -> impl Strategy<Value = u64> {
    prop_oneof![4 => Just(0_u64), 4 => 1..400_u64, 1 => 400..40_000_u64]
}

/// Of a request that passed; gives whether Crucible is to ask itself.
fn play(
    breaker: &mut CircuitBreaker,
    who: &ClientId,
    pass: BreakerPass,
    body: Body,
    now: Instant,
) -> bool {
    match body {
        Body::Good => {
            breaker.report(who, pass, RequestOutcome::Began, now);
            breaker.report(who, pass, RequestOutcome::Answered, now)
        }
        Body::Poison(outcome) => breaker.report(who, pass, outcome, now),
        Body::Late(outcome) => {
            breaker.report(who, pass, RequestOutcome::Began, now);
            breaker.report(who, pass, outcome, now)
        }
        Body::Left => breaker.report(who, pass, RequestOutcome::Abandoned, now),
    }
}

/// An engine that is well, a client that sends what it likes, and probes of Crucible's own that
/// find that it is well, or find no permit.
fn beside(
    breaker: &mut CircuitBreaker,
    steps: &[(Body, u64, bool)],
    mut now: Instant,
    check: &mut dyn FnMut(&mut CircuitBreaker, Instant) -> Result<(), TestCaseError>,
) -> Result<Instant, TestCaseError> {
    for (body, pause, found) in steps {
        now += Duration::from_millis(*pause);
        check(breaker, now)?;
        let pass = breaker.try_pass(&a(), now);
        prop_assert_eq!(pass, Ok(BreakerPass::Closed));
        if play(breaker, &a(), BreakerPass::Closed, *body, now)
            && let Some(own) = breaker.begin_own_probe(now)
        {
            check(breaker, now)?;
            let found = if *found {
                ProbeResult::Answers
            } else {
                ProbeResult::Unknown
            };
            breaker.end_own_probe(own, found, now);
        }
        check(breaker, now)?;
    }
    Ok(now)
}

proptest! {
    /// However often one client fails, and whatever the others do, nobody is refused.
    #[test]
    fn no_client_takes_an_engine_from_the_others(
        steps in vec((body(), pause(), any::<bool>()), 1..200),
        answers in vec(any::<bool>(), 1..8),
    ) {
        let mut breaker = CircuitBreaker::default();
        let mut turn = answers.into_iter().cycle();
        beside(&mut breaker, &steps, Instant::now(), &mut |breaker, now| {
            let pass = breaker.try_pass(&b(), now);
            prop_assert_eq!(pass, Ok(BreakerPass::Closed));
            if turn.next() == Some(true) {
                play(breaker, &b(), BreakerPass::Closed, Body::Good, now);
            } else {
                play(breaker, &b(), BreakerPass::Closed, Body::Left, now);
            }
            Ok(())
        })?;
    }

    /// Whatever one client did before, an engine that fails two clients is left alone after at
    /// most so many failures, and one that fails one client and Crucible too.
    #[test]
    fn an_engine_that_really_fails_is_left_alone_as_fast_as_ever(
        steps in vec((body(), pause(), any::<bool>()), 0..60),
        outcomes in vec(prop::sample::select(vec![
            RequestOutcome::ServerFailed, RequestOutcome::Silent, RequestOutcome::ConnectFailed,
        ]), OPEN_AFTER as usize),
        second in 1..OPEN_AFTER as usize,
        alone in any::<bool>(),
    ) {
        let mut breaker = CircuitBreaker::default();
        let now = beside(&mut breaker, &steps, Instant::now(), &mut |_, _| Ok(()))? + OPEN_MIN;
        for (at, outcome) in outcomes.iter().enumerate() {
            let who = if at == second && !alone { b() } else { a() };
            if breaker.report(&who, BreakerPass::Closed, *outcome, now)
                && alone
                && let Some(own) = breaker.begin_own_probe(now)
            {
                breaker.end_own_probe(own, ProbeResult::Failing { silent: false }, now);
            }
        }
        // Where connections failed beside, they may be what is left to one client.
        let same = outcomes.get(second) == Some(&RequestOutcome::ConnectFailed)
            || outcomes.iter().enumerate().all(|(at, o)| at == second || *o == RequestOutcome::ConnectFailed);
        if alone || !same {
            prop_assert_eq!(breaker.state(now), BreakerState::Open);
        }
    }

    /// Half open, one request at a time is out, whoever asks and however it ends; the waits double
    /// and are kept to the nanosecond.
    #[test]
    fn half_open_there_is_one_probe_and_waits_are_as_documented(
        steps in vec((0..3_usize, 0..6_u32, pause()), 1..200),
    ) {
        let names = [a(), b(), client("c")];
        let mut now = Instant::now();
        let mut breaker = opened(now);
        let mut out: Option<(usize, BreakerPass, Instant)> = None;
        let mut own: Option<u64> = None;
        let mut waits = 1_u32;
        for (who, what, pause) in steps {
            now += Duration::from_millis(pause.min(20_000));
            if let Some(left_alone) = breaker.cooldown(now) {
                let most = (OPEN_MIN * (1 << (waits - 1).min(5))).min(OPEN_MAX);
                prop_assert!(left_alone.remaining <= most);
                now += left_alone.remaining;
                prop_assert!(breaker.cooldown(now).is_none());
            }
            if let Some(number) = own.take() {
                prop_assert!(breaker.try_pass(&names[who], now).is_err());
                breaker.end_own_probe(number, ProbeResult::Failing { silent: false }, now);
                waits += 1;
            } else if let Some((asker, pass, since)) = out.take() {
                if now.saturating_duration_since(since) < PROBE_EXPIRES {
                    prop_assert!(breaker.try_pass(&names[who], now).is_err());
                }
                let outcome = match what {
                    0 => RequestOutcome::ConnectFailed,
                    1 => RequestOutcome::ServerFailed,
                    2 => RequestOutcome::Silent,
                    3 => RequestOutcome::Abandoned,
                    _ => RequestOutcome::Refused,
                };
                if breaker.report(&names[asker], pass, outcome, now) {
                    own = breaker.begin_own_probe(now);
                } else if what < 3 {
                    waits += 1;
                    let wait = (OPEN_MIN * (1 << (waits - 1).min(5))).min(OPEN_MAX);
                    prop_assert_eq!(breaker.cooldown(now).map(|l| l.remaining), Some(wait));
                }
            } else {
                let pass = breaker.try_pass(&names[who], now);
                prop_assert!(matches!(pass, Ok(BreakerPass::Probe(_))), "{:?}", pass);
                out = pass.ok().map(|pass| (who, pass, now));
                prop_assert!(breaker.try_pass(&names[(who + 1) % 3], now).is_err());
            }
        }
    }
}
