//! The names of models that a configuration uses: which of them the engines have, and how they are used.

use super::*;

/// (lines, names that `check` refuses while the engines answer).
const NAMES: &[(&str, &[&str])] = &[
    (
        "default_model = \"quen\"\n",
        &["default_model", "\"quen\"", "did you mean qwen?"],
    ),
    (
        "[startup]\nwarm = [\"absent\"]\n",
        &["startup.warm", "\"absent\""],
    ),
    (
        "[scheduler]\nsmall_model = \"absent\"\n",
        &["scheduler.small_model"],
    ),
    (
        "[[model]]\nname = \"absent\"\naliases = [\"gpt-4\"]\n",
        &["model[0].name", "\"absent\""],
    ),
    (
        "[[model]]\nname = \"qwen\"\nfallback = [\"absent\"]\n",
        &["model[0].fallback"],
    ),
    (
        "[virtual]\nmine = [\"ollama/absent*\"]\n",
        &["virtual.mine", "\"ollama/absent*\""],
    ),
    ("[virtual]\nmine = [\"absent\"]\n", &["virtual.mine"]),
    (
        "[[rule]]\nwhen = { tools = true }\nuse = \"absent\"\n",
        &["rule[0].use"],
    ),
    (
        "[[rule]]\nwhen = { tools = true }\nuse = \"olama\"\n",
        &["rule[0].use"],
    ),
    // What is there, in every way to name it.
    (
        "default_model = \"QWEN\"\n[startup]\nwarm = [\"lmstudio/qwen\"]\n",
        &[],
    ),
    (
        "[scheduler]\nsmall_model = \"llama3.2:3b\"\n[virtual]\nmine = [\"ollama/*\", \"qw*\", \"fast\"]\n",
        &[],
    ),
    (
        "[[rule]]\nwhen = { tools = true }\nuse = \"ollama\"\n[[rule]]\nuse = \"quality\"\n",
        &[],
    ),
    (
        "default_model = \"mine\"\n[[model]]\nname = \"qwen\"\naliases = [\"mine\", \"gpt-*\"]\nfallback = [\"auto\"]\n",
        &[],
    ),
];

#[tokio::test]
async fn names_of_models_are_looked_up_where_the_engines_answer() {
    let both = Both::start().await;
    ready(&both.crucible).await;
    for (lines, parts) in NAMES {
        let text = format!(
            "{lines}{}{}",
            engine("lmstudio", "lmstudio", &both.lmstudio.url()),
            engine("ollama", "ollama", &both.ollama.url()),
        );
        let folder = folder(&text);
        let (code, _, err) = off_the_runtime(&folder.path().join("crucible.toml")).await;
        let expected = if parts.is_empty() { 0 } else { 2 };
        assert_eq!(code, Some(expected), "{lines}: {err}");
        assert_eq!(err.is_empty(), parts.is_empty(), "{lines}: {err}");
        for part in *parts {
            assert!(err.contains(part), "{lines}: {part} in {err}");
        }
    }
}

#[tokio::test]
async fn a_name_that_only_an_engine_that_is_down_could_know_is_told_and_not_refused() {
    let sim = start(Options::lmstudio(&["qwen=1GB"])).await;
    let engines = format!(
        "{}{}",
        engine("lmstudio", "lmstudio", &sim.url()),
        engine("down", "ollama", "http://127.0.0.1:1"),
    );
    let folder = folder(&format!("default_model = \"llama3.2:3b\"\n{engines}"));
    let (code, out, err) = off_the_runtime(&folder.path().join("crucible.toml")).await;
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("fine"), "{out}");
    assert!(
        err.contains("not every engine answers: default_model = \"llama3.2:3b\""),
        "{err}"
    );
}

#[tokio::test]
async fn aliases_in_a_circle_answer_all_the_same() {
    let circle = "[[model]]\nname = \"a\"\naliases = [\"b\"]\n[[model]]\nname = \"b\"\naliases = [\"a\"]\n\
                  [[model]]\nname = \"qwen\"\naliases = [\"c\"]\nfallback = [\"c\", \"a\"]\n";
    let both = Both::with(circle, |_| {}, |_| {}).await;
    for (model, status) in [("a", 404), ("b", 404), ("c", 200), ("qwen", 200)] {
        let answer = post(&both.crucible, &body(model, "repeat 1")).await;
        assert_eq!(answer.status, status, "{model}: {}", answer.text);
    }
    let said = post(&both.crucible, &body("a", "repeat 1")).await;
    assert!(
        said.message()
            .contains("it is an alias of 'b', which no engine has"),
        "{}",
        said.text
    );
}

#[tokio::test]
async fn a_listed_model_with_a_very_long_name_is_usable() {
    let name = format!("hf.co/{}/{}:q4_0", "o".repeat(300), "m".repeat(400));
    let sim = start(Options::ollama(&[&format!("{name}=1GB")])).await;
    let crucible = Crucible::start(&engine("ollama", "ollama", &sim.url()));
    ready(&crucible).await;
    for asked in [name.clone(), format!("ollama/{name}")] {
        let answer = post(&crucible, &body(&asked, "repeat 1")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.header("x-crucible-model"), name);
    }
}
