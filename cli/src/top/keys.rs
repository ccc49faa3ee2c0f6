//! The command of each key.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::interaction::KeyCommand;

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
pub(super) fn command(key: KeyEvent) -> Option<KeyCommand> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c') => Some(KeyCommand::Quit),
            KeyCode::Char('z') => Some(KeyCommand::Suspend),
            KeyCode::Char('l') => Some(KeyCommand::Redraw),
            KeyCode::Char('b') => Some(KeyCommand::PageUp),
            KeyCode::Char('f') => Some(KeyCommand::PageDown),
            _ => None,
        };
    }
    match key.code {
        KeyCode::Char('q') => Some(KeyCommand::Quit),
        KeyCode::Esc => Some(KeyCommand::Back),
        KeyCode::Up | KeyCode::Char('k') => Some(KeyCommand::Up),
        KeyCode::Down | KeyCode::Char('j') => Some(KeyCommand::Down),
        KeyCode::PageUp => Some(KeyCommand::PageUp),
        KeyCode::PageDown | KeyCode::Char(' ') => Some(KeyCommand::PageDown),
        KeyCode::Home | KeyCode::Char('g') => Some(KeyCommand::First),
        KeyCode::End | KeyCode::Char('G') => Some(KeyCommand::Last),
        KeyCode::Tab | KeyCode::Right => Some(KeyCommand::NextPane),
        KeyCode::BackTab | KeyCode::Left => Some(KeyCommand::PreviousPane),
        KeyCode::Enter => Some(KeyCommand::Details),
        KeyCode::Char('?' | 'h') => Some(KeyCommand::Help),
        KeyCode::Char('p') => Some(KeyCommand::Pause),
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
            Some(KeyCommand::Quit)
        );
        assert_eq!(pressed(KeyCode::Char('c'), KeyModifiers::NONE), None);
        assert_eq!(pressed(KeyCode::Char('p'), KeyModifiers::CONTROL), None);
        assert_eq!(
            pressed(KeyCode::Char('G'), KeyModifiers::SHIFT),
            Some(KeyCommand::Last)
        );
        let mut released = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE);
        released.kind = KeyEventKind::Release;
        assert_eq!(command(released), None);
    }
}
