use crucible_router::engine::LoadTuple;

use super::*;

fn run(rate: f64, memory: f64) -> RunSample {
    RunSample {
        first_token_s: 0.1,
        prompt_per_s: rate,
        generated_per_s: rate,
        load_s: Some(0.1),
        memory_bytes: Some(memory),
        tokens_per_s: rate,
    }
}

fn start() -> BenchSetting {
    BenchSetting {
        parallel: 2,
        ..BenchSetting::of(LoadTuple {
            threads: Some(8),
            batch: Some(512),
            ..LoadTuple::default()
        })
    }
}

fn axes() -> TuneAxes {
    TuneAxes {
        threads: threads(8),
        batch: BATCHES.to_vec(),
        parallel: PARALLEL.to_vec(),
        notes: Vec::new(),
    }
}

/// Runs a search in which the throughput is a function of the setting, and returns the winner and
/// the number of runs.
fn search(rate: impl Fn(&BenchSetting) -> RunSample, budget: Option<u64>) -> (BenchSetting, usize) {
    let mut search = TuneSearch::new(start(), &axes(), budget);
    let mut runs = 0;
    for number in 0.. {
        let Some(order) = search.sweep(number) else {
            break;
        };
        for index in order {
            let sample = rate(&search.candidates[index].setting);
            search.note(index, sample);
            runs += 1;
        }
        search.halve();
    }
    (search.best().unwrap(), runs)
}

#[test]
fn all_combinations_are_tried_those_near_the_start_first() {
    let candidates = axes().candidates(start());
    assert_eq!(candidates.len(), 4 * 4 * 3);
    assert_eq!(candidates[0].setting, start());
    let near = |v: &BenchVariant| v.setting.tuple.batch == Some(512) || v.setting.parallel == 2;
    assert!(candidates[1..9].iter().all(near));
    assert_eq!(threads(8), [8, 4, 2, 1]);
    assert_eq!(threads(1), [1]);
    assert_eq!(threads(0), [1]);
}

#[test]
fn an_optimum_off_the_axes_is_found() {
    // Alone, four requests at once are worse with eight threads, and better with two.
    let rate = |setting: &BenchSetting| {
        let (threads, parallel) = (setting.tuple.threads.unwrap(), setting.parallel);
        let rate = if threads == 2 && parallel == 4 {
            9.0
        } else {
            5.0 - f64::from(parallel)
        };
        run(rate, 1e9)
    };
    let (best, runs) = search(rate, None);
    assert_eq!((best.tuple.threads, best.parallel), (Some(2), 4));
    assert_eq!(runs, 48 + 24 + 12 + 6 + 3 + 2);
}

#[test]
fn what_exceeds_the_budget_does_not_win() {
    let rate = |setting: &BenchSetting| {
        let parallel = f64::from(setting.parallel);
        run(parallel, parallel * 1e9)
    };
    assert_eq!(search(rate, None).0.parallel, 4);
    assert_eq!(search(rate, Some(2_500_000_000)).0.parallel, 2);
    assert_eq!(search(rate, Some(1)).0, start());
}

#[test]
fn a_search_that_was_cut_short_knows_what_it_saw() {
    let mut search = TuneSearch::new(start(), &axes(), None);
    assert_eq!(search.best(), Some(start()));
    search.note(0, run(1.0, 1.0));
    search.note(3, run(2.0, 1.0));
    search.halve();
    assert_eq!(search.sweep(1), None);
    assert_eq!(search.best(), Some(search.candidates[3].setting));
    assert_eq!(search.measured(), (2, 48));
}

#[test]
fn the_block_is_configuration_and_says_when_nothing_is_proven() {
    let target = |keys| TunedEngine {
        keys,
        name: "local",
        parallel: keys == TunedKeys::FLAGS,
        notes: &["why not"],
    };
    let runs = |rate: f64| vec![run(rate, 1.0); 4];
    let text = block(
        target(crate::bench::ollama::KEYS),
        &start(),
        &runs(5.0),
        &runs(6.0),
    );
    assert!(text.contains("+20 %, better\n"), "{text}");
    assert!(text.contains("# why not\n"), "{text}");
    assert!(
        text.ends_with("[tuning.ollama]\nnum_threads = 8\nbatch_size = 512"),
        "{text}"
    );
    let text = block(
        target(crate::bench::ollama::KEYS),
        &start(),
        &runs(5.0),
        &runs(5.0),
    );
    assert!(
        text.contains("within the noise; nothing here proves"),
        "{text}"
    );
    let text = block(target(TunedKeys::FLAGS), &start(), &[], &[]);
    assert!(text.contains("# not measured"), "{text}");
    assert!(
        text.contains("[tuning.ollama]\nnum_threads = 8\n# and in"),
        "{text}"
    );
    assert!(
        text.ends_with("# command = [..., \"-b\", \"512\", \"-ub\", \"512\"]"),
        "{text}"
    );
    let text = block(target(crate::bench::lmstudio::KEYS), &start(), &[], &[]);
    assert!(
        text.contains("[tuning.lmstudio]\nbatch_size = 512\n"),
        "{text}"
    );
    assert!(text.ends_with("# permits = 2"), "{text}");
}
