//! What the bounds on overtaking buy and cost: the same traces under looser ones.

use std::fmt::Write as _;

use crucible_router::{replay::simulate, scheduler::Scheduler};

use super::{Compared, page::s};

/// The default times these.
const LOOSER: [u32; 4] = [1, 2, 4, 8];

const INTRODUCTION: &str = "\
## What the bounds buy

The same traces with `scheduler.overtake_count` and `overtake_age` times 1, 2, 4 and 8, as configured
(both are stretched further where loads are slow). Looser bounds are nearer to *collate*: fewer loads and a lower p50. Traces without a difference are left out.

| trace | count, age | loads | wait p50 | p95 | max |
|---|---|---|---|---|---|
";

const CONCLUSION: &str = "
A swap takes 7 to 11 s here, so the default is stretched by what a load costs: at most 4 times, to
serve for 6 times as long as the next load takes. Once the machine is full, as in *Flood* and *Night*,
still looser bounds serve the many better and the few worse. In *Night* the batch pays for the person:
collating keeps him waiting for minutes, first come for three quarters of an hour.

No order of what is loaded next helps in *Alternating*: with two models and room for one only one
line ever waits for a load, all of the other has been served by then, and to swap sooner costs another
load. Only to keep what is loaded, in expectation of requests that have not come, would be better:
that is what `scheduler.linger` does where an answer ended in tool calls, as in *Tool calls*.

All traces but *Tool calls* are open: nobody waits for an answer before the next request, as an agent
that calls one thing after the other would.
";

/// A table of those traces in which it makes a difference.
pub(super) fn table(page: &mut String, compared: &[Compared]) {
    page.push_str(INTRODUCTION);
    for one in compared {
        let rows = LOOSER.map(|times| row(one, times));
        if rows.iter().any(|(_, measured)| *measured != rows[0].1) {
            for (bounds, measured) in rows {
                // Writing to a String cannot fail.
                let _ = writeln!(page, "| {} | {bounds} | {measured} |", one.case.name);
            }
        }
    }
    page.push_str(CONCLUSION);
}

/// The bounds, and what came out.
fn row(one: &Compared, times: u32) -> (String, String) {
    let mut machine = one.case.machine.clone();
    let bounds = &mut machine.config.scheduler;
    bounds.overtake_count *= times;
    bounds.overtake_age *= times;
    let (count, age) = (bounds.overtake_count, bounds.overtake_age.as_secs());
    let trace = &one.case.trace;
    let outcome = simulate(&mut Scheduler::default(), trace, &machine);
    let all = outcome.wait_summary(trace, |_| true);
    let measured = format!(
        "{} | {} | {} | {}",
        outcome.loads.len(),
        s(all.p50),
        s(all.p95),
        s(all.max)
    );
    (format!("{count}, {age} s"), measured)
}
