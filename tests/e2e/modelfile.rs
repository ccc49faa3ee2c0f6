//! `PARAMETER num_ctx` of a Modelfile: the context of its model, unless something is configured.

use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    chat::{body, post},
    engines::{client, engine, start, until},
};
use serde_json::{Value, json};

async fn explain(crucible: &Crucible, body: &Value) -> Value {
    let url = crucible.at("/crucible/explain");
    let answer = client().post(url).json(body).send().await;
    answer.expect("an answer").json().await.expect("JSON")
}

#[tokio::test]
async fn a_modelfiles_context_is_what_its_model_is_loaded_with() {
    let block = |text: &str| format!("[[model]]\nname = \"mine\"\n{text}\n");
    for (toml, top, context, from) in [
        (String::new(), "", 6000, "modelfile"),
        (String::new(), "profile = \"agent\"\n", 6000, "modelfile"),
        (block("modelfile_context = true"), "", 6000, "modelfile"),
        (block("modelfile_context = false"), "", 4096, "profile"),
        (block("context = 3000"), "", 3000, "model"),
        (
            "[tuning.ollama]\ncontext_size = 5000\n".into(),
            "",
            5000,
            "profile",
        ),
    ] {
        let sim = start(Options::ollama(&["base=1GB", "mine~base+num_ctx=6000"])).await;
        // Without the base's own context, which would count for all names of its weights.
        sim.delete("base");
        let crucible = Crucible::start(&format!(
            "{top}{}\n{toml}",
            engine("one", "ollama", &sim.url())
        ));
        let request = body("mine", "repeat 1");
        let told = explain(&crucible, &request).await;
        let filled = &told["defaults"]["context"];
        assert_eq!(filled, &json!({"value": context, "from": from}), "{toml}");
        let answer = post(&crucible, &request).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let log = until(&sim, "the load", |log| log.loaded() > 0).await;
        assert_eq!(log.loads[0].tuple["num_ctx"], context, "{toml}");
        // One load: every request says the same.
        assert_eq!(post(&crucible, &request).await.status, 200);
        assert_eq!(sim.log().loads.len() + sim.log().reloads.len(), 1, "{toml}");
    }
}

#[tokio::test]
async fn what_is_no_context_is_not_one_and_a_prompt_grows_it_as_any() {
    for (modelfile, loaded) in [
        ("num_ctx=0", 4096),
        ("temperature=1", 4096),
        ("num_ctx=5000", 5000),
    ] {
        let model = format!("mine~base+{modelfile}");
        let sim = start(Options::ollama(&["base=1GB", &model])).await;
        sim.delete("base");
        let crucible = Crucible::start(&engine("one", "ollama", &sim.url()));
        assert_eq!(post(&crucible, &body("mine", "repeat 1")).await.status, 200);
        let first = sim.log().loads[0].tuple["num_ctx"].clone();
        assert_eq!(first, loaded, "{modelfile}");
        let long = body("mine", &"word ".repeat(8000));
        let answer = post(&crucible, &long).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
}
