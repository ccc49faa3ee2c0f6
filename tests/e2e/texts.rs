//! What a stranger is told: what there is, what is missing, when to come back.

use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    chat::{body, get, post, whole},
    engines::{Both, client, engine, start},
    rest::ready,
};
use futures_util::future::join_all;
use reqwest::Method;

#[tokio::test]
async fn what_is_not_there_is_answered_with_what_is() {
    let both = Both::start().await;
    ready(&both.crucible).await;
    for (method, path, text, status, parts) in [
        (
            Method::POST,
            "/v1/chat/completion",
            "{}",
            404,
            &["did you mean /v1/chat/completions?", "GET /v1/models"][..],
        ),
        (
            Method::GET,
            "/healthy",
            "",
            404,
            &["did you mean /healthz?"],
        ),
        (
            Method::GET,
            "/api/v0/modles",
            "",
            404,
            &["did you mean /api/v0/models?"],
        ),
        (
            Method::GET,
            "/v1/chat/completions",
            "",
            405,
            &["takes POST, not GET"],
        ),
        (
            Method::POST,
            "/v1/chat/completions",
            "",
            400,
            &["the body is empty", "`messages`"],
        ),
        (
            Method::POST,
            "/v1/chat/completions",
            " \r\n",
            400,
            &["the body is empty"],
        ),
        (
            Method::POST,
            "/v1/chat/completions",
            "{\"model\": ",
            400,
            &["ends in the middle of its JSON"],
        ),
    ] {
        let request = client().request(method.clone(), both.crucible.at(path));
        let answer = whole(request.body(text).send().await.expect("an answer")).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
        for part in parts {
            assert!(
                answer.message().contains(part),
                "{path}: {part} in {}",
                answer.text
            );
        }
    }
    let root = get(&both.crucible, "/").await;
    assert_eq!(root.text.trim_end().lines().count(), 1, "{}", root.text);
    // What it lists is there.
    let listed = root.text.split("there are: ").nth(1).expect("a list");
    for endpoint in listed.trim().split(", ") {
        let (method, path) = endpoint.split_once(' ').expect("a method and a path");
        let method: Method = method.parse().expect("a method");
        let request = client().request(method, both.crucible.at(path)).body("{}");
        let status = request.send().await.expect("an answer").status().as_u16();
        assert!(status != 404 && status != 405, "{endpoint}: {status}");
    }
}

#[tokio::test]
async fn an_empty_body_is_answered_with_what_the_path_needs() {
    let both = Both::start().await;
    for (path, needed) in [
        ("/v1/chat/completions", &["messages"][..]),
        ("/v1/responses", &["input"]),
        ("/v1/messages", &["messages"]),
        ("/v1/messages/count_tokens", &["messages"]),
        ("/v1/completions", &["prompt"]),
        ("/v1/embeddings", &["input"]),
        ("/v1/rerank", &["query", "documents"]),
    ] {
        for body in ["", " \r\n"] {
            let request = client().post(both.crucible.at(path)).body(body);
            let answer = whole(request.send().await.expect("an answer")).await;
            assert_eq!(answer.status, 400, "{path}: {}", answer.text);
            let message = answer.message();
            assert!(
                message.starts_with("the body is empty; "),
                "{path}: {message}"
            );
            for name in ["messages", "prompt", "input", "query", "documents"] {
                let is_named = message.contains(&format!("`{name}`"));
                assert_eq!(is_named, needed.contains(&name), "{path}: {message}");
            }
        }
    }
}

#[tokio::test]
async fn a_misspelt_path_is_answered_in_the_format_of_the_one_that_is_meant() {
    let both = Both::start().await;
    for (path, meant, kind) in [
        ("/V1/messages", "/v1/messages", "anthropic"),
        ("/v1/Messages/", "/v1/messages", "anthropic"),
        ("/v1/mesages", "/v1/messages", "anthropic"),
        ("/message", "/v1/messages", "anthropic"),
        (
            "/V1/Messages/Count_Tokens",
            "/v1/messages/count_tokens",
            "anthropic",
        ),
        ("/v1/Chat/Completions", "/v1/chat/completions", "openai"),
        ("/v1/response", "/v1/responses", "openai"),
        ("/V1/models", "/v1/models", "openai"),
        ("/API/tagz", "", "ollama"),
        ("/v1/images", "", "openai"),
    ] {
        let request = client().post(both.crucible.at(path)).body("{}");
        let answer = whole(request.send().await.expect("an answer")).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text);
        let error = &answer.json["error"];
        let found = match (answer.json["type"].as_str(), error["code"].as_str()) {
            (Some("error"), None) => "anthropic",
            (None, Some(_)) => "openai",
            _ if error.is_string() => "ollama",
            _ => "no known",
        };
        assert_eq!(found, kind, "{path}: {}", answer.text);
        let said = meant.is_empty() || answer.text.contains(&format!("did you mean {meant}?"));
        assert!(said, "{path}: {}", answer.text);
    }
}

#[tokio::test]
async fn an_unknown_model_is_told_with_what_to_ask_for_instead() {
    let alias = "[[model]]\nname = \"qwem\"\naliases = [\"gpt-4\", \"claude-*\"]\n";
    let both = Both::with(alias, |_| {}, |_| {}).await;
    ready(&both.crucible).await;
    for (model, parts) in [
        (
            "qwne",
            &["nearest: qwen", "to map it, in crucible.toml"][..],
        ),
        (
            "gpt-4",
            &[
                "it is an alias of 'qwem', which no engine has",
                "nearest: qwen",
            ],
        ),
        (
            "claude-opus",
            &["it is an alias of 'qwem'", "nearest: qwen"],
        ),
        ("zzzzzzzz", &["GET /v1/models lists what there is"]),
    ] {
        let answer = post(&both.crucible, &body(model, "hi")).await;
        assert_eq!(answer.status, 404, "{}", answer.text);
        for part in parts {
            assert!(
                answer.message().contains(part),
                "{model}: {part} in {}",
                answer.text
            );
        }
        // The alias itself leads nowhere and is not proposed.
        assert!(
            !answer.message().contains("nearest: gpt-4"),
            "{}",
            answer.text
        );
    }
}

#[tokio::test]
async fn a_budget_is_named_with_what_to_do() {
    let mut slow = Options::lmstudio(&["qwen=1GB"]);
    slow.prefill = 1;
    let slow = start(slow).await;
    let mut heavy = Options::ollama(&["big=1GB"]);
    heavy.load_time = std::time::Duration::from_secs(60);
    let heavy = start(heavy).await;
    let crucible = Crucible::start(&format!(
        "[timeouts]\nfirst_token = \"300ms\"\nload = \"1s\"\n{}{}{}",
        engine("slow", "lmstudio", &slow.url()),
        engine("heavy", "ollama", &heavy.url()),
        "[[engine]]\nname = \"gone\"\nkind = \"openai\"\nurl = \"http://127.0.0.1:1\"\n",
    ));
    ready(&crucible).await;
    for (model, code, part) in [
        (
            "qwen",
            "first_token_timeout",
            "timeouts.first_token; raise it, or send a shorter prompt",
        ),
        (
            "big",
            "load_timeout",
            "raise timeouts.load, or take a smaller model",
        ),
    ] {
        let mut request = body(model, "repeat 1");
        request["stream"] = true.into();
        let answer = post(&crucible, &request).await;
        assert_eq!(
            (answer.status, answer.code()),
            (504, code),
            "{}",
            answer.text
        );
        assert!(answer.message().contains(part), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_missing_key_and_one_over_its_rate_are_named_with_what_to_do() {
    let (_, out, _) = Crucible::command(&["key", "new"], "");
    let block = &out[out.find("[[key]]").expect("a block")..];
    let secret = out
        .split_whitespace()
        .find(|w| w.starts_with("crk-"))
        .expect("a secret");
    let crucible = Crucible::start(&format!("{block}\nrate = \"1/h\"\n"));
    let answer = get(&crucible, "/v1/models").await;
    assert_eq!(answer.status, 401, "{}", answer.text);
    assert!(
        answer.message().contains("`crucible key new` makes one"),
        "{}",
        answer.text
    );
    let ask = || async {
        let request = client().get(crucible.at("/v1/models")).bearer_auth(secret);
        whole(request.send().await.expect("an answer")).await
    };
    assert_eq!(ask().await.status, 200);
    let answer = ask().await;
    assert_eq!(answer.status, 429, "{}", answer.text);
    assert!(
        answer
            .message()
            .contains("is over its `rate`; come back in "),
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn who_finds_a_full_queue_is_not_sent_away_for_longer_than_it_lasts() {
    let mut options = Options::lmstudio(&["qwen=1GB"]);
    options.rate = 40;
    let sim = start(options).await;
    let crucible = Crucible::start(&format!(
        "{}queue = 64\n",
        engine("lmstudio", "lmstudio", &sim.url())
    ));
    ready(&crucible).await;
    // Before anything was measured: 2 run, 64 wait, the others are refused.
    let request = body("qwen", "repeat 4");
    let began = std::time::Instant::now();
    let answers = join_all((0..90).map(|_| post(&crucible, &request))).await;
    let drained = began.elapsed().as_secs() + 1;
    let refused: Vec<u64> = answers
        .iter()
        .filter(|answer| answer.status == 429)
        .map(|answer| answer.header("retry-after").parse().expect("seconds"))
        .collect();
    assert!(refused.len() >= 20, "{}", refused.len());
    let longest = refused.iter().max().expect("one");
    assert!(
        *longest <= 15,
        "Retry-After: {longest}, and the queue drained in {drained} s"
    );
    // Once measured, it is what the line is expected to take.
    let answers = join_all((0..90).map(|_| post(&crucible, &request))).await;
    for answer in answers.iter().filter(|answer| answer.status == 429) {
        let told: u64 = answer.header("retry-after").parse().expect("seconds");
        assert!(
            told <= 4 * drained + 2,
            "{told} s, the line before took {drained} s"
        );
    }
}
