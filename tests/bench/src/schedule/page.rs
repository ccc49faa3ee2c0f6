//! The page: one table a trace, then the targets.

use std::{fmt::Write as _, time::Duration};

use crucible_config::checked::Class;
use crucible_router::replay::{ReplayOutcome, RequestFate, WaitSummary};

use super::{
    Compared, bounds,
    cost::{Cost, WAITING},
    without_linger,
};

/// Traces on which a bound on overtaking must show.
const STARVING: [&str; 3] = ["Alternating", "Two agents", "Flood"];

/// Traces of two that alternate.
const ALTERNATING: [&str; 2] = ["Alternating", "Two agents"];

const INTRODUCTION: &str = "\
# Scheduling benchmark

```sh
cargo run --release -p crucible-bench -- schedule > docs/scheduling-benchmark.md
```

The scheduler that `crucible serve` runs, on a simulated clock and a simulated GPU, beside two simple
policies on the same trace and machine:

- **first come**: strictly in order of arrival; a request for another model swaps at once.
- **collate**: everything for what is resident before anything is swapped, without a bound. So do
  llama-swap and llama.cpp's router.
- **fewest loads** is what the best possible eviction needs (Belady) if requests are served in order of
  arrival. Who reorders may need fewer.

Two permits per model, an unload 1 s, a load 1 s and 1 s per GB. Nobody is refused in these runs: the
whole wait of everybody counts. Clients here do not slow down when they wait. Traces come from fixed
seeds and the simulation is exact, so every number but the cost of a decision is the same everywhere.
A ratio is how many times longer the 95th percentile of *first come* is.

";

pub(super) fn markdown(compared: &[Compared], cost: &Cost) -> String {
    let mut page = INTRODUCTION.to_owned();
    for one in compared {
        table(&mut page, one);
    }
    targets(&mut page, compared, cost);
    page.push('\n');
    bounds::table(&mut page, compared);
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

fn table(page: &mut String, one: &Compared) {
    let requests = one.case.trace.requests();
    let mixed = one.mixed();
    // Writing to a String cannot fail.
    let _ = write!(
        page,
        "## {}\n\n{} {} requests.\n\n\
         | policy | loads | loading | wait p50 | p95 | max | p95 ratio | done after |{}\n\
         |---|---|---|---|---|---|---|---|{}\n",
        one.case.name,
        one.case.what,
        requests.len(),
        if mixed {
            " people only: p95 | max |"
        } else {
            ""
        },
        if mixed { "---|---|" } else { "" },
    );
    let strict = one.all(&one.strict);
    let without = without_linger(&one.case);
    let held = (without != one.crucible).then_some(("Crucible, `linger` 0", &without));
    let ours = [("**Crucible**", &one.crucible)].into_iter().chain(held);
    let simple = [("collate", &one.collated), ("first come", &one.strict)];
    for (name, outcome) in ours.chain(simple) {
        let all = one.all(outcome);
        let _ = write!(
            page,
            "| {name} | {} | {} | {} | {} | {} | {:.1} | {} |",
            outcome.loads.len(),
            s(outcome.load_time()),
            s(all.p50),
            s(all.p95),
            s(all.max),
            ratio(strict.p95, all.p95),
            s(outcome.makespan),
        );
        if mixed {
            let people = one.people(outcome);
            let _ = write!(page, " {} | {} |", s(people.p95), s(people.max));
        }
        page.push('\n');
    }
    let _ = write!(
        page,
        "| fewest loads | {} | | | | | | |{}\n\n",
        one.fewest,
        if mixed { " | |" } else { "" }
    );
    note(page, one);
    if without != one.crucible {
        let _ = write!(
            page,
            "Fewer requests wait where a model is held, though those for longer: {} all together, {} \
             without it.\n\n",
            s(waited(&one.crucible)),
            s(waited(&without)),
        );
    }
}

/// What a table shows that is easily missed; only where it does.
fn note(page: &mut String, one: &Compared) {
    let [ours, collated, strict] =
        [&one.crucible, &one.collated, &one.strict].map(|outcome| outcome.loads.len());
    if ours * 2 > strict && collated * 2 < strict {
        page.push_str(
            "Here the age ends all overtaking: in a long queue everybody is soon older than \
             `scheduler.overtake_age`, and from then on the order is that of first come.\n\n",
        );
    }
    if one.crucible == one.collated {
        page.push_str(
            "No wait comes near a bound of Crucible's here, so it does exactly what collating \
             does.\n\n",
        );
    }
}

fn targets(page: &mut String, compared: &[Compared], cost: &Cost) {
    page.push_str("## Targets\n\n| what | target | measured | |\n|---|---|---|---|\n");
    let mut row = |what: &str, target: &str, measured: &str, met: bool| {
        let word = if met { "met" } else { "**missed**" };
        let _ = writeln!(page, "| {what} | {target} | {measured} | {word} |");
    };
    for one in compared {
        let name = one.case.name;
        let [ours, collated, strict] =
            [&one.crucible, &one.collated, &one.strict].map(|o| one.all(o));
        if ALTERNATING.contains(&name) {
            let gain = ratio(strict.p95, ours.p95);
            let what = format!("{name}: p95 of the wait, against first come");
            row(
                &what,
                "3 times better",
                &format!("{gain:.1} times"),
                gain >= 3.0,
            );
        }
        if one.mixed() {
            let [ours, collated] = [&one.crucible, &one.collated].map(|o| one.people(o));
            let what = format!("{name}: p95 of people's wait, against collate");
            let measured = format!("{} against {}", s(ours.p95), s(collated.p95));
            row(&what, "better", &measured, ours.p95 < collated.p95);
            let what = format!("{name}: people's longest wait, against collate");
            let measured = format!("{} against {}", s(ours.max), s(collated.max));
            row(&what, "better", &measured, ours.max < collated.max);
        }
        let what = format!("{name}: p50 of the wait, against collate");
        let measured = format!("{} against {}", s(ours.p50), s(collated.p50));
        row(&what, "no worse", &measured, ours.p50 <= collated.p50);
        let what = format!("{name}: longest wait, against collate");
        let measured = format!("{} against {}", s(ours.max), s(collated.max));
        if STARVING.contains(&name) {
            row(&what, "better", &measured, ours.max < collated.max);
        } else {
            row(&what, "no worse", &measured, ours.max <= collated.max);
        }
    }
    let what = format!("one decision while {WAITING} wait, mean of {}", cost.inputs);
    let micro = |d: Duration| format!("{:.1} µs", d.as_secs_f64() * 1e6);
    let measured = format!(
        "{} (p50 {}, p99 {})",
        micro(cost.mean),
        micro(cost.p50),
        micro(cost.p99)
    );
    let met = cost.mean < Duration::from_micros(5);
    row(&what, "under 5 µs", &measured, met);
    if cfg!(debug_assertions) {
        page.push_str("\nA debug build: the cost of a decision says nothing.\n");
    }
}

pub(super) fn s(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 100.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{seconds:.0} s")
    }
}

/// All waits together.
pub(super) fn waited(outcome: &ReplayOutcome) -> Duration {
    let waits = outcome.fates.iter().filter_map(|fate| match fate {
        RequestFate::Served { wait, .. } => Some(*wait),
        RequestFate::Open | RequestFate::Rejected { .. } => None,
    });
    waits.sum()
}

pub(super) fn ratio(over: Duration, under: Duration) -> f64 {
    if under.is_zero() {
        return 1.0;
    }
    over.as_secs_f64() / under.as_secs_f64()
}

// === impl Compared ===

impl Compared {
    pub(super) fn all(&self, outcome: &ReplayOutcome) -> WaitSummary {
        outcome.wait_summary(&self.case.trace, |_| true)
    }

    /// Interactive requests alone.
    pub(super) fn people(&self, outcome: &ReplayOutcome) -> WaitSummary {
        outcome.wait_summary(&self.case.trace, |r| r.class == Class::Interactive)
    }

    /// A background batch runs beside.
    fn mixed(&self) -> bool {
        let requests = self.case.trace.requests();
        requests.iter().any(|r| r.class != requests[0].class)
    }
}
