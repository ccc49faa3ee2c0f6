//! The first lines: version, uptime, engines, and the last five minutes as two lines of bars.

use crucible_documents::{StateDoc, running::EventsFailure, timeline::TimelineEntry};
use jiff::tz::TimeZone;

use super::{
    super::{
        rates::LastMinutes,
        watched::{ClockReading, WatchedInstance},
        words::{duration, rate},
    },
    pane::{PaneCell, TextTone},
};
use crate::output::{plural, time_of_day};

/// The lines above the panes.
#[derive(Clone, Debug)]
pub(in crate::top) struct TopHeadline {
    /// Facts, of which the last ones are left out where there is no room.
    pub(in crate::top) facts: Vec<PaneCell>,
    /// Whether a state has come.
    pub(in crate::top) known: bool,
    /// The sentence on an instance that is gone.
    pub(in crate::top) lost: Option<PaneCell>,
    pub(in crate::top) first_token: Sparkline,
    pub(in crate::top) tokens: Sparkline,
}

/// The last minutes of one number as bars, with the number in words before them.
#[derive(Clone, Debug)]
pub(in crate::top) struct Sparkline {
    pub(in crate::top) name: &'static str,
    pub(in crate::top) words: Vec<String>,
    /// A value for each ten seconds, the oldest first; `None` where there was none.
    pub(in crate::top) steps: Vec<Option<f64>>,
}

// === impl TopHeadline ===

impl TopHeadline {
    pub(super) fn of(watched: &WatchedInstance, now: ClockReading, zone: &TimeZone) -> Self {
        let answers = watched.entries.iter().filter_map(|entry| match entry {
            TimelineEntry::Answer(answer) => Some(answer),
            TimelineEntry::Load { .. } | TimelineEntry::Eviction { .. } => None,
        });
        let minutes = LastMinutes::of(answers, &watched.rates, (now.instant, now.unix_ms));
        let (median, slowest) = match minutes.percentiles {
            Some((median, slowest)) => (duration(median), duration(slowest)),
            None => ("-".to_owned(), "-".to_owned()),
        };
        let now_rate = watched.rates.total();
        let peak = minutes
            .tokens_per_second
            .iter()
            .copied()
            .fold(now_rate, f64::max);
        let steps = minutes.tokens_per_second.iter();
        Self {
            facts: facts(watched, now, zone),
            known: watched.state.is_some(),
            lost: lost(watched, now),
            first_token: Sparkline {
                name: "first token",
                words: vec![format!("p50 {median}"), format!("p95 {slowest}")],
                steps: minutes.first_token,
            },
            tokens: Sparkline {
                name: "tokens/s",
                words: vec![
                    format!("now {}", rate(now_rate)),
                    format!("most {}", rate(peak)),
                ],
                steps: steps
                    .map(|rate| Some(*rate).filter(|rate| *rate > 0.0))
                    .collect(),
            },
        }
    }
}

fn facts(watched: &WatchedInstance, now: ClockReading, zone: &TimeZone) -> Vec<PaneCell> {
    let Some((state, _)) = &watched.state else {
        return vec![
            PaneCell::new("Crucible").in_tone(TextTone::Strong),
            PaneCell::new(&watched.url),
        ];
    };
    let mut facts = Vec::new();
    let version = state.instance.as_ref().map(|instance| &*instance.version);
    facts.push(
        PaneCell::new(&format!(
            "Crucible {}",
            version.unwrap_or("of an older version")
        ))
        .in_tone(TextTone::Strong),
    );
    let uptime = watched.uptime(now);
    facts.extend(uptime.map(|up| PaneCell::new(&format!("up {}", duration(up)))));
    facts.push(engines(state));
    // An instance that is gone, or asleep, cannot say that the end has come.
    let ends = watched.inspector_ends_ms.filter(|ends| *ends > now.unix_ms);
    facts.extend(ends.map(|ends| {
        let long = format!("inspector until {}", time_of_day(ends, zone));
        PaneCell::any_of(&[&long, "inspector on"]).in_tone(TextTone::Warn)
    }));
    let loading = state
        .pools
        .iter()
        .filter(|pool| pool.loading.is_some())
        .count();
    if loading > 0 {
        facts.push(PaneCell::new(&format!("{loading} loading")).in_tone(TextTone::Warn));
    }
    facts.push(PaneCell::new(&watched.url).in_tone(TextTone::Muted));
    if !state.owns_state {
        facts.push(PaneCell::new("another Crucible owns state_dir").in_tone(TextTone::Warn));
    }
    facts
}

/// How many engines are up, and how many are not.
fn engines(state: &StateDoc) -> PaneCell {
    let all = state.engines.len();
    let up = state.engines.iter().filter(|engine| engine.is_up()).count();
    let words = match (up, all) {
        (_, 0) => "no engine".to_owned(),
        (up, all) if up == all => format!("{} up", plural(all, "engine", "engines")),
        (up, all) => format!("{up} of {} up", plural(all, "engine", "engines")),
    };
    PaneCell::new(&words).in_tone(if up == all && all > 0 {
        TextTone::Good
    } else {
        TextTone::Bad
    })
}

fn lost(watched: &WatchedInstance, now: ClockReading) -> Option<PaneCell> {
    let (failure, since) = watched.lost?;
    let url = &watched.url;
    let seconds = now.instant.saturating_duration_since(since).as_secs_f64();
    let for_s = if seconds < 10.0 {
        format!("{seconds:.0} s")
    } else {
        duration(seconds)
    };
    let (long, short) = match failure {
        EventsFailure::Gone => (
            format!("the instance at {url} is gone; trying again ({for_s})"),
            "gone; trying again",
        ),
        EventsFailure::KeyWanted => (
            format!("the instance at {url} wants another client key; trying again ({for_s})"),
            "another key is wanted",
        ),
        EventsFailure::Foreign => (
            format!("the program at {url} answers, but not as a Crucible; trying again ({for_s})"),
            "no Crucible answers",
        ),
    };
    Some(PaneCell::any_of(&[&long, short]).in_tone(TextTone::Bad))
}
