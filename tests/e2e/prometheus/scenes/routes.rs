//! Requests that go where they go for each of the reasons, but those of a fallback.

use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    chat::{Whole, body, post, post_to, whole},
    engines::{client, engine, start},
    rest::{eventually, ready},
};
use serde_json::{Value, json};

use super::super::every_word::{Kept, LabelWords, Scene, Stage};

/// One request for each reason.
pub(super) const ROUTES: Scene = Scene {
    name: "each reason to be routed",
    words: &[LabelWords::of(
        "crucible_routed_total",
        "reason",
        &[
            "exact",
            "prefixed",
            "alias",
            "default_model",
            "pinned",
            "resident",
            "device",
            "rule",
            "keyword",
            "sticky",
            "predicted",
            "capability",
        ],
    )],
    play: |stage| Box::pin(routes(stage)),
};

const TOML: &str = r#"
default_model = "only"
[virtual]
auto = ["gpu/same:1b", "cpu/same:1b"]
[[model]]
name = "only"
aliases = ["nickname"]
[[model]]
name = "bound:1b"
engine = "cpu"
[[rule]]
when = { model = "auto", words = ["onboard"] }
use = "cpu/same:1b"
"#;

/// Sends it and tells the reason.
async fn reason(crucible: &Crucible, want: &Value) -> String {
    let answer = post(crucible, want).await;
    said(&answer)
}

fn said(answer: &Whole) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.header("x-crucible-reason").to_owned()
}

/// The first or the second turn of a conversation with `auto`.
async fn turn(crucible: &Crucible, later: bool) -> String {
    let mut request = body("auto", "onboard somebody, repeat 1");
    request["tools"] = json!([{ "type": "function", "function": { "name": "read" } }]);
    let messages = request["messages"].as_array_mut().expect("messages");
    if later {
        messages.push(json!({ "role": "assistant", "content": "word0" }));
        messages.push(json!({ "role": "user", "content": "go on, repeat 1" }));
    }
    let send = client()
        .post(crucible.at("/v1/chat/completions"))
        .header("x-session-id", "one")
        .json(&request);
    said(&whole(send.send().await.expect("an answer")).await)
}

async fn routes(stage: Stage) -> Kept {
    let models = [
        "same:1b=1GB",
        "bound:1b=1GB",
        "held:1b=1GB",
        "nowhere:1b=1GB",
    ];
    let gpu = Options {
        rate: 50,
        ..Options::lmstudio(&[&models[..], &["only=1GB", "wide:1b=1GB:ctx4096"]].concat())
    };
    let cpu = Options {
        rate: 50,
        parallel: 2,
        ..Options::ollama(&[&models[..], &["wide:1b=1GB"]].concat())
    };
    let (gpu, cpu) = (start(gpu).await, start(cpu).await);
    let crucible = stage
        .start(&format!(
            "{TOML}{}{}",
            engine("gpu", "lmstudio", &gpu.url()),
            engine("cpu", "ollama", &cpu.url())
        ))
        .await;
    ready(&crucible).await;
    for (model, want) in [
        ("only", "exact"),
        ("gpu/only", "prefixed"),
        ("nickname", "alias"),
        ("nothing-of-this-name", "default_model"),
        ("bound:1b", "pinned"),
        ("nowhere:1b", "device"),
        ("cpu/held:1b", "prefixed"),
    ] {
        let got = reason(&crucible, &body(model, "repeat 1")).await;
        assert_eq!(got, want, "{model}");
    }
    // Plans are made with the published view, which may be some milliseconds old.
    eventually("a plan that knows what is loaded", || async {
        let told = post_to(&crucible, "/crucible/explain", &body("held:1b", "hi")).await;
        (told.json["reason"] == "resident").then_some(())
    })
    .await;
    let held = body("held:1b", "repeat 1");
    assert_eq!(reason(&crucible, &held).await, "resident");
    // The GPU's one is trained for less than this.
    let long = body("wide:1b", &"many words ".repeat(3000));
    assert_eq!(reason(&crucible, &long).await, "capability");
    assert_eq!(turn(&crucible, false).await, "rule");
    assert_eq!(turn(&crucible, true).await, "sticky");
    // Both are loaded and measured by these.
    for model in ["gpu/same:1b", "cpu/same:1b"].repeat(4) {
        reason(&crucible, &body(model, "repeat 30")).await;
    }
    eventually("a choice that words may make", || async {
        let got = reason(&crucible, &body("auto", "plan it, repeat 30")).await;
        (got == "keyword").then_some(())
    })
    .await;
    let got = reason(&crucible, &body("auto", "say it, repeat 1")).await;
    assert_eq!(got, "predicted");
    Box::new((crucible, gpu, cpu))
}
