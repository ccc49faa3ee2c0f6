//! The account: the lines of an event log, added up by key, client, model or day.

use std::collections::BTreeMap;

use crucible_documents::{
    EndingClass, EnergyCounterDoc, UsageDoc, UsageRowDoc,
    event_log::{EventLog, LoadEvent, LoggedEvent, RequestEvent},
};
use jiff::{Timestamp, tz::TimeZone};

use super::{
    energy::{DividedEnergy, PermitTime},
    grouping::UsageGrouping,
    period::UsagePeriod,
};

/// The usage in a period, in rows and in all.
pub(super) struct UsageAccount {
    /// The property by which there are rows.
    pub(super) by: UsageGrouping,
    /// The rows by name; `None` is the row of the requests that have none.
    pub(super) rows: BTreeMap<Option<String>, UsageSum>,
    /// All rows together.
    pub(super) all: UsageSum,
    /// The energy counters and what they measured.
    pub(super) energy: DividedEnergy,
    /// The milliseconds since 1970 at which the first and the last request asked for its permit.
    pub(super) span: Option<(u64, u64)>,
}

/// The sums of one row.
#[derive(Clone, Debug, Default)]
pub(super) struct UsageSum {
    /// Requests that came as far as the queue.
    pub(super) requests: u64,
    /// Those that ended in an error, or whose client was given up because it did not read.
    pub(super) failed: u64,
    /// Those whose client left first.
    pub(super) left: u64,
    /// Tokens of the prompts.
    pub(super) prompt: u64,
    /// Tokens of the prompts that were in the engines' caches.
    pub(super) cached: u64,
    /// Tokens of those prompts of which the cached part is known.
    pub(super) prompt_with_cached: u64,
    /// Whether an estimate is part of `cached`.
    pub(super) cached_estimated: bool,
    /// Tokens of the answers.
    pub(super) output: u64,
    /// Loads that belong to the row.
    pub(super) loads: u64,
    /// Milliseconds that those loads took.
    pub(super) loading_ms: u64,
    /// Milliseconds for which requests held permits, by pool.
    pub(super) pools_ms: BTreeMap<String, u64>,
    /// Joules by energy counter.
    pub(super) joules: BTreeMap<String, f64>,
}

// === impl UsageAccount ===

impl UsageAccount {
    /// Adds up the lines of a log that belong to the period; days are those of the time zone.
    pub(super) fn of(
        events: &[LoggedEvent],
        by: UsageGrouping,
        period: UsagePeriod,
        zone: &TimeZone,
    ) -> Self {
        let mut requests = Vec::new();
        let mut loads = Vec::new();
        let mut energies = Vec::new();
        for event in events {
            match event {
                LoggedEvent::Request(request) if period.holds(request.at_ms) => {
                    requests.push(request);
                }
                LoggedEvent::Load(load) if period.holds(load.at_ms) => loads.push(load),
                LoggedEvent::Energy(energy) if period.holds(energy.at_ms) => energies.push(energy),
                LoggedEvent::Request(_)
                | LoggedEvent::Load(_)
                | LoggedEvent::Energy(_)
                | LoggedEvent::Dropped { .. } => {}
            }
        }
        let permits: Vec<_> = requests.iter().map(|r| PermitTime::of(r)).collect();
        let mut account = Self {
            by,
            rows: BTreeMap::new(),
            all: UsageSum::default(),
            energy: DividedEnergy::among(&permits, &energies),
            span: None,
        };
        for (n, request) in requests.iter().enumerate() {
            account.add_request(n, request, zone);
        }
        for load in loads {
            account.add_load(load, zone);
        }
        account
    }

    fn add_request(&mut self, n: usize, request: &RequestEvent, zone: &TimeZone) {
        let (first, last) = self.span.unwrap_or((request.at_ms, request.at_ms));
        self.span = Some((first.min(request.at_ms), last.max(request.at_ms)));
        let name = match self.by {
            UsageGrouping::Key => request.client.as_deref().map(str::to_owned),
            UsageGrouping::Client => request.program.as_deref().map(str::to_owned),
            UsageGrouping::Model => Some(model_name(&request.engine, &request.model)),
            UsageGrouping::Day => Some(day(request.at_ms, zone)),
        };
        let joules = &self.energy.by_request[n];
        self.rows.entry(name).or_default().add(request, joules);
        self.all.add(request, joules);
    }

    fn add_load(&mut self, load: &LoadEvent, zone: &TimeZone) {
        self.all.add_load(load);
        let name = match self.by {
            // A load serves whoever asks next.
            UsageGrouping::Key | UsageGrouping::Client => return,
            UsageGrouping::Model => model_name(&load.engine, &load.model),
            UsageGrouping::Day => day(load.at_ms, zone),
        };
        self.rows.entry(Some(name)).or_default().add_load(load);
    }

    /// Returns the account as the document of `usage --json`, with the gaps of the log.
    pub(super) fn document(&self, log: &EventLog) -> UsageDoc {
        let by_load = !matches!(self.by, UsageGrouping::Key | UsageGrouping::Client);
        let rows = self.rows.iter();
        let counters = self.energy.counters.iter();
        UsageDoc {
            by: self.by.as_str().to_owned(),
            from: self.span.map(|(first, _)| rfc3339(first)),
            to: self.span.map(|(_, last)| rfc3339(last)),
            rows: rows
                .map(|(name, sum)| sum.row(name.clone(), by_load))
                .collect(),
            all: self.all.row(None, true),
            energy_counters: counters
                .map(|(name, counter)| EnergyCounterDoc {
                    name: name.clone(),
                    interface: counter.interface.clone(),
                    joules: counter.joules,
                    idle_joules: counter.idle,
                })
                .collect(),
            corrupt_lines: log.corrupt,
            dropped_events: log.dropped,
        }
    }
}

// === impl UsageSum ===

impl UsageSum {
    fn add(&mut self, request: &RequestEvent, joules: &BTreeMap<String, f64>) {
        self.requests += 1;
        match request.ending() {
            EndingClass::Answered => {}
            EndingClass::Left => self.left += 1,
            EndingClass::Failed => self.failed += 1,
        }
        if request.held_ms.is_some() {
            self.add_tokens(request);
        }
        if let (Some(held), Some(facts)) = (request.held_ms, &request.facts) {
            add_to(
                self.pools_ms.entry(facts.pool.to_string()).or_default(),
                held,
            );
        }
        for (counter, joules) in joules {
            *self.joules.entry(counter.clone()).or_default() += joules;
        }
    }

    /// Adds the tokens of a request that held a permit: nobody read the prompt of one that waited in vain.
    fn add_tokens(&mut self, request: &RequestEvent) {
        add_to(&mut self.prompt, request.prompt_tokens);
        add_to(&mut self.output, request.output_tokens);
        if let Some(cached) = request.cached_tokens {
            add_to(&mut self.cached, cached);
            add_to(&mut self.prompt_with_cached, request.prompt_tokens);
            self.cached_estimated |= request.cached_estimated;
        }
    }

    const fn add_load(&mut self, load: &LoadEvent) {
        self.loads += 1;
        add_to(&mut self.loading_ms, load.took_ms);
    }

    /// Returns the cached part of the prompts of which it is known.
    pub(super) fn cached_share(&self) -> Option<f64> {
        (self.prompt_with_cached > 0).then(|| float(self.cached) / float(self.prompt_with_cached))
    }

    fn row(&self, name: Option<String>, by_load: bool) -> UsageRowDoc {
        UsageRowDoc {
            name,
            requests: self.requests,
            failed: self.failed,
            left: self.left,
            prompt_tokens: self.prompt,
            cached_tokens: self.cached,
            cached_share: self.cached_share(),
            cached_estimated: self.cached_estimated,
            output_tokens: self.output,
            loads: by_load.then_some(self.loads),
            loading_s: by_load.then(|| float(self.loading_ms) / 1000.0),
            pools_s: self
                .pools_ms
                .iter()
                .map(|(pool, ms)| (pool.clone(), float(*ms) / 1000.0))
                .collect(),
            energy_joules: self.joules.clone(),
        }
    }
}

/// Adds to a sum; the numbers of a log that somebody wrote into may be of any size.
const fn add_to(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}

fn model_name(engine: &str, model: &str) -> String {
    format!("{engine}/{model}")
}

fn timestamp(at_ms: u64) -> Timestamp {
    let at = i64::try_from(at_ms).ok();
    at.and_then(|at| Timestamp::from_millisecond(at).ok())
        .unwrap_or(Timestamp::MAX)
}

fn rfc3339(at_ms: u64) -> String {
    timestamp(at_ms).to_string()
}

/// Returns the day of a moment in the time zone, as `2026-11-28`.
fn day(at_ms: u64, zone: &TimeZone) -> String {
    zone.to_datetime(timestamp(at_ms)).date().to_string()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "tokens and milliseconds of a log are far below 2^53"
)]
const fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 1_795_867_200_000;

    fn line(rest: &str) -> LoggedEvent {
        let text = format!(
            "{{\"event\":\"request\",\"engine\":\"gpu\",\"model\":\"m\",\"class\":\"interactive\",\
             \"loaded\":false,\"wait_ms\":5,\"engine_kind\":\"lmstudio\",\"device\":\"gpu\",\
             \"pool\":\"vram\",{rest}}}"
        );
        serde_json::from_str(&text).unwrap()
    }

    fn events() -> Vec<LoggedEvent> {
        let load = format!(
            "{{\"event\":\"load\",\"at_ms\":{NOON},\"engine\":\"gpu\",\"model\":\"m\",\
             \"took_ms\":1500,\"outcome\":\"ok\",\"trigger\":\"request\"}}"
        );
        let ok = "\"status\":200,\"outcome\":\"ok\"";
        vec![
            serde_json::from_str(&load).unwrap(),
            line(&format!(
                "\"at_ms\":{NOON},\"client\":\"laptop\",\"program\":\"opencode\",\"prompt_tokens\":100,\
                 \"cached_tokens\":80,\"output_tokens\":7,\"held_ms\":400,{ok}"
            )),
            line(&format!(
                "\"at_ms\":{},\"program\":\"curl\",\"prompt_tokens\":50,\"output_tokens\":3,\
                 \"held_ms\":600,\"status\":502,\"outcome\":\"engine_cut\"",
                NOON + 1000
            )),
            line(&format!(
                "\"at_ms\":{},\"program\":\"curl\",\"prompt_tokens\":11,\"output_tokens\":0,\
                 \"status\":499,\"outcome\":\"client_gone\"",
                NOON + 86_400_000
            )),
            // As versions before wrote it.
            line(&format!(
                "\"at_ms\":{},\"program\":\"curl\",\"prompt_tokens\":0,\"output_tokens\":0,\
                 \"status\":499,\"outcome\":\"ok\"",
                NOON + 86_400_000
            )),
        ]
    }

    fn account(by: UsageGrouping) -> UsageDoc {
        let zone = TimeZone::UTC;
        let whole = UsagePeriod::since(None, Timestamp::UNIX_EPOCH, &zone).unwrap();
        UsageAccount::of(&events(), by, whole, &zone).document(&EventLog::default())
    }

    fn names(doc: &UsageDoc) -> Vec<(Option<&str>, u64)> {
        let rows = doc.rows.iter();
        rows.map(|row| (row.name.as_deref(), row.requests))
            .collect()
    }

    #[test]
    fn rows_are_made_by_each_property_and_add_up_to_all() {
        for (by, expected) in [
            (UsageGrouping::Key, vec![(None, 3), (Some("laptop"), 1)]),
            (
                UsageGrouping::Client,
                vec![(Some("curl"), 3), (Some("opencode"), 1)],
            ),
            (UsageGrouping::Model, vec![(Some("gpu/m"), 4)]),
            (
                UsageGrouping::Day,
                vec![(Some("2026-11-28"), 2), (Some("2026-11-29"), 2)],
            ),
        ] {
            let doc = account(by);
            assert_eq!(names(&doc), expected);
            // The client that left had waited in vain: nobody read its prompt.
            let sum = |of: fn(&UsageRowDoc) -> u64| doc.rows.iter().map(of).sum::<u64>();
            assert_eq!(sum(|row| row.prompt_tokens), 150);
            assert_eq!(sum(|row| row.output_tokens), doc.all.output_tokens);
            assert_eq!((doc.all.requests, doc.all.failed, doc.all.left), (4, 1, 2));
            assert_eq!(doc.all.pools_s.values().sum::<f64>().to_string(), "1");
        }
    }

    #[test]
    fn the_cached_share_is_of_the_prompts_of_which_it_is_known() {
        let doc = account(UsageGrouping::Client);
        assert_eq!(doc.all.cached_share, Some(0.8));
        assert_eq!(doc.rows[0].cached_share, None);
    }

    #[test]
    fn numbers_of_any_size_are_added_up() {
        let most = u64::MAX;
        let numbers = format!(
            "\"at_ms\":1,\"prompt_tokens\":{most},\"cached_tokens\":{most},\"output_tokens\":{most},\
             \"held_ms\":{most},\"status\":200,\"outcome\":\"ok\""
        );
        let load = format!(
            "{{\"event\":\"load\",\"at_ms\":{most},\"engine\":\"gpu\",\"model\":\"m\",\
             \"took_ms\":{most},\"outcome\":\"ok\",\"trigger\":\"request\"}}"
        );
        let load: LoggedEvent = serde_json::from_str(&load).unwrap();
        let events = [line(&numbers), line(&numbers), load.clone(), load];
        let whole = UsagePeriod::since(None, Timestamp::UNIX_EPOCH, &TimeZone::UTC).unwrap();
        let account = UsageAccount::of(&events, UsageGrouping::Day, whole, &TimeZone::UTC);
        assert_eq!((account.all.output, account.all.loading_ms), (most, most));
        assert!(!super::super::show::text(&account, &TimeZone::UTC).is_empty());
    }

    #[test]
    fn loads_belong_to_models_and_days_alone() {
        let loads = |by| account(by).rows.iter().map(|r| r.loads).collect::<Vec<_>>();
        assert_eq!(loads(UsageGrouping::Model), [Some(1)]);
        assert_eq!(loads(UsageGrouping::Day), [Some(1), Some(0)]);
        assert_eq!(loads(UsageGrouping::Client), [None, None]);
        assert_eq!(account(UsageGrouping::Client).all.loading_s, Some(1.5));
    }
}
