//! A llama.cpp server that Crucible starts listens on a Unix socket where it can, else on a port.
//!
//! The same with a real one where `TEST_LLAMA_SERVER` names a `llama-server` and `TEST_MODEL_PATH` a
//! small model.

use std::{
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use crucible_tests::{
    Crucible,
    chat::{body, stream},
    rest::{eventually, ready, state},
};
use serde_json::Value;
use tempfile::TempDir;

/// The stand-in under the name of the real program, which decides whether it is asked for its help. The
/// file itself is never written, so that it can be executed at any time.
fn llama_server(folder: &Path) -> PathBuf {
    let program = folder.join("llama-server");
    let stand_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/llama_server.py");
    symlink(stand_in, &program).expect("a link");
    program
}

fn config(state_dir: &Path, command: &[&str], model: &Path) -> String {
    format!(
        "state_dir = {:?}\n[[engine]]\nname = \"own\"\nkind = \"llamacpp\"\nmanage = \"spawn\"\n\
         device = \"cpu\"\npermits = 1\ncommand = {command:?}\nmodel_path = {:?}\n",
        state_dir.display().to_string(),
        model.display().to_string(),
    )
}

fn tiny(folder: &Path) -> PathBuf {
    let model = folder.join("tiny.gguf");
    std::fs::write(&model, "GGUF").expect("written");
    model
}

/// The address of the child after it has answered once.
async fn child_address(crucible: &Crucible, model: &str) -> String {
    ready(crucible).await;
    let mut request = body(model, "repeat 1");
    request["max_tokens"] = 4.into();
    let (_, answer) = stream(crucible, &request).await;
    assert!(!answer.content().is_empty(), "{}", crucible.log());
    eventually("its address in the state", || async {
        let url = state(crucible).await.engines[0].url.clone();
        (!url.is_empty()).then_some(url)
    })
    .await
}

/// The answer of a server on a socket, without Crucible between.
async fn directly(socket: &Path, path: &str) -> Value {
    let client = reqwest::Client::builder().unix_socket(socket).build();
    let answer = client
        .expect("a client")
        .get(format!("http://localhost{path}"));
    let answer = answer.send().await.expect("an answer");
    answer.json().await.expect("JSON")
}

/// Loads, answers, is looked at, ends without leaving its file, and does not mind one that a crash left.
async fn serves_on_a_socket(program: &str, model: &Path) {
    let name = model.file_stem().expect("a name").to_string_lossy();
    let root = TempDir::new().expect("a folder");
    let state_dir = root.path().join("state of it");
    let socket = state_dir.join("sockets/own.sock");
    let toml = config(&state_dir, &[program], model);
    for crashes in [true, false] {
        let mut crucible = Crucible::start(&toml);
        let address = child_address(&crucible, &name).await;
        let path = socket.display().to_string().replace(' ', "%20");
        assert_eq!(address, format!("unix:{path}"));
        let mode = |path: &Path| path.metadata().expect("it is there").permissions().mode();
        assert_eq!(mode(&socket) & 0o777, 0o600);
        assert_eq!(mode(&state_dir.join("sockets")) & 0o777, 0o700);
        let slots = directly(&socket, "/slots").await;
        assert_eq!(slots.as_array().map(Vec::len), Some(1), "{slots}");
        let (code, out, err) = crucible.beside(&["doctor"]).await;
        assert!(code < 2 && !out.contains("is down"), "{code}: {out}{err}");
        crucible.signal(if crashes { "KILL" } else { "TERM" });
        let status = crucible.wait();
        if crashes {
            assert!(socket.exists(), "a crash leaves it");
        } else {
            assert_eq!(status.code(), Some(0), "{}", crucible.log());
            assert!(!socket.exists(), "{}", crucible.log());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_llama_server_listens_on_a_socket_of_its_engine() {
    let folder = TempDir::new().expect("a folder");
    let program = llama_server(folder.path());
    let model = tiny(folder.path());
    serves_on_a_socket(&program.display().to_string(), &model).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_llama_server_listens_on_a_socket_of_its_engine() {
    let variable = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    let named = variable("TEST_LLAMA_SERVER").zip(variable("TEST_MODEL_PATH"));
    if let Some((program, model)) = named {
        serves_on_a_socket(&program, Path::new(&model)).await;
    }
}

/// A server that knows no sockets, a command that is a wrapper or has an address of its own, and a path
/// that is too long.
#[tokio::test]
async fn where_a_socket_is_not_sure_to_work_the_child_gets_a_port() {
    let folder = TempDir::new().expect("a folder");
    let program = llama_server(folder.path());
    let program = program.display().to_string();
    let model = tiny(folder.path());
    let old = folder.path().join("old-build");
    std::fs::create_dir(&old).expect("a folder");
    std::fs::write(old.join("old"), "").expect("written");
    let old = llama_server(&old).display().to_string();
    let short = folder.path().join("state");
    let long = folder.path().join("x".repeat(100));
    for (state_dir, command) in [
        (&short, &["python3", &program][..]),
        (&short, &[&program, "--port", "1"]),
        (&short, &[&old]),
        (&long, &[&program]),
    ] {
        let mut crucible = Crucible::start(&config(state_dir, command, &model));
        let address = child_address(&crucible, "tiny").await;
        assert!(
            address.starts_with("http://127.0.0.1:"),
            "{address}: {command:?}"
        );
        crucible.signal("TERM");
        assert_eq!(crucible.wait().code(), Some(0), "{}", crucible.log());
    }
}

/// A second Crucible of one folder owns nothing there, so that its child gets a port.
#[tokio::test]
async fn two_instances_of_one_folder_do_not_share_a_socket() {
    let folder = TempDir::new().expect("a folder");
    let program = llama_server(folder.path());
    let toml = config(
        &folder.path().join("state"),
        &[&program.display().to_string()],
        &tiny(folder.path()),
    );
    let first = Crucible::start(&toml);
    assert!(child_address(&first, "tiny").await.starts_with("unix:/"));
    let second = Crucible::start(&toml);
    assert!(child_address(&second, "tiny").await.starts_with("http://"));
    assert!(child_address(&first, "tiny").await.starts_with("unix:/"));
}
