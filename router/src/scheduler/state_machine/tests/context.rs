//! How much context a load has, and what fits it.

use super::*;

#[test]
fn a_load_that_yields_less_context_is_accepted_and_not_repeated() {
    let mut bench = SchedulerHarness::new(vec![facts("e", "cpu")]);
    bench.arrive(1, "e", "m");
    let mut large = permit_request(2, "e", "m", bench.now);
    large.prompt_tokens = 4000;
    bench.step(Input::Arrive(large.into()));
    let actions = bench.loaded("e", "m", 2048);
    assert_eq!(granted(&actions), [1]);
    assert!(loading(&actions).is_empty() && unloading(&actions).is_empty());
    assert!(matches!(
        refused(&actions)[..],
        [(
            2,
            Refusal::ContextExceeded {
                prompt: 4000,
                limit: 2048,
                ..
            }
        )]
    ));
}

#[test]
fn a_load_whose_waiters_all_left_keeps_its_tuple() {
    let mut bench = SchedulerHarness::new(vec![facts("e", "cpu")]);
    bench.arrive(1, "e", "m");
    bench.step(Input::Cancelled(1));
    bench.loaded("e", "m", 4096);
    let actions = bench.arrive(2, "e", "m");
    let [Action::Grant(grant)] = &actions[..] else {
        panic!("{actions:?}");
    };
    assert_eq!(grant.tuple.context, Some(4096));
}

#[test]
fn a_prompt_beyond_every_limit_is_refused_with_both_numbers() {
    let mut bench = SchedulerHarness::new(vec![facts("e", "cpu")]);
    let mut large = permit_request(1, "e", "m", bench.now);
    (large.prompt_tokens, large.fit) = (5000, Fit::Reject);
    let actions = bench.step(Input::Arrive(large.clone().into()));
    assert!(matches!(
        refused(&actions)[..],
        [(
            1,
            Refusal::ContextExceeded {
                prompt: 5000,
                limit: 4096,
                ..
            }
        )]
    ));
    (large.ticket, large.prompt_tokens, large.fit) = (2, 200_000, Fit::Grow);
    let actions = bench.step(Input::Arrive(large.into()));
    assert!(matches!(
        refused(&actions)[..],
        [(2, Refusal::ContextExceeded { limit: 131_072, .. })]
    ));
}

#[test]
fn a_second_instance_serves_where_the_first_has_too_little_context() {
    let mut second = info("m", 16_384);
    second.instance = "m:2".into();
    let held = EngineFacts {
        kind: EngineKind::Lmstudio,
        residents: vec![info("m", 2048), second],
        ..facts("e", "gpu")
    };
    let mut bench = SchedulerHarness::new(vec![held]);
    let mut large = permit_request(1, "e", "m", bench.now);
    large.prompt_tokens = 9000;
    let actions = bench.step(Input::Arrive(large.into()));
    let [Action::Grant(grant)] = &actions[..] else {
        panic!("{actions:?}");
    };
    assert_eq!(&*grant.resident.instance, "m:2");
}

#[test]
fn a_small_context_halves_the_permits() {
    let held = EngineFacts {
        kind: EngineKind::Lmstudio,
        residents: vec![info("m", 4096)],
        ..facts("e", "gpu")
    };
    let mut bench = SchedulerHarness::new(vec![held]);
    assert_eq!(granted(&bench.arrive(1, "e", "m")), [1]);
    assert!(bench.arrive(2, "e", "m").is_empty());
    assert_eq!(granted(&bench.step(Input::Released(1))), [2]);
}
