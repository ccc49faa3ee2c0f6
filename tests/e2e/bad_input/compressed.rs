//! Compressed bodies: those that are read, and what is said of the others.

use crucible_tests::packed::{gzip, zstd};

use super::*;

async fn send(both: &Both, encoding: &'static str, bytes: Vec<u8>) -> Whole {
    let request = client()
        .post(both.crucible.at("/v1/chat/completions"))
        .header("content-encoding", encoding)
        .body(bytes);
    whole(request.send().await.expect("an answer")).await
}

#[tokio::test]
async fn compressed_bodies_are_read() {
    let both = Both::start().await;
    let text = body("qwen", "repeat 2").to_string();
    for (encoding, bytes) in [
        ("gzip", gzip(text.as_bytes())),
        ("x-gzip", gzip(text.as_bytes())),
        ("GZIP", gzip(text.as_bytes())),
        ("zstd", zstd(text.as_bytes())),
        ("identity", text.clone().into_bytes()),
    ] {
        let answer = send(&both, encoding, bytes).await;
        assert_eq!(answer.status, 200, "{encoding}: {}", answer.text);
        assert_eq!(answer.content(), "word0 word1");
    }
    for request in both.lmstudio.log().requests_to("/v1/chat/completions") {
        assert_eq!(
            request.header("content-encoding"),
            None,
            "the engine gets it plain"
        );
        assert!(request.json.is_some());
    }
}

#[tokio::test]
async fn other_encodings_are_415_and_corrupt_ones_400() {
    let both = Both::start().await;
    let text = body("qwen", "repeat 2").to_string();
    for encoding in ["br", "deflate", "gzip, gzip", "cow"] {
        let answer = send(&both, encoding, text.clone().into_bytes()).await;
        assert_eq!(
            (answer.status, answer.code()),
            (415, "unsupported_media_type"),
            "{encoding}: {}",
            answer.text
        );
        assert!(answer.message().contains("gzip"), "{}", answer.message());
    }
    let mut cut = gzip(text.as_bytes());
    cut.truncate(cut.len() / 2);
    let mut flipped = gzip(text.as_bytes());
    flipped[12] ^= 0xff;
    for (what, encoding, bytes) in [
        ("plain text", "gzip", text.clone().into_bytes()),
        ("plain text", "zstd", text.clone().into_bytes()),
        ("cut", "gzip", cut),
        ("flipped", "gzip", flipped),
    ] {
        let answer = send(&both, encoding, bytes).await;
        assert_bad(&answer, "invalid_json", &Value::Null, what);
        assert!(
            answer.message().contains("compression"),
            "{what}: {}",
            answer.message()
        );
    }
    nothing_went_out(&both).await;
}
