//! A pane of the page as data: its title, its columns, and rows of cells in their tones.

use crate::top::text::{clean, width};

/// One of the panes, of which one has the focus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::top) enum PaneKind {
    /// Requests that are answered or wait.
    Requests,
    /// Pools, and what is loaded there.
    Memory,
    /// Engines with their health.
    Engines,
    /// Loads, evictions and answers that ended, the newest first.
    Events,
    /// What the doctor finds.
    Findings,
}

/// A pane: a title and rows in columns.
#[derive(Clone, Debug)]
pub(in crate::top) struct TopPane {
    pub(in crate::top) kind: PaneKind,
    /// The title with its numbers, the longest form first.
    pub(in crate::top) titles: Vec<String>,
    pub(in crate::top) columns: &'static [PaneColumn],
    pub(in crate::top) rows: Vec<PaneRow>,
    /// The text in place of rows where there are none.
    pub(in crate::top) empty: PaneCell,
}

/// A column of a pane.
#[derive(Debug)]
pub(in crate::top) struct PaneColumn {
    /// The word above it; empty where its cells say what they are.
    pub(in crate::top) heading: &'static str,
    /// The columns of the terminal that it takes at least.
    pub(in crate::top) least: usize,
    /// The columns that it gets before others get more than these.
    pub(in crate::top) good: usize,
    pub(in crate::top) fit: ColumnFit,
    /// Columns with a high rank are left out first where the terminal is narrow; those from
    /// [`PaneColumn::OPTIONAL`] on come only where nothing else is cut for them.
    pub(in crate::top) rank: u8,
}

/// The way in which a column takes its width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::top) enum ColumnFit {
    /// A number, aligned to the right, which is never cut.
    Number,
    /// A text that may be shorter than its longest cell.
    Text,
    /// A text that takes what is left, so that what stands behind it does not move.
    Rest,
    /// A bar, up to 24.
    Bar,
}

/// A row of a pane.
#[derive(Clone, Debug)]
pub(in crate::top) struct PaneRow {
    /// The identity of the row, by which it stays selected while others come and go.
    pub(in crate::top) key: String,
    /// One cell for each column.
    pub(in crate::top) cells: Vec<PaneCell>,
    /// Everything that is known, one line each.
    pub(in crate::top) details: Vec<String>,
}

/// A text or a bar, with the tone that a terminal with colours gives it.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::top) struct PaneCell {
    /// The text, the longest form first; the first one that fits is shown.
    pub(in crate::top) texts: Vec<String>,
    /// The parts of a bar: used, and used by others, of 1.
    pub(in crate::top) bar: Option<(f64, f64)>,
    pub(in crate::top) tone: TextTone,
}

/// The tone of a text; it never says what the text does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::top) enum TextTone {
    #[default]
    Plain,
    Strong,
    Good,
    Warn,
    Bad,
    Muted,
}

// === impl PaneKind ===

impl PaneKind {
    /// All kinds, in the order in which they are shown and reached by Tab.
    pub(in crate::top) const ALL: [Self; 5] = [
        Self::Requests,
        Self::Memory,
        Self::Engines,
        Self::Events,
        Self::Findings,
    ];
}

// === impl PaneColumn ===

impl PaneColumn {
    /// The rank from which on a column is optional.
    pub(in crate::top) const OPTIONAL: u8 = 5;

    /// A column of numbers with a unit, at least so wide.
    pub(in crate::top) const fn number(heading: &'static str, least: usize, rank: u8) -> Self {
        Self {
            heading,
            least,
            good: least,
            fit: ColumnFit::Number,
            rank,
        }
    }

    /// A column of texts, of which at least so much is shown, and so much where there is some room. All
    /// of its cells have the same form.
    pub(in crate::top) const fn text(
        heading: &'static str,
        (least, good): (usize, usize),
        rank: u8,
    ) -> Self {
        Self {
            heading,
            least,
            good,
            fit: ColumnFit::Text,
            rank,
        }
    }

    /// The column of texts that takes what is left.
    pub(in crate::top) const fn rest(
        heading: &'static str,
        (least, good): (usize, usize),
        rank: u8,
    ) -> Self {
        Self {
            heading,
            least,
            good,
            fit: ColumnFit::Rest,
            rank,
        }
    }

    /// A column of bars.
    pub(in crate::top) const fn bar(least: usize, rank: u8) -> Self {
        Self {
            heading: "",
            least,
            good: least,
            fit: ColumnFit::Bar,
            rank,
        }
    }
}

// === impl PaneCell ===

impl PaneCell {
    /// A text, which may come from others.
    pub(in crate::top) fn new(text: &str) -> Self {
        Self::any_of(&[text])
    }

    /// A text in several forms, the longest first.
    pub(in crate::top) fn any_of(texts: &[&str]) -> Self {
        Self {
            texts: texts.iter().map(|text| clean(text)).collect(),
            bar: None,
            tone: TextTone::Plain,
        }
    }

    /// A bar of which these parts are used, and used by others.
    pub(in crate::top) fn filled(used: f64, others: f64) -> Self {
        Self {
            texts: Vec::new(),
            bar: Some((used, others)),
            tone: TextTone::Plain,
        }
    }

    /// The same in another tone.
    pub(in crate::top) fn in_tone(mut self, tone: TextTone) -> Self {
        self.tone = tone;
        self
    }

    /// The columns of its longest text.
    pub(in crate::top) fn width(&self) -> usize {
        self.texts.first().map_or(0, |text| width(text))
    }
}

impl Default for PaneCell {
    fn default() -> Self {
        Self::new("")
    }
}

/// A line of details.
pub(in crate::top) fn detail(name: &str, value: &str) -> String {
    clean(&format!("{name}: {value}"))
}

/// A line of details, where there is a value.
pub(in crate::top) fn some_detail(name: &str, value: Option<impl AsRef<str>>) -> Option<String> {
    value.map(|value| detail(name, value.as_ref()))
}
