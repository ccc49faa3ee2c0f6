//! Odd events, halves of characters, and what comes behind the end.

use super::*;

#[test]
fn data_that_is_no_object_is_no_part_of_an_answer() {
    let (plain, progress, _) = whole(ANSWER);
    for odd in [
        "[]",
        "1",
        "null",
        "\"x\"",
        "\u{1F980} not JSON",
        "",
        " ",
        "[1]\ndata: 2",
    ] {
        for lines in [
            "data: ODD\n\n",
            "event: x\ndata:ODD\n\n",
            "data: ODD\r\n\r\n",
        ] {
            let odd = lines.replace("ODD", odd);
            let (text, found, failed) =
                whole(&ANSWER.replace(": ping\n\n", &format!(": ping\n\n{odd}")));
            assert!(failed.is_none(), "{odd:?}: {failed:?}");
            assert_eq!((text, found), (plain.clone(), progress), "{odd:?}");
            let (text, found, failed) = whole(&odd);
            assert!(failed.is_some() && text.is_empty(), "{odd:?}: {text:?}");
            assert_eq!(found.events, 0, "{odd:?}");
        }
    }
}

#[test]
fn nothing_follows_the_end() {
    let (plain, progress, _) = whole(ANSWER);
    for behind in [
        "data: {\"error\":{\"message\":\"it broke\"}}\n\n",
        "event: error\ndata: it broke\n\n",
        "error: it broke\n\n",
        "data: it broke badly\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"more\"}}]}\n\n",
        "data: [DONE]\n\n",
        ": a comment\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"\\ud83d\"}}]}\n\n",
        "data: half an event",
    ] {
        let answer = format!("{ANSWER}{behind}");
        let (text, found, failed) = whole(&answer);
        assert!(failed.is_none(), "{behind:?}: {failed:?}");
        assert_eq!((&text, found), (&plain, progress), "{behind:?}");
        let (head, tail) = answer.as_bytes().split_at(ANSWER.len());
        let (text, _, failed) = run(EngineKind::Lmstudio, true, &[head, tail]);
        assert!(failed.is_none() && text == plain, "{behind:?}: {text}");
    }
    // However long it is.
    let mut stream = ChatPassthrough::new(EngineKind::Lmstudio, false, 1 << 10);
    let mut out = VecDeque::new();
    let frame = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\ndata: [DONE]\n\n";
    stream.push(frame.into(), &mut out).unwrap();
    for _ in 0..8 {
        stream.push("x".repeat(1 << 10).into(), &mut out).unwrap();
    }
    let error = Error::new(ErrorKind::Draining, "bye");
    assert_eq!(stream.fail(&error), Some(Bytes::new()));
    assert_eq!(
        out.into_iter().flatten().collect::<Vec<u8>>(),
        frame.as_bytes()
    );
}

#[test]
fn a_character_in_two_events_arrives_whole_wherever_frames_are_cut() {
    let event = |text: &str| {
        format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
    };
    let end = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    for (first, second, becomes) in [
        ("a\\ud83d", "\\ude00b", ["a\\ud83d\\ude00", "b"]),
        ("a\\ud83d", "b", ["a\\ufffd", "b"]),
    ] {
        let answer = event(first) + ": comment\n\n" + &event(second) + end;
        let comment = ": comment\n\n";
        let expected = comment.to_owned() + &event(becomes[0]) + &event(becomes[1]) + end;
        for cut in 0..=answer.len() {
            let (head, tail) = answer.as_bytes().split_at(cut);
            let (text, progress, failed) = run(EngineKind::Lmstudio, false, &[head, tail]);
            assert!(failed.is_none(), "{failed:?}");
            assert_eq!((&text, progress.content), (&expected, 2), "{cut}");
        }
        // At the end, and before an error.
        let (text, ..) = run(
            EngineKind::Lmstudio,
            false,
            &[(event("a\\ud83d") + end).as_bytes()],
        );
        assert_eq!(text, event("a\\ufffd") + end);
        let broken = event("a\\ud83d") + "data: {\"error\":\"it broke\"}\n\n";
        let (text, _, failed) = run(EngineKind::Lmstudio, false, &[broken.as_bytes()]);
        assert!(failed.is_some() && text == event("a\\ufffd"), "{text}");
    }
}

#[test]
fn what_is_not_understood_passes() {
    let odd = concat!(
        "id: 7\nevent: chunk\ndata:{\"choices\":[{\"delta\":{\"content\":\"[DONE]\"}}]}\nretry: 5\n\n",
        "data: {\"usage\":{\"prompt_tokens\": broken\n\n",
        "data: {\"error\":{ broken\n\n",
    );
    let (text, progress, failed) = whole(&format!("{odd}{ANSWER}"));
    assert!(failed.is_none(), "{failed:?}");
    assert!(text.starts_with(odd), "{text}");
    assert_eq!(progress.usage.unwrap().completion, 2);
}
