//! Odd, long and cut streams.

use super::*;

#[test]
fn odd_events_of_engines_are_understood() {
    // One index for several calls, arguments as an object, a name in every event, parts, no index.
    let stream = [
        delta(&json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "a"}]})),
        delta(&json!({"tool_calls": [{"index": 0, "id": "1", "function": {"name": "f", "arguments": "{\"a\":"}}]})),
        delta(&json!({"tool_calls": [{"index": 0, "id": "1", "function": {"name": "f", "arguments": "1}"}}]})),
        delta(&json!({"tool_calls": [{"index": 0, "id": "2", "function": {"name": "g", "arguments": "{}"}}]})),
        delta(&json!({"tool_calls": [{"id": "3", "function": {"name": "patch", "arguments": "plain"}}]})),
        ": comment\n\n".to_owned(),
        end("tool_calls").replace("\n\n", "\r\n\r\n"),
    ]
    .concat();
    let (text, failed) = passed(&*writer(TOOLS), &[stream.as_bytes()]);
    assert!(failed.is_none(), "{failed:?}");
    let last = events(&text).pop().unwrap();
    let output = last["response"]["output"].as_array().unwrap();
    assert_eq!(output[0]["summary"][0]["text"], "hm");
    assert_eq!(output[1]["content"][0]["text"], "a");
    let called: Vec<_> = output[2..]
        .iter()
        .map(|item| {
            (
                &item["name"],
                item.get("arguments").or(item.get("input")).unwrap(),
            )
        })
        .collect();
    assert_eq!(
        called,
        [
            (&json!("f"), &json!("{\"a\":1}")),
            (&json!("g"), &json!("{}")),
            (&json!("patch"), &json!("plain"))
        ]
    );
}

#[test]
fn probabilities_are_told_where_they_are_wanted() {
    let body =
        r#"{"model":"m","stream":true,"input":"u","include":["message.output_text.logprobs"]}"#;
    let token = json!({"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []});
    let chunk = json!({"choices": [{"index": 0, "delta": {"content": "Hi"}, "logprobs": {"content": [token]}}]});
    let stream = format!("data: {chunk}\n\ndata: {chunk}\n\n{}", end("stop"));
    let (text, _) = passed(&*writer(body), &[stream.as_bytes()]);
    let events = events(&text);
    assert_eq!(events[4]["logprobs"], json!([token]));
    assert_eq!(
        events.last().unwrap()["response"]["output"][0]["content"][0]["logprobs"],
        json!([token, token])
    );
    let (text, _) = passed(&*writer(TOOLS), &[stream.as_bytes()]);
    assert!(!text.contains("-0.5"), "{text}");
}

#[test]
fn a_long_answer_costs_no_more_per_byte_than_a_short_one() {
    let piece = "x".repeat(1024);
    let text = delta(&json!({"content": piece}));
    let thought = delta(&json!({"reasoning_content": piece}));
    let call = delta(
        &json!({"tool_calls": [{"index": 0, "id": "1", "function": {"name": "patch", "arguments": piece}}]}),
    );
    for chunk in [text, thought, call] {
        let writer = writer(TOOLS);
        let mut chain = engine(&*writer);
        let mut out = VecDeque::new();
        let began = std::time::Instant::now();
        for _ in 0..1024 {
            chain
                .push(Bytes::copy_from_slice(chunk.as_bytes()), &mut out)
                .unwrap();
            out.clear();
        }
        chain.push(end("stop").into(), &mut out).unwrap();
        assert!(out.iter().map(Bytes::len).sum::<usize>() > 2 << 20);
        // Without optimisation, on a busy machine; quadratic work would take minutes.
        assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    }
}

#[test]
fn an_answer_beyond_the_limit_is_an_error() {
    let mut config = crucible_config::Config::builtin();
    config.limits.event = 1000;
    let chat = crate::dialect::ClientDialect::read(
        super::super::of_client(&HeaderMap::new()),
        crate::dialect::ClientRequest {
            headers: &HeaderMap::new(),
            body: TOOLS.into(),
            config: &config,
        },
    );
    let chunk = delta(&json!({"content": "x".repeat(600)}));
    let (text, failed) = passed(
        &*chat.unwrap().writer.unwrap(),
        &[chunk.as_bytes(), chunk.as_bytes()],
    );
    assert!(failed.unwrap().message.contains("limits.event"));
    assert!(text.contains("response.failed"));
}

/// Any answer of an engine in a few deltas.
fn deltas() -> impl Strategy<Value = Vec<Value>> {
    let text = ".{0,8}";
    let call = (
        0_usize..3,
        prop_oneof![Just("f"), Just("ns__g"), Just("patch")],
        text,
    );
    let one = prop_oneof![
        text.prop_map(|text| json!({"content": text})),
        text.prop_map(|text| json!({"reasoning_content": text})),
        text.prop_map(|text| json!({"refusal": text})),
        call.prop_map(|(index, name, text)| json!({"tool_calls": [{"index": index, "id": format!("call_{index}"),
            "function": {"name": name, "arguments": text}}]})),
    ];
    prop::collection::vec(one, 0..12)
}

proptest! {
    #[test]
    fn the_events_do_not_depend_on_where_frames_are_cut(
        deltas in deltas(),
        cuts in prop::collection::vec(0_usize..3000, 0..8),
    ) {
        let mut stream: String = deltas.iter().map(delta).collect();
        stream.push_str(&delta(&json!({"content": "end"})));
        stream.push_str(&end("stop"));
        let bytes = stream.as_bytes();
        let writer = writer(TOOLS);
        let (whole, failed) = passed(&*writer, &[bytes]);
        prop_assert!(failed.is_none());
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([0, bytes.len()]).collect();
        cuts.sort_unstable();
        let frames: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        let (cut, _) = passed(&*writer, &frames);
        prop_assert_eq!(&normal(&cut), &normal(&whole));
        // What was told in pieces is what is told at the end.
        let events = events(&whole);
        let last = &events.last().unwrap()["response"];
        prop_assert_eq!(&last["status"], "completed");
        for (at, item) in last["output"].as_array().unwrap().iter().enumerate() {
            let pieces: String = events
                .iter()
                .filter(|event| event["output_index"] == at)
                .filter_map(|event| event.get("delta")?.as_str())
                .collect();
            let whole = match item["type"].as_str().unwrap() {
                "reasoning" => item["summary"][0]["text"].as_str().unwrap().to_owned(),
                "function_call" => item["arguments"].as_str().unwrap().to_owned(),
                "custom_tool_call" => item["input"].as_str().unwrap().to_owned(),
                _ => item["content"].as_array().unwrap().iter()
                    .map(|part| part.get("text").or(part.get("refusal")).unwrap().as_str().unwrap())
                    .collect(),
            };
            prop_assert!(pieces == whole || pieces.is_empty() && whole == "{}", "{pieces} {whole}");
            let ended = events.iter().filter(|e| e["type"] == "response.output_item.done" && e["output_index"] == at);
            prop_assert_eq!(ended.map(|e| &e["item"]).collect::<Vec<_>>(), [item]);
        }
    }
}

#[test]
fn arguments_before_the_name_wait_for_it() {
    let stream = [
        delta(
            &json!({"tool_calls": [{"index": 0, "id": "1", "function": {"arguments": "{\"a\":"}}]}),
        ),
        delta(&json!({"tool_calls": [{"index": 0, "function": {"name": "g", "arguments": "1"}}]})),
        delta(&json!({"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]})),
        delta(&json!({"tool_calls": [{"index": 1, "id": "2", "function": {"arguments": "[]"}}]})),
        end("tool_calls"),
    ]
    .concat();
    let (text, failed) = passed(&*writer(TOOLS), &[stream.as_bytes()]);
    assert!(failed.is_none(), "{failed:?}");
    let events = events(&text);
    let deltas: String = events
        .iter()
        .filter(|event| event["output_index"] == 0)
        .filter_map(|event| event["delta"].as_str())
        .collect();
    assert_eq!(deltas, r#"{"a":1}"#);
    let output = &events.last().unwrap()["response"]["output"];
    assert_eq!(output[0]["name"], "g");
    assert_eq!(output[0]["arguments"], r#"{"a":1}"#);
    assert_eq!(output[1]["arguments"], "[]");
}

#[test]
fn an_error_behind_the_end_writes_nothing() {
    let stream = [delta(&json!({"content": "Hi"})), end("stop")].concat();
    let mut chain = engine(&*writer(TOOLS));
    let mut out = VecDeque::new();
    chain.push(Bytes::from(stream), &mut out).unwrap();
    let error = Error::new(ErrorKind::EngineError, "boom");
    assert_eq!(chain.fail(&error), Some(Bytes::new()));
}
