//! The account as a table for a terminal.

use std::collections::BTreeSet;

use jiff::{Timestamp, tz::TimeZone};

use super::{
    account::{UsageAccount, UsageSum},
    grouping::UsageGrouping,
};
use crate::output::table;

/// Joules of a watt-hour.
const WATT_HOUR: f64 = 3600.0;

/// Returns the account as a table, with a line on the period and the sources of the energy.
pub(super) fn text(account: &UsageAccount, zone: &TimeZone) -> String {
    let Some((first, last)) = account.span else {
        return "no request in this period".to_owned();
    };
    let pools: BTreeSet<&str> = account.all.pools_ms.keys().map(String::as_str).collect();
    let energy = !account.energy.counters.is_empty();
    let mut heading = vec![account.by.as_str().to_owned()];
    heading
        .extend(["requests", "failed", "left", "prompt", "cached", "answers"].map(str::to_owned));
    heading.extend(pools.iter().map(|pool| format!("on {pool}")));
    heading.extend(energy.then(|| "energy".to_owned()));
    let mut rows = vec![heading];
    for (name, sum) in &account.rows {
        let name = name.clone().unwrap_or_else(|| unnamed(account.by));
        rows.push(cells(name, sum, &pools, energy));
    }
    if account.rows.len() > 1 {
        rows.push(cells("all".to_owned(), &account.all, &pools, energy));
    }
    let mut parts = vec![
        format!("{} to {}", minute(first, zone), minute(last, zone)),
        table(&rows),
    ];
    if account.all.loads > 0 {
        let loads = account.all.loads;
        parts.push(format!(
            "{loads} {} took {}",
            if loads == 1 { "load" } else { "loads" },
            duration(account.all.loading_ms)
        ));
    }
    parts.extend(energy.then(|| sources(account)));
    parts.join("\n\n")
}

/// The row of the requests that had no such property: those that came without a key, from a program without a name, or reached no engine.
fn unnamed(by: UsageGrouping) -> String {
    match by {
        UsageGrouping::Key => "(no key)",
        UsageGrouping::Client => "(no name)",
        UsageGrouping::Model | UsageGrouping::Day => "-",
    }
    .to_owned()
}

fn cells(name: String, sum: &UsageSum, pools: &BTreeSet<&str>, energy: bool) -> Vec<String> {
    let mut cells = vec![
        name,
        sum.requests.to_string(),
        sum.failed.to_string(),
        sum.left.to_string(),
        tokens(sum.prompt),
        cached(sum),
        tokens(sum.output),
    ];
    for &pool in pools {
        let time = sum.pools_ms.get(pool);
        cells.push(time.map_or_else(|| "-".to_owned(), |&ms| duration(ms)));
    }
    // Requests on a device without a counter have no energy that is known, and not none.
    let joules = sum.joules.values().copied().reduce(|sum, more| sum + more);
    cells.extend(energy.then(|| joules.map_or_else(|| "-".to_owned(), watt_hours)));
    cells
}

/// Returns the cached part of the prompts in percent, with a mark where a part of it is estimated.
fn cached(sum: &UsageSum) -> String {
    match sum.cached_share() {
        None => "-".to_owned(),
        Some(share) if sum.cached_estimated => format!("~{:.0} %", share * 100.0),
        Some(share) => format!("{:.0} %", share * 100.0),
    }
}

/// Returns a sentence for each counter: what it measured, by which interface, and how much no request took.
fn sources(account: &UsageAccount) -> String {
    let counters = account.energy.counters.iter().map(|(name, counter)| {
        format!(
            "energy of {name}: {} by {}, of which {} fell into times without a request",
            watt_hours(counter.joules),
            counter.interface.to_uppercase(),
            watt_hours(counter.idle)
        )
    });
    counters.collect::<Vec<_>>().join("\n")
}

/// Returns a number of tokens with at most four digits: `950`, `12.3 k`, `8.12 M`.
fn tokens(count: u64) -> String {
    #[expect(
        clippy::cast_precision_loss,
        reason = "three digits are shown of a number that is below 2^53"
    )]
    let number = count as f64;
    match count {
        0..1_000 => count.to_string(),
        1_000..999_950 => format!("{:.1} k", number / 1e3),
        _ => format!("{:.2} M", number / 1e6),
    }
}

/// Returns a duration in its two largest units: `2 h 10 m`, `31 m 5 s`, `4.2 s`.
fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..60 => format!("{}.{} s", seconds, ms % 1000 / 100),
        60..3600 => format!("{} m {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} m", seconds / 3600, seconds % 3600 / 60),
    }
}

fn watt_hours(joules: f64) -> String {
    let hours = joules / WATT_HOUR;
    if hours < 10.0 {
        format!("{hours:.2} Wh")
    } else if hours < 1000.0 {
        format!("{hours:.0} Wh")
    } else {
        format!("{:.2} kWh", hours / 1000.0)
    }
}

/// Returns a moment to the minute, in the time zone of the machine.
fn minute(at_ms: u64, zone: &TimeZone) -> String {
    let at = i64::try_from(at_ms).ok();
    let at = at.and_then(|at| Timestamp::from_millisecond(at).ok());
    at.map_or_else(
        || "-".to_owned(),
        |at| zone.to_datetime(at).strftime("%Y-%m-%d %H:%M").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_have_their_unit() {
        let shown = [0, 950, 12_345, 999_949, 999_950, 8_120_000].map(tokens);
        assert_eq!(shown, ["0", "950", "12.3 k", "999.9 k", "1.00 M", "8.12 M"]);
        let shown = [0, 4_250, 1_865_000, 7_800_000].map(duration);
        assert_eq!(shown, ["0.0 s", "4.2 s", "31 m 5 s", "2 h 10 m"]);
        let shown = [0.0, 36.0, 1_116_000.0, 3_600_000.0 * 2.5].map(watt_hours);
        assert_eq!(shown, ["0.00 Wh", "0.01 Wh", "310 Wh", "2.50 kWh"]);
    }

    #[test]
    fn energy_that_nothing_measured_is_no_zero() {
        let shown = |sum: &UsageSum| cells("m".to_owned(), sum, &BTreeSet::new(), true).pop();
        let mut sum = UsageSum::default();
        assert_eq!(shown(&sum).as_deref(), Some("-"));
        sum.joules.insert("gpu0".to_owned(), 36.0);
        assert_eq!(shown(&sum).as_deref(), Some("0.01 Wh"));
    }

    #[test]
    fn requests_without_a_key_have_a_row_that_says_so() {
        assert_eq!(unnamed(UsageGrouping::Key), "(no key)");
        assert_eq!(unnamed(UsageGrouping::Model), "-");
    }
}
