//! The words of a prompt that does not fit, wherever they come from.

use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    chat::{body, post, stream},
    engines::engine,
    scripted::{Leave, Script, Scripted},
};
use serde_json::Value;

use super::{long, one};

/// The sentences that clients look for, with numbers that agree; what follows them is told to a
/// person.
pub(super) fn assert_words(message: &str, limit: &str) {
    let numbers = read(message).unwrap_or_else(|| panic!("not the known words: {message}"));
    let [most, requested, prompt, answer] = numbers;
    assert_eq!(most.to_string(), limit, "{message}");
    assert_eq!(requested, prompt + answer, "{message}");
    assert!(requested > most, "{message}");
}

fn read(message: &str) -> Option<[u64; 4]> {
    let (before, hint) =
        message.split_once(" in the completion). Please reduce the length of the messages. ")?;
    assert!(hint.len() > 20, "no hint: {message}");
    let rest = before.strip_prefix("This model's maximum context length is ")?;
    let (most, rest) = rest.split_once(" tokens. However, you requested ")?;
    let (requested, rest) = rest.split_once(" tokens (")?;
    let (prompt, answer) = rest.split_once(" in the messages, ")?;
    let numbers = [most, requested, prompt, answer].map(str::parse);
    let [Ok(most), Ok(requested), Ok(prompt), Ok(answer)] = numbers else {
        return None;
    };
    Some([most, requested, prompt, answer])
}

#[tokio::test]
async fn a_refusal_says_what_the_limit_is_and_what_to_do() {
    let fixed = || Options::openai(&["m=1GB:ctx4096"]);
    let rejects = "[context]\nfit = \"reject\"\n";
    let most = "[context]\nmax = 4096\n";
    for (kind, options, toml, hint) in [
        (
            "ollama",
            Options::ollama(&["m=1GB:ctx4096"]),
            "",
            "made for",
        ),
        (
            "ollama",
            Options::ollama(&["m=1GB"]),
            rejects,
            "fit = \"grow\"",
        ),
        ("ollama", Options::ollama(&["m=1GB"]), most, "context.max"),
        (
            "lmstudio",
            Options::lmstudio(&["m=1GB:ctx4096"]),
            "",
            "made for",
        ),
        (
            "lmstudio",
            Options::lmstudio(&["m=1GB"]),
            rejects,
            "fit = \"grow\"",
        ),
        (
            "lmstudio",
            Options::lmstudio(&["m=1GB"]),
            most,
            "context.max",
        ),
        ("llamacpp", fixed(), "", "-c"),
    ] {
        for streamed in [false, true] {
            // The first of these is what the engine counts, the second what is estimated.
            for mut request in [long("m"), body("m", &"word".repeat(9000))] {
                let (_sim, crucible) = one(kind, options.clone(), toml).await;
                if streamed {
                    request["stream"] = true.into();
                }
                let answer = post(&crucible, &request).await;
                assert_eq!(answer.status, 400, "{kind} {toml}: {}", answer.text);
                let error = &answer.json["error"];
                assert_eq!(error["code"], "context_length_exceeded");
                assert_eq!(error["type"], "invalid_request_error");
                assert_eq!(error["param"], "messages");
                assert_words(answer.message(), "4096");
                assert!(answer.message().contains(hint), "{}", answer.message());
            }
        }
    }
}

/// What an engine without load control says, before its answer and in the middle of it.
#[tokio::test]
async fn an_engines_own_words_become_the_known_ones() {
    let first = "data: {\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"created\":1,\
        \"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\
        \"content\":\"hi\"},\"finish_reason\":null}]}\n\n";
    let error = "{\"error\":{\"code\":400,\"message\":\"request (4200 tokens) exceeds the \
        available context size (4096 tokens), try increasing it\",\"type\":\
        \"exceed_context_size_error\",\"n_prompt_tokens\":4200,\"n_ctx\":4096}}";
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
    let before = Script::json("400 Bad Request", "", error);
    let as_first = Script {
        bytes: format!("{head}data: {error}\n\n"),
        leave: Leave::Fin,
    };
    let in_the_middle = Script {
        // More than is read at once, so that some of it is out before the error comes.
        bytes: format!("{head}{}data: {error}\n\n", first.repeat(1000)),
        leave: Leave::Fin,
    };
    for (script, streamed, in_band) in [
        (before.clone(), false, false),
        (before, true, false),
        (as_first, true, false),
        (in_the_middle, true, true),
    ] {
        let models = r#"{"object": "list", "data": [{"id": "m", "object": "model"}]}"#;
        let says = Scripted::start(move |path| match path {
            "/v1/chat/completions" => script.clone(),
            _ => Script::json("200 OK", "", models),
        })
        .await;
        let crucible = Crucible::start(&engine("one", "openai", &says.url()));
        let mut request = body("m", "hi");
        request["max_tokens"] = 100.into();
        let told: Value = if in_band {
            let (_, answer) = stream(&crucible, &request).await;
            assert!(answer.content().starts_with("hi"));
            answer.error().expect("an error event").clone()
        } else {
            request["stream"] = streamed.into();
            let answer = post(&crucible, &request).await;
            assert_eq!(answer.status, 400, "{}", answer.text);
            answer.json["error"].clone()
        };
        let what = format!("{streamed} {in_band}: {told}");
        assert_eq!(told["code"], "context_length_exceeded", "{what}");
        assert_eq!(told["param"], "messages", "{what}");
        let message = told["message"].as_str().unwrap_or_default();
        assert_words(message, "4096");
        assert!(message.contains("'one'"), "{what}");
    }
}
