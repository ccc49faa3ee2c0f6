//! Ollama's API in front of real engines of this machine.

use std::collections::BTreeSet;

use crucible_tests::{
    Crucible,
    chat::{Whole, whole},
    engines::{client, engine},
    rest::ready,
    target::Target,
};
use serde_json::{Value, json};

use super::lines;
use crate::real;

async fn post(url: String, body: &Value) -> Whole {
    let sent = client().post(url).json(body).send().await;
    whole(sent.expect("an answer")).await
}

#[tokio::test]
async fn a_real_llamacpp_answers_ollamas_clients_with_its_own_times() {
    let (crucible, model) = real::start().await;
    let mut request = json!({
        "model": model,
        "messages": [{"role": "user", "content": "Say hi."}],
        "options": {"num_predict": 8, "temperature": 0, "seed": 1},
    });
    let streamed = post(crucible.at("/api/chat"), &request).await;
    let all = lines(&streamed);
    let last = all.last().expect("lines");
    for name in [
        "prompt_eval_count",
        "eval_count",
        "prompt_eval_duration",
        "eval_duration",
    ] {
        assert!(last[name].as_u64().is_some_and(|n| n > 0), "{name}: {last}");
    }
    assert_eq!(last["eval_count"], 8, "{last}");
    assert_eq!(last["done_reason"], "length");
    let text: String = all
        .iter()
        .filter_map(|line| line["message"]["content"].as_str())
        .collect();
    request["stream"] = false.into();
    let whole = post(crucible.at("/api/chat"), &request).await;
    assert_eq!(whole.json["message"]["content"], text, "{}", whole.text);
    assert!(
        whole.json["eval_duration"].as_u64().is_some(),
        "{}",
        whole.text
    );
    let schema =
        json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
    request["format"] = schema;
    request["options"]["num_predict"] = 64.into();
    let whole = post(crucible.at("/api/chat"), &request).await;
    let said = whole.json["message"]["content"].as_str().expect("a text");
    let object: Value = serde_json::from_str(said).expect("the schema is enforced");
    assert!(object["n"].is_i64(), "{said}");
}

/// The names of the members of all lines, those of messages with them.
fn members(lines: &[Value]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in lines {
        for (name, value) in line.as_object().into_iter().flatten() {
            let inner = value.as_object().into_iter().flatten();
            names.extend(inner.map(|(inner, _)| format!("{name}.{inner}")));
            names.insert(name.clone());
        }
    }
    names
}

/// The text of all lines.
fn said(lines: &[Value]) -> String {
    let text = |line: &Value| {
        let text = line["message"]["content"]
            .as_str()
            .or(line["response"].as_str());
        text.unwrap_or_default().to_owned()
    };
    lines.iter().map(text).collect()
}

#[tokio::test]
async fn a_real_ollama_says_the_same_through_crucible() {
    let Some(target) = Target::real_ollama().await else {
        return;
    };
    let (url, model) = (target.url.clone().expect("a URL"), target.model.clone());
    let crucible = Crucible::start(&engine("ollama", "ollama", &url));
    ready(&crucible).await;
    let sampling = json!({
        "temperature": 0, "top_p": 1, "seed": 1, "num_predict": 6,
        "frequency_penalty": 0, "presence_penalty": 0,
    });
    let prompt = [
        (
            "/api/chat",
            json!({"messages": [{"role": "user", "content": "Say hi."}]}),
        ),
        ("/api/generate", json!({"prompt": "Say hi."})),
        (
            "/api/generate",
            json!({"prompt": "The sky is", "raw": true}),
        ),
    ];
    for (path, mut request) in prompt {
        request["model"] = model.clone().into();
        request["options"] = sampling.clone();
        // First through Crucible, whose load options the direct request then has to keep.
        let through = post(crucible.at(path), &request).await;
        let loaded = client()
            .get(format!("{url}/api/ps"))
            .send()
            .await
            .expect("a list");
        let loaded: Value = loaded.json().await.expect("JSON");
        request["options"]["num_ctx"] = loaded["models"][0]["context_length"].clone();
        let direct = post(format!("{url}{path}"), &request).await;
        let (through, direct) = (lines(&through), lines(&direct));
        assert_eq!(members(&through), members(&direct), "{path}");
        assert_eq!(said(&through), said(&direct), "{path}");
        for name in ["model", "done_reason", "eval_count"] {
            assert_eq!(
                through.last().map(|l| &l[name]),
                direct.last().map(|l| &l[name]),
                "{path}"
            );
        }
        request["stream"] = false.into();
        request["options"]
            .as_object_mut()
            .expect("options")
            .shift_remove("num_ctx");
        let whole = post(crucible.at(path), &request).await;
        let last = whole.json.clone();
        assert_eq!(said(&[last]), said(&direct), "{path}");
    }
}
