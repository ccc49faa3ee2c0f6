//! What a desktop or a game holds of a graphics card is not there for models.

use super::{memory::budgeted, *};
use crate::{
    plan::fixture::engine,
    scheduler::messages::{GpuMemory, Input},
};
use crucible_config::checked::Device;

const TOTAL: u64 = 12 * GB;

/// Two engines on a card of 12 GB, of which models may have 10 GB.
fn card() -> SchedulerHarness {
    SchedulerHarness::new(vec![
        budgeted("e", "gpu", &[("a", 4), ("b", 4), ("big", 9)]),
        budgeted("f", "gpu", &[("c", 3)]),
        budgeted("g", "cpu", &[("d", 4), ("i", 4)]),
    ])
}

/// A poll of all engines, which hold what the scheduler knows; so much of the card is free.
fn reading(bench: &mut SchedulerHarness, free: Option<u64>) -> Vec<Action> {
    let at = bench.now;
    for facts in &mut bench.fleet {
        facts.polls += 2;
        facts.listing_poll = facts.polls;
        let held = bench.core.engine(&facts.name).unwrap();
        facts.residents = held.residents.iter().map(|r| r.info.clone()).collect();
        let here = &*facts.pool == "gpu";
        facts.gpu_memory = free.filter(|_| here).map(|free| GpuMemory {
            total: TOTAL,
            free,
            read_at: at,
        });
    }
    bench.step(Input::Fleet(bench.fleet.clone()))
}

/// What `/crucible/state` tells of an engine's pool: budget and what others hold; contexts take some
/// thousand bytes here.
fn told(bench: &SchedulerHarness, name: &str) -> (Option<u64>, Option<u64>) {
    let mut view = engine(name, Device::Gpu, &[]);
    bench.core.describe_engine(&mut view, bench.now);
    let rounded = |bytes: u64| (bytes + 500_000) / 1_000_000 * 1_000_000;
    (view.budget.map(rounded), view.others.map(rounded))
}

#[test]
fn a_load_that_would_not_fit_beside_other_programs_evicts_what_is_idle() {
    for (free, evicted) in [
        // Nobody else is there; a desktop; a game; what is free is not told.
        (Some(8 * GB), vec![]),
        (Some(7 * GB), vec![]),
        (Some(3 * GB), vec!["a"]),
        (None, vec![]),
    ] {
        let mut bench = card();
        reading(&mut bench, Some(TOTAL));
        bench.hold(1, "e", "a");
        bench.now += SECOND * 5;
        reading(&mut bench, free);
        let actions = bench.arrive(2, "e", "b");
        assert_eq!(unloading(&actions), evicted, "{free:?}");
        assert_eq!(loading(&actions).is_empty(), !evicted.is_empty());
    }
}

#[test]
fn models_of_all_engines_on_the_card_are_not_other_programs() {
    let mut bench = card();
    bench.hold(1, "e", "a");
    bench.hold(2, "f", "c");
    bench.hold(3, "g", "d");
    bench.now += SECOND * 5;
    reading(&mut bench, Some(3 * GB));
    // 12 GB less 3 GB that are free and 7 GB in models.
    assert_eq!(told(&bench, "e"), (Some(10 * GB), Some(2 * GB)));
    assert_eq!(told(&bench, "f"), (Some(10 * GB), Some(2 * GB)));
    reading(&mut bench, Some(GB));
    assert_eq!(told(&bench, "e"), (Some(8 * GB), Some(4 * GB)));
    // Main memory is another pool.
    assert_eq!(told(&bench, "g"), (Some(10 * GB), None));
    assert_eq!(loading(&bench.arrive(4, "g", "i")), ["i"]);
    // The game ends.
    reading(&mut bench, Some(5 * GB));
    assert_eq!(told(&bench, "e"), (Some(10 * GB), Some(0)));
    reading(&mut bench, None);
    assert_eq!(told(&bench, "e"), (Some(10 * GB), None));
}

#[test]
fn what_is_read_while_memory_moves_says_nothing() {
    let mut bench = card();
    reading(&mut bench, Some(TOTAL));
    bench.arrive(1, "e", "a");
    // Half loaded, and then loaded and not yet listed.
    reading(&mut bench, Some(10 * GB));
    assert_eq!(told(&bench, "e"), (Some(10 * GB), Some(0)));
    bench.loaded("e", "a", 4096);
    bench.step(Input::Released(1));
    bench.now += SECOND;
    reading(&mut bench, Some(2 * GB));
    assert_eq!(told(&bench, "e"), (Some(10 * GB), Some(0)));
    bench.now += SECOND;
    reading(&mut bench, Some(6 * GB));
    assert_eq!(told(&bench, "e"), (Some(10 * GB), Some(2 * GB)));
    // A swap goes on with what was known before it.
    reading(&mut bench, Some(3 * GB));
    assert_eq!(unloading(&bench.arrive(2, "e", "b")), ["a"]);
    let actions = bench.step(Input::Unloaded("e".into(), true));
    assert_eq!(loading(&actions), ["b"]);
}

#[test]
fn a_model_that_does_not_fit_beside_others_is_loaded_alone_and_nothing_is_refused_for_good() {
    let mut bench = card();
    bench.hold(1, "f", "c");
    bench.now += SECOND * 5;
    reading(&mut bench, Some(2 * GB));
    assert_eq!(told(&bench, "e"), (Some(5 * GB), Some(7 * GB)));
    assert_eq!(unloading(&bench.arrive(2, "e", "big")), ["c"]);
    let actions = bench.step(Input::Unloaded("f".into(), true));
    let [order] = orders(&actions)[..] else {
        panic!("{actions:?}");
    };
    assert_eq!(&*order.model, "big");
    assert!(order.over_budget_bytes.is_some(), "nobody is warned");
}

#[test]
fn a_budget_beyond_the_cards_is_of_other_memory() {
    let mut fleet = vec![budgeted("e", "gpu", &[("a", 4), ("b", 4)])];
    fleet[0].pool_budget = Some(40 * GB);
    let mut bench = SchedulerHarness::new(fleet);
    reading(&mut bench, Some(0));
    assert_eq!(told(&bench, "e").0, Some(40 * GB));
    bench.hold(1, "e", "a");
    assert_eq!(loading(&bench.arrive(2, "e", "b")), ["b"]);
}
