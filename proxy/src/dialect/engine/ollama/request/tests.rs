use crate::{dialect::engine::ollama::request::*, prefix::LATER_SYSTEM};

fn translate(request: &Value) -> Result<OllamaRequest, Error> {
    let body = Bytes::from(request.to_string());
    let peek = PeekedBody::of(&body, 64).unwrap();
    let tuple = LoadTuple {
        context: Some(4096),
        batch: Some(512),
        threads: Some(8),
        gpu_layers: Some(0),
        mmap: Some(true),
        flash_attention: None,
        as_loaded: false,
    };
    to_ollama(
        &body,
        &peek,
        "m:1b",
        &tuple,
        &RequestDefaults::default(),
        LEVELS,
        PREFIX,
    )
}

/// As it is by default.
pub(super) const PREFIX: PrefixSettings = PrefixSettings {
    billing_block: true,
    cache_control: true,
    later_system: true,
};

/// Of a model that thinks at levels.
const LEVELS: Capabilities = Capabilities {
    insert: None,
    tools: Some(true),
    trained_for_tools: None,
    vision: Some(true),
    thinking: Some(true),
    thinking_levels: Some(true),
};

#[test]
fn a_conversation_with_tools_images_and_a_schema() {
    let translated = translate(&json!({
        "model": "m", "max_completion_tokens": 9, "stop": "x", "seed": 4, "temperature": 0,
        "reasoning_effort": "xhigh", "logprobs": true, "top_logprobs": 2,
        "tool_choice": {"type": "function", "function": {"name": "b"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"z": 1, "a": 2}}},
        "tools": [{"type": "function", "function": {"name": "a"}}, {"type": "function", "function": {"name": "b"}}],
        "messages": [
            {"role": "developer", "content": "d"},
            {"role": "user", "content": [
                {"type": "text", "text": "1"}, {"type": "text", "text": "2"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}]},
            {"role": "assistant", "content": null, "reasoning_content": "r", "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "a", "arguments": "{\"z\":1,\"b\":2}"}},
                {"id": "c2", "type": "function", "function": {"name": "b", "arguments": ""}}]},
            {"role": "tool", "tool_call_id": "c2", "content": "two"},
            {"role": "tool", "tool_call_id": "c1", "content": "one"}],
    }))
    .unwrap();
    assert_eq!(
        std::str::from_utf8(&translated.body).unwrap(),
        concat!(
            r#"{"model":"m:1b","messages":[{"role":"system","content":"d"},"#,
            r#"{"role":"user","content":"1\n\n2","images":["QUJD"]},"#,
            r#"{"role":"assistant","content":"","thinking":"r","tool_calls":["#,
            r#"{"id":"c1","function":{"name":"a","arguments":{"z":1,"b":2}}},"#,
            r#"{"id":"c2","function":{"name":"b","arguments":{}}}]},"#,
            r#"{"role":"tool","content":"two","tool_name":"b","tool_call_id":"c2"},"#,
            r#"{"role":"tool","content":"one","tool_name":"a","tool_call_id":"c1"}],"#,
            r#""stream":true,"shift":false,"truncate":false,"think":"max","#,
            r#""logprobs":true,"top_logprobs":2,"options":{"num_ctx":4096,"num_batch":512,"#,
            r#""num_thread":8,"num_gpu":0,"use_mmap":true,"temperature":0,"seed":4,"#,
            r#""num_predict":9,"stop":["x"]},"format":{"z":1,"a":2},"#,
            r#""tools":[{"type":"function","function":{"name":"b"}}]}"#,
        )
    );
    assert_eq!(translated.notes.len(), 2, "{:?}", translated.notes);
}

#[test]
fn faults_are_named_by_path() {
    for (extra, param) in [
        (
            json!({"messages": [{"role": "user", "content": 3}]}),
            "messages[0].content",
        ),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}]}),
            "messages[0].content[0].image_url.url",
        ),
        (
            json!({"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": "[1"}}]}]}),
            "messages[0].tool_calls[0].function.name",
        ),
    ] {
        assert_eq!(translate(&extra).unwrap_err().param.as_deref(), Some(param));
    }
}

#[test]
fn a_schema_is_an_object_or_is_refused_by_its_path() {
    let format = |format: &Value| {
        translate(&json!({
            "messages": [{"role": "user", "content": "x"}], "response_format": format,
        }))
    };
    for schema in [json!("{}"), json!([]), json!(true), json!(1)] {
        let asked = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}});
        let error = format(&asked).unwrap_err();
        let param = error.param.as_deref();
        assert_eq!(param, Some("response_format.json_schema.schema"), "{asked}");
    }
    let spaced = r#"{"messages":[{"role":"user","content":"x"}],"response_format":
        {"type":"json_schema","json_schema":{"name":"n","schema":  {"type":"object"}}}}"#;
    let body = Bytes::from(spaced);
    let peek = PeekedBody::of(&body, 64).unwrap();
    let plain = RequestDefaults::default();
    let sent = to_ollama(
        &body,
        &peek,
        "m",
        &LoadTuple::default(),
        &plain,
        LEVELS,
        PREFIX,
    )
    .unwrap();
    assert!(String::from_utf8_lossy(&sent.body).contains(r#""format":{"type":"object"}"#));
}

/// Its OpenAI layer (0.33) answers these 200; so do we, and say what had no effect.
#[test]
fn what_ollama_takes_and_does_not_read_is_dropped_with_a_note() {
    for (fields, sent, note) in [
        (json!({"stop": 7}), "", "stop"),
        (json!({"stop": {}}), "", "stop"),
        (json!({"stop": ["a", 1, null]}), r#""stop":["a"]"#, "stop"),
        (
            json!({"response_format": {"type": "xml"}}),
            "",
            "response_format",
        ),
        (
            json!({"response_format": {"type": "json_schema"}}),
            "",
            "response_format",
        ),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"schema": null}}}),
            "",
            "response_format",
        ),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"schema": ""}}}),
            "",
            "response_format",
        ),
        (json!({"max_tokens": 0}), r#""num_predict":0"#, "max_tokens"),
        (
            json!({"max_completion_tokens": 0.0}),
            r#""num_predict":0"#,
            "max_completion_tokens",
        ),
        (
            json!({"max_completion_tokens": 0, "max_tokens": 5}),
            r#""num_predict":0"#,
            "max_completion_tokens",
        ),
    ] {
        let mut body = fields.clone();
        body["messages"] = json!([{"role": "user", "content": "x"}]);
        let translated = translate(&body).unwrap_or_else(|error| panic!("{fields}: {error}"));
        let text = String::from_utf8(translated.body.to_vec()).unwrap();
        let options = if sent.is_empty() {
            r#""use_mmap":true}}"#.to_owned()
        } else {
            format!(r#""use_mmap":true,{sent}}}}}"#)
        };
        assert!(text.ends_with(&options), "{fields}: {text}");
        let notes = translated.notes;
        assert!(
            notes.len() == 1 && notes[0].starts_with(note),
            "{fields}: {notes:?}"
        );
    }
}

#[test]
fn what_ollama_has_no_place_for_is_named() {
    let dropped = |extra: &str| -> Vec<&str> {
        let text = format!(r#"{{"messages":[{{"role":"user","content":"x"}}]{extra}}}"#);
        let body: Value = serde_json::from_str(&text).unwrap();
        let dropped = translate(&body).unwrap().dropped;
        dropped.into_iter().map(DroppedParam::as_str).collect()
    };
    assert_eq!(dropped(""), [""; 0]);
    assert_eq!(dropped(r#","logit_bias":{}"#), [""; 0]);
    assert_eq!(
        dropped(r#","logit_bias":{"1":2},"parallel_tool_calls":false"#),
        ["parallel_tool_calls", "logit_bias"]
    );
}

#[test]
fn tool_choice_none_offers_no_tools() {
    let translated = translate(&json!({"messages": [{"role": "user", "content": "x"}],
        "tools": [{"type": "function", "function": {"name": "a"}}], "tool_choice": "none"}))
    .unwrap();
    assert!(!translated.has_tools);
}

#[test]
fn odd_shapes_are_refused_without_a_panic() {
    for message in [
        json!(1),
        json!({}),
        json!({"role": 1}),
        json!({"role": "user", "content": [1]}),
        json!({"role": "assistant", "tool_calls": [1]}),
        json!({"role": "assistant", "tool_calls": [{"function": "f"}]}),
    ] {
        let error = translate(&json!({"messages": [message]})).unwrap_err();
        assert!(error.param.unwrap().starts_with("messages[0]"));
    }
}

#[test]
fn thinking_is_asked_only_of_models_that_can_and_as_they_can() {
    let able = |thinking, thinking_levels| Capabilities {
        thinking,
        thinking_levels,
        ..Capabilities::default()
    };
    let cannot = able(Some(false), None);
    let switch = able(Some(true), Some(false));
    let unknown = able(None, None);
    for (fields, capabilities, think, note) in [
        (r#""reasoning_effort":"high""#, cannot, "", "cannot think"),
        (
            r#""reasoning":{"effort":"low"}"#,
            cannot,
            "",
            "cannot think",
        ),
        (r#""think":true"#, cannot, "", "cannot think"),
        (
            r#""thinking":{"type":"enabled"}"#,
            cannot,
            "",
            "cannot think",
        ),
        (r#""reasoning_effort":"none""#, cannot, "", ""),
        (r#""think":false"#, cannot, "", ""),
        (
            r#""reasoning_effort":"hot""#,
            cannot,
            "",
            "nothing that is known",
        ),
        (r#""reasoning_effort":"high""#, switch, "true", "no levels"),
        (r#""think":"low""#, switch, "true", "no levels"),
        (r#""think":true"#, switch, "true", ""),
        (r#""enable_thinking":false"#, switch, "false", ""),
        (
            r#""chat_template_kwargs":{"enable_thinking":false}"#,
            switch,
            "false",
            "",
        ),
        (r#""reasoning":{"enabled":false}"#, switch, "false", ""),
        (r#""thinking":{"type":"disabled"}"#, switch, "false", ""),
        (
            r#""reasoning_effort":7"#,
            switch,
            "",
            "nothing that is known",
        ),
        (r#""reasoning_effort":"high""#, LEVELS, r#""high""#, ""),
        (r#""reasoning_effort":"minimal""#, LEVELS, r#""low""#, ""),
        (r#""think":true"#, LEVELS, "true", ""),
        (r#""reasoning_effort":"high""#, unknown, "true", "no levels"),
        (r#""think":false"#, unknown, "false", ""),
    ] {
        let body = Bytes::from(format!(
            r#"{{"messages":[{{"role":"user","content":"x"}}],{fields}}}"#
        ));
        let peek = PeekedBody::of(&body, 64).unwrap();
        let (plain, tuple) = (RequestDefaults::default(), LoadTuple::default());
        let sent = to_ollama(&body, &peek, "m", &tuple, &plain, capabilities, PREFIX).unwrap();
        let value: Value = serde_json::from_slice(&sent.body).unwrap();
        let found = value.get("think").map(Value::to_string).unwrap_or_default();
        assert_eq!(found, think, "{fields} {capabilities:?}");
        let notes = sent.notes.join("; ");
        assert_eq!(notes.is_empty(), note.is_empty(), "{fields}: {notes}");
        assert!(notes.contains(note), "{fields}: {notes}");
    }
}

#[test]
fn later_system_messages_stay_at_their_place_as_a_users() {
    let list = |later: bool| {
        let message = |role: &str, content: &str| json!({"role": role, "content": content});
        let body = Bytes::from(
            json!({"messages": [
                message("system", "a"), message("developer", "b"), message("user", "c"),
                message("system", "d"), message("assistant", "e"),
                message("developer", "<system-reminder>f</system-reminder>"),
            ]})
            .to_string(),
        );
        let peek = PeekedBody::of(&body, 64).unwrap();
        let prefix = PrefixSettings {
            later_system: later,
            ..PREFIX
        };
        let (tuple, plain) = (LoadTuple::default(), RequestDefaults::default());
        to_ollama(&body, &peek, "m", &tuple, &plain, LEVELS, prefix).unwrap()
    };
    let roles = |sent: &OllamaRequest| {
        let body: Value = serde_json::from_slice(&sent.body).unwrap();
        let all = body["messages"].as_array().unwrap().iter();
        all.map(|m| format!("{}: {}", m["role"], m["content"]).replace('"', ""))
            .collect::<Vec<_>>()
    };
    let sent = list(true);
    assert_eq!(
        roles(&sent),
        [
            "system: a",
            "system: b",
            "user: c",
            "user: <system-reminder>\\nd\\n</system-reminder>",
            "assistant: e",
            "user: <system-reminder>f</system-reminder>",
        ]
    );
    assert_eq!(sent.notes, [LATER_SYSTEM.note]);
    let sent = list(false);
    assert_eq!(roles(&sent)[3], "system: d");
    assert!(sent.notes.is_empty());
}
