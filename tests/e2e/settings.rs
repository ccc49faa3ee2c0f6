//! The 39 settings: what is said of them while the engines are right and while they are wrong.

use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{body, get, post},
    engines::{Both, client, engine, start},
    rest::{eventually, ready},
};
use serde_json::{Value, json};

const MODELS: [&str; 2] = ["qwen", "llama3.2:3b"];

/// One row as `GET /crucible/tunings` tells it.
async fn row(crucible: &Crucible, number: usize) -> Value {
    get(crucible, "/crucible/tunings").await.json["tunings"][number - 1].clone()
}

/// Numbers of the rows in a state.
fn numbers(report: &Value, state: &str) -> Vec<u64> {
    let rows = report["tunings"].as_array().expect("rows");
    rows.iter()
        .filter(|row| row["state"] == state)
        .filter_map(|row| row["number"].as_u64())
        .collect()
}

async fn call(sim: &Sim, path: &str, body: &Value) {
    let answer = client()
        .post(format!("{}{path}", sim.url()))
        .json(body)
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn what_crucible_loads_is_in_effect() {
    let both = Both::start().await;
    ready(&both.crucible).await;
    for model in MODELS {
        let answer = post(&both.crucible, &body(model, "repeat 1")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    let report = get(&both.crucible, "/crucible/tunings").await.json;
    assert_eq!(numbers(&report, "not_in_effect"), [0_u64; 0], "{report}");
    let proved = numbers(&report, "in_effect");
    for number in [
        3, 5, 7, 8, 11, 12, 13, 14, 15, 17, 18, 19, 21, 22, 23, 24, 27, 28,
    ] {
        let row = &report["tunings"][number - 1];
        assert!(proved.contains(&(number as u64)), "{row}");
    }
    for number in [31, 32, 33, 38] {
        let row = &report["tunings"][number - 1];
        assert_eq!(row["state"], "superseded", "{row}");
    }
    assert_eq!(numbers(&report, "not_applicable").first(), Some(&20));
    let context = &report["tunings"][12]["evidence"];
    assert!(
        context
            .as_str()
            .is_some_and(|e| e.contains("8192 for 2 requests; found 8192 on qwen")),
        "{context}"
    );
    // The sims are no process of the engine's name.
    let threads = &report["tunings"][24];
    assert_eq!(threads["state"], "unverifiable", "{threads}");
    assert!(
        threads["evidence"]
            .as_str()
            .is_some_and(|e| e.contains("which is not ollama"))
    );
    assert_eq!(report["findings"], json!([]));
}

#[tokio::test]
async fn what_somebody_loaded_otherwise_is_not_in_effect() {
    let both = Both::start().await;
    ready(&both.crucible).await;
    let load = json!({
        "model": "qwen", "context_length": 2048, "eval_batch_size": 2048, "flash_attention": false,
    });
    call(&both.lmstudio, "/api/v1/models/load", &load).await;
    let load = json!({"model": "llama3.2:3b", "options": {"num_ctx": 1024}});
    call(&both.ollama, "/api/generate", &load).await;
    let report = get(&both.crucible, "/crucible/tunings").await.json;
    assert_eq!(
        numbers(&report, "not_in_effect"),
        [7, 8, 13, 27, 32, 33, 34],
        "{report}"
    );
    let say = |number: usize| {
        let row = &report["tunings"][number - 1];
        format!("{} {}", row["evidence"], row["advice"])
    };
    for (number, parts) in [
        (7, ["asked 512; found 2048 on qwen", "lms unload qwen"]),
        (8, ["asked true; found false on qwen", "lms unload qwen"]),
        (13, ["found 2048 on qwen", "lms unload qwen"]),
        (
            27,
            [
                "asked 4096 per request; found 1024",
                "ollama stop llama3.2:3b",
            ],
        ),
        (32, ["size_vram in GET /api/ps", "ollama stop llama3.2:3b"]),
    ] {
        for part in parts {
            assert!(say(number).contains(part), "{part}: {}", say(number));
        }
    }
    let findings = report["findings"].to_string();
    assert!(
        findings.contains("just-in-time loading or by hand"),
        "{findings}"
    );
    assert!(
        findings.contains("of a GPU that another engine owns"),
        "{findings}"
    );
    // The metric says the same.
    let metrics = get(&both.crucible, "/metrics").await.text;
    let series = "crucible_tuning_state{setting=\"ollama.context_size\",state=\"not_in_effect\"} 1";
    assert!(metrics.contains(series), "{metrics}");
    let all = metrics
        .lines()
        .filter(|l| l.starts_with("crucible_tuning_state{"));
    assert_eq!(all.count(), 39);
}

#[tokio::test]
async fn a_switch_of_lm_studio_is_read_from_its_lists() {
    for (jit, state) in [(true, "in_effect"), (false, "not_in_effect")] {
        let both = Both::with("", |options| options.jit = jit, |_| {}).await;
        ready(&both.crucible).await;
        let told = row(&both.crucible, 4).await;
        assert_eq!(told["state"], state, "{told}");
    }
}

#[tokio::test]
async fn a_second_instance_and_too_many_models_are_told() {
    let both = Both::start().await;
    ready(&both.crucible).await;
    for model in ["qwen", "qwen", "shared"] {
        call(
            &both.lmstudio,
            "/api/v1/models/load",
            &json!({"model": model}),
        )
        .await;
    }
    let report = get(&both.crucible, "/crucible/tunings").await.json;
    let told = &report["tunings"][2];
    assert_eq!(told["state"], "not_in_effect", "{told}");
    assert!(
        told["evidence"]
            .as_str()
            .is_some_and(|e| e.contains("found 3 loaded")),
        "{told}"
    );
    let findings = report["findings"].to_string();
    assert!(
        findings.contains("qwen is loaded more than once: qwen:2"),
        "{findings}"
    );
}

#[tokio::test]
async fn budgets_are_judged_by_the_schedulers_own_account() {
    let pools = "[pool.gpu]\nmemory = \"8GB\"\n[pool.cpu]\nbudget = \"5GB\"\n\
                 [tuning.ollama]\nmemory_limit = \"5GB\"\n";
    let both = Both::with(pools, |_| {}, |_| {}).await;
    ready(&both.crucible).await;
    for model in MODELS {
        let answer = post(&both.crucible, &body(model, "repeat 1")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    let say = async |number: usize, state: &str| {
        let told = row(&both.crucible, number).await;
        assert_eq!(told["state"], state, "{told}");
        told["evidence"].as_str().expect("evidence").to_owned()
    };
    let gpu = say(1, "in_effect").await;
    assert!(
        gpu.contains(
            "asked at most 6.4 GB (0.8 of 8.0 GB); found pool gpu: budget 6.4 GB, used 5.0 GB in"
        ),
        "{gpu}"
    );
    let cpu = say(24, "in_effect").await;
    assert!(
        cpu.contains("found pool cpu: budget 5.0 GB, used "),
        "{cpu}"
    );
    assert!(cpu.contains(" in 1 loaded model, largest seen "), "{cpu}");
    // By hand, past Crucible: 2 GB beside 4 GB, and twice.
    for _ in 0..2 {
        call(
            &both.lmstudio,
            "/api/v1/models/load",
            &json!({"model": "shared"}),
        )
        .await;
    }
    let gpu = say(1, "not_in_effect").await;
    assert!(gpu.contains(" in 3 loaded models, largest seen "), "{gpu}");
}

#[tokio::test]
async fn another_quantization_than_the_preferred_is_told_where_there_is_a_choice() {
    let lmstudio = start(Options::lmstudio(&["qwen=1GB"])).await;
    let ollama = start(Options::ollama(&["llama:3b-q8_0=1GB", "llama:3b-q4_0=1GB"])).await;
    let crucible = Crucible::start(&format!(
        "{}{}",
        engine("lmstudio", "lmstudio", &lmstudio.url()),
        engine("ollama", "ollama", &ollama.url()),
    ));
    ready(&crucible).await;
    let answer = post(&crucible, &body("llama:3b-q4_0", "repeat 1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let told = row(&crucible, 28).await;
    assert_eq!(told["state"], "in_effect", "{told}");
    let evidence = told["evidence"].as_str().expect("evidence");
    assert!(
        evidence.contains("'llama:3b' goes to llama:3b-q4_0"),
        "{told}"
    );
    let answer = post(&crucible, &body("llama:3b-q8_0", "repeat 1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let told = eventually("the other quantization", || async {
        let told = row(&crucible, 28).await;
        (told["state"] == "not_in_effect").then_some(told)
    })
    .await;
    assert_eq!(told["advice"], "ask for llama:3b-q4_0 instead", "{told}");
}

#[tokio::test]
async fn warm_models_are_looked_for() {
    let both = Both::with("[startup]\nwarm = [\"qwen\", \"absent\"]\n", |_| {}, |_| {}).await;
    ready(&both.crucible).await;
    eventually("the warm model, and that the other is missing", || async {
        let told = row(&both.crucible, 20).await;
        let evidence = told["evidence"].as_str()?.to_owned();
        let missing = evidence.contains("found absent is not loaded");
        (told["state"] == "not_in_effect" && missing).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_doctor_tells_what_is_wrong_with_and_without_an_instance() {
    let both = Both::start().await;
    ready(&both.crucible).await;
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = folder.path().join("crucible.toml");
    let doctor = async |toml: String, args: &'static [&'static str]| {
        std::fs::write(&path, toml).expect("written");
        let file = path.display().to_string();
        let run = move || {
            let mut all = vec!["doctor", "--config", &file];
            all.extend(args);
            Crucible::command(&all, "")
        };
        tokio::task::spawn_blocking(run).await.expect("it ran")
    };
    let running = || format!("listen = \"{}\"\n", both.crucible.addr());
    let alone = || {
        format!(
            "listen = \"127.0.0.1:0\"\n{}{}",
            engine("lmstudio", "lmstudio", &both.lmstudio.url()),
            engine("ollama", "ollama", &both.ollama.url()),
        )
    };
    for toml in [running(), alone()] {
        let (code, out, err) = doctor(toml, &[]).await;
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
        assert!(out.contains("20 + 11 + 8 = 39 settings: "), "{out}");
        assert!(
            out.contains("LM Studio (20)") && out.contains("Ollama (11)"),
            "{out}"
        );
    }
    let load = json!({"model": "qwen", "context_length": 1024});
    call(&both.lmstudio, "/api/v1/models/load", &load).await;
    for (toml, instance) in [(running(), true), (alone(), false)] {
        let (code, out, err) = doctor(toml, &[]).await;
        assert_eq!(code, 1, "{out}");
        assert_eq!(err.trim(), "1 setting is not in effect");
        for part in [
            "lmstudio.context_length (row 13) is not in effect\n  asked 4096 per request",
            "\n  found 1024 on qwen\n  read from loaded_instances[].config.context_length",
            "\n  fix: lms unload qwen",
        ] {
            assert!(out.contains(part), "{part}: {out}");
        }
        assert_eq!(out.contains("No instance answered"), !instance, "{out}");
    }
    let (code, out, _) = doctor(alone(), &["--json"]).await;
    assert_eq!(code, 1);
    let json: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(numbers(&json, "not_in_effect"), [13]);
    let policy = &json["tunings"][10];
    assert_eq!(policy["state"], "unverifiable", "{policy}");
    // It looked, and loaded nothing.
    assert_eq!(both.lmstudio.log().loads.len(), 1);
}

#[tokio::test]
async fn an_engine_that_hangs_does_not_hold_the_answer() {
    // It takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    let lmstudio = start(Options::lmstudio(&["qwen=1GB"])).await;
    let crucible = Crucible::start(&format!(
        "{}{}",
        engine("lmstudio", "lmstudio", &lmstudio.url()),
        engine("ollama", "ollama", &url),
    ));
    ready(&crucible).await;
    let asked = std::time::Instant::now();
    let told = row(&crucible, 27).await;
    // 2 s, and the rest for a busy machine.
    assert!(asked.elapsed().as_secs() < 20, "{:?}", asked.elapsed());
    assert_eq!(told["state"], "unverifiable", "{told}");
    assert!(
        told["evidence"]
            .as_str()
            .is_some_and(|e| e.contains("ollama is down")),
        "{told}"
    );
}
