//! The settings of real engines: process checks and probes.

use crucible_tests::{
    Crucible,
    chat::{body, get, post},
    engines::{client, engine},
    rest::{idle, ready},
    target::Target,
};
use serde_json::{Value, json};

async fn row(crucible: &Crucible, number: usize) -> Value {
    get(crucible, "/crucible/tunings").await.json["tunings"][number - 1].clone()
}

#[tokio::test]
async fn threads_batch_mapping_and_context_are_read_from_the_real_runner() {
    let Some(target) = Target::real_ollama().await else {
        return;
    };
    let url = target.url.clone().expect("a URL");
    let model = target.model.clone();
    let own = engine("ollama", "ollama", &url);
    let crucible = Crucible::start(&format!("{own}device = \"cpu\"\n"));
    ready(&crucible).await;
    let load = |body: Value| {
        client()
            .post(format!("{url}/api/generate"))
            .json(&body)
            .send()
    };
    row(&crucible, 27).await;
    let mut request = body(&model, "hello");
    request["max_tokens"] = json!(4);
    let answer = post(&crucible, &request).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    for (number, part) in [
        (25, "read from /proc/"),
        (27, "4096 per request; found 4096"),
        (29, "asked 512; found 512"),
        (30, "the model file is mapped"),
    ] {
        let told = row(&crucible, number).await;
        assert_eq!(told["state"], "in_effect", "{told}");
        assert!(
            told["evidence"].as_str().is_some_and(|e| e.contains(part)),
            "{told}"
        );
    }
    for (number, part) in [(31, "0 kB locked"), (32, "size_vram 0"), (38, "num_thread")] {
        let told = row(&crucible, number).await;
        assert_eq!(told["state"], "superseded", "{told}");
        assert!(
            told["evidence"].as_str().is_some_and(|e| e.contains(part)),
            "{told}"
        );
    }
    // A client that bypasses Crucible.
    let other = json!({
        "model": model, "prompt": "", "stream": false,
        "options": {"num_thread": 1, "num_batch": 256, "use_mmap": false, "num_ctx": 2048},
    });
    assert_eq!(load(other).await.expect("an answer").status(), 200);
    for (number, part) in [
        (25, "found 1"),
        (27, "found 2048"),
        (29, "found 256"),
        (30, "--load-mode none"),
    ] {
        let told = row(&crucible, number).await;
        assert_eq!(told["state"], "not_in_effect", "{told}");
        assert!(
            told["evidence"].as_str().is_some_and(|e| e.contains(part)),
            "{told}"
        );
    }
    let report = get(&crucible, "/crucible/tunings").await.json;
    let findings = report["findings"].as_array().expect("findings");
    let reloaded = findings.iter().find(|f| f["fault"] == "reloaded");
    let reloaded = reloaded.unwrap_or_else(|| panic!("{report}"));
    let found = reloaded["found"].as_str().unwrap_or_default();
    assert!(
        found.contains("has 2048 and was not loaded by Crucible"),
        "{found}"
    );
}

#[tokio::test]
async fn the_context_of_the_real_ollama_is_probed() {
    let Some(target) = Target::real_ollama().await else {
        return;
    };
    let url = target.url.clone().expect("a URL");
    let own = engine("ollama", "ollama", &url);
    let crucible = Crucible::start(&format!(
        "{own}device = \"cpu\"\n[tuning.ollama]\ncontext_size = 512\n"
    ));
    ready(&crucible).await;
    let mut request = body(&target.model, "hello");
    request["max_tokens"] = json!(4);
    let answer = post(&crucible, &request).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    idle(&crucible, Some(&target.model)).await;
    let (_, _, said) = crucible.beside(&["doctor", "--probe"]).await;
    let words = "a prompt of about 306 tokens was read whole, one of about 640 was refused";
    assert!(said.contains(words), "{said}");
    let told = row(&crucible, 27).await;
    assert_eq!(told["state"], "in_effect", "{told}");
    let evidence = told["evidence"].as_str().unwrap_or_default();
    assert!(evidence.contains(words), "{told}");
}

#[tokio::test]
async fn the_context_of_a_real_llamacpp_that_is_a_child_is_probed() {
    let Some(target) = Target::real_llamacpp().await else {
        return;
    };
    let crucible = target.crucible_with(512).await;
    let mut request = body(&target.model, "hello");
    request["max_tokens"] = json!(4);
    let answer = post(&crucible, &request).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    idle(&crucible, None).await;
    let (_, _, said) = crucible.beside(&["doctor", "--probe"]).await;
    let words = "a prompt of about 306 tokens was read whole, one of about 640 was refused for a \
                 context of 512";
    assert!(said.contains(words), "{said}");
}
