//! The widths of the columns of a pane on a screen of some width.

use super::super::{
    page::{ColumnFit, PaneColumn, TopPane},
    text::width,
};

/// The blank columns between two columns.
pub(super) const GAP: usize = 2;

/// The widest bar.
const WIDEST_BAR: usize = 24;

/// The width of a text that takes what is left, beyond which it does not keep other columns away.
const WIDEST_REST: usize = 42;

/// A column that is shown: its number, its place from the left, and its width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PlacedColumn {
    pub(super) number: usize,
    pub(super) x: usize,
    pub(super) width: usize,
}

/// The columns that fit into a width. Those with the highest rank are left out first; numbers have all the
/// width that they need, texts share what is left.
pub(super) fn place(pane: &TopPane, columns: usize) -> Vec<PlacedColumn> {
    let wanted: Vec<usize> = (0..pane.columns.len()).map(|n| wanted(pane, n)).collect();
    let shown = chosen(pane, &wanted, columns);
    let mut widths: Vec<usize> = shown.iter().map(|&n| least(pane, &wanted, n)).collect();
    let used: usize = widths.iter().sum::<usize>() + GAP * shown.len().saturating_sub(1);
    let mut left = columns.saturating_sub(used);
    // First what is good for each, by rank; then by turns what they would like.
    let mut by_rank: Vec<usize> = (0..shown.len()).collect();
    by_rank.sort_by_key(|&at| pane.columns[shown[at]].rank);
    for at in by_rank {
        let good = wanted[shown[at]].min(pane.columns[shown[at]].good);
        let more = good.saturating_sub(widths[at]).min(left);
        widths[at] += more;
        left -= more;
    }
    loop {
        let mut grew = false;
        for (width, &n) in widths.iter_mut().zip(&shown) {
            let most = match pane.columns[n].fit {
                ColumnFit::Number => 0,
                ColumnFit::Text | ColumnFit::Rest => wanted[n],
                ColumnFit::Bar => WIDEST_BAR,
            };
            if *width < most && left > 0 {
                *width += 1;
                left -= 1;
                grew = true;
            }
        }
        if !grew {
            break;
        }
    }
    let rest = shown
        .iter()
        .position(|&n| pane.columns[n].fit == ColumnFit::Rest);
    if let Some(rest) = rest {
        widths[rest] += left;
    }
    let mut x = 0;
    let shown = shown.iter().zip(widths);
    shown
        .map(|(&number, width)| {
            let placed = PlacedColumn { number, x, width };
            x += width + GAP;
            placed
        })
        .collect()
}

/// The numbers of the columns that are shown, from the left.
fn chosen(pane: &TopPane, wanted: &[usize], columns: usize) -> Vec<usize> {
    let mut by_rank: Vec<usize> = (0..pane.columns.len()).filter(|&n| wanted[n] > 0).collect();
    by_rank.sort_by_key(|&n| pane.columns[n].rank);
    let mut shown: Vec<usize> = Vec::new();
    for n in by_rank {
        let whole = pane.columns[n].rank >= PaneColumn::OPTIONAL;
        let before = shown.iter().map(|&m| {
            if whole {
                wanted[m]
            } else {
                least(pane, wanted, m)
            }
        });
        let needed = before.sum::<usize>() + GAP * shown.len() + least(pane, wanted, n);
        if needed > columns && !shown.is_empty() {
            break;
        }
        shown.push(n);
    }
    shown.sort_unstable();
    shown
}

/// The width below which a column is left out.
fn least(pane: &TopPane, wanted: &[usize], number: usize) -> usize {
    let column = &pane.columns[number];
    match column.fit {
        ColumnFit::Number => wanted[number],
        ColumnFit::Text | ColumnFit::Rest => wanted[number].min(column.least),
        ColumnFit::Bar => column.least,
    }
}

/// The width that a column would like: 0 where it has nothing to show.
fn wanted(pane: &TopPane, number: usize) -> usize {
    let column = &pane.columns[number];
    let cells = pane.rows.iter().filter_map(|row| row.cells.get(number));
    let widest = cells
        .map(super::super::page::PaneCell::width)
        .max()
        .unwrap_or(0);
    let heading = width(column.heading);
    match column.fit {
        ColumnFit::Number => widest.max(column.least).max(heading),
        ColumnFit::Rest => widest.min(column.good.max(WIDEST_REST)).max(heading).max(1),
        ColumnFit::Text if widest == 0 => 0,
        ColumnFit::Text => widest.max(heading),
        ColumnFit::Bar => column.least,
    }
}
