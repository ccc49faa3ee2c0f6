//! Settings that cannot be: told with name and range before anything is applied, or, where only an
//! engine knows, as soon as it has told.

use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible, binary,
    chat::{body, get, post},
    engines::{Both, engine, start},
    rest::{logged, ready},
};
use serde_json::Value;
use tempfile::TempDir;

/// (lines of the file, parts of what is said).
const BAD: &[(&str, &[&str])] = &[
    (
        "[tuning.lmstudio]\ngpu_memory_fraction = 1.4\n",
        &[
            "tuning.lmstudio.gpu_memory_fraction: found 1.4",
            "a number from 0 to 1",
        ],
    ),
    (
        "[tuning.lmstudio]\ngpu_memory_fraction = 80\n",
        &[
            "tuning.lmstudio.gpu_memory_fraction: found 80",
            "80 % is 0.80",
        ],
    ),
    (
        "[tuning.lmstudio]\ngpu_memory_fraction = 0.0\n",
        &[
            "tuning.lmstudio.gpu_memory_fraction",
            "no memory for 2 models",
        ],
    ),
    (
        "[tuning.lmstudio]\ncontext_length = 0\n",
        &[
            "tuning.lmstudio.context_length: found 0",
            "an integer from 1 to ",
        ],
    ),
    (
        "[tuning.lmstudio]\ncontext_length = \"4k\"\n",
        &[
            "tuning.lmstudio.context_length",
            "a plain number without unit",
        ],
    ),
    (
        "[tuning.ollama]\nnum_threads = -1\n",
        &[
            "tuning.ollama.num_threads: found -1",
            "an integer from 1 to ",
        ],
    ),
    (
        "[tuning.ollama]\nmemory_limit = 16\n",
        &["tuning.ollama.memory_limit", "with its unit: \"16GB\""],
    ),
    (
        "[tuning.ollama]\nmemory_limit = \"5 minutes\"\n",
        &["tuning.ollama.memory_limit", "a size"],
    ),
    (
        "[tuning.lmstudio]\nflash_attention = false\nvalue_cache_quantization = \"q8_0\"\n",
        &[
            "tuning.lmstudio.value_cache_quantization",
            "needs flash attention",
        ],
    ),
    (
        "[pool.gpuu]\nbudget = \"8GB\"\n",
        &["pool.gpuu", "did you mean \"gpu\"?"],
    ),
    (
        "[pool.gpu]\nmemory = \"8GB\"\nbudget = \"9GB\"\n",
        &["pool.gpu.budget", "at most the pool's memory"],
    ),
    (
        "[[engine]]\nname = \"twin\"\nkind = \"openai\"\nurl = \"SIM\"\n",
        &["engine[1].url", "the address of engine \"lmstudio\""],
    ),
    (
        "[[engine]]\nname = \"loop\"\nkind = \"openai\"\nurl = \"http://localhost:18484\"\n",
        &["engine[1].url", "where Crucible itself listens"],
    ),
];

fn run(args: &[&str], env: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut command = std::process::Command::new(binary::crucible());
    command.args(args).envs(env.iter().copied());
    let out = command.output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (out.status.code(), text(&out.stdout), text(&out.stderr))
}

fn asked(sim: &Sim) -> usize {
    sim.log().requests.len()
}

#[tokio::test]
async fn a_bad_setting_is_told_and_no_engine_is_asked_anything() {
    let sim = start(Options::lmstudio(&["qwen=1GB"])).await;
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("crucible.toml");
    let file = path.display().to_string();
    for (lines, parts) in BAD {
        let text = format!(
            "listen = \"127.0.0.1:18484\"\n{}{}",
            engine("lmstudio", "lmstudio", &sim.url()),
            lines.replace("SIM", &sim.url())
        );
        std::fs::write(&path, text).expect("written");
        for command in ["check", "serve", "doctor"] {
            let (code, out, err) = run(&[command, "--config", &file], &[]);
            assert_eq!(
                (code, out.as_str()),
                (Some(2), ""),
                "{command} {lines}: {err}"
            );
            for part in *parts {
                assert!(err.contains(part), "{part}: {err}");
            }
        }
    }
    assert_eq!(asked(&sim), 0, "nothing was applied");
}

#[test]
fn a_variable_is_told_in_the_same_way() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("crucible.toml");
    std::fs::write(&path, "").expect("written");
    let file = path.display().to_string();
    let expected = "an integer from 1 to ";
    let variable = "CRUCIBLE_TUNING__OLLAMA__NUM_THREADS";
    let (code, _, err) = run(&["check", "--config", &file], &[(variable, "-1")]);
    assert_eq!(code, Some(2), "{err}");
    assert!(
        err.contains("tuning.ollama.num_threads") && err.contains(expected),
        "{err}"
    );
    assert!(err.contains(variable), "{err}");
}

#[tokio::test]
async fn of_a_bad_file_nothing_is_applied() {
    let both = Both::start().await;
    ready(&both.crucible).await;
    let text = std::fs::read_to_string(both.crucible.config()).expect("the file");
    let bad = "[[model]]\nname = \"qwen\"\naliases = [\"late\"]\n[tuning.lmstudio]\n\
               temperature = 0.9\ngpu_memory_fraction = 1.4\n";
    std::fs::write(both.crucible.config(), format!("{text}\n{bad}")).expect("written");
    both.crucible.signal("HUP");
    for told in [
        "the old one stays",
        "tuning.lmstudio.gpu_memory_fraction: found 1.4",
        "a number from 0 to 1",
    ] {
        logged(&both.crucible, told).await;
    }
    assert_eq!(
        post(&both.crucible, &body("late", "repeat 1")).await.status,
        404
    );
    assert_eq!(
        post(&both.crucible, &body("qwen", "repeat 1")).await.status,
        200
    );
    let log = both.lmstudio.log();
    let mut sent = log.requests_to("/v1/chat/completions");
    let sent = sent.next().and_then(|r| r.json.clone()).expect("a request");
    assert_eq!(sent["temperature"], 0.3, "{sent}");
}

#[tokio::test]
async fn a_load_option_that_the_engine_refuses_is_told_with_its_row() {
    let mut options = Options::lmstudio(&["qwen=1GB"]);
    options.unknown_keys = vec!["eval_batch_size".to_owned()];
    let sim = start(options).await;
    let crucible = Crucible::start(&engine("lmstudio", "lmstudio", &sim.url()));
    ready(&crucible).await;
    let answer = post(&crucible, &body("qwen", "repeat 1")).await;
    assert_eq!(
        (answer.status, answer.code()),
        (503, "load_failed"),
        "{}",
        answer.text
    );
    for part in [
        "'eval_batch_size'",
        "tuning.lmstudio.batch_size, row 7",
        "an integer from 1",
    ] {
        assert!(answer.message().contains(part), "{part}: {}", answer.text);
        logged(&crucible, part).await;
    }
    // Neither loaded with other options nor used as it may be.
    let log = sim.log();
    assert!(log.loads.is_empty(), "{:?}", log.loads);
    assert_eq!(log.requests_to("/v1/chat/completions").count(), 0);
}

async fn advice(crucible: &Crucible) -> Vec<String> {
    let state = get(crucible, "/crucible/state").await.json;
    let advice = state["engines"][0]["advice"]
        .as_array()
        .expect("a list")
        .clone();
    advice
        .iter()
        .filter_map(|a| a.as_str().map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn a_budget_below_a_pinned_model_is_told_at_the_start_in_the_state_and_by_the_doctor() {
    let sim = start(Options::lmstudio(&["big=20GB", "small=1GB"])).await;
    let toml = format!(
        "{}[pool.gpu]\nbudget = \"8GB\"\n[[model]]\nname = \"big\"\npin = true\n",
        engine("lmstudio", "lmstudio", &sim.url())
    );
    let crucible = Crucible::start(&toml);
    ready(&crucible).await;
    let words = "'big' is pinned and takes 20000 MB without context, but pool 'gpu' may have 8000 \
                 MB; raise `[pool.gpu] budget` or unpin one";
    assert_eq!(advice(&crucible).await, [words]);
    logged(&crucible, words).await;
    let log = crucible.log();
    assert_eq!(log.matches(words).count(), 1, "{log}");
    let told = get(&crucible, "/crucible/tunings").await.json["tunings"][0].clone();
    assert_eq!(told["state"], "not_in_effect", "{told}");
    assert_eq!(
        told["advice"], "raise `[pool.gpu] budget` or unpin one",
        "{told}"
    );
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("crucible.toml");
    std::fs::write(&path, format!("listen = \"{}\"\n{toml}", crucible.addr())).expect("written");
    let file = path.display().to_string();
    let args = ["doctor".to_owned(), "--config".to_owned(), file];
    let doctor =
        tokio::task::spawn_blocking(move || run(&args.each_ref().map(String::as_str), &[]));
    let (code, out, err) = doctor.await.expect("it ran");
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(out.contains("'big' is pinned and takes 20000 MB"), "{out}");
}

#[tokio::test]
async fn sizes_that_cannot_be_are_not_believed() {
    for bytes in [0, 1, u64::MAX] {
        let mut options = Options::lmstudio(&["liar=1GB", "honest=2GB"]);
        options.models[0].bytes = bytes;
        let sim = start(options).await;
        let crucible = Crucible::start(&format!(
            "{}[pool.gpu]\nbudget = \"8GB\"\n",
            engine("lmstudio", "lmstudio", &sim.url())
        ));
        ready(&crucible).await;
        for model in ["liar", "honest", "liar"] {
            let answer = post(&crucible, &body(model, "repeat 1")).await;
            assert_eq!(
                answer.status, 200,
                "{bytes} bytes, {model}: {}",
                answer.text
            );
        }
        let pools: Value = get(&crucible, "/crucible/state").await.json["pools"].clone();
        let used = pools[0]["used_bytes"].as_u64().expect("bytes");
        assert!(used < 8_000_000_000, "{bytes}: {pools}");
        assert_eq!(sim.log().loads.len(), 2, "{bytes}: one load each");
        assert_eq!(advice(&crucible).await, Vec::<String>::new());
    }
}
