//! The places of the panes on a screen.

use ratatui::layout::Rect;

use super::super::page::{PaneKind, TopPage};

/// The narrowest screen with two panes beside each other.
const SIDE_BY_SIDE: u16 = 140;

/// The panes on the left of a wide screen, and those on its right.
const LEFT: [PaneKind; 2] = [PaneKind::Requests, PaneKind::Events];
const RIGHT: [PaneKind; 3] = [PaneKind::Memory, PaneKind::Engines, PaneKind::Findings];

/// The panes from the one that is kept longest on a low screen to the one that goes first.
const IMPORTANCE: [PaneKind; 5] = [
    PaneKind::Requests,
    PaneKind::Memory,
    PaneKind::Events,
    PaneKind::Engines,
    PaneKind::Findings,
];

/// The lines of each pane with its title on a screen that has room: below that it is left out.
const fn least(kind: PaneKind) -> u16 {
    match kind {
        PaneKind::Requests | PaneKind::Memory | PaneKind::Events => 3,
        PaneKind::Engines | PaneKind::Findings => 2,
    }
}

/// The lines that a pane would like, with its title.
fn wanted(page: &TopPage, kind: PaneKind) -> u16 {
    let rows = page.pane(kind).map_or(0, |pane| pane.rows.len().max(1));
    u16::try_from(rows + 1).unwrap_or(u16::MAX)
}

/// The panes with their places. The focused one is always among them.
pub(super) fn panes(page: &TopPage, focus: PaneKind, area: Rect) -> Vec<(PaneKind, Rect)> {
    if area.width < SIDE_BY_SIDE {
        return stack(page, &PaneKind::ALL, focus, area);
    }
    let left = area.width * 5 / 8;
    let on_left = Rect {
        width: left,
        ..area
    };
    let on_right = Rect {
        x: area.x + left + 1,
        width: area.width - left - 1,
        ..area
    };
    let mut panes = stack(page, &LEFT, focus, on_left);
    panes.extend(stack(page, &RIGHT, focus, on_right));
    panes
}

/// The lines that all panes would like on a screen of this width.
pub(super) fn wanted_height(page: &TopPage, columns: u16) -> u16 {
    let height = |kinds: &[PaneKind]| {
        kinds
            .iter()
            .map(|kind| wanted(page, *kind).max(least(*kind)))
            .sum()
    };
    if columns < SIDE_BY_SIDE {
        height(&PaneKind::ALL)
    } else {
        height(&LEFT).max(height(&RIGHT))
    }
}

/// Panes below each other: each has its least height or is left out, then they grow by turns to what they
/// want, and the events take what is left.
fn stack(page: &TopPage, kinds: &[PaneKind], focus: PaneKind, area: Rect) -> Vec<(PaneKind, Rect)> {
    let mut order: Vec<PaneKind> = IMPORTANCE
        .into_iter()
        .filter(|kind| kinds.contains(kind))
        .collect();
    order.sort_by_key(|kind| *kind != focus);
    let mut heights: Vec<(PaneKind, u16)> = Vec::new();
    let mut left = area.height;
    for kind in order {
        let height = least(kind).min(wanted(page, kind).max(2));
        let height = if heights.is_empty() {
            height.min(left)
        } else {
            height
        };
        if height > left || height == 0 {
            break;
        }
        left -= height;
        heights.push((kind, height));
    }
    loop {
        let mut grew = false;
        for (kind, height) in &mut heights {
            if left > 0 && *height < wanted(page, *kind) {
                *height += 1;
                left -= 1;
                grew = true;
            }
        }
        if !grew {
            break;
        }
    }
    let mut y = area.y;
    let mut placed = Vec::new();
    for kind in kinds {
        if let Some((_, height)) = heights.iter().find(|(shown, _)| shown == kind) {
            placed.push((
                *kind,
                Rect {
                    y,
                    height: *height,
                    ..area
                },
            ));
            y += height;
        }
    }
    placed
}
