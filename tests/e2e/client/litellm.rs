//! LiteLLM, which many programs ask models with, by its provider of OpenAI (`openai/NAME`) and by that of Ollama
//! (`ollama_chat/NAME`).
//!
//! `TEST_LITELLM` names an interpreter that can import `litellm`; without it a virtual environment with the versions
//! of `litellm/requirements.txt` is made in the target folder.

use std::path::PathBuf;

use crucible_tests::{Crucible, binary::root, engines::EveryKind};
use serde_json::json;

use super::{anthropic::loop_of_three, python_with, run_with};

/// The folder of the script and of the pinned versions.
const FOLDER: &str = "tests/e2e/client/litellm";

#[tokio::test]
async fn litellm_is_served_by_both_of_its_providers() {
    let models = ["qwen", "llama3.2:3b", "local", "other"];
    let each = models.map(|model| [model]);
    let kinds = EveryKind::start([&each[0], &each[1], &each[2], &each[3]]).await;
    for engine in kinds.all() {
        engine.converse(vec![loop_of_three()]);
    }
    let crucible = Crucible::start(&kinds.config());
    let url = crucible.at("");
    let told = tokio::task::spawn_blocking(move || {
        let script = root().join(FOLDER).join("drive.py");
        run_with(&python(), &script, &url, &models)
    });
    let told = told.await.expect("the client runs");
    for provider in ["openai", "ollama_chat"] {
        for model in models {
            let calls = json!([[["Bash", "ls"], ["Bash", "wc"]], "Found 7"]);
            let expected = json!({
                "whole": ["word0 word1 word2", "stop", [true, 3]],
                "streamed": ["word0 word1 word2 word3", "stop", [true, 4]],
                "short": "length",
                "loop": calls,
                "streamed loop": calls,
            });
            assert_eq!(told[provider][model], expected, "{provider}/{model}");
        }
    }
    let unknown = |provider: &str| told[provider]["unknown model"].clone();
    assert_eq!(unknown("openai"), json!(["NotFoundError", 404]));
    assert_eq!(unknown("ollama_chat")[1], 404, "{told}");
}

/// An interpreter with LiteLLM.
fn python() -> PathBuf {
    let requirements = root().join(FOLDER).join("requirements.txt");
    let requirements = requirements.to_string_lossy();
    python_with(
        "TEST_LITELLM",
        "clients-litellm",
        "litellm",
        &["--no-deps", "--no-compile", "-r", &requirements],
    )
}
