//! Images in every spelling of a data URL, on every engine.

use crucible_tests::chat::post;
use serde_json::{Value, json};

use super::{Four, KINDS, model};

/// The beginnings of real files.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB";
const JPEG: &str = "/9j/4AAQSkZJRgABAQEASABIAAD/2wBD";
const WEBP: &str = "UklGRiQAAABXRUJQVlA4IBgAAAAwAQCd";

fn with(part: &Value) -> Value {
    let text = json!({ "type": "text", "text": "repeat 3" });
    json!({ "messages": [{ "role": "user", "content": [text, part] }] })
}

#[tokio::test]
async fn an_image_is_taken_in_every_spelling_of_its_url() {
    let four = Four::start().await;
    let url = |url: String| json!({ "type": "image_url", "image_url": { "url": url } });
    let broken = format!("{}\r\n{}", &PNG[..8], &PNG[8..]);
    for (part, bytes, media) in [
        (url(format!("data:image/png;base64,{PNG}")), PNG, "png"),
        (
            url(format!("data:image/png;charset=utf-8;base64,{PNG}")),
            PNG,
            "png",
        ),
        (url(format!("DATA:IMAGE/PNG;BASE64,{PNG}")), PNG, "png"),
        (url(format!("Data:Image/Jpeg; Base64,{JPEG}")), JPEG, "jpeg"),
        (
            url(format!("data:application/octet-stream;base64,{PNG}")),
            PNG,
            "png",
        ),
        (url(format!("data:;base64,{WEBP}")), WEBP, "webp"),
        (url(format!("data:image/png;base64,{broken}")), PNG, "png"),
        (
            url(format!("data:image/jpeg;base64,{}", JPEG.replace('/', "_"))),
            JPEG,
            "jpeg",
        ),
        (url(PNG.to_owned()), PNG, "png"),
        (url(format!(" {JPEG} ")), JPEG, "jpeg"),
        (
            json!({ "type": "image_url", "image_url": format!("data:image/png;base64,{PNG}") }),
            PNG,
            "png",
        ),
        (
            json!({ "type": "input_image", "image_url": format!("data:image/png;base64,{PNG}") }),
            PNG,
            "png",
        ),
    ] {
        for kind in KINDS {
            four.served(kind, &with(&part)).await;
            let sent = four.sent(kind);
            let message = &sent["messages"][0];
            let (found, wanted) = match kind {
                "ollama" => (&message["images"][0], bytes.to_owned()),
                _ => (
                    &message["content"][1]["image_url"]["url"],
                    format!("data:image/{media};base64,{bytes}"),
                ),
            };
            assert_eq!(*found, wanted, "{kind} {part}");
        }
    }
}

#[tokio::test]
async fn what_is_no_image_is_told_as_what_it_is() {
    let four = Four::start().await;
    for (url, says) in [
        (
            "data:image/gif;base64,R0lGODlhAQABAIAAAAUEBAAAACwAAAAA",
            "GIF",
        ),
        (
            "data:application/pdf;base64,JVBERi0xLjQKJcOkw7zDtsOfCjIg",
            "PDF",
        ),
        ("data:text/plain;base64,aGVsbG8gd29ybGQ=", "no image"),
        ("data:image/png;base64,%%%", "no base64"),
        ("data:image/png,hello", "no base64"),
        ("https://host/x.png", "data URLs"),
        ("a picture", "no base64"),
    ] {
        let mut body = with(&json!({ "type": "image_url", "image_url": { "url": url } }));
        body["model"] = model("ollama").into();
        let answer = post(&four.crucible, &body).await;
        let found = (answer.status, answer.code());
        assert_eq!(found, (400, "unsupported_value"), "{url}: {}", answer.text);
        let param = &answer.json["error"]["param"];
        assert_eq!(*param, "messages[0].content[1].image_url.url", "{url}");
        assert!(
            answer.message().contains(says),
            "{url}: {}",
            answer.message()
        );
    }
}

/// An image weighs what it weighs for the model, whatever its URL is called.
#[tokio::test]
async fn a_long_image_is_no_long_prompt() {
    let four = Four::start().await;
    let long = format!("{PNG}{}", "A".repeat(400_000));
    for kind in KINDS {
        for head in [
            "data:image/png;base64,",
            "DATA:IMAGE/PNG;BASE64,",
            "data:application/octet-stream;base64,",
            "",
        ] {
            let url = format!("{head}{long}");
            let part = json!({ "type": "image_url", "image_url": { "url": url } });
            let mut body = with(&part);
            body["model"] = model(kind).into();
            let answer = post(&four.crucible, &body).await;
            assert_ne!(answer.code(), "context_length_exceeded", "{kind} {head}");
            assert_eq!(answer.status, 200, "{kind} {head}: {}", answer.text);
        }
    }
}

/// A sound weighs no more than that, and needs no model that sees.
#[tokio::test]
async fn a_long_sound_is_no_long_prompt() {
    let four = Four::start().await;
    let data = "SUQz".repeat(100_000);
    let part = json!({ "type": "input_audio", "input_audio": { "data": data, "format": "mp3" } });
    for kind in KINDS {
        let mut body = with(&part);
        body["model"] = model(kind).into();
        let answer = post(&four.crucible, &body).await;
        let code = answer.code();
        assert_ne!(code, "context_length_exceeded", "{kind}: {}", answer.text);
    }
    let mut body = with(&part);
    body["model"] = "thinker-think".into();
    let answer = post(&four.crucible, &body).await;
    assert!(!answer.message().contains("images"), "{}", answer.text);
}
