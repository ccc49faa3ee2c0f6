//! Kept requests as a person reads them.

use std::borrow::Cow;

use crucible_documents::inspector::{
    AssembledAnswerDoc, AssembledCallDoc, InspectedAttemptDoc, InspectedRowDoc, PrefixBreakDoc,
};

use super::*;
use crate::inspect::{
    rows::{has_twin, row},
    text::size,
};

fn kept_row() -> InspectedRowDoc {
    let end = InspectedEndDoc {
        took_s: 1.25,
        status: 200,
        outcome: Cow::Borrowed("ok"),
        engine: Some("gpu".into()),
        model: Some("one".into()),
        prompt_tokens: Some(1200),
        cached_tokens: Some(18),
        cached_is_estimated: false,
        output_tokens: 7,
        loaded: false,
        turn: Some(2),
    };
    InspectedRowDoc {
        number: 1,
        request_id: "req_0123456789abcdef".into(),
        at_ms: 0,
        asked: "POST /v1/chat/completions".into(),
        client: "agent\u{1b}[2J@127.0.0.1".into(),
        ended: Some(end),
        received_bytes: Some(40),
        sent_bytes: None,
        answer_bytes: 3,
        change: "1 message unchanged; 2 added".into(),
    }
}

fn turn_difference() -> TurnDifferenceDoc {
    TurnDifferenceDoc {
        previous_id: "req_0".into(),
        compared: ComparedBodies::Sent,
        summary: "1 message unchanged; 2 added".to_owned(),
        unchanged: 1,
        added: 2,
        removed: 0,
        changed: 0,
        changes: Vec::new(),
        tools: None,
        settings: vec!["temperature 0.2 -> 0.7".to_owned()],
        template_warning: None,
        broken_at: Some(PrefixBreakDoc {
            piece: "the system prompt".to_owned(),
            character: Some(7),
            tokens_before: 3,
            tokens_read_again: 1100,
            tokens_new: 97,
        }),
    }
}

fn kept() -> InspectedDoc {
    InspectedDoc {
        row: kept_row(),
        headers: Vec::new(),
        notes: Vec::new(),
        received: Some(KeptTextDoc {
            bytes: 40,
            text: "begin".to_owned(),
            end: Some("end".to_owned()),
            base64: None,
        }),
        attempts: Vec::new(),
        answer: None,
        assembled: AssembledAnswerDoc {
            text: "hello".to_owned(),
            calls: vec![AssembledCallDoc {
                name: "read".to_owned(),
                arguments: "{}".to_owned(),
            }],
            ..AssembledAnswerDoc::default()
        },
        difference: Some(turn_difference()),
        fix: Some("take the clock out".to_owned()),
        curl: None,
        curl_note: None,
    }
}

#[test]
fn a_row_has_the_facts_and_nothing_that_a_terminal_acts_on() {
    let row = row(&kept().row, false);
    for part in [
        "req_01234567 ",
        "agent [2J@127.0.0.1",
        "gpu/one",
        " 1200 ",
        " 1 % ",
        " 7 ",
        "2 added",
    ] {
        assert!(row.contains(part), "{part} in {row}");
    }
    assert!(!row.contains('\u{1b}'), "{row}");
}

#[test]
fn an_overview_says_who_what_and_why() {
    let all = request(&kept(), ShownPart::All).unwrap();
    for part in [
        "answered   200 ok by gpu/one in 1.2 s, turn 2",
        "1200 in the prompt, 18 of them cached (1 %); 7 in the answer",
        "The engine's cache broke at the system prompt, character 7: about 3 tokens before it can be reused, about \
         1100 are read again, about 97 are new.",
        "and 2 more",
        "settings: temperature 0.2 -> 0.7",
        "What to do: take the clock out",
        "answer: hello",
        "call: read({})",
    ] {
        assert!(all.contains(part), "{part} in\n{all}");
    }
}

#[test]
fn a_part_that_is_missing_or_cut_is_told() {
    let kept = kept();
    let received = request(&kept, ShownPart::Received).unwrap();
    assert_eq!(
        received,
        "begin\n[... 32 of 40 bytes are not kept ...]\nend"
    );
    for (part, why) in [
        (ShownPart::Sent(None), "nothing was sent"),
        (ShownPart::Answer, "no answer"),
        (ShownPart::Curl, "too long"),
    ] {
        assert!(request(&kept, part).unwrap_err().contains(why), "{part:?}");
    }
}

fn text(text: &str) -> KeptTextDoc {
    KeptTextDoc {
        bytes: 7,
        text: text.to_owned(),
        ..KeptTextDoc::default()
    }
}

/// A request of which one attempt failed and another one was answered.
fn tried_twice() -> InspectedDoc {
    let attempt = InspectedAttemptDoc {
        engine: "gpu".into(),
        model: "one".into(),
        path: "/api/chat".to_owned(),
        defaults: Vec::new(),
        notes: Vec::new(),
        error: None,
        body: text("{}"),
        status: Some(200),
        answer: Some(text("of the engine")),
        answer_passed_on: false,
    };
    let failed = InspectedAttemptDoc {
        status: Some(500),
        error: Some("it failed".to_owned()),
        answer: Some(text(&"no memory ".repeat(100))),
        ..attempt.clone()
    };
    InspectedDoc {
        answer: Some(text("of the client")),
        attempts: vec![failed, attempt],
        ..kept()
    }
}

#[test]
fn the_engines_own_answer_is_told_and_shown_alone() {
    let mut kept = tried_twice();
    let all = request(&kept, ShownPart::All).unwrap();
    for part in [
        "7 bytes, attempt 1 of 2",
        "answered 500: no memory no memory",
        "no memory  [...]\n           failed: it failed",
        "answered 200, 7 bytes, other bytes than the client got: --engine-answer",
    ] {
        assert!(all.contains(part), "{part} in\n{all}");
    }
    let own = |kept: &InspectedDoc| request(kept, ShownPart::EngineAnswer(Some(2)));
    assert_eq!(own(&kept).unwrap(), "of the engine");
    kept.attempts[1].answer = None;
    assert!(own(&kept).unwrap_err().contains("no engine has answered"));
    kept.attempts[1].answer_passed_on = true;
    assert_eq!(own(&kept).unwrap(), "of the client");
    let all = request(&kept, ShownPart::All).unwrap();
    assert!(all.contains("answered 200, passed on as it came"), "{all}");
}

#[test]
fn of_several_attempts_each_answer_is_shown_behind_its_engine() {
    let mut kept = tried_twice();
    let each = |kept: &InspectedDoc| request(kept, ShownPart::EngineAnswer(None)).unwrap();
    let shown = each(&kept);
    let parts: Vec<&str> = shown.split("-- attempt ").skip(1).collect();
    let failed = "1 of 2: gpu/one /api/chat, answered 500, failed: it failed\nno memory ";
    assert!(parts[0].starts_with(failed), "{shown}");
    let answered = "2 of 2: gpu/one /api/chat, answered 200\nof the engine";
    assert_eq!(parts[1], answered);
    let absent = request(&kept, ShownPart::Sent(Some(3))).unwrap_err();
    assert!(absent.contains("no attempt of that number"), "{absent}");
    (kept.attempts[1].answer, kept.attempts[1].status) = (None, None);
    let shown = each(&kept);
    assert!(shown.contains(failed), "{shown}");
    assert!(shown.ends_with("/api/chat, no answer came"), "{shown}");
    // One that is alone needs no line before it.
    kept.attempts.pop();
    assert!(each(&kept).starts_with("no memory"), "{kept:?}");
}

#[test]
fn a_request_that_reached_no_engine_has_no_tokens() {
    let mut kept = kept();
    let end = kept.row.ended.as_mut().unwrap();
    (end.engine, end.model, end.prompt_tokens) = (None, None, None);
    let all = request(&kept, ShownPart::All).unwrap();
    assert!(
        all.contains("tokens     none: no engine was asked"),
        "{all}"
    );
}

#[test]
fn sizes_and_times_are_short() {
    assert_eq!([size(640), size(50_400)], ["640 bytes", "49.2 KiB"]);
    assert_eq!(local_time(1_795_906_800_000).len(), 8);
}

#[test]
fn no_promise_is_made_where_a_setting_of_the_template_changed() {
    let mut kept = kept();
    let found = kept.difference.as_mut().unwrap();
    found.broken_at = None;
    let goes_on = "The prompt goes on from that turn";
    assert!(difference(found).contains(goes_on));
    found.template_warning = Some("think changed since that turn".to_owned());
    let said = difference(found);
    assert!(
        said.contains("think changed since that turn") && !said.contains(goes_on),
        "{said}"
    );
}

#[test]
fn a_text_that_is_no_utf_8_is_written_byte_for_byte() {
    let mut text = KeptTextDoc {
        bytes: 4,
        text: "caf\u{fffd}".to_owned(),
        end: None,
        base64: Some("Y2Fm6Q==".to_owned()),
    };
    assert_eq!(bytes(&text), b"caf\xe9");
    assert!(on_terminal(&text).contains("no UTF-8"));
    text.base64 = None;
    assert_eq!(bytes(&text), text.text.as_bytes());
}

#[test]
fn a_request_without_a_command_says_why() {
    let mut kept = kept();
    let why = |kept: &InspectedDoc| request(kept, ShownPart::Curl).unwrap_err();
    assert!(why(&kept).contains("too long"));
    kept.received = None;
    assert!(why(&kept).contains("no body was read"));
    kept.curl_note = Some("for another reason".to_owned());
    assert_eq!(why(&kept), "for another reason");
}

#[test]
fn requests_of_one_id_are_listed_by_their_numbers_and_nameless_clients_as_such() {
    let first = kept().row;
    let second = InspectedRowDoc {
        number: 2,
        client: "@127.0.0.1".into(),
        ..first.clone()
    };
    let rows = [first.clone(), second.clone()];
    assert!(has_twin(&second, &rows) && !has_twin(&second, &rows[1..]));
    let said = row(&second, true);
    assert!(
        said.contains("  #2 ") && said.contains("  127.0.0.1 "),
        "{said}"
    );
    assert!(row(&first, false).contains("req_01234567 "));
}

#[test]
fn marks_that_hide_or_turn_text_do_not_come_to_the_terminal() {
    for mark in [
        '\u{61c}',
        '\u{200b}',
        '\u{200e}',
        '\u{200f}',
        '\u{2028}',
        '\u{2029}',
        '\u{202e}',
        '\u{2066}',
        '\u{feff}',
        '\u{e0041}',
    ] {
        assert_eq!(plain(&format!("a{mark}b")), "a b");
    }
    let joined = "\u{1f469}\u{200d}\u{1f680} می\u{200c}خواهم";
    assert_eq!(plain(joined), joined);
}
