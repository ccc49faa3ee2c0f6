//! A Modelfile's context on a real Ollama (`TEST_OLLAMA_URL`, `TEST_OLLAMA_MODEL`). The model that the
//! test makes is deleted afterwards.

use std::panic::AssertUnwindSafe;

use crucible_tests::{
    Crucible,
    chat::{body, post},
    engines::{client, engine},
    relay::listed,
    rest::ready,
    target::Target,
};
use futures_util::FutureExt as _;
use serde_json::{Value, json};

const MADE: &str = "crucible-test-modelfile:latest";
const CONTEXT: u64 = 6000;

#[tokio::test(flavor = "multi_thread")]
async fn a_real_modelfiles_context_is_what_its_model_is_loaded_with() {
    let Some(target) = Target::real_ollama().await else {
        return;
    };
    let url = target.url.clone().expect("a URL");
    let create = json!({
        "model": MADE, "from": target.model, "parameters": { "num_ctx": CONTEXT }, "stream": false,
    });
    let made = client()
        .post(format!("{url}/api/create"))
        .json(&create)
        .send()
        .await;
    assert!(made.expect("Ollama answers").status().is_success());
    let ended = AssertUnwindSafe(proved(&target, &url)).catch_unwind().await;
    for (path, body) in [
        ("generate", json!({ "model": MADE, "keep_alive": 0 })),
        ("delete", json!({ "model": MADE })),
    ] {
        let method = if path == "delete" {
            reqwest::Method::DELETE
        } else {
            reqwest::Method::POST
        };
        let send = client()
            .request(method, format!("{url}/api/{path}"))
            .json(&body);
        assert!(
            send.send()
                .await
                .expect("Ollama answers")
                .status()
                .is_success()
        );
    }
    if let Err(panic) = ended {
        std::panic::resume_unwind(panic);
    }
}

async fn proved(target: &Target, url: &str) {
    let own = engine("ollama", "ollama", url);
    // Other names over the same weights may have Modelfiles of their own.
    let crucible = Crucible::start(&format!(
        "{own}device = \"cpu\"\n[[model]]\nname = \"*\"\nmodelfile_context = false\n\
         [[model]]\nname = \"{MADE}\"\n"
    ));
    ready(&crucible).await;
    let mut request = body(MADE, "Say hi");
    request["max_tokens"] = 4.into();
    let told = client()
        .post(crucible.at("/crucible/explain"))
        .json(&request)
        .send();
    let told: Value = told.await.expect("an answer").json().await.expect("JSON");
    let filled = &told["defaults"]["context"];
    assert_eq!(
        filled,
        &json!({ "value": CONTEXT, "from": "modelfile" }),
        "{told}"
    );
    for model in [MADE, target.model.as_str(), MADE] {
        request["model"] = model.into();
        let answer = post(&crucible, &request).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let held = listed(&client(), url).await;
        assert_eq!(held.len(), 1, "{held:?}");
        // The weights are one, and so is their load.
        assert_eq!(held[0]["context_length"], CONTEXT, "{model}");
    }
}
