//! Odd, long and cut streams.

use super::*;
use crate::dialect::chat::json_end::JsonEnd;

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
        let items = last["output"].as_array().unwrap();
        let is_cut = items.iter().any(|item| item["status"] == "incomplete");
        let status = if is_cut { "incomplete" } else { "completed" };
        prop_assert_eq!(&last["status"], status);
        for (at, item) in items.iter().enumerate() {
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
            if item["type"] == "function_call" {
                let mut end = JsonEnd::default();
                end.push(&whole);
                prop_assert_eq!(item["status"] == "incomplete", end.is_cut());
            }
            let ended = events.iter().filter(|e| e["type"] == "response.output_item.done" && e["output_index"] == at);
            prop_assert_eq!(ended.map(|e| &e["item"]).collect::<Vec<_>>(), [item]);
        }
    }
}

#[test]
fn a_call_whose_arguments_are_cut_is_not_complete_whatever_the_engine_says() {
    for (name, arguments, status) in [
        ("f", "{\"a\":\"b", "incomplete"),
        ("f", "{\"a\":\"b\"}", "completed"),
        ("f", "", "completed"),
        ("patch", "{\"input\":\"a", "incomplete"),
        ("patch", "{\"input\":\"a\"}", "completed"),
        ("patch", "plain", "completed"),
    ] {
        let call = |index: usize, name: &str, arguments: &str| {
            json!({"tool_calls": [{"index": index,
            "id": format!("c{index}"), "function": {"name": name, "arguments": arguments}}]})
        };
        let calls = delta(&call(0, name, arguments)) + &delta(&call(1, "f", "{}"));
        for reason in ["stop", "tool_calls"] {
            let (text, failed) = passed(
                &*writer(TOOLS),
                &[format!("{calls}{}", end(reason)).as_bytes()],
            );
            assert!(failed.is_none(), "{failed:?}");
            let last = events(&text).pop().unwrap();
            assert_eq!(last["type"], format!("response.{status}"), "{arguments}");
            let response = &last["response"];
            assert_eq!(response["output"][0]["status"], status, "{arguments}");
            assert_eq!(response["output"][1]["status"], "completed");
            let details = &response["incomplete_details"];
            let is_told = details["reason"] == "max_output_tokens";
            assert_eq!(is_told, status == "incomplete", "{arguments}: {details}");
        }
    }
}

#[test]
fn an_older_call_is_a_call() {
    let stream = [
        delta(&json!({"content": null, "function_call": {"name": "f", "arguments": ""}})),
        delta(&json!({"function_call": {"arguments": "{\"a\":"}})),
        delta(&json!({"function_call": {"arguments": "1}"}, "tool_calls": null})),
        end("function_call"),
    ]
    .concat();
    let (text, failed) = passed(&*writer(TOOLS), &[stream.as_bytes()]);
    assert!(failed.is_none(), "{failed:?}");
    let last = events(&text).pop().unwrap();
    let output = &last["response"]["output"];
    assert_eq!(
        (last["type"].as_str(), output.as_array().map(Vec::len)),
        (Some("response.completed"), Some(1))
    );
    assert_eq!(
        (
            &output[0]["type"],
            &output[0]["name"],
            &output[0]["arguments"]
        ),
        (&json!("function_call"), &json!("f"), &json!("{\"a\":1}"))
    );
    assert!(
        output[0]["call_id"]
            .as_str()
            .is_some_and(|id| id.starts_with("call_"))
    );
}

#[test]
fn many_calls_cost_no_more_each_than_a_few() {
    let began = std::time::Instant::now();
    let mut chain = engine(&*writer(TOOLS));
    let mut out = VecDeque::new();
    for index in 0..5000 {
        let call = json!({"tool_calls": [{"index": index, "id": format!("c{index}"),
            "function": {"name": "f", "arguments": "{}"}}]});
        chain.push(delta(&call).into(), &mut out).unwrap();
    }
    chain.push(end("tool_calls").into(), &mut out).unwrap();
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
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
