//! What an engine says oddly means the same in every client format.

use crucible_tests::{
    Crucible,
    chat::{Whole, whole},
    engines::client,
    rest::{at_rest, metric},
};
use serde_json::json;

use super::{PASSED, openai, saying};

/// The client formats in which a conversation is answered.
const FORMATS: [&str; 3] = ["/v1/chat/completions", "/v1/responses", "/v1/messages"];

/// Asks the model `m` for an answer to `hi`.
async fn ask(crucible: &Crucible, path: &str, streamed: bool) -> Whole {
    let said = json!([{ "role": "user", "content": "hi" }]);
    let name = if path == "/v1/responses" {
        "input"
    } else {
        "messages"
    };
    let request = json!({ "model": "m", "max_tokens": 99, "stream": streamed, name: said });
    let answer = client().post(crucible.at(path)).json(&request).send().await;
    whole(answer.expect("an answer")).await
}

#[tokio::test]
async fn of_a_count_that_stands_twice_the_last_one_counts_in_every_format() {
    let usage = r#","usage":{"prompt_tokens":1,"completion_tokens":1,"prompt_tokens":40,"completion_tokens":2}"#;
    let hello = json!({ "role": "assistant", "content": "hello" });
    for kind in PASSED {
        let hello = hello.clone();
        let (_fake, crucible) = saying(kind, move |streamed| openai(streamed, &hello, usage)).await;
        let mut asked = 0;
        for path in FORMATS {
            for streamed in [false, true] {
                let answer = ask(&crucible, path, streamed).await;
                asked += 1;
                let what = format!("{kind} {path} {streamed}: {}", answer.text);
                assert_eq!(answer.status, 200, "{what}");
                assert!(answer.text.contains("hello"), "{what}");
                let own = if path == "/v1/messages" {
                    "\"input_tokens\":40"
                } else {
                    "_tokens\":40"
                };
                // What only Crucible asked for is left out of a stream of chat.
                let is_hidden = streamed && path == FORMATS[0];
                assert!(is_hidden || answer.text.contains(own), "{what}");
            }
        }
        at_rest(&crucible).await;
        let tokens = metric(&crucible, "crucible_tokens_total").await;
        assert_eq!(tokens, asked * 42, "{kind}");
    }
}
