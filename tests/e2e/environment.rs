//! `crucible env`: what an Ollama is to be started with.

use crucible_tests::{Crucible, engines::engine};

#[test]
fn the_environment_is_rendered_for_an_ollama_only() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = folder.path().join("crucible.toml");
    let toml = format!(
        "{}{}[startup]\nwarm = [\"nomic-embed-text\"]\n",
        engine("gpu", "lmstudio", "http://127.0.0.1:1"),
        engine("cpu", "ollama", "http://127.0.0.1:2"),
    );
    std::fs::write(&path, toml).expect("written");
    let file = path.display().to_string();
    let env = |engine: &str, format: &str| {
        let args = [
            "env", "--engine", engine, "--format", format, "--config", &file,
        ];
        Crucible::command(&args, "")
    };
    for (format, line) in [
        ("systemd", "Environment=\"OLLAMA_MAX_LOADED_MODELS=3\""),
        ("launchd", "<string>127.0.0.1:2</string>"),
        ("powershell", "('CUDA_VISIBLE_DEVICES', '-1', 'User')"),
        ("dotenv", "OLLAMA_NUM_PARALLEL=2"),
    ] {
        let (code, out, err) = env("cpu", format);
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
        assert!(out.contains(line), "{line}: {out}");
        for name in ["OLLAMA_NUM_GPU", "OLLAMA_NUM_THREADS"] {
            let told = out.lines().find(|l| l.contains(name)).expect("a comment");
            assert!(told.contains("superseded by"), "{told}");
        }
        assert!(
            out.contains("nomic-embed-text counts against memory only"),
            "{out}"
        );
    }
    let (code, out, err) = env("gpu", "dotenv");
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    assert!(err.contains("it is no Ollama"), "{err}");
    let (code, out, err) = env("cpu=ollama@http://127.0.0.1:3", "launchd");
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("<string>127.0.0.1:3</string>"), "{out}");
    let (code, _, err) = env("lm=lmstudio@http://127.0.0.1:3", "dotenv");
    assert_eq!(code, 2);
    assert!(err.contains("--engine lm: it is no Ollama"), "{err}");
    let (code, _, err) = env("other", "dotenv");
    assert_eq!(code, 2);
    assert!(err.contains("engines of kind ollama are: cpu"), "{err}");
}
