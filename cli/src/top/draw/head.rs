//! The lines above the panes, and the line of keys below them.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Modifier, Style},
};

use super::{
    super::{
        interaction::TopInteraction,
        page::{Sparkline, TextTone, TopHeadline},
        rates::{STEP_SECONDS, STEPS},
        text::width,
    },
    style::{TopLook, put},
};

/// The most lines above the panes.
pub(super) const HEIGHT: u16 = 4;

/// The lowest screen with lines of bars.
const BARS_HEIGHT: u16 = 14;

/// The narrowest screen with both lines of bars beside each other.
const BARS_BESIDE: u16 = 160;

/// The eighths of a bar.
const EIGHTHS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// The mark of a time without a value.
const NONE: &str = "·";

/// The keys of the last line, the most important first.
const KEYS: [&str; 6] = [
    "q quit",
    "? help",
    "Tab pane",
    "↑↓ select",
    "Enter details",
    "p pause",
];

/// Draws the lines above the panes, and returns how many they are.
pub(super) fn draw(
    headline: &TopHeadline,
    on: &TopInteraction,
    look: TopLook,
    area: Rect,
    buffer: &mut Buffer,
) -> u16 {
    draw_facts(headline, on, look, area, buffer);
    let mut height = 1;
    if let Some(lost) = &headline.lost {
        let columns = usize::from(area.width);
        let fits = lost.texts.iter().find(|text| width(text) <= columns);
        let text = fits.or(lost.texts.last()).map_or("", String::as_str);
        let style = look.style(lost.tone).add_modifier(Modifier::REVERSED);
        put(buffer, (area.x, area.y + height), text, columns, style);
        height += 1;
    }
    if area.height + u16::from(look.keys) < BARS_HEIGHT {
        return height.min(area.height);
    }
    let (first_token, tokens) = (&headline.first_token, &headline.tokens);
    let mut line = |line: &Sparkline, x: u16, width: u16, height: u16| {
        let place = Rect {
            x,
            y: area.y + height,
            width,
            height: 1,
        };
        draw_line(line, look, place, buffer);
    };
    if area.width >= BARS_BESIDE {
        let half = area.width / 2;
        line(first_token, area.x, half, height);
        line(tokens, area.x + half, half, height);
        return height + 1;
    }
    line(first_token, area.x, area.width, height);
    line(tokens, area.x, area.width, height + 1);
    height + 2
}

/// Draws the first line: facts as far as there is room, and whether the page is live.
fn draw_facts(
    headline: &TopHeadline,
    on: &TopInteraction,
    look: TopLook,
    area: Rect,
    buffer: &mut Buffer,
) {
    let (state, tone) = match (&headline.lost, &on.paused) {
        (_, Some(_)) => ("PAUSED", TextTone::Warn),
        (Some(_), None) => ("gone", TextTone::Bad),
        (None, None) if headline.known => ("live", TextTone::Good),
        (None, None) => ("connecting", TextTone::Warn),
    };
    let room = usize::from(area.width).saturating_sub(state.len() + 2);
    let mut x = 0;
    for fact in &headline.facts {
        let gap = if x == 0 { 0 } else { 2 };
        let fits = |text: &&String| x == 0 || usize::from(x + gap) + width(text) <= room;
        let Some(text) = fact.texts.iter().find(fits) else {
            break;
        };
        let at = (area.x + x + gap, area.y);
        x += gap + put(buffer, at, text, room, look.style(fact.tone));
    }
    if look.keys {
        let columns = u16::try_from(state.len()).unwrap_or(0);
        let at = area.right().saturating_sub(columns);
        put(buffer, (at, area.y), state, state.len(), look.style(tone));
    }
}

/// A name, its numbers, and as many of the latest steps as have room.
fn draw_line(line: &Sparkline, look: TopLook, area: Rect, buffer: &mut Buffer) {
    let end = usize::from(area.width);
    put(
        buffer,
        (area.x, area.y),
        line.name,
        end,
        look.style(TextTone::Muted),
    );
    let mut x = 13;
    for words in &line.words {
        if x + width(words) > end {
            return;
        }
        let at = area.x + u16::try_from(x).unwrap_or(0);
        put(buffer, (at, area.y), words, end - x, Style::new());
        x += width(words).max(12) + 2;
    }
    let room = end.saturating_sub(x);
    let steps = &line.steps[line.steps.len().saturating_sub(room.min(STEPS))..];
    let bars = bars(steps, &line.steps);
    let at = area.x + u16::try_from(x).unwrap_or(0);
    put(
        buffer,
        (at, area.y),
        &bars,
        room,
        look.style(TextTone::Strong),
    );
    let minutes = format!(
        "{:.0} min",
        STEP_SECONDS * f64::from(u32::try_from(STEPS).unwrap_or(0)) / 60.0
    );
    if steps.len() == STEPS && room >= STEPS + 2 + width(&minutes) {
        let at = at + u16::try_from(STEPS + 2).unwrap_or(0);
        put(
            buffer,
            (at, area.y),
            &minutes,
            width(&minutes),
            look.style(TextTone::Muted),
        );
    }
}

/// The bars of these steps, of which the highest of all is full.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "0 to 7 by the clamp"
)]
fn bars(steps: &[Option<f64>], all: &[Option<f64>]) -> String {
    let most = all.iter().flatten().copied().fold(0.0, f64::max);
    let bar = |step: &Option<f64>| match step {
        Some(value) if most > 0.0 => {
            EIGHTHS[(value / most * 8.0).ceil().clamp(1.0, 8.0) as usize - 1]
        }
        Some(_) => EIGHTHS[0],
        None => NONE,
    };
    steps.iter().map(bar).collect()
}

/// Draws the line of keys.
pub(super) fn keys(buffer: &mut Buffer, y: u16, paused: bool, look: TopLook) {
    let area = buffer.area;
    let mut x = area.x;
    for key in KEYS {
        let key = if paused && key.starts_with("p ") {
            "p go on"
        } else {
            key
        };
        let needed = u16::try_from(width(key)).unwrap_or(0);
        if x + needed > area.right() {
            return;
        }
        put(
            buffer,
            (x, y),
            key,
            usize::from(needed),
            look.style(TextTone::Muted),
        );
        x += needed + 3;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_step_is_full_and_a_step_without_a_value_is_a_dot() {
        let steps = [None, Some(0.0), Some(1.0), Some(4.0), Some(8.0)];
        assert_eq!(bars(&steps, &steps), "·▁▁▄█");
        assert_eq!(bars(&steps[..2], &steps[..2]), "·▁");
    }
}
