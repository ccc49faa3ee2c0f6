//! The page that a terminal shows, as data: a headline and five panes of rows.
//!
//! [`TopPage::of`] makes it from what is known of the instance; `draw` puts it on a screen of any size.

mod engines;
mod events;
mod findings;
mod headline;
mod memory;
mod pane;
mod requests;

use jiff::tz::TimeZone;

pub(super) use self::{
    headline::{Sparkline, TopHeadline},
    pane::{ColumnFit, PaneCell, PaneColumn, PaneKind, PaneRow, TextTone, TopPane},
};
use super::watched::{ClockReading, WatchedInstance};

/// The whole page.
#[derive(Clone, Debug)]
pub(super) struct TopPage {
    pub(super) headline: TopHeadline,
    /// The panes in the order of [`PaneKind::ALL`].
    pub(super) panes: Vec<TopPane>,
}

// === impl TopPage ===

impl TopPage {
    /// The page of what is known at this moment of this machine, with times of day in this zone.
    pub(super) fn of(watched: &WatchedInstance, now: ClockReading, zone: &TimeZone) -> Self {
        let now = watched.on_its_clock(now);
        Self {
            headline: TopHeadline::of(watched, now, zone),
            panes: vec![
                requests::pane(watched, now.instant),
                memory::pane(watched, now.instant),
                engines::pane(watched),
                events::pane(watched, zone),
                findings::pane(watched),
            ],
        }
    }

    /// The pane of this kind.
    pub(super) fn pane(&self, kind: PaneKind) -> Option<&TopPane> {
        self.panes.iter().find(|pane| pane.kind == kind)
    }

    /// The details of the row with this key. A request that has ended since is found among the answers.
    pub(super) fn details(&self, key: &str) -> Option<&[String]> {
        let rows = || self.panes.iter().flat_map(|pane| &pane.rows);
        let answered = key
            .strip_prefix("request ")
            .map(|id| format!("answer {id}"));
        let found = rows().find(|row| row.key == key);
        let found = found.or_else(|| rows().find(|row| Some(&row.key) == answered.as_ref()));
        found.map(|row| row.details.as_slice())
    }
}
