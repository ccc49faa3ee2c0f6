//! Engines that are asked in the client's own format (`passthrough`).

use crucible_tests::{
    Crucible,
    chat::{Whole, header, whole},
    engines::{client, engine},
    rest::at_rest,
    scripted::{Script, Scripted},
};
use serde_json::{Value, json};

const RESPONSE: &str = r#"event: response.created
data: {"type":"response.created","response":{"id":"r1","model":"m","status":"in_progress","z":1.0}}

event: response.output_text.delta
data: {"type":"response.output_text.delta","delta":"Hi"}

event: response.completed
data: {"type":"response.completed","response":{"id":"r1","model":"m","status":"completed","usage":{"input_tokens":12,"input_tokens_details":{"cached_tokens":9},"output_tokens":5}}}

"#;

const MESSAGE: &str = r#"{"type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn","usage":{"input_tokens":3,"cache_read_input_tokens":9,"output_tokens":5}, "z": 1.0}"#;

/// An engine that lists `m` and answers each format in its own form.
async fn speaker(answer: impl Fn(&str) -> Script + Send + Sync + 'static) -> Scripted {
    Scripted::start(move |path| match path {
        "/v1/models" => Script::json("200 OK", "", r#"{"object":"list","data":[{"id":"m"}]}"#),
        path => answer(path),
    })
    .await
}

fn in_front_of(engine_at: &Scripted, passthrough: &str) -> Crucible {
    Crucible::start(&format!(
        "{}passthrough = {passthrough}\n",
        engine("one", "openai", &engine_at.url())
    ))
}

async fn post(crucible: &Crucible, path: &str, body: &Value) -> Whole {
    let sent = client().post(crucible.at(path)).json(body).send().await;
    whole(sent.expect("an answer")).await
}

/// The one prompt that the engine was asked on a path.
fn prompt(engine: &Scripted, path: &str) -> Value {
    let asked = engine.asked(path);
    assert_eq!(asked.len(), 1, "{path}: {asked:?}");
    serde_json::from_str(&asked[0].body).expect("JSON")
}

#[tokio::test]
async fn a_stream_passes_in_the_clients_format_byte_for_byte() {
    let engine = speaker(|_| Script::typed("text/event-stream", RESPONSE)).await;
    let crucible = in_front_of(&engine, r#"["responses"]"#);
    let body = json!({"model": "one/m", "stream": true, "temperature": 0, "input": "hi", "store": false, "x_unknown": {"b": 1, "a": 2}});
    let answer = post(&crucible, "/v1/responses", &body).await;
    assert_eq!((answer.status, &*answer.text), (200, RESPONSE));
    assert_eq!(header(&answer.headers, "x-crucible-defaults"), "top_p");
    let mut expected = body;
    expected["model"] = json!("m");
    expected["top_p"] = json!(0.8);
    assert_eq!(prompt(&engine, "/v1/responses"), expected);
    at_rest(&crucible).await;
    let metrics = crucible_tests::clean::Metrics::of(&crucible).await;
    let tokens = |kind| metrics.sum("crucible_tokens_total", &[("type", kind)]);
    assert_eq!((tokens("prompt"), tokens("completion")), (12.0, 5.0));
}

#[tokio::test]
async fn a_whole_answer_passes_in_the_clients_format_byte_for_byte() {
    let engine = speaker(|_| Script::json("200 OK", "", MESSAGE)).await;
    let crucible = in_front_of(&engine, r#"["messages"]"#);
    let body = json!({
        "model": "m", "max_tokens": 9,
        "system": [
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=1;"},
            {"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}},
        ],
        "messages": [{"role": "user", "content": "hi"}],
    });
    let answer = post(&crucible, "/v1/messages", &body).await;
    assert_eq!((answer.status, &*answer.text), (200, MESSAGE));
    let asked = prompt(&engine, "/v1/messages");
    // What spoils an engine's cache of the prompt is taken out here too.
    assert_eq!(asked["system"][0]["text"], "Be kind.");
}

#[tokio::test]
async fn without_the_setting_the_same_engine_is_asked_in_chat() {
    let engine =
        speaker(|_| Script::json("400 Bad Request", "", r#"{"error":{"message":"no"}}"#)).await;
    let crucible = in_front_of(&engine, r#"["messages"]"#);
    let body = json!({"model": "m", "input": "hi"});
    let answer = post(&crucible, "/v1/responses", &body).await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    assert_eq!(prompt(&engine, "/v1/chat/completions")["model"], "m");
}

#[tokio::test]
async fn failures_keep_a_status_before_the_first_event_and_are_told_in_band_after_it() {
    let failed = "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"server_error\",\"message\":\"the GPU is gone\"}}}\n\n";
    let body = json!({"model": "m", "stream": true, "input": "hi"});
    let engine = speaker(move |_| Script::typed("text/event-stream", failed)).await;
    let crucible = in_front_of(&engine, r#"["responses"]"#);
    let answer = post(&crucible, "/v1/responses", &body).await;
    assert_eq!(
        (answer.status, answer.code()),
        (502, "engine_error"),
        "{}",
        answer.text
    );
    assert!(answer.text.contains("the GPU is gone"), "{}", answer.text);

    let cut = &RESPONSE[..RESPONSE.find("event: response.completed").expect("an end")];
    let engine = speaker(move |_| Script::typed("text/event-stream", cut)).await;
    let crucible = in_front_of(&engine, r#"["responses"]"#);
    let answer = post(&crucible, "/v1/responses", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let rest = answer
        .text
        .strip_prefix(cut)
        .expect("what came before the cut");
    let data = rest.strip_prefix("event: response.failed\ndata: ");
    let event: Value = serde_json::from_str(data.expect(rest).trim()).expect("JSON");
    assert_eq!(event["sequence_number"], 2);
    let response = &event["response"];
    assert_eq!(
        (&response["id"], &response["status"]),
        (&json!("r1"), &json!("failed"))
    );
    assert_eq!(response["error"]["code"], "server_error");
}
