use std::collections::BTreeSet;

use crucible_documents::{inspector::InspectorStatusDoc, running::InstanceEvent};
use jiff::tz::TimeZone;
use ratatui::{Terminal, backend::TestBackend, style::Color};
use unicode_width::UnicodeWidthStr as _;

use super::{
    super::{
        fixture,
        interaction::{KeyAction, KeyEffect},
        page::PaneKind,
        watched::{FeedEvent, WatchedInstance},
    },
    *,
};

const LOOK: TopLook = TopLook {
    colour: false,
    keys: true,
};

const SIZES: [(u16, u16); 4] = [(80, 24), (120, 40), (200, 50), (40, 10)];

fn page_of(watched: &WatchedInstance) -> TopPage {
    TopPage::of(watched, fixture::now(), &TimeZone::UTC)
}

fn page() -> TopPage {
    page_of(&fixture::watched())
}

/// The page as ratatui draws it on a terminal of this size.
fn buffer(
    page: &TopPage,
    on: &TopInteraction,
    look: TopLook,
    (columns, lines): (u16, u16),
) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(columns, lines)).unwrap();
    let drawn = terminal.draw(|frame| {
        draw(page, on, look, frame.buffer_mut());
    });
    drawn.unwrap();
    terminal.backend().buffer().clone()
}

fn on_screen(page: &TopPage, size: (u16, u16)) -> String {
    text(&buffer(page, &TopInteraction::default(), LOOK, size))
}

/// The numbers of a text, with their decimals.
fn numbers(text: &str) -> BTreeSet<String> {
    let of_number = |c: char| c.is_ascii_digit() || c == '.' || c == ':';
    let parts = text.split(|c| !of_number(c));
    let parts = parts.map(|part| part.trim_matches(['.', ':']));
    parts
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn eighty_columns_show_all_panes_whole() {
    let drawn = include_str!("goldens/80x24.txt");
    let screen = on_screen(&page(), (80, 24));
    assert_eq!(screen, drawn.trim_end(), "now:\n{screen}");
}

#[test]
fn every_screen_says_that_requests_are_kept_until_the_end_has_come() {
    let mut watched = fixture::watched();
    let status = InspectorStatusDoc {
        on: true,
        ends_at_ms: Some(fixture::now().unix_ms + 600_000),
        kept: 3,
        change: 1,
        here: false,
    };
    let event = FeedEvent::Event(InstanceEvent::Inspector(status));
    watched.note(event, fixture::now());
    let screen = on_screen(&page_of(&watched), (80, 24));
    assert!(screen.contains("inspector until 12:10:00"), "{screen}");
    watched.inspector_ends_ms = Some(fixture::now().unix_ms);
    let screen = on_screen(&page_of(&watched), (80, 24));
    assert!(!screen.contains("inspector"), "{screen}");
}

#[test]
fn forty_columns_show_the_requests_and_what_is_loaded() {
    let drawn = include_str!("goldens/40x10.txt");
    let screen = on_screen(&page(), (40, 10));
    assert_eq!(screen, drawn.trim_end(), "now:\n{screen}");
}

#[test]
fn more_columns_show_more_of_each_request_and_panes_beside_each_other() {
    let wide = on_screen(&page(), (120, 40));
    for part in [
        "reading the prompt, about 62 %, 14 s left",
        "waiting for its model to load, #1",
        "key laptop",
        "exact",
        "until idle",
        "http://127.0.0.1:8484",
        "connection refused: nothing listens at 127.0.0.1:11434",
    ] {
        assert!(wide.contains(part), "{part} in\n{wide}");
    }
    let widest = on_screen(&page(), (200, 50));
    let line = |part: &str| widest.lines().position(|line| line.contains(part));
    assert!(line("─ Requests").is_some());
    assert_eq!(line("─ Requests"), line("─ Memory"), "{widest}");
    assert_eq!(line("first token"), line("tokens/s"), "{widest}");
}

#[test]
fn no_number_is_cut_and_no_line_is_too_long_on_a_screen_of_any_size() {
    let page = page();
    let mut whole = String::new();
    for pane in &page.panes {
        whole.extend(pane.titles.iter().map(|title| format!("{title}\n")));
        let cells = pane.rows.iter().flat_map(|row| &row.cells);
        whole.extend(
            cells
                .flat_map(|cell| &cell.texts)
                .map(|text| format!("{text}\n")),
        );
    }
    let facts = page.headline.facts.iter().flat_map(|fact| &fact.texts);
    whole.extend(facts.map(|text| format!("{text}\n")));
    for line in [&page.headline.first_token, &page.headline.tokens] {
        whole.extend(line.words.iter().map(|words| format!("{words} 5 min\n")));
    }
    // How many rows are not shown.
    whole.extend((0..20).map(|n| format!("{n}\n")));
    let whole = numbers(&whole);
    for columns in 1..=220 {
        for lines in [1, 2, 5, 8, 10, 13, 14, 24, 50] {
            let screen = on_screen(&page, (columns, lines));
            for line in screen.lines() {
                assert!(
                    line.width() <= usize::from(columns),
                    "{columns}x{lines}: {line}"
                );
            }
            let cut: Vec<String> = numbers(&screen).difference(&whole).cloned().collect();
            assert!(cut.is_empty(), "{columns}x{lines}: {cut:?} in\n{screen}");
        }
    }
}

#[test]
fn wide_characters_and_escape_sequences_of_others_leave_the_columns_alone() {
    let mut watched = fixture::watched();
    let names = [
        "plain-7b",
        "模型模型模型",
        "\u{1f469}\u{200d}\u{1f680}\u{2764}\u{fe0f}",
        "\u{1b}]0;owned\u{7}\u{1b}[2J",
        "\u{202e}b7-desrever",
        "e\u{301}\u{301}\u{301}",
        "",
    ];
    if let Some((state, _)) = &mut watched.state {
        let request = state.in_flight[1].clone();
        state.queue.clear();
        let requests = names.iter().map(|name| {
            let mut request = request.clone();
            request.request_id = format!("id-{name}").into();
            request.model = Some((*name).into());
            request.client = Some(format!("key {name}").into());
            request
        });
        state.in_flight = requests.collect();
        state.engines[1].error = Some("\u{1b}[31mred\nand a line".to_owned());
    }
    let page = page_of(&watched);
    for size in SIZES {
        let drawn = buffer(&page, &TopInteraction::default(), LOOK, size);
        let words = drawn
            .content()
            .iter()
            .flat_map(|cell| cell.symbol().chars());
        assert!(!words.clone().any(char::is_control), "{size:?}");
        assert!(
            !words
                .clone()
                .any(|c| ('\u{202a}'..='\u{202e}').contains(&c))
        );
    }
    // The phase of each request begins in the same column.
    let drawn = buffer(&page, &TopInteraction::default(), LOOK, (120, 40));
    let starts = (4..4 + names.len()).map(|y| {
        let row = (0..120).map(|x| drawn[(x, u16::try_from(y).unwrap())].symbol());
        let row: Vec<&str> = row.collect();
        (0..row.len() - 8).find(|x| row[*x..x + 9].concat() == "answering")
    });
    let starts: BTreeSet<Option<usize>> = starts.collect();
    assert!(
        starts.len() == 1 && !starts.contains(&None),
        "{starts:?}\n{}",
        text(&drawn)
    );
}

#[test]
fn an_instance_that_is_gone_is_said_and_its_ages_stand_still() {
    let mut watched = fixture::watched();
    let lost = crucible_documents::running::EventsFailure::Gone;
    watched.note(FeedEvent::Lost(lost), fixture::now());
    let mut later = fixture::now();
    later.instant += std::time::Duration::from_secs(12);
    let page = TopPage::of(&watched, later, &TimeZone::UTC);
    let screen = on_screen(&page, (80, 24));
    let line = "the instance at http://127.0.0.1:8484 is gone; trying again (12 s)";
    assert!(screen.contains(line), "{screen}");
    assert!(screen.contains("idle 1 m 15 s"), "{screen}");
    assert!(on_screen(&page, (20, 5)).contains("gone; trying again"));
    watched.note(FeedEvent::Connected, later);
    let page = TopPage::of(&watched, later, &TimeZone::UTC);
    let screen = on_screen(&page, (80, 24));
    assert!(
        screen.contains("idle 1 m 27 s") && !screen.contains("gone"),
        "{screen}"
    );
}

#[test]
fn colours_are_used_only_where_they_are_wanted_and_never_alone() {
    let of = |colour| {
        let look = TopLook { colour, keys: true };
        buffer(&page(), &TopInteraction::default(), look, (120, 40))
    };
    let colours = |drawn: &Buffer| {
        drawn
            .content()
            .iter()
            .filter(|cell| cell.fg != Color::Reset)
            .count()
    };
    assert_eq!(colours(&of(false)), 0);
    assert!(colours(&of(true)) > 50);
    assert_eq!(text(&of(false)), text(&of(true)));
}

#[test]
fn plain_text_has_all_rows_and_no_keys() {
    let printed = plain(&page(), 100);
    for part in [
        "waiting for its model",
        "nomic",
        "ollama",
        "conflict",
        "old version",
    ] {
        assert!(printed.contains(part), "{part} in\n{printed}");
    }
    for part in ["q quit", "›", "▸", "live", "not shown"] {
        assert!(!printed.contains(part), "{part} in\n{printed}");
    }
}

#[test]
fn nothing_is_known_yet() {
    let screen = on_screen(
        &page_of(&WatchedInstance::new("http://x".to_owned())),
        (80, 24),
    );
    for part in [
        "Nothing is asked at this moment.",
        "connecting",
        "No pool is known.",
        "Nothing happened yet.",
    ] {
        assert!(screen.contains(part), "{part} in\n{screen}");
    }
}

#[test]
fn keys_select_open_close_and_quit() {
    let page = page();
    let mut on = TopInteraction::default();
    let selected = |on: &TopInteraction| {
        let screen = text(&buffer(&page, on, LOOK, (120, 40)));
        let line = screen.lines().find(|line| line.starts_with('›'));
        line.unwrap_or_default().to_owned()
    };
    assert!(selected(&on).contains("reading the prompt"));
    assert_eq!(on.apply(KeyAction::Down, &page), KeyEffect::Continue);
    assert!(selected(&on).contains("answering"));
    on.apply(KeyAction::Last, &page);
    on.apply(KeyAction::Down, &page);
    assert!(selected(&on).contains("another model to make room, #2"));
    on.apply(KeyAction::Details, &page);
    let screen = text(&buffer(&page, &on, LOOK, (120, 40)));
    for part in [
        "Details",
        "request: 04-second",
        "position: 2 in the queue",
        "client: key laptop",
    ] {
        assert!(screen.contains(part), "{part} in\n{screen}");
    }
    assert_eq!(on.apply(KeyAction::Back, &page), KeyEffect::Continue);
    assert!(on.window.is_none());
    on.apply(KeyAction::NextPane, &page);
    assert_eq!(on.focus, PaneKind::Memory);
    assert!(selected(&on).contains("gpu"));
    on.apply(KeyAction::PreviousPane, &page);
    on.apply(KeyAction::PreviousPane, &page);
    assert_eq!(on.focus, PaneKind::Findings);
    on.apply(KeyAction::Help, &page);
    let screen = text(&buffer(&page, &on, LOOK, (40, 10)));
    assert!(screen.contains("quit"), "{screen}");
    on.apply(KeyAction::Help, &page);
    assert_eq!(on.apply(KeyAction::Back, &page), KeyEffect::Quit);
    assert_eq!(on.apply(KeyAction::Suspend, &page), KeyEffect::Suspend);
}

#[test]
fn a_selected_row_stays_selected_while_others_go_and_its_details_while_it_ends() {
    let before = page();
    let mut on = TopInteraction::default();
    on.apply(KeyAction::Down, &before);
    on.apply(KeyAction::Details, &before);
    let mut watched = fixture::watched();
    if let Some((state, _)) = &mut watched.state {
        state.in_flight.remove(0);
    }
    let after = page_of(&watched);
    assert_eq!(on.selected(PaneKind::Requests, &after.panes[0].rows), 0);
    let open = text(&buffer(&after, &on, LOOK, (80, 24)));
    assert!(open.contains("request: 02-answering"), "{open}");
    // It ends: the answer of the timeline is shown in its place.
    watched.state = None;
    for entry in &mut watched.entries {
        if let crucible_documents::timeline::TimelineEntry::Answer(answer) = entry {
            answer.request_id = "02-answering".into();
        }
    }
    let open = text(&buffer(&page_of(&watched), &on, LOOK, (80, 24)));
    assert!(open.contains("outcome:"), "{open}");
    watched.entries.clear();
    let open = text(&buffer(&page_of(&watched), &on, LOOK, (80, 24)));
    assert!(open.contains("It is no longer there."), "{open}");
}

#[test]
fn a_paused_page_says_so() {
    let page = page();
    let mut on = TopInteraction::default();
    on.apply(KeyAction::Pause, &page);
    let screen = text(&buffer(&page, &on, LOOK, (80, 24)));
    assert!(
        screen.contains("PAUSED") && screen.contains("p go on"),
        "{screen}"
    );
    on.apply(KeyAction::Pause, &page);
    assert!(on.paused.is_none());
}
