//! `--tune`: one option after the other, the best kept. Pure.

use crucible_router::engine::Tuple;

use super::{
    stats::{Sample, Summary, Verdict, percent},
    variant::Variant,
};

/// Batches that are tried, in tokens.
const BATCHES: [u32; 4] = [128, 256, 512, 1024];

/// The candidates of the first step: threads up to the number of cores, the start first.
pub(super) fn threads(start: Tuple, cores: u32) -> Vec<Variant> {
    let mut counts = vec![cores, cores / 2, cores / 4, 1];
    counts.dedup();
    let others = counts.into_iter().filter(|n| *n > 0).map(|n| Tuple {
        threads: Some(n),
        ..start
    });
    candidates(start, others)
}

/// The candidates of the second step.
pub(super) fn batches(start: Tuple) -> Vec<Variant> {
    let others = BATCHES.into_iter().map(|n| Tuple {
        batch: Some(n),
        ..start
    });
    candidates(start, others)
}

fn candidates(start: Tuple, others: impl Iterator<Item = Tuple>) -> Vec<Variant> {
    let mut tuples = vec![start];
    for tuple in others {
        if !tuples.contains(&tuple) {
            tuples.push(tuple);
        }
    }
    let of = |tuple: Tuple| Variant {
        name: named(&tuple),
        tuple,
        against: None,
    };
    tuples.into_iter().map(of).collect()
}

fn named(tuple: &Tuple) -> String {
    let word = |n: Option<u32>| n.map_or_else(|| "auto".to_owned(), |n| n.to_string());
    format!(
        "threads {}, batch {}",
        word(tuple.threads),
        word(tuple.batch)
    )
}

/// The candidate with the highest median of tokens per second whose memory stays in `budget`
/// bytes; the first one, which is the start, where nothing was measured.
pub(super) fn best(candidates: &[Variant], samples: &[Vec<Sample>], budget: Option<u64>) -> Tuple {
    #[expect(clippy::cast_precision_loss, reason = "bytes of memory are below 2^53")]
    let fits = |runs: &[Sample]| {
        budget.is_none_or(|budget| runs.iter().all(|s| s.memory_bytes <= budget as f64))
    };
    candidates
        .iter()
        .zip(samples)
        .filter(|(_, runs)| fits(runs))
        .filter_map(|(c, runs)| Some((c.tuple, Summary::of(runs.iter().map(|s| s.tokens_per_s))?)))
        .max_by(|(_, a), (_, b)| a.median.total_cmp(&b.median))
        .map(|(tuple, _)| tuple)
        .or_else(|| candidates.first().map(|c| c.tuple))
        .unwrap_or_default()
}

/// The block to paste, below comments with the measured gain of `tuned` over `profile`.
pub(super) fn block(tuple: &Tuple, profile: &[Sample], tuned: &[Sample]) -> String {
    let of = |runs: &[Sample]| Summary::of(runs.iter().map(|s| s.tokens_per_s));
    let told = match (of(profile), of(tuned)) {
        (Some(before), Some(now)) => {
            let spread = |s: &Summary| format!("{:.1} ({:.1}..{:.1})", s.median, s.min, s.max);
            let verdict = now.against(&before, true);
            let change = percent(now.median, before.median)
                .map_or_else(String::new, |p| format!("{p:+.0} %"));
            let advice = match verdict {
                Verdict::Better => "",
                _ => "; nothing here proves it better than the profile",
            };
            format!(
                "# {} tok/s, profile {} tok/s: {change}, {}{advice}",
                spread(&now),
                spread(&before),
                verdict.word()
            )
        }
        _ => "# not measured against the profile: the time was over".to_owned(),
    };
    let mut lines = vec![
        told,
        "# parallel was not searched: Ollama reads OLLAMA_NUM_PARALLEL when it starts".to_owned(),
        "[tuning.ollama]".to_owned(),
    ];
    lines.extend(tuple.threads.map(|n| format!("num_threads = {n}")));
    lines.extend(tuple.batch.map(|n| format!("batch_size = {n}")));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(rate: f64, memory: f64) -> Vec<Sample> {
        let sample = Sample {
            first_token_s: 0.1,
            prompt_per_s: rate,
            generated_per_s: rate,
            load_s: 0.1,
            memory_bytes: memory,
            tokens_per_s: rate,
        };
        vec![sample; 4]
    }

    fn start() -> Tuple {
        Tuple {
            threads: Some(8),
            batch: Some(512),
            ..Tuple::default()
        }
    }

    #[test]
    fn the_best_within_the_memory_wins_and_candidates_differ() {
        let of = threads(start(), 8);
        let counts: Vec<_> = of.iter().filter_map(|v| v.tuple.threads).collect();
        assert_eq!(counts, [8, 4, 2, 1]);
        let samples = [
            runs(5.0, 1e9),
            runs(9.0, 3e9),
            runs(7.0, 1e9),
            runs(6.0, 1e9),
        ];
        let won = |budget| best(&of, &samples, budget).threads;
        assert_eq!((won(None), won(Some(2_000_000_000))), (Some(4), Some(2)));
        assert_eq!(best(&of, &[], None), start());
        assert_eq!(batches(start()).len(), BATCHES.len());
    }

    #[test]
    fn the_block_is_configuration_and_says_when_nothing_is_proven() {
        let told = block(&start(), &runs(5.0, 1.0), &runs(6.0, 1.0));
        assert!(told.contains("+20 %, better\n"), "{told}");
        assert!(told.ends_with("[tuning.ollama]\nnum_threads = 8\nbatch_size = 512"));
        let told = block(&start(), &runs(5.0, 1.0), &runs(5.0, 1.0));
        assert!(
            told.contains("within the noise; nothing here proves"),
            "{told}"
        );
        assert!(block(&start(), &[], &[]).starts_with("# not measured"));
    }
}
