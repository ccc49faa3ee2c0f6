mod odd;

use proptest::prelude::*;

use crate::{
    dialect::engine::openai::passthrough::*,
    error::ErrorKind::{ContextLengthExceeded, EngineCut, EngineError},
};

fn run(
    kind: EngineKind,
    drop_usage: bool,
    frames: &[&[u8]],
) -> (String, StreamProgress, Option<Error>) {
    let mut passthrough = ChatPassthrough::new(kind, drop_usage, 1 << 20);
    let mut out = VecDeque::new();
    let mut total = StreamProgress::default();
    let mut add = |p: StreamProgress| {
        total.events += p.events;
        total.content += p.content;
        total.usage = p.usage.or(total.usage);
        total.complete = p.complete;
    };
    let mut failed = None;
    for frame in frames {
        match passthrough.push(Bytes::copy_from_slice(frame), &mut out) {
            Ok(progress) => add(progress),
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    if failed.is_none() {
        match passthrough.finish(&mut out) {
            Ok(progress) => add(progress),
            Err(error) => failed = Some(error),
        }
    }
    let text = out.iter().map(|b| String::from_utf8_lossy(b)).collect();
    (text, total, failed)
}

fn whole(text: &str) -> (String, StreamProgress, Option<Error>) {
    run(EngineKind::Lmstudio, true, &[text.as_bytes()])
}

const ANSWER: &str = concat!(
    ": ping\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
    "data: {\"choices\": [{\"index\": 0, \"delta\": {\"content\": \"a \\\"reasoning\\\": \\\"b\\\"\"}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"reasoning\":\"hm\"}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2,\"total_tokens\":9}}\n\n",
    "data: [DONE]\n\n",
);

#[test]
fn bytes_pass_but_for_the_usage_that_nobody_asked_for_and_the_one_key() {
    let (text, progress, failed) = whole(ANSWER);
    assert!(failed.is_none(), "{failed:?}");
    let expected = ANSWER
        .replace("\"reasoning\":\"hm\"", "\"reasoning_content\":\"hm\"")
        .replace(
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2,\"total_tokens\":9}}\n\n",
            "",
        );
    assert_eq!(text, expected);
    assert_eq!(progress.content, 2);
    assert_eq!(progress.usage.unwrap().completion, 2);
    assert!(progress.complete);
}

#[test]
fn usage_that_was_asked_for_stays() {
    let (text, ..) = run(EngineKind::Lmstudio, false, &[ANSWER.as_bytes()]);
    assert!(text.contains("\"usage\""));
}

#[test]
fn a_missing_done_is_added_after_a_finish() {
    let (text, _, failed) = whole(&ANSWER.replace("data: [DONE]\n\n", ""));
    assert!(failed.is_none());
    assert!(text.ends_with("data: [DONE]\n\n"));
}

#[test]
fn an_unterminated_last_event_is_completed() {
    let (text, _, failed) = whole(ANSWER.trim_end());
    assert!(failed.is_none());
    assert!(text.ends_with("data: [DONE]\n\n"));
}

#[test]
fn an_error_inside_a_success_ends_the_stream_after_what_came_before() {
    let text = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\nevent: error\ndata: {\"error\":{\"message\":\"the model has crashed\"}}\n\n";
    let (text, _, failed) = whole(text);
    assert!(text.contains("\"content\":\"a\"") && !text.contains("crashed"));
    let failed = failed.unwrap();
    assert_eq!(failed.kind, EngineError);
    assert!(failed.message.contains("crashed"));
}

#[test]
fn an_overflow_inside_a_success_is_named() {
    let text = "data: {\"error\":{\"message\":\"request (9000 tokens) exceeds the available context size (4096 tokens)\"}}\n\n";
    assert_eq!(whole(text).2.unwrap().kind, ContextLengthExceeded);
}

#[test]
fn the_word_error_in_an_answer_is_no_error() {
    let text = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\",\"error\":null}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"tool\":{\"error\":\"x\"}},\"finish_reason\":\"stop\"}]}\n\n";
    assert!(whole(text).2.is_none());
}

#[test]
fn an_empty_stream_is_an_error() {
    for text in ["", ": ping\n\n", "data: [DONE]\n\n"] {
        assert_eq!(whole(text).2.unwrap().kind, EngineError, "{text:?}");
    }
}

#[test]
fn a_cut_at_any_byte_gives_whole_events_and_an_error() {
    let finish = ANSWER.find("\"finish_reason\"").unwrap();
    let end_of_finish = finish + ANSWER[finish..].find("\n\n").unwrap();
    for cut in 1..ANSWER.len() {
        let (text, _, failed) = whole(&ANSWER[..cut]);
        // From the finish chunk's last byte on, the answer is whole.
        assert_eq!(
            failed.is_none(),
            cut >= end_of_finish,
            "cut at {cut}: {text}"
        );
        assert!(
            text.is_empty() || text.ends_with("\n\n"),
            "cut at {cut}: {text:?}"
        );
    }
}

#[test]
fn an_event_beyond_the_cap_is_an_error() {
    let mut passthrough = ChatPassthrough::new(EngineKind::Openai, false, 16);
    let pushed = passthrough.push(
        Bytes::from_static(b"data: {\"choices\":[{}]}"),
        &mut VecDeque::new(),
    );
    assert_eq!(pushed.unwrap_err().kind, EngineError);
}

#[test]
fn an_error_is_found_behind_a_value_of_that_name_and_behind_a_named_event() {
    for text in [
        "data: {\"type\":\"error\",\"error\":{\"message\":\"the model has crashed\"}}\n\n",
        "event: error\ndata: {\"message\":\"the model has crashed\"}\n\n",
        "data: {\"error\":\"the model has crashed\"}\n\n",
    ] {
        let failed = whole(text).2.expect(text);
        assert_eq!(failed.kind, EngineError, "{text}");
        assert!(failed.message.contains("crashed"), "{text}: {failed}");
    }
}

#[test]
fn errors_are_told_in_every_form_that_an_event_may_have() {
    for (text, kind) in [
        ("event: error\ndata: it broke\n\n", EngineError),
        ("event: error\ndata: \"it broke\"\n\n", EngineError),
        (
            "error: {\"code\":500,\"message\":\"it broke\"}\n\n",
            EngineError,
        ),
        ("error: it broke\n\n", EngineError),
        (
            "data: {\"object\":\"error\",\"message\":\"it broke\"}\n\n",
            EngineError,
        ),
        (
            "event: error\ndata: it broke, n_keep >= n_ctx\n\n",
            ContextLengthExceeded,
        ),
        (
            "data: {\"error\":\"it broke, n_keep >= n_ctx\"}\n\n",
            ContextLengthExceeded,
        ),
        (
            "data: {\"error\":\"{\\\"error\\\":{\\\"message\\\":\\\"it broke, n_keep >= n_ctx\\\"}}\"}\n\n",
            ContextLengthExceeded,
        ),
        (
            "error: it broke, n_keep >= n_ctx\n\n",
            ContextLengthExceeded,
        ),
    ] {
        for before in [
            "",
            "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n",
        ] {
            let (sent, _, failed) = whole(&format!("{before}{text}"));
            let failed = failed.expect(text);
            assert_eq!((failed.kind, &*sent), (kind, before), "{text}");
            assert!(failed.message.contains("it broke"), "{text}: {failed}");
        }
    }
}

#[test]
fn a_whole_answer_becomes_the_stream_that_was_asked_for_wherever_it_is_cut() {
    let answer = r#"{"model":"m","choices":[{"message":{"reasoning":"r","content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
    let expected = run(EngineKind::Openai, true, &[answer.as_bytes()]);
    assert!(expected.2.is_none(), "{:?}", expected.2);
    assert_eq!((expected.1.content, expected.1.complete), (1, true));
    assert_eq!(expected.1.usage.unwrap().completion, 2);
    let text = &expected.0;
    assert!(
        text.contains("\"delta\":{\"reasoning_content\":\"r\",\"content\":\"a\"}"),
        "{text}"
    );
    assert!(
        !text.contains("usage") && text.ends_with("data: [DONE]\n\n"),
        "{text}"
    );
    assert_eq!(text.matches("[DONE]").count(), 1);
    for cut in 0..=answer.len() {
        let (head, tail) = answer.as_bytes().split_at(cut);
        let got = run(EngineKind::Openai, true, &[head, tail]);
        assert_eq!((got.0, got.1), (expected.0.clone(), expected.1), "{cut}");
    }
    let (text, ..) = run(EngineKind::Openai, false, &[answer.as_bytes()]);
    assert!(text.contains("\"usage\""), "{text}");
}

#[test]
fn an_end_before_any_answer_is_told_at_once() {
    let mut passthrough = ChatPassthrough::new(EngineKind::Lmstudio, false, 1 << 20);
    let mut out = VecDeque::new();
    let done = Bytes::from_static(b"data: [DONE]\n\n");
    let failed = passthrough.push(done, &mut out).unwrap_err();
    assert_eq!(failed.kind, EngineError);
    assert!(out.is_empty());
}

#[test]
fn one_choice_may_end_before_another() {
    let choice = |index: u32, rest: &str| {
        format!("data: {{\"choices\":[{{\"index\":{index},{rest}}}]}}\n\n")
    };
    let text = |t: &str| format!("\"delta\":{{\"content\":\"{t}\"}}");
    let stop = "\"delta\":{},\"finish_reason\":\"stop\"";
    let cut = [
        choice(0, &text("a")),
        choice(0, stop),
        choice(1, &text("b")),
    ]
    .concat();
    assert_eq!(whole(&cut).2.unwrap().kind, EngineCut);

    let mut passthrough = ChatPassthrough::new(EngineKind::Llamacpp, false, 1 << 20);
    let mut push = |text: String| {
        let progress = passthrough
            .push(Bytes::from(text), &mut VecDeque::new())
            .unwrap();
        (progress.complete, progress.open)
    };
    assert_eq!(push(choice(0, stop)), (true, true));
    assert_eq!(push(choice(1, &text("b"))), (false, false));
    assert_eq!(push(choice(1, stop)), (true, true));
    assert_eq!(push("data: [DONE]\n\n".into()), (true, false));
}

#[test]
fn an_unterminated_event_is_respelled_too() {
    let text =
        "data: {\"choices\":[{\"delta\":{\"reasoning\":\"hm\"},\"finish_reason\":\"stop\"}]}";
    let (text, _, failed) = whole(text);
    assert!(failed.is_none(), "{failed:?}");
    assert!(text.contains("\"reasoning_content\":\"hm\""), "{text}");
}

#[test]
fn the_key_is_respelled_in_every_choice() {
    let event = b"data: {\"x\":\"reasoning\",\"choices\":[{\"delta\":{\"reasoning\":\"a\"}},{\"delta\":{\"reasoning\" : \"b\"}}]}\n\n";
    let text = String::from_utf8(respelled(event).to_vec()).unwrap();
    assert_eq!(
        text,
        "data: {\"x\":\"reasoning\",\"choices\":[{\"delta\":{\"reasoning_content\":\"a\"}},{\"delta\":{\"reasoning_content\" : \"b\"}}]}\n\n"
    );
}

#[test]
fn the_event_of_odd_counts_goes_too_where_nobody_asked_for_it() {
    for usage in [r#"{"prompt_tokens":"seven"}"#, "7", "{}"] {
        let odd = format!("data: {{\"choices\":[],\"usage\":{usage}}}\n\n");
        let (text, progress, failed) = whole(&format!("{odd}{ANSWER}"));
        assert!(failed.is_none(), "{failed:?}");
        assert!(!text.contains("\"choices\":[]"), "{text}");
        assert_eq!(progress.usage.unwrap().completion, 2);
    }
}

#[test]
fn a_large_event_in_small_pieces_goes_on_as_one() {
    let content = "x".repeat(1 << 20);
    let event = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{content}\"}}}}]}}\n\n");
    let mut passthrough = ChatPassthrough::new(EngineKind::Openai, false, 2 << 20);
    let mut out = VecDeque::new();
    let mut events = 0;
    for piece in event.as_bytes().chunks(1024) {
        assert!(out.is_empty());
        let progress = passthrough.push(Bytes::copy_from_slice(piece), &mut out);
        events += progress.unwrap().events;
    }
    assert_eq!((events, out.len()), (1, 1));
    assert!(out[0] == event);
}

#[test]
fn any_one_cut_gives_the_same_output() {
    for end in ["\n", "\r\n", "\r"] {
        let answer = ANSWER.replace('\n', end);
        let bytes = answer.as_bytes();
        let expected = run(EngineKind::Lmstudio, true, &[bytes]);
        assert!(expected.2.is_none());
        for cut in 0..=bytes.len() {
            let got = run(EngineKind::Lmstudio, true, &[&bytes[..cut], &bytes[cut..]]);
            assert_eq!(
                (got.0, got.1),
                (expected.0.clone(), expected.1),
                "{end:?}, {cut}"
            );
        }
    }
}

proptest! {
    #[test]
    fn the_output_does_not_depend_on_where_frames_are_cut(
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
    ) {
        let answer = ANSWER.replace('\n', end);
        let bytes = answer.as_bytes();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.sort_unstable();
        let mut frames = Vec::new();
        let mut from = 0;
        for cut in cuts {
            frames.push(&bytes[from..cut]);
            from = cut;
        }
        frames.push(&bytes[from..]);
        let (text, progress, failed) = run(EngineKind::Lmstudio, true, &frames);
        let (expected, whole_progress, _) = run(EngineKind::Lmstudio, true, &[bytes]);
        prop_assert!(failed.is_none());
        prop_assert_eq!(text, expected);
        prop_assert_eq!(progress, whole_progress);
    }

    #[test]
    fn arbitrary_bytes_never_panic(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..8)) {
        let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
        let _ = run(EngineKind::Openai, true, &frames);
    }
}

#[test]
fn cached_tokens_that_only_llamas_timings_hold_stand_in_usage_too() {
    let usage = r#"data: {"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":2},"timings":{"cache_n":90,"prompt_n":10}}"#;
    let chunk =
        "data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\n";
    for (drop_usage, says) in [(false, true), (true, false)] {
        let mut stream = ChatPassthrough::new(EngineKind::Llamacpp, drop_usage, 1 << 16);
        let mut out = VecDeque::new();
        let progress = stream
            .push(format!("{chunk}{usage}\n\n").into(), &mut out)
            .unwrap();
        assert_eq!(progress.usage.and_then(|usage| usage.cached), Some(90));
        let out: Vec<u8> = out.into_iter().flatten().collect();
        let out = String::from_utf8(out).unwrap();
        let details = r#","prompt_tokens_details":{"cached_tokens":90}},"timings""#;
        assert_eq!(out.contains(details), says, "{out}");
    }
}
