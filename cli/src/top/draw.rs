//! Drawing the page into a buffer of any size, without a terminal.
//!
//! A narrow screen loses columns, then panes, the least important first; numbers are shown whole or not at
//! all. A wide one has the panes beside each other.

mod columns;
mod head;
mod layout;
mod pane;
mod style;
mod window;

use ratatui::{buffer::Buffer, layout::Rect};

pub(super) use self::style::TopLook;
use super::{interaction::TopInteraction, page::TopPage, text::width};

/// The lowest screen with a line of keys.
const KEYS_HEIGHT: u16 = 8;

/// The most rows that a page without a screen has in one pane.
const PLAIN_ROWS: usize = 20;

/// Draws the page, and returns the rows that the focused pane has room for.
pub(super) fn draw(
    page: &TopPage,
    on: &TopInteraction,
    look: TopLook,
    buffer: &mut Buffer,
) -> usize {
    let mut area = buffer.area;
    let keys = look.keys && area.height >= KEYS_HEIGHT;
    if keys {
        area.height -= 1;
        head::keys(buffer, area.bottom(), on.paused.is_some(), look);
    }
    let head = head::draw(&page.headline, on, look, area, buffer);
    let body = Rect {
        y: area.y + head,
        height: area.height.saturating_sub(head),
        ..area
    };
    let mut page_rows = 1;
    for (kind, place) in layout::panes(page, on.focus, body) {
        if let Some(pane) = page.pane(kind) {
            let selected = on.selected(kind, &pane.rows);
            let focused = look.keys && kind == on.focus;
            pane::draw(pane, selected, focused, look, place, buffer);
            if kind == on.focus {
                page_rows = usize::from(place.height.saturating_sub(1));
            }
        }
    }
    if let Some(open) = &on.window {
        page_rows = window::draw(open, page, buffer);
    }
    page_rows
}

/// The page as plain text of this width, as high as it needs.
pub(super) fn plain(page: &TopPage, columns: u16) -> String {
    let mut page = page.clone();
    for pane in &mut page.panes {
        pane.rows.truncate(PLAIN_ROWS);
    }
    let look = TopLook {
        colour: false,
        keys: false,
    };
    let height = head::HEIGHT + layout::wanted_height(&page, columns);
    let mut buffer = Buffer::empty(Rect::new(0, 0, columns, height));
    draw(&page, &TopInteraction::default(), look, &mut buffer);
    text(&buffer)
}

/// The characters of a buffer as lines without trailing spaces.
pub(super) fn text(buffer: &Buffer) -> String {
    let area = buffer.area;
    let line = |y| {
        let mut line = String::new();
        let mut x = area.left();
        while x < area.right() {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            x += u16::try_from(width(symbol).max(1)).unwrap_or(1);
        }
        line.trim_end().to_owned()
    };
    let lines: Vec<String> = (area.top()..area.bottom()).map(line).collect();
    lines.join("\n").trim_end().to_owned()
}

#[cfg(test)]
mod tests;
