//! One pane: a line with its title and the headings of its columns, then its rows.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Modifier, Style},
};

use super::{
    super::{
        page::{ColumnFit, PaneCell, TopPane},
        text::{clip, width},
    },
    columns::{self, PlacedColumn},
    style::{TopLook, put},
};

/// The mark of the selected row, and the blank in its place.
const MARK: &str = "›";

pub(super) fn draw(
    pane: &TopPane,
    selected: usize,
    focused: bool,
    look: TopLook,
    area: Rect,
    buffer: &mut Buffer,
) {
    if area.height == 0 || area.width < 4 {
        return;
    }
    let room = usize::from(area.width).saturating_sub(1);
    let shown = usize::from(area.height) - 1;
    let placed = columns::place(pane, room);
    title(pane, shown, focused, &placed, area, buffer);
    let first = (selected + 1).saturating_sub(shown);
    if pane.rows.is_empty() && shown > 0 {
        let style = look.style(pane.empty.tone);
        put(
            buffer,
            (area.x + 1, area.y + 1),
            fitting(&pane.empty, 0, room),
            room,
            style,
        );
    }
    let forms: Vec<usize> = placed
        .iter()
        .map(|column| common_form(pane, column))
        .collect();
    let lines = area.y + 1..area.bottom();
    for (y, (at, row)) in lines.zip(pane.rows.iter().enumerate().skip(first)) {
        for (column, form) in placed.iter().zip(&forms) {
            let Some(cell) = row.cells.get(column.number) else {
                continue;
            };
            let x = area.x + 1 + u16::try_from(column.x).unwrap_or(u16::MAX);
            let fit = pane.columns[column.number].fit;
            let style = look.style(cell.tone);
            draw_cell(cell, *form, fit, column.width, style, (x, y), buffer);
        }
        if focused && at == selected {
            put(buffer, (area.x, y), MARK, 1, Style::new());
            let line = Rect {
                y,
                height: 1,
                ..area
            };
            buffer.set_style(line, Style::new().add_modifier(Modifier::REVERSED));
        }
    }
}

/// The title, with a mark where the pane has the focus, and the headings that have room behind it.
fn title(
    pane: &TopPane,
    shown: usize,
    focused: bool,
    placed: &[PlacedColumn],
    area: Rect,
    buffer: &mut Buffer,
) {
    let columns = usize::from(area.width);
    let hidden = pane.rows.len().saturating_sub(shown);
    let hidden = if hidden > 0 {
        format!(", {hidden} not shown")
    } else {
        String::new()
    };
    let mut titles = pane.titles.iter().map(|title| format!("{title}{hidden}"));
    let shortest = titles.next_back().unwrap_or_default();
    let fits = titles.find(|title| width(title) + 5 <= columns);
    let title = fits.unwrap_or(shortest);
    let style = if focused {
        Style::new().add_modifier(Modifier::BOLD)
    } else {
        Style::new()
    };
    put(
        buffer,
        (area.x, area.y),
        &"─".repeat(columns),
        columns,
        style,
    );
    put(
        buffer,
        (area.x, area.y),
        if focused { "▸─ " } else { "── " },
        3,
        style,
    );
    let room = columns.saturating_sub(4);
    let title = clip(&title, room);
    let end = 3 + width(&title);
    let strong = style.add_modifier(Modifier::BOLD);
    put(
        buffer,
        (area.x + 3, area.y),
        &format!("{title} "),
        room + 1,
        strong,
    );
    headings(pane, placed, (end, style), area, buffer);
}

/// The headings of the columns that begin behind the end of the title.
fn headings(
    pane: &TopPane,
    placed: &[PlacedColumn],
    (end, style): (usize, Style),
    area: Rect,
    buffer: &mut Buffer,
) {
    for column in placed {
        let heading = pane.columns[column.number].heading;
        if heading.is_empty() {
            continue;
        }
        let right = pane.columns[column.number].fit == ColumnFit::Number;
        let indent = if right {
            column.width.saturating_sub(width(heading))
        } else {
            0
        };
        let x = 1 + column.x + indent;
        if x > end + 2 && width(heading) <= column.width {
            let x = area.x + u16::try_from(x).unwrap_or(u16::MAX);
            put(buffer, (x - 1, area.y), " ", 1, style);
            let taken = put(buffer, (x, area.y), heading, width(heading), style);
            put(buffer, (x + taken, area.y), " ", 1, style);
        }
    }
}

/// The first form of a text that fits, from this form on, else the shortest one.
fn fitting(cell: &PaneCell, form: usize, columns: usize) -> &str {
    let fits = cell
        .texts
        .iter()
        .skip(form)
        .find(|text| width(text) <= columns);
    fits.or(cell.texts.last()).map_or("", String::as_str)
}

/// The form that all cells of a column have: the first one in which most is seen of all of them. Texts that
/// take what is left have their own.
fn common_form(pane: &TopPane, column: &PlacedColumn) -> usize {
    if pane.columns[column.number].fit == ColumnFit::Rest {
        return 0;
    }
    let cells = || {
        pane.rows
            .iter()
            .filter_map(|row| row.cells.get(column.number))
    };
    let forms = cells().map(|cell| cell.texts.len()).max().unwrap_or(0);
    let fits = |form: usize| {
        cells().all(|cell| {
            let text = cell.texts.get(form).or(cell.texts.last());
            text.is_none_or(|text| width(text) <= column.width)
        })
    };
    (0..forms)
        .find(|form| fits(*form))
        .unwrap_or(forms.saturating_sub(1))
}

fn draw_cell(
    cell: &PaneCell,
    form: usize,
    fit: ColumnFit,
    columns: usize,
    style: Style,
    (x, y): (u16, u16),
    buffer: &mut Buffer,
) {
    if let Some(parts) = cell.bar {
        put(buffer, (x, y), &bar(parts, columns), columns, style);
        return;
    }
    let text = fitting(cell, form, columns);
    let indent = match fit {
        ColumnFit::Number => columns.saturating_sub(width(text)),
        ColumnFit::Text | ColumnFit::Rest | ColumnFit::Bar => 0,
    };
    let indent = u16::try_from(indent).unwrap_or(0);
    put(buffer, (x.saturating_add(indent), y), text, columns, style);
}

/// A bar of so many columns: what is used, what others use, what is free.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a part of at most 24 columns, by the clamp"
)]
fn bar((used, others): (f64, f64), columns: usize) -> String {
    let part = |share: f64| {
        let filled = (share.clamp(0.0, 1.0) * columns as f64).round() as usize;
        // What is there is seen, however small.
        filled.max(usize::from(share > 0.0)).min(columns)
    };
    let used = part(used);
    let others = part(others).min(columns - used);
    let free = columns - used - others;
    format!(
        "{}{}{}",
        "█".repeat(used),
        "▒".repeat(others),
        "░".repeat(free)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_has_its_width_whatever_it_stands_for() {
        for (parts, drawn) in [
            ((0.0, 0.0), "░░░░░░░░"),
            ((0.5, 0.25), "████▒▒░░"),
            ((0.001, 0.0), "█░░░░░░░"),
            ((1.0, 0.5), "████████"),
            ((7.0, f64::NAN), "████████"),
        ] {
            assert_eq!(bar(parts, 8), drawn);
        }
        assert_eq!(bar((1.0, 1.0), 0), "");
    }
}
