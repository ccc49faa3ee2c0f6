//! The window over the panes: help, or everything that is known of a row.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::Line,
    widgets::{Block, Clear, Paragraph, Widget as _, Wrap},
};

use super::super::{interaction::OpenWindow, keys::KEYS, page::TopPage, text::width};

/// The widest window.
const WIDEST: u16 = 100;

/// Draws the window, and returns the lines that it has room for.
pub(super) fn draw(open: &OpenWindow, page: &TopPage, buffer: &mut Buffer) -> usize {
    let (title, lines, scrolled) = match open {
        OpenWindow::Help => (" Keys: Esc closes ", help(), 0),
        OpenWindow::Details { row, scrolled } => {
            let details = page.details(row);
            let lines = details.map_or_else(
                || vec!["It is no longer there.".to_owned()],
                <[String]>::to_vec,
            );
            (" Details: Esc closes ", lines, *scrolled)
        }
    };
    let screen = buffer.area;
    let columns = screen.width.saturating_sub(2).min(WIDEST);
    let inside = usize::from(columns.saturating_sub(2)).max(1);
    let needed: usize = lines.iter().map(|line| wrapped(line, inside)).sum();
    let needed = u16::try_from(needed + 2).unwrap_or(u16::MAX);
    let rows = screen.height.min(needed);
    let area = Rect {
        x: screen.x + (screen.width - columns) / 2,
        y: screen.y + (screen.height - rows) / 2,
        width: columns,
        height: rows,
    };
    Clear.render(area, buffer);
    let text: Vec<Line<'_>> = lines.into_iter().map(Line::from).collect();
    Paragraph::new(text)
        .wrap(Wrap { trim: false })
        .scroll((scrolled, 0))
        .block(Block::bordered().title(title))
        .style(Style::new())
        .render(area, buffer);
    usize::from(rows.saturating_sub(2))
}

/// About how many lines a text takes when it is wrapped at words.
fn wrapped(line: &str, columns: usize) -> usize {
    // Words leave some room at the ends of lines.
    let text = width(line);
    if text <= columns {
        1
    } else {
        text.div_ceil(columns.saturating_sub(6).max(1))
    }
}

fn help() -> Vec<String> {
    let widest = KEYS.iter().map(|(keys, _)| keys.len()).max().unwrap_or(0);
    let keys = KEYS
        .iter()
        .map(|(keys, what)| format!("{keys:widest$}  {what}"));
    keys.collect()
}
