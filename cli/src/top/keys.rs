//! The command of each key.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::interaction::KeyAction;

/// The keys with what they do, for the window of help.
pub(super) const KEYS: [(&str, &str); 8] = [
    ("q, Esc, Ctrl-C", "quit"),
    ("Tab, Shift-Tab", "next pane, pane before"),
    ("arrows, j, k", "select a row"),
    ("PgUp, PgDn, Home, End", "select further away"),
    ("Enter", "everything that is known of the selected row"),
    ("p", "let the page stand still, and go on"),
    ("Ctrl-L", "draw everything anew"),
    ("?", "this help"),
];

/// The command of a key; `None` for a key without one.
pub(super) fn command(key: KeyEvent) -> Option<KeyAction> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c') => Some(KeyAction::Quit),
            KeyCode::Char('z') => Some(KeyAction::Suspend),
            KeyCode::Char('l') => Some(KeyAction::Redraw),
            KeyCode::Char('b') => Some(KeyAction::PageUp),
            KeyCode::Char('f') => Some(KeyAction::PageDown),
            _ => None,
        };
    }
    match key.code {
        KeyCode::Char('q') => Some(KeyAction::Quit),
        KeyCode::Esc => Some(KeyAction::Back),
        KeyCode::Up | KeyCode::Char('k') => Some(KeyAction::Up),
        KeyCode::Down | KeyCode::Char('j') => Some(KeyAction::Down),
        KeyCode::PageUp => Some(KeyAction::PageUp),
        KeyCode::PageDown | KeyCode::Char(' ') => Some(KeyAction::PageDown),
        KeyCode::Home | KeyCode::Char('g') => Some(KeyAction::First),
        KeyCode::End | KeyCode::Char('G') => Some(KeyAction::Last),
        KeyCode::Tab | KeyCode::Right => Some(KeyAction::NextPane),
        KeyCode::BackTab | KeyCode::Left => Some(KeyAction::PreviousPane),
        KeyCode::Enter => Some(KeyAction::Details),
        KeyCode::Char('?' | 'h') => Some(KeyAction::Help),
        KeyCode::Char('p') => Some(KeyAction::Pause),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_is_not_the_plain_key() {
        let pressed = |code, modifiers| command(KeyEvent::new(code, modifiers));
        assert_eq!(
            pressed(KeyCode::Char('c'), KeyModifiers::CONTROL),
            Some(KeyAction::Quit)
        );
        assert_eq!(pressed(KeyCode::Char('c'), KeyModifiers::NONE), None);
        assert_eq!(pressed(KeyCode::Char('p'), KeyModifiers::CONTROL), None);
        assert_eq!(
            pressed(KeyCode::Char('G'), KeyModifiers::SHIFT),
            Some(KeyAction::Last)
        );
        let mut released = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE);
        released.kind = KeyEventKind::Release;
        assert_eq!(command(released), None);
    }
}
