//! How texts come into a buffer: in the style of their tone, and never outside.

use ratatui::{
    buffer::Buffer,
    style::{Color, Modifier, Style},
};

use crate::top::{page::TextTone, text::clip};

/// The way in which tones are shown.
#[derive(Clone, Copy, Debug)]
pub(in crate::top) struct TopLook {
    /// Whether there are colours.
    pub(in crate::top) colour: bool,
    /// Whether somebody presses keys: the focus, the selected row and the line of keys are shown.
    pub(in crate::top) keys: bool,
}

// === impl TopLook ===

impl TopLook {
    /// The style of a tone.
    pub(super) fn style(self, tone: TextTone) -> Style {
        let plain = Style::new();
        let coloured = |colour| if self.colour { plain.fg(colour) } else { plain };
        match tone {
            TextTone::Plain => plain,
            TextTone::Strong => plain.add_modifier(Modifier::BOLD),
            TextTone::Good => coloured(Color::Green),
            TextTone::Warn => coloured(Color::Yellow),
            TextTone::Bad => coloured(Color::Red).add_modifier(Modifier::BOLD),
            TextTone::Muted => plain.add_modifier(Modifier::DIM),
        }
    }
}

/// Writes a text at a place, cut to so many columns; a place outside the buffer is passed over. Returns the
/// columns that it took.
pub(super) fn put(
    buffer: &mut Buffer,
    (x, y): (u16, u16),
    text: &str,
    columns: usize,
    style: Style,
) -> u16 {
    let area = buffer.area;
    if y < area.top() || y >= area.bottom() || x < area.left() || x >= area.right() {
        return 0;
    }
    let room = columns.min(usize::from(area.right() - x));
    let cut = clip(text, room);
    let (end, _) = buffer.set_stringn(x, y, &cut, room, style);
    end - x
}
