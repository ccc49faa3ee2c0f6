//! A model that is there with too little context: what it grows to, what that waits for, and what is
//! served without it.

use super::{
    memory::{budgeted, model},
    *,
};

/// A request with that prompt; what is kept for its answer may shrink.
pub(super) fn asks(
    bench: &mut SchedulerHarness,
    ticket: u64,
    prompt: u64,
    reserve: u64,
) -> Vec<Action> {
    let mut request = permit_request(ticket, "e", "m", bench.now);
    (request.prompt_tokens, request.answer_tokens) = (prompt, reserve);
    bench.step(Input::Arrive(request.into()))
}

/// Contexts that are ordered.
pub(super) fn contexts(actions: &[Action]) -> Vec<u64> {
    let orders = orders(actions).into_iter();
    orders.filter_map(|o| o.tuple.context).collect()
}

pub(super) fn limit_of(actions: &[Action]) -> (u64, u64, u64, &ContextBound) {
    match refused(actions)[..] {
        [
            (
                _,
                Refusal::ContextExceeded {
                    prompt,
                    reserve,
                    limit,
                    bound,
                    ..
                },
            ),
        ] => (*prompt, *reserve, *limit, bound),
        _ => panic!("{actions:?}"),
    }
}

/// Unloads what is ordered, loads what is ordered then; gives what follows.
pub(super) fn reload(bench: &mut SchedulerHarness, actions: &[Action]) -> (u64, Vec<Action>) {
    assert_eq!(unloading(actions), ["m"]);
    let actions = bench.step(Input::Unloaded("e".into(), true));
    assert_eq!(evictions(&actions), [EvictionReason::Resize]);
    let context = contexts(&actions)[0];
    (context, bench.loaded("e", "m", context))
}

/// 10 GB for `m` of 4 GB and `b` of 4 GB; 200 kB for each token of `m`, two requests at once.
pub(super) fn tight() -> EngineFacts {
    let mut facts = budgeted("e", "cpu", &[("b", 4)]);
    let mut large = model("m", 4 * GB);
    large.context_bytes = Some(200_000);
    Arc::make_mut(&mut facts.models).push(large);
    facts
}

fn foreign(grow_foreign: bool, kind: EngineKind) -> EngineFacts {
    EngineFacts {
        kind,
        grow_foreign,
        residents: vec![info("m", 4096)],
        ..facts("e", "gpu")
    }
}

#[test]
fn a_session_that_grows_within_a_minute_is_served_with_every_step() {
    let mut bench = SchedulerHarness::new(vec![facts("e", "cpu")]);
    let mut loads = contexts(&asks(&mut bench, 1, 500, 1024));
    assert_eq!(granted(&bench.loaded("e", "m", 4096)), [1]);
    bench.step(Input::Released(1));
    for (ticket, prompt) in [(2, 8000), (3, 20_000), (4, 40_000), (5, 80_000)] {
        bench.now += SECOND * 10;
        let actions = asks(&mut bench, ticket, prompt, 1024);
        let (context, actions) = reload(&mut bench, &actions);
        loads.push(context);
        assert_eq!(granted(&actions), [ticket]);
        bench.step(Input::Released(ticket));
    }
    assert_eq!(loads, [4096, 16_384, 32_768, 65_536, 131_072]);
    // Small ones beside it never make it smaller, and no reload comes of taking turns.
    for (ticket, prompt) in [(6, 10), (7, 100_000), (8, 10), (9, 100_000)] {
        assert_eq!(granted(&asks(&mut bench, ticket, prompt, 1024)), [ticket]);
        bench.step(Input::Released(ticket));
    }
}

#[test]
fn what_is_kept_for_the_answer_shrinks_to_what_is_left() {
    // Fit, the most, prompt, kept for the answer; what is loaded, or the limit.
    for (fit, most, prompt, reserve, outcome) in [
        (Fit::Grow, 2048, 12, 2048, Ok(2048)),
        (Fit::Grow, 2048, 2047, 2048, Ok(2048)),
        (Fit::Grow, 2048, 2048, 2048, Err(2048)),
        (Fit::Grow, 2048, 2049, 1, Err(2048)),
        (Fit::Grow, 2048, 2048, 0, Ok(2048)),
        (Fit::Reject, 131_072, 10, 1024, Ok(1024)),
        (Fit::Reject, 131_072, 1023, 1024, Ok(1024)),
        (Fit::Reject, 131_072, 1024, 1024, Err(1024)),
        (Fit::Grow, 8192, 7500, 2048, Ok(8192)),
    ] {
        let mut request = permit_request(1, "e", "m", Instant::now());
        (request.prompt_tokens, request.answer_tokens) = (prompt, reserve);
        (request.fit, request.context_cap) = (fit, most);
        let base = if fit == Fit::Reject {
            1024
        } else {
            most.min(4096)
        };
        (request.base_context, request.configured_context) = (base, base);
        let what = format!("{fit:?} {most} {prompt} {reserve}");
        let mut bench = SchedulerHarness::new(vec![facts("e", "cpu")]);
        let actions = bench.step(Input::Arrive(request.into()));
        match outcome {
            Ok(context) => {
                assert_eq!(contexts(&actions), [context], "{what}");
                assert_eq!(granted(&bench.loaded("e", "m", context)), [1], "{what}");
            }
            Err(limit) => {
                let (p, r, l, _) = limit_of(&actions);
                assert_eq!((p, r, l), (prompt, reserve, limit), "{what}");
            }
        }
    }
}

#[test]
fn where_nothing_can_be_loaded_a_prompt_that_fits_is_served() {
    for held in [
        EngineFacts {
            load_control: false,
            ..foreign(true, EngineKind::Llamacpp)
        },
        foreign(false, EngineKind::Lmstudio),
        foreign(false, EngineKind::Ollama),
    ] {
        let mut bench = SchedulerHarness::new(vec![held]);
        assert_eq!(granted(&asks(&mut bench, 1, 4000, 1024)), [1]);
        bench.step(Input::Released(1));
        let actions = asks(&mut bench, 2, 4096, 1024);
        let (prompt, reserve, limit, bound) = limit_of(&actions);
        assert_eq!((prompt, reserve, limit), (4096, 1024, 4096));
        assert!(
            matches!(
                bound,
                ContextBound::Engine { .. } | ContextBound::Foreign { .. }
            ),
            "{bound:?}"
        );
    }
}

#[test]
fn what_a_person_loaded_is_loaded_anew_once_it_is_idle() {
    for kind in [EngineKind::Lmstudio, EngineKind::Ollama] {
        let mut bench = SchedulerHarness::new(vec![foreign(true, kind)]);
        assert_eq!(granted(&asks(&mut bench, 1, 10, 1024)), [1]);
        // Its running answer is not ended.
        assert!(asks(&mut bench, 2, 10_000, 1024).is_empty());
        let actions = bench.step(Input::Released(1));
        let (context, actions) = reload(&mut bench, &actions);
        assert_eq!((context, granted(&actions)), (32_768, vec![2]));
    }
}

#[test]
fn several_instances_of_a_person_all_go_before_one_that_is_larger_comes() {
    let mut held = foreign(true, EngineKind::Lmstudio);
    let mut second = info("m", 2048);
    second.instance = "m:2".into();
    held.residents.push(second);
    let mut bench = SchedulerHarness::new(vec![held]);
    let mut actions = asks(&mut bench, 1, 10_000, 1024);
    for instance in ["m", "m:2"] {
        let [Action::Unload(_, gone)] = &actions[..] else {
            panic!("{actions:?}");
        };
        assert_eq!(&*gone.instance, instance);
        actions = bench.step(Input::Unloaded("e".into(), true));
        actions.retain(|a| !matches!(a, Action::Emit(_)));
    }
    assert_eq!(contexts(&actions), [32_768]);
}

#[test]
fn a_second_crucible_leaves_what_the_first_loaded_and_says_so() {
    let mut held = foreign(true, EngineKind::Ollama);
    held.owns_state = false;
    let mut bench = SchedulerHarness::new(vec![held]);
    assert_eq!(granted(&asks(&mut bench, 1, 4000, 1024)), [1]);
    let actions = asks(&mut bench, 2, 10_000, 1024);
    let (.., bound) = limit_of(&actions);
    assert!(matches!(bound, ContextBound::Owned { .. }), "{bound:?}");
}

#[test]
fn what_a_person_loaded_and_uses_beyond_the_wait_is_named() {
    let mut bench = SchedulerHarness::new(vec![foreign(true, EngineKind::Lmstudio)]);
    asks(&mut bench, 1, 10, 1024);
    asks(&mut bench, 2, 10_000, 1024);
    bench.now += SECOND * 300;
    let actions = bench.step(Input::Tick);
    let [(2, Refusal::ForeignBusy { instance, has, .. })] = refused(&actions)[..] else {
        panic!("{actions:?}");
    };
    assert_eq!((&**instance, *has), ("m", 4096));
}

#[test]
fn several_that_wait_share_one_growth_with_the_largest_need() {
    let mut bench = SchedulerHarness::new(vec![facts("e", "cpu")]);
    bench.hold(1, "e", "m");
    asks(&mut bench, 2, 10, 1024);
    for (ticket, prompt) in [(3, 6000), (4, 20_000), (5, 9000)] {
        assert!(asks(&mut bench, ticket, prompt, 1024).is_empty());
    }
    let actions = bench.step(Input::Released(2));
    let (context, actions) = reload(&mut bench, &actions);
    assert_eq!((context, granted(&actions)), (32_768, vec![3, 4]));
    assert_eq!(granted(&bench.step(Input::Released(3))), [5]);
}

#[test]
fn who_left_does_not_size_the_growth_of_others() {
    let mut bench = SchedulerHarness::new(vec![facts("e", "cpu")]);
    bench.hold(1, "e", "m");
    asks(&mut bench, 2, 10, 1024);
    asks(&mut bench, 3, 60_000, 1024);
    asks(&mut bench, 4, 6000, 1024);
    bench.step(Input::Cancelled(3));
    let actions = bench.step(Input::Released(2));
    assert_eq!(reload(&mut bench, &actions).0, 16_384);
}

#[test]
fn growth_waits_for_what_is_busy_and_keeps_its_own_until_then() {
    let mut bench = SchedulerHarness::new(vec![tight()]);
    bench.hold(1, "e", "m");
    bench.arrive(2, "e", "b");
    bench.loaded("e", "b", 4096);
    // 9024 tokens for each of two take 3.6 GB: not beside `b`.
    assert!(asks(&mut bench, 3, 8000, 1024).is_empty());
    let actions = bench.step(Input::Released(2));
    assert_eq!(unloading(&actions), ["m"]);
    let actions = bench.step(Input::Unloaded("e".into(), true));
    assert_eq!(unloading(&actions), ["b"]);
    let actions = bench.step(Input::Unloaded("e".into(), true));
    assert_eq!(contexts(&actions), [9024]);
    assert_eq!(granted(&bench.loaded("e", "m", 9024)), [3]);
}

/// A growth that waits for another's long answer shuts nobody out of what is loaded.
#[test]
fn others_use_the_model_as_it_is_while_one_waits_for_it_to_grow() {
    let mut bench = SchedulerHarness::new(vec![tight()]);
    bench.hold(1, "e", "m");
    bench.arrive(2, "e", "b");
    bench.loaded("e", "b", 4096);
    assert!(asks(&mut bench, 3, 8000, 1024).is_empty());
    let small = |bench: &mut SchedulerHarness, ticket, client: &str| {
        let mut request = permit_request(ticket, "e", "m", bench.now);
        request.client = ClientId::of_key(client);
        bench.step(Input::Arrive(request.into()))
    };
    // At most `overtake_count`.
    for ticket in 4..=6 {
        assert_eq!(granted(&small(&mut bench, ticket, "other")), [ticket]);
        bench.step(Input::Released(ticket));
    }
    assert!(small(&mut bench, 7, "other").is_empty());
    // Those of the one who waits stay in order.
    assert!(asks(&mut bench, 8, 10, 1024).is_empty());
    assert_eq!(unloading(&bench.step(Input::Released(2))), ["m"]);
    bench.step(Input::Unloaded("e".into(), true));
    bench.step(Input::Unloaded("e".into(), true));
    let actions = bench.loaded("e", "m", 9024);
    assert_eq!(granted(&actions), [3, 7]);
}

#[test]
fn growth_that_waits_too_long_is_told_so() {
    let mut bench = SchedulerHarness::new(vec![tight()]);
    bench.hold(1, "e", "m");
    bench.arrive(2, "e", "b");
    bench.loaded("e", "b", 4096);
    asks(&mut bench, 3, 8000, 1024);
    bench.now += SECOND * 300;
    let actions = bench.step(Input::Tick);
    assert!(
        matches!(refused(&actions)[..], [(3, Refusal::QueueTimeout { .. })]),
        "{actions:?}"
    );
    // What was there is there still.
    assert_eq!(granted(&asks(&mut bench, 4, 10, 1024)), [4]);
}
