//! LM Studio: loads through its API, and nobody's model is touched.

use crucible_sim::{LoadEntry, LogView, Options, Sim};
use crucible_tests::engines::{client, engine, start, until};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{crucible, undisturbed, variant};

async fn sim() -> Sim {
    let mut options = Options::lmstudio(&["small=1GB:ctx32768", "large=2GB"]);
    options.rate = 200;
    options.prefill = 10_000;
    start(options).await
}

fn toml(sim: &Sim, folder: &TempDir, more: &str) -> String {
    format!(
        "listen = \"127.0.0.1:0\"\nstate_dir = '{}'\n{}{more}",
        folder.path().join("state").display(),
        engine("studio", "lmstudio", &sim.url()),
    )
}

async fn load(sim: &Sim, model: &str) {
    let request = client().post(format!("{}/api/v1/models/load", sim.url()));
    let answer = request.json(&json!({"model": model})).send().await;
    assert!(answer.expect("an answer").status().is_success());
}

async fn residents(sim: &Sim) -> Vec<String> {
    let answer = client().get(format!("{}/api/v1/models", sim.url())).send();
    let list: Value = answer.await.expect("an answer").json().await.expect("JSON");
    let models = list["models"].as_array().expect("models").iter();
    let instances = models.flat_map(|m| m["loaded_instances"].as_array().expect("instances"));
    instances
        .filter_map(|i| i["id"].as_str().map(str::to_owned))
        .collect()
}

/// What each load asked for, once each: context, batch, flash attention.
fn loads(log: &LogView) -> Vec<(u64, u64, bool)> {
    let mut seen = Vec::new();
    for load in &log.loads {
        let of = |key: &str| load.tuple[key].as_u64().expect("a number");
        let attention = load.tuple["flash_attention"].as_bool().expect("a switch");
        let told = (of("context_length"), of("eval_batch_size"), attention);
        if !seen.contains(&told) {
            seen.push(told);
        }
    }
    seen
}

#[tokio::test]
async fn each_variant_is_loaded_with_its_fields_and_unloaded() {
    let measure = async || {
        let (sim, folder) = (sim().await, TempDir::new().expect("a folder"));
        let args = ["--rounds", "4", "--json"];
        let toml = toml(&sim, &folder, "");
        let (code, out, err) = crucible(folder.path(), &toml, "bench", &args).await;
        assert_eq!(code, 0, "{err}");
        let told: Value = serde_json::from_str(&out).expect("JSON");
        (sim, told)
    };
    // Four requests at once get more done than two, and each generates at the simulator's 200 tokens a
    // second.
    let measured_well = |told: &Value| {
        let parallel = &variant(told, "parallel 4")["metrics"]["tokens_per_s"];
        let generated = &variant(told, "profile")["metrics"]["generated_per_s"]["summary"];
        let rate = generated["median"].as_f64().expect("a rate");
        parallel["verdict"] == "better" && (20.0..220.0).contains(&rate)
    };
    let (sim, told) = undisturbed(measure, |(_, told)| measured_well(told)).await;
    assert!(measured_well(&told), "{told}");
    let log = sim.log();
    // LM Studio's defaults, the profile for two requests, then one option changed each.
    let expected = [
        (32768, 512, true),
        (8192, 512, true),
        (8192, 128, true),
        (8192, 512, false),
        (4096, 512, true),
        (16384, 512, true),
    ];
    assert_eq!(loads(&log), expected, "{:?}", log.loads);
    assert!(log.loads.iter().all(|l| l.model == "small" && !l.jit));
    assert_eq!((log.loads.len(), log.unloads.len()), (24, 24));
    assert!(
        log.unloads
            .iter()
            .all(|u| u.cause == "request" && u.active == 0)
    );
    assert_eq!(residents(&sim).await, Vec::<String>::new());
    assert_eq!(log.peak_in_flight, 4);
    // LM Studio tells no memory over REST.
    let memory = &variant(&told, "profile")["metrics"]["memory_bytes"]["summary"];
    assert_eq!(*memory, Value::Null);
    assert_eq!(told["not_varied"][1]["setting"], "K/V type", "{told}");
}

#[tokio::test]
async fn over_the_websocket_api_the_cache_type_is_varied_too() {
    let (sim, folder) = (sim().await, TempDir::new().expect("a folder"));
    let toml = toml(&sim, &folder, "websocket = true\n");
    let args = ["--rounds", "1", "--json"];
    let (code, out, err) = crucible(folder.path(), &toml, "bench", &args).await;
    assert_eq!(code, 0, "{err}");
    let told: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(variant(&told, "K/V type q8_0")["options"]["cache"], "q8_0");
    let log = sim.log();
    let fields = |of: &LoadEntry, key: &str| {
        let fields = of.tuple["fields"].as_array().into_iter().flatten();
        let mut found = fields.filter(|f| f["key"].as_str().is_some_and(|k| k.contains(key)));
        found.next().map(|f| f["value"].clone())
    };
    let cache = |of: &LoadEntry, key: &str| fields(of, key).map(|value| value["value"].clone());
    // Nothing is asked for where the engine's defaults are measured.
    assert_eq!(cache(&log.loads[0], "kCacheQuantization"), None);
    assert_eq!(
        cache(&log.loads[1], "kCacheQuantization"),
        Some(json!("f16"))
    );
    let last = log.loads.last().expect("loads");
    assert_eq!(cache(last, "kCacheQuantization"), Some(json!("q8_0")));
    assert_eq!(cache(last, "vCacheQuantization"), Some(json!("q8_0")));
    assert_eq!(residents(&sim).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_persons_model_is_named_and_stays() {
    let (sim, folder) = (sim().await, TempDir::new().expect("a folder"));
    load(&sim, "large").await;
    let (code, _, err) = crucible(folder.path(), &toml(&sim, &folder, ""), "bench", &[]).await;
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("large is loaded on studio"), "{err}");
    assert!(err.contains("lms unload large"), "{err}");
    assert_eq!(residents(&sim).await, ["large"]);
    let log = sim.log();
    assert_eq!((log.loads.len(), log.unloads.len()), (1, 0));
}

#[tokio::test]
async fn a_model_that_somebody_loads_meanwhile_ends_it_and_stays() {
    let (sim, folder) = (sim().await, TempDir::new().expect("a folder"));
    let toml = toml(&sim, &folder, "");
    let args = ["--rounds", "100", "--json"];
    let person = async {
        until(&sim, "a run that is over", |log| !log.unloads.is_empty()).await;
        load(&sim, "large").await;
    };
    let (told, ()) = tokio::join!(crucible(folder.path(), &toml, "bench", &args), person);
    let (code, out, err) = told;
    assert_eq!(code, 0, "{err}");
    let told: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(
        told["ended_early"], "somebody loaded large meanwhile",
        "{out}"
    );
    assert_eq!(residents(&sim).await, ["large"]);
}

#[tokio::test]
async fn an_engine_that_is_only_observed_is_left_alone() {
    let (sim, folder) = (sim().await, TempDir::new().expect("a folder"));
    let toml = toml(&sim, &folder, "manage = \"observe\"\n");
    let (code, _, err) = crucible(folder.path(), &toml, "bench", &[]).await;
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("manage = \"observe\""), "{err}");
    assert!(sim.log().loads.is_empty());
}
