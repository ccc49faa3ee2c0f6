//! The focus, the selected rows and the open window, and what a key does to them.

use super::page::{PaneKind, PaneRow, TopPage};

/// An action of the terminal view that a key of the keyboard asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyAction {
    Quit,
    /// Close the window that is open, else quit.
    Back,
    /// Stop as a job of the shell.
    Suspend,
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    NextPane,
    PreviousPane,
    Details,
    Help,
    Pause,
    /// Draw everything anew.
    Redraw,
}

/// The effect of a key beyond what is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyEffect {
    Continue,
    Quit,
    Suspend,
    Redraw,
}

/// The window over the panes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OpenWindow {
    /// The list of keys.
    Help,
    /// The details of a row, by its key, from this line on.
    Details {
        /// The key of the row.
        row: String,
        /// The lines that were scrolled over.
        scrolled: u16,
    },
}

/// The selected row of a pane: its key, and its place for when it is gone.
#[derive(Clone, Debug, Default)]
struct SelectedRow {
    key: Option<String>,
    place: usize,
}

/// What the person at the terminal did so far.
#[derive(Debug)]
pub(super) struct TopInteraction {
    /// The pane that keys act on.
    pub(super) focus: PaneKind,
    /// The window that is open.
    pub(super) window: Option<OpenWindow>,
    /// The page that stands still since `p` was pressed.
    pub(super) paused: Option<TopPage>,
    /// The rows that a page of the focused pane has, as it was drawn last.
    pub(super) page_rows: usize,
    selected: [SelectedRow; PaneKind::ALL.len()],
}

// === impl TopInteraction ===

impl Default for TopInteraction {
    fn default() -> Self {
        Self {
            focus: PaneKind::Requests,
            window: None,
            paused: None,
            page_rows: 1,
            selected: Default::default(),
        }
    }
}

impl TopInteraction {
    /// The place of the selected row among the rows of a pane.
    pub(super) fn selected(&self, kind: PaneKind, rows: &[PaneRow]) -> usize {
        let selected = &self.selected[kind as usize];
        let found = selected.key.as_ref();
        let found = found.and_then(|key| rows.iter().position(|row| row.key == *key));
        found
            .unwrap_or(selected.place)
            .min(rows.len().saturating_sub(1))
    }

    /// Does what a command asks for, on the page that is shown.
    pub(super) fn apply(&mut self, action: KeyAction, page: &TopPage) -> KeyEffect {
        match action {
            KeyAction::Quit => return KeyEffect::Quit,
            KeyAction::Suspend => return KeyEffect::Suspend,
            KeyAction::Redraw => return KeyEffect::Redraw,
            KeyAction::Back if self.window.take().is_none() => return KeyEffect::Quit,
            KeyAction::Back => {}
            KeyAction::Up => self.step(page, |at, _| at.saturating_sub(1)),
            KeyAction::Down => self.step(page, |at, _| at + 1),
            KeyAction::PageUp => self.step(page, usize::saturating_sub),
            KeyAction::PageDown => self.step(page, |at, rows| at + rows),
            KeyAction::First => self.step(page, |_, _| 0),
            KeyAction::Last => self.step(page, |_, _| usize::MAX),
            KeyAction::NextPane => self.turn(1),
            KeyAction::PreviousPane => self.turn(PaneKind::ALL.len() - 1),
            KeyAction::Details => self.open_details(page),
            KeyAction::Help => {
                let open = self.window == Some(OpenWindow::Help);
                self.window = (!open).then_some(OpenWindow::Help);
            }
            KeyAction::Pause => {
                self.paused = match self.paused {
                    None => Some(page.clone()),
                    Some(_) => None,
                }
            }
        }
        KeyEffect::Continue
    }

    /// Moves the selection, or the text of an open window; `to` gets the place and the rows of a page.
    fn step(&mut self, page: &TopPage, to: impl FnOnce(usize, usize) -> usize) {
        match &mut self.window {
            Some(OpenWindow::Help) => {}
            Some(OpenWindow::Details { row, scrolled }) => {
                let lines = page.details(row).map_or(0, <[String]>::len);
                let next = to(usize::from(*scrolled), self.page_rows.max(1));
                *scrolled = u16::try_from(next.min(lines.saturating_sub(1))).unwrap_or(0);
            }
            None => {
                let rows = page.pane(self.focus).map_or(&[][..], |pane| &pane.rows);
                let place = to(self.selected(self.focus, rows), self.page_rows.max(1));
                let place = place.min(rows.len().saturating_sub(1));
                self.selected[self.focus as usize] = SelectedRow {
                    key: rows.get(place).map(|row| row.key.clone()),
                    place,
                };
            }
        }
    }

    fn turn(&mut self, by: usize) {
        self.window = None;
        let next = (self.focus as usize + by) % PaneKind::ALL.len();
        self.focus = PaneKind::ALL[next];
    }

    fn open_details(&mut self, page: &TopPage) {
        if self.window.take().is_some() {
            return;
        }
        let rows = page.pane(self.focus).map_or(&[][..], |pane| &pane.rows);
        let selected = rows.get(self.selected(self.focus, rows));
        self.window = selected.map(|row| OpenWindow::Details {
            row: row.key.clone(),
            scrolled: 0,
        });
    }
}
