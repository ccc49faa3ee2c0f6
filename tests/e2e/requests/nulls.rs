//! Keys with the value null: silence, wherever they stand.

use crucible_tests::chat::post_raw;
use serde_json::Value;

use super::{Four, good, model};

/// Keys that clients write as null, those that nobody knows among them.
const KEYS: [&str; 44] = [
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "frequency_penalty",
    "presence_penalty",
    "repeat_penalty",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "seed",
    "stop",
    "stream",
    "stream_options",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "functions",
    "function_call",
    "response_format",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "reasoning",
    "reasoning_effort",
    "thinking",
    "think",
    "enable_thinking",
    "chat_template_kwargs",
    "user",
    "metadata",
    "store",
    "service_tier",
    "prediction",
    "modalities",
    "audio",
    "web_search_options",
    "prompt_cache_key",
    "safety_identifier",
    "verbosity",
    "ttl",
    "draft_model",
    "num_ctx",
    "keep_alive",
];

#[tokio::test]
async fn lm_studio_never_sees_a_null_and_defaults_fill_its_place() {
    let four = Four::start().await;
    let name = model("lmstudio");
    let first = r#""messages":[{"role":"user","content":"repeat 3"}]"#;
    let all: Vec<String> = KEYS.iter().map(|key| format!("\"{key}\":null")).collect();
    let mut bodies = Vec::new();
    for null in &all {
        bodies.extend([
            format!(r#"{{{null},"model":"{name}",{first}}}"#),
            format!(r#"{{"model":"{name}",{null},{first}}}"#),
            format!(r#"{{"model":"{name}",{first},{null}}}"#),
        ]);
    }
    bodies.extend([
        format!(r#"{{{},"model":"{name}",{first}}}"#, all.join(",")),
        format!(r#"{{"model":"{name}",{first},{}}}"#, all.join(" , \n")),
        format!(
            r#"{{ {} , "model" : "{name}" , {} , {first} , {} }}"#,
            all[..10].join(" ,"),
            all[10..30].join("\t,"),
            all[30..].join(", ")
        ),
        // What Crucible does not read may stand twice.
        format!(r#"{{"user":null,"model":"{name}","user":null,{first},"user":null}}"#),
        format!(r#"{{"model":"{name}",{first},"x_own":null,"\u0078_own":null,"x":7}}"#),
    ]);
    for body in bodies {
        let answer = post_raw(&four.crucible, body.clone()).await;
        good(&answer, &body);
        let sent = four.sent("lmstudio");
        let members = sent.as_object().expect("an object").iter();
        let nulls: Vec<_> = members.filter(|(_, value)| value.is_null()).collect();
        assert!(nulls.is_empty(), "{body}: {sent}");
        let filled = answer.header("x-crucible-defaults");
        assert!(filled.contains("temperature"), "{body}: {filled}");
        assert!(sent["temperature"].is_number(), "{body}: {sent}");
    }
    let streamed = format!(
        r#"{{"model":"{name}","stream":true,"stream_options":null,"temperature":null,{first}}}"#
    );
    let answer = post_raw(&four.crucible, streamed).await;
    good(&answer, "streamed");
    assert_eq!(
        four.sent("lmstudio")["stream_options"]["include_usage"],
        true
    );
}

/// Members of messages and calls that are null, as clients write whole objects of theirs.
#[tokio::test]
async fn nulls_in_messages_are_no_trouble_on_any_engine() {
    let four = Four::start().await;
    let messages = r#""messages":[
        {"role":"system","content":"s","name":null},
        {"role":"user","content":"hi","name":null,"tool_calls":null,"x":null},
        {"role":"assistant","content":null,"refusal":null,"audio":null,"function_call":null,
         "reasoning_content":null,"name":null,"tool_call_id":null,"annotations":null,
         "tool_calls":[{"id":"c1","index":null,"type":"function","function":{"name":"f","arguments":"{}"}},
                       {"id":null,"type":null,"function":{"name":"f","arguments":"{}"}}]},
        {"tool_calls":null,"role":"tool","tool_call_id":"c1","content":null},
        {"role":"assistant","content":"a","tool_calls":null},
        {"role":"user","content":"repeat 3"}]"#;
    for kind in super::KINDS {
        four.served_raw(kind, messages).await;
        let sent = four.sent(kind);
        let all = sent["messages"].as_array().expect("messages");
        assert_eq!(all.len(), 6, "{kind}: {sent}");
        if kind != "ollama" {
            let mut members = all.iter().filter_map(Value::as_object).flatten();
            let null = members.find(|(name, value)| *name != "content" && value.is_null());
            assert!(null.is_none(), "{kind}: {sent}");
        }
    }
}
