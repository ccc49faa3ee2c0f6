//! Raw prompts and embeddings with a real model, through the real binary.

use crucible_tests::{Crucible, chat::post_to, engines::client, sse::Stream, target::alone};
use serde_json::{Value, json};

use crate::real::{engine, start};

#[tokio::test]
async fn a_real_model_continues_a_raw_prompt() {
    let (crucible, model) = start().await;
    let mut request = json!({
        "model": model, "prompt": "Once upon a time, there was a", "max_tokens": 12, "temperature": 0,
        "echo": true,
    });
    let answer = post_to(&crucible, "/v1/completions", &request).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json["object"], "text_completion");
    let text = answer.json["choices"][0]["text"].as_str().expect("a text");
    assert!(!text.trim().is_empty(), "{}", answer.text);
    assert_eq!(answer.json["choices"][0]["finish_reason"], "length");
    // No template: a chat prompt of this model has more than twice as many tokens.
    let counted = answer.json["usage"]["prompt_tokens"].as_u64();
    assert!(counted.is_some_and(|count| count < 12), "{}", answer.text);
    assert!(answer.header("x-crucible-note").contains("echo is dropped"));

    request["stream"] = true.into();
    request["stream_options"] = json!({ "include_usage": true });
    let sent = client()
        .post(crucible.at("/v1/completions"))
        .json(&request)
        .send();
    let stream = Stream::read(sent.await.expect("an answer")).await;
    let pieces = stream
        .events
        .iter()
        .filter_map(|e| e["choices"][0]["text"].as_str());
    assert_eq!(
        pieces.collect::<String>(),
        text,
        "streamed or not, it says the same"
    );
    assert!(stream.done && !stream.broken, "{}", stream.text);

    request["stream"] = false.into();
    request["prompt"] = json!(["Two and two", "A cat"]);
    let several = post_to(&crucible, "/v1/completions", &request).await;
    let choices = several.json["choices"].as_array().map(Vec::len);
    assert_eq!(choices, Some(2), "{}", several.text);
    request["suffix"] = json!("the end");
    let refused = post_to(&crucible, "/v1/completions", &request).await;
    assert_eq!(
        (refused.status, &refused.json["error"]["param"]),
        (400, &json!("suffix"))
    );
    let vectors = post_to(
        &crucible,
        "/v1/embeddings",
        &json!({ "model": model, "input": "a" }),
    )
    .await;
    assert_eq!(vectors.status, 400, "{}", vectors.text);
    assert!(
        vectors.message().contains("--embeddings"),
        "{}",
        vectors.text
    );
}

#[tokio::test]
async fn a_real_model_makes_vectors_and_cuts_nothing() {
    let (command, model_path) = engine().await;
    let _alone = alone().await;
    let mut command = command.clone();
    command.extend(["--embeddings", "--pooling", "mean"].map(str::to_owned));
    let crucible = Crucible::start(&format!(
        "[[engine]]\nname = \"local\"\nkind = \"llamacpp\"\nmanage = \"spawn\"\npermits = 1\n\
         command = {command:?}\nmodel_path = {:?}\n\
         [tuning.ollama]\nnum_threads = 1\n",
        model_path.display().to_string(),
    ));
    let model = model_path.file_stem().expect("a name").to_string_lossy();
    let embed = async |input: Value, encoding: &str| {
        let body = json!({ "model": model, "input": input, "encoding_format": encoding });
        post_to(&crucible, "/v1/embeddings", &body).await
    };
    let answer = embed(json!(["a cat", "a dog", "stock markets"]), "float").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let numbers = |at: usize| {
        let list = answer.json["data"][at]["embedding"].clone();
        serde_json::from_value::<Vec<f32>>(list).expect("numbers")
    };
    assert_eq!(numbers(0).len(), 576);
    let near = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let (cat, dog, markets) = (numbers(0), numbers(1), numbers(2));
    assert!(
        near(&cat, &dog) > near(&cat, &markets),
        "they mean something"
    );
    let base64 = embed(json!(["a cat"]), "base64").await;
    let text = base64.json["data"][0]["embedding"]
        .as_str()
        .expect("base64");
    assert_eq!(text.len(), (576 * 4_usize).div_ceil(3) * 4, "{text:.40}");
    let tokens = embed(json!([[1, 2, 3], [4]]), "float").await;
    assert_eq!(
        tokens.json["usage"]["prompt_tokens"], 4,
        "{:.200}",
        tokens.text
    );
    let long = embed(json!(["short", "word ".repeat(900), "short"]), "float").await;
    assert_eq!(
        (long.status, long.code()),
        (400, "context_length_exceeded"),
        "{}",
        long.text
    );
    assert_eq!(long.json["error"]["param"], "input[1]", "{}", long.text);
}
