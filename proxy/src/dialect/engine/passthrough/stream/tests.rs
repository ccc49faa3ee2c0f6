use proptest::prelude::*;

use super::*;

const MESSAGES: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"m\",\"usage\":{\"input_tokens\":3,\"cache_read_input_tokens\":9,\"output_tokens\":0}}}\n\n\
    event: ping\ndata: {\"type\":\"ping\"}\n\n\
    event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"f\",\"input\":{}}}\n\n\
    event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{}\"}}\n\n\
    event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"},\"usage\":{\"output_tokens\":5}}\n\n\
    event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

// Without names of events, as a reader of the data alone needs none.
const RESPONSES: &str = "data: {\"type\":\"response.created\",\"response\":{\"model\":\"m\",\"status\":\"in_progress\"}}\n\n\
    data: {\"type\":\"response.output_text.delta\",\"delta\":\"Hi\"}\n\n\
    data: {\"type\":\"response.completed\",\"response\":{\"model\":\"m\",\"usage\":{\"input_tokens\":12,\"input_tokens_details\":{\"cached_tokens\":9},\"output_tokens\":5}}}\n\n";

fn stream(format: SharedFormat) -> StreamPassthrough {
    let request = SharedRequest {
        format,
        body: Bytes::new(),
        failed: |_, begun| Some(format!("{} {}", begun.response["model"], begun.events).into()),
    };
    StreamPassthrough::new(EngineKind::Llamacpp, &request, 1 << 16)
}

fn passed(
    format: SharedFormat,
    frames: &[&[u8]],
) -> (Vec<u8>, Result<StreamProgress, Error>, Option<String>) {
    let mut stream = stream(format);
    let mut out = VecDeque::new();
    let mut all = StreamProgress::default();
    let mut end = Ok(());
    for frame in frames {
        match stream.push(Bytes::copy_from_slice(frame), &mut out) {
            Ok(progress) => all.join(progress),
            Err(error) => {
                end = Err(error);
                break;
            }
        }
    }
    let end = end.and_then(|()| stream.finish(&mut out));
    let end = end.map(|progress| {
        all.join(progress);
        all
    });
    let sent = out.into_iter().flatten().collect();
    (sent, end, stream.answerer().map(str::to_owned))
}

#[test]
fn an_answer_passes_byte_for_byte_and_is_read_on_the_side() {
    for (format, text, calls) in [
        (SharedFormat::Messages, MESSAGES, true),
        (SharedFormat::Responses, RESPONSES, false),
    ] {
        let (sent, end, answerer) = passed(format, &[text.as_bytes()]);
        let progress = end.unwrap();
        let usage = progress.usage.unwrap();
        assert_eq!(sent, text.as_bytes());
        assert_eq!(answerer.as_deref(), Some("m"));
        assert_eq!((progress.content, progress.calls), (1, calls), "{format:?}");
        assert_eq!(
            (usage.prompt, usage.cached, usage.completion),
            (12, Some(9), 5),
            "{format:?}"
        );
    }
}

#[test]
fn a_sign_of_life_is_no_progress() {
    let ping = b"event: ping\ndata: {\"type\":\"ping\"}\n\n";
    let mut stream = stream(SharedFormat::Messages);
    let mut out = VecDeque::new();
    let progress = stream.push(Bytes::from_static(ping), &mut out).unwrap();
    assert_eq!(progress, StreamProgress::default());
    assert_eq!(out, [Bytes::from_static(ping)]);
}

#[test]
fn the_end_by_an_error_knows_the_beginning() {
    let mut stream = stream(SharedFormat::Responses);
    let mut out = VecDeque::new();
    let begun = &RESPONSES[..RESPONSES
        .find("data: {\"type\":\"response.completed")
        .unwrap()];
    stream.push(Bytes::from(begun), &mut out).unwrap();
    let event = stream.fail(&Error::new(ErrorKind::EngineCut, "cut"));
    assert_eq!(event.as_deref(), Some(&b"\"m\" 2"[..]));
}

#[test]
fn a_failure_a_cut_and_what_is_no_stream_are_errors() {
    let failed = "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"server_error\",\"message\":\"the GPU is gone\"}}}\n\n";
    let named = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"the GPU is gone\"}}\n\n";
    let whole = "{\"error\":{\"message\":\"the GPU is gone\",\"type\":\"server_error\"}}";
    for (format, text) in [
        (SharedFormat::Responses, failed),
        (SharedFormat::Messages, named),
        (SharedFormat::Messages, whole),
    ] {
        let (sent, end, _) = passed(format, &[text.as_bytes()]);
        let error = end.unwrap_err();
        assert!(error.message.contains("the GPU is gone"), "{error}");
        assert!(sent.is_empty(), "{text}");
    }
    let cut = &MESSAGES[..MESSAGES.find("event: message_stop").unwrap()];
    let (_, end, _) = passed(SharedFormat::Messages, &[cut.as_bytes()]);
    assert_eq!(end.unwrap_err().kind, ErrorKind::EngineCut);
    let (_, end, _) = passed(SharedFormat::Messages, &[]);
    assert_eq!(end.unwrap_err().kind, ErrorKind::EngineError);
}

proptest! {
    #[test]
    fn the_bytes_do_not_depend_on_where_frames_are_cut(cuts in prop::collection::vec(0..MESSAGES.len(), 0..6)) {
        let mut cuts = cuts;
        cuts.sort_unstable();
        let mut frames = Vec::new();
        let mut from = 0;
        for cut in cuts {
            frames.push(&MESSAGES.as_bytes()[from..cut]);
            from = cut;
        }
        frames.push(&MESSAGES.as_bytes()[from..]);
        let (sent, end, _) = passed(SharedFormat::Messages, &frames);
        let progress = end.unwrap();
        prop_assert_eq!(sent, MESSAGES.as_bytes());
        prop_assert_eq!((progress.content, progress.events), (1, 5));
        prop_assert_eq!(progress.usage.map(|usage| usage.prompt), Some(12));
    }
}
