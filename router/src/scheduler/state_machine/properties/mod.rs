//! What holds for the scheduler whatever happens, in whatever order: 100,000 random schedules by
//! seed. A failure names its seed; `CRUCIBLE_SEED=N` runs that one alone.

use self::{random::Random, world::World};

mod bound;
mod happenings;
mod random;
mod share;
mod world;

const SCHEDULES: u64 = 100_000;

fn schedule(seed: u64) {
    let mut random = Random(seed);
    let mut world = World::new(&mut random);
    let long = if seed.is_multiple_of(100) { 80 } else { 12 };
    for _ in 0..random.below(long) {
        world.happen(&mut random);
    }
    world.settle();
    assert!(world.core.active_permits.is_empty() && world.core.operations.is_empty());
    assert!(world.core.supersedable.is_empty());
}

/// Of a long run, where it is asked for as proptest is.
fn cases(usual: u64) -> u64 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(0).max(usual)
}

/// Runs so many seeds, or as many as a long run asks for, on all cores; a failing one is named.
fn for_seeds(usual: u64, run: fn(u64)) {
    let count = cases(usual);
    if let Ok(seed) = std::env::var("CRUCIBLE_SEED") {
        return run(seed.parse().unwrap());
    }
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    std::thread::scope(|scope| {
        for first in 0..threads {
            scope.spawn(move || {
                for seed in (first..count).step_by(usize::try_from(threads).unwrap()) {
                    let told = std::panic::catch_unwind(|| run(seed));
                    assert!(told.is_ok(), "CRUCIBLE_SEED={seed} fails");
                }
            });
        }
    });
}

#[test]
fn whatever_happens_the_bounds_hold_and_everything_drains() {
    for_seeds(SCHEDULES, schedule);
}
